"""
One authenticated S3 request, as the operations see it.

``locate`` finds bucket and key before anything is known of who asks; ``Call`` is what an operation gets.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from time import gmtime, strftime
from typing import Any

from attrs import frozen

from cloudd.identity import Access
from cloudd.interfaces.application import Resources
from cloudd.objects import Action, Objects, account_of, check_container_name, check_object_name, decode_name
from cloudd.protocols.http import Header, Request
from storage import IObjectStore

from ._errors import S3Error, not_implemented
from ._payload import Payload
from ._signature import Signed
from ._xml import CONTENT_TYPE, Node, document, parse

LARGE_DOCUMENT_BYTES = 65_536
HOST_ID = b"cloudd"


@frozen
class Address:
    """Where a request points: the service, a bucket (``key`` is ``""``) or an object."""

    bucket: str
    key: str

    @property
    def level(self) -> str:
        return "object" if self.key else "bucket" if self.bucket else "service"


def locate(path: bytes, host: bytes | None, domain: str) -> Address:
    """
    Bucket and key, from the path alone or, in virtual-host style, with the bucket in the host.

    Nothing is normalised: ``//``, ``.`` and ``..`` are parts of a key.

    :param path: raw path
    :param domain: the setting ``[objects] s3_host``; ``""`` for path style only
    :raises InvalidName: no UTF-8, too long, or with NUL
    """
    virtual = virtual_bucket(host, domain)
    if virtual:
        bucket, key = virtual, path.removeprefix(b"/")
    else:
        bucket, _, key = path.removeprefix(b"/").partition(b"/")
    return Address(
        check_container_name(decode_name(bucket, "container")) if bucket else "",
        check_object_name(decode_name(key, "object")) if key else "",
    )


def virtual_bucket(host: bytes | None, domain: str) -> bytes:
    """The bucket that the host names, ``b""`` in path style."""
    if not domain or host is None:
        return b""
    name = host.lower().rpartition(b":")[0] if host.rpartition(b":")[2].isdigit() else host.lower()
    return name.removesuffix(suffix) if name.endswith(suffix := b"." + domain.lower().encode("ascii")) else b""


@frozen(kw_only=True)
class Call:
    """
    One request whose signature is right.

    :param headers: lower-case names to text; those that a presigned URL carries in its query are among them
    :param query: decoded; the first of equal names
    """

    request: Request
    address: Address
    headers: Mapping[str, str]
    query: Mapping[str, str]
    access: Access
    signed: Signed
    objects: Objects
    resources: Resources

    @property
    def store(self) -> IObjectStore:
        return self.objects.store

    def tell(self) -> dict[str, Any]:
        """Who has asked, and what was signed: plain data, with which the request goes on in another process."""
        names = ("user_id", "user_name", "user_domain_id", "user_domain_name", "project_id", "project_name")
        return {
            "access": {name: getattr(self.access, name) for name in names},
            "signed": self.signed.tell(),
        }

    @staticmethod
    def told(caller: Mapping[str, Any]) -> tuple[Access, Signed]:
        """
        Who has asked, and what was signed, from what ``tell`` gave.

        Without any role: all leave that the request needs was given where it began.
        """
        return Access(**caller["access"]), Signed(**caller["signed"])

    @property
    def account(self) -> str:
        return account_of(self.owner_id)

    @property
    def owner_id(self) -> str:
        """The project's id stands for S3's canonical user id."""
        return self.access.project_id or ""

    @property
    def owner_name(self) -> str:
        return self.access.project_name or self.owner_id

    @property
    def bucket(self) -> str:
        return self.address.bucket

    @property
    def key(self) -> str:
        return self.address.key

    @property
    def is_head(self) -> bool:
        return self.request.method == b"HEAD"

    async def authorize(self, action: Action) -> None:
        """
        Ask for leave in this call's bucket.

        :raises Forbidden:
        :raises S3Error: the bucket is not of the owner whom the client expects
        """
        await self.objects.authorize(self.access, self.account, action, self.bucket or None)
        if self.headers.get("x-amz-expected-bucket-owner", self.owner_id) != self.owner_id:
            raise S3Error("AccessDenied", "The bucket is not of the owner in x-amz-expected-bucket-owner.")

    def payload(self, *, without_checksum: bool = False) -> Payload:
        """
        The body and what was promised of it.

        :param without_checksum: the checksum headers speak of an object, not of the body
        """
        headers = self.headers
        if without_checksum:
            headers = {name: text for name, text in headers.items() if "checksum" not in name}
        return Payload(self.request.body, headers, self.signed)

    async def read_xml(self, root: str, limit: int, payload: Payload | None = None) -> Node:
        """
        The body as a document.

        :param limit: bytes
        :raises S3Error: ``MalformedXML``, or the payload is not what was promised
        """
        body = await (payload or self.payload()).read(limit)
        if len(body) > LARGE_DOCUMENT_BYTES:
            return await self.resources.threads.run(parse, body, root)
        return parse(body, root)

    def number(self, name: str, default: int, least: int, most: int | None = None) -> int:
        """
        A number in the query.

        :raises S3Error: ``InvalidArgument``
        """
        text = self.query.get(name)
        if text is None or text == "":
            return default
        valid = text.isascii() and text.isdigit() and len(text) <= 10 and int(text) >= least
        if not valid or (most is not None and int(text) > most):
            bounds = f"from {least} to {most}" if most is not None else f"of at least {least}"
            raise S3Error(
                "InvalidArgument", f"{name} must be a number {bounds}.", ArgumentName=name, ArgumentValue=text
            )
        return int(text)

    def check_version(self) -> None:
        """
        Only the one version there is may be asked for; S3 calls it ``null``.

        :raises S3Error: ``NoSuchVersion``
        """
        if self.query.get("versionId", "null") not in ("null", ""):
            raise S3Error("NoSuchVersion", Key=self.key, VersionId=self.query["versionId"])

    def answer(self, status: int = 200, headers: Iterable[Header] = (), body: bytes = b"") -> None:
        self.request.respond(status, [*headers, (b"x-amz-id-2", HOST_ID)], body)

    def answer_xml(self, name: str, *children: str, headers: Iterable[Header] = ()) -> None:
        self.answer(200, [*headers, CONTENT_TYPE], document(name, *children))


UNSUPPORTED_HEADERS: Sequence[tuple[str, str]] = (
    ("x-amz-server-side-encryption", "Server-side encryption"),
    ("x-amz-copy-source-server-side-encryption", "Server-side encryption"),
    ("x-amz-object-lock-", "Object Lock"),
    ("x-amz-bucket-object-lock-enabled", "Object Lock"),
    ("x-amz-tagging", "Tagging"),
    ("x-amz-website-redirect-location", "Website redirection"),
    ("x-amz-grant-", "Granting access by header"),
    ("x-amz-write-offset-bytes", "Appending to objects"),
)
_HARMLESS = frozenset({("x-amz-bucket-object-lock-enabled", "false"), ("x-amz-tagging-directive", "copy")})
PRIVATE_ACLS = frozenset({"private", "bucket-owner-full-control", "bucket-owner-read", ""})


def refuse_unsupported(headers: Mapping[str, str]) -> None:
    """
    Refuse what a client would wrongly believe to be done if it were ignored.

    :raises S3Error: ``NotImplemented``, ``InvalidStorageClass``
    """
    for name, value in headers.items():
        if not name.startswith("x-amz-") or (name, value.lower()) in _HARMLESS:
            continue
        for start, feature in UNSUPPORTED_HEADERS:
            if name.startswith(start):
                raise not_implemented(f"{feature} ({name})")
    if headers.get("x-amz-acl", "private") not in PRIVATE_ACLS:
        raise not_implemented(f"The canned ACL {headers['x-amz-acl']!r}; only private is, and it")
    if headers.get("x-amz-storage-class", "STANDARD") != "STANDARD":
        raise S3Error("InvalidStorageClass", StorageClassRequested=headers["x-amz-storage-class"])


def iso_date(at_us: int) -> str:
    """``2009-10-12T17:50:30.000Z``"""
    return f"{strftime('%Y-%m-%dT%H:%M:%S', gmtime(at_us // 1_000_000))}.{at_us // 1000 % 1000:03}Z"


def quoted(etag: str) -> str:
    return f'"{etag}"'
