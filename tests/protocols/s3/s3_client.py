"""
A client that signs its requests, before the real face, the real HTTP server and a store in memory.

The signing is written a second time here, from Amazon's description, so that a mistake in the face's own canonical
form shows.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Mapping
from pathlib import Path
from time import gmtime, strftime
from typing import Any
from urllib.parse import quote, unquote_to_bytes
from xml.etree import ElementTree

from attrs import evolve
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.task import Clock

from cloudd.identity import Access, Ec2Access, NoSuchCredential, RoleRef
from cloudd.interfaces.application import Resources
from cloudd.interfaces.settings import ObjectSettings, Settings
from cloudd.objects import Objects
from cloudd.protocols.s3 import s3_face
from storage import Hasher, IUpload, MemoryStore
from tests.http_client import Answer, HTTPClient

NOW = 1_700_000_000.0
PROJECT = "0123456789abcdef0123456789abcdef"
ACCOUNT = f"AUTH_{PROJECT}"
NAMESPACE = "{http://s3.amazonaws.com/doc/2006-03-01/}"
SECRETS = {"member-key": "member-secret", "reader-key": "reader-secret", "lost-key": "lost-secret"}


class _Identity:
    """Knows three keys: of a member, of a reader, and one without a project."""

    async def ec2_access(self, access_key: str) -> Ec2Access:
        if access_key not in SECRETS:
            raise NoSuchCredential(access_key)
        roles = ("reader",) if access_key == "reader-key" else ("reader", "member")
        access = Access(
            user_id="u1",
            user_name="user",
            user_domain_id="default",
            user_domain_name="Default",
            project_id=None if access_key == "lost-key" else PROJECT,
            project_name="demo",
            roles=tuple(RoleRef(name, name) for name in roles),
        )
        return Ec2Access(SECRETS[access_key], access)


class _Here:
    """Threads that are this one."""

    def run(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Deferred[Any]:
        return maybeDeferred(function, *args, **kwargs)


class _NoMetric:
    def __getattr__(self, name: str) -> Callable[..., _NoMetric]:
        return lambda *args, **kwargs: self


class _WatchedStore(MemoryStore):
    """Remembers the uploads that it began."""

    def __init__(self) -> None:
        super().__init__()
        self.received: list[Any] = []

    def receive(
        self, digests: Mapping[str, Callable[[], Hasher]], expected_bytes: int | None = None
    ) -> Deferred[IUpload]:
        def remember(upload: IUpload) -> IUpload:
            self.received.append(upload)
            return upload

        return super().receive(digests, expected_bytes).addCallback(remember)


class S3Client:
    """
    One cloud with one project, and a client of its S3 port.

    :ivar store: to look behind the face; the usual one is in memory
    """

    def __init__(self, store: Any = None, **settings: Any) -> None:
        self.clock = Clock()
        self.clock.advance(NOW)
        self.store: Any = store or _WatchedStore()
        nothing: Any = None
        metrics: Any = _NoMetric()
        resources = Resources(
            reactor=self.clock,
            settings=Settings(state=Path("/nonexistent"), objects=evolve(ObjectSettings(), **settings)),
            threads=_Here(),
            database=nothing,
            object_index=nothing,
            metrics=metrics,
            host=nothing,
            role="front",
            generation=1,
            urls={"s3": "http://s3.cloud"},
            secrets=Path("/nonexistent"),
        )
        identity: Any = _Identity()
        self.http = HTTPClient(s3_face(identity, Objects(resources, self.store), resources), face="s3")

    @property
    def open_uploads(self) -> int:
        """Uploads that were neither given a name nor discarded."""
        return sum(not upload.ended for upload in self.store.received)

    async def call(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        *,
        key: str = "member-key",
        host: str = "s3.cloud",
        payload: str | None = None,
    ) -> Answer:
        """
        One signed request.

        :param payload: the value of ``x-amz-content-sha256``; by default the hash of the body
        """
        fields = self.signed(method, target, headers, body, key=key, host=host, payload=payload)
        return await self.http.request(method, target, headers=fields, body=body, host=host)

    def signed(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        *,
        key: str = "member-key",
        host: str = "s3.cloud",
        payload: str | None = None,
    ) -> dict[str, str]:
        """The headers with all that a signature needs."""
        fields = {name.lower(): value for name, value in (headers or {}).items()}
        fields["x-amz-content-sha256"] = payload or hashlib.sha256(body or b"").hexdigest()
        fields.setdefault("x-amz-date", strftime("%Y%m%dT%H%M%SZ", gmtime(self.clock.seconds())))
        covered = {"host": host, **fields}
        signed = ";".join(sorted(covered))
        scope = f"{fields['x-amz-date'][:8]}/here/s3/aws4_request"
        signature = self.sign(method, target, covered, key=key, payload=fields["x-amz-content-sha256"])
        fields["authorization"] = (
            f"AWS4-HMAC-SHA256 Credential={key}/{scope}, SignedHeaders={signed}, Signature={signature}"
        )
        return fields

    def sign(self, method: str, target: str, covered: Mapping[str, str], *, key: str, payload: str) -> str:
        path, _, query = target.partition("?")
        pairs = sorted(_encoded_pair(part) for part in query.split("&") if part)
        canonical = "\n".join(
            (
                method,
                quote(unquote_to_bytes(path), safe="/~"),
                "&".join(f"{name}={value}" for name, value in pairs),
                *(f"{name}:{' '.join(covered[name].split())}" for name in sorted(covered)),
                "",
                ";".join(sorted(covered)),
                payload,
            )
        )
        date = covered.get("x-amz-date", strftime("%Y%m%dT%H%M%SZ", gmtime(self.clock.seconds())))
        text = "\n".join(
            (
                "AWS4-HMAC-SHA256",
                date,
                f"{date[:8]}/here/s3/aws4_request",
                hashlib.sha256(canonical.encode("latin-1")).hexdigest(),
            )
        )
        return hmac.new(self.signing_key(key, date[:8]), text.encode(), "sha256").hexdigest()

    def signing_key(self, key: str, day: str) -> bytes:
        derived = b"AWS4" + SECRETS.get(key, "wrong").encode()
        for part in (day, "here", "s3", "aws4_request"):
            derived = hmac.new(derived, part.encode(), "sha256").digest()
        return derived

    def presigned(self, method: str, target: str, expires: int = 60, key: str = "member-key") -> str:
        """The target with its signature in the query."""
        date = strftime("%Y%m%dT%H%M%SZ", gmtime(self.clock.seconds()))
        credential = quote(f"{key}/{date[:8]}/here/s3/aws4_request", safe="")
        target += "&" if "?" in target else "?"
        target += f"X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={credential}&X-Amz-Date={date}"
        target += f"&X-Amz-Expires={expires}&X-Amz-SignedHeaders=host"
        signature = self.sign(method, target, {"host": "s3.cloud"}, key=key, payload="UNSIGNED-PAYLOAD")
        return f"{target}&X-Amz-Signature={signature}"

    async def make(self, bucket: str, **objects: bytes) -> None:
        """A bucket with objects in it."""
        assert (await self.call("PUT", f"/{bucket}")).status == 200
        for name, data in objects.items():
            assert (await self.call("PUT", f"/{bucket}/{name}", body=data)).status == 200


def _encoded_pair(part: str) -> tuple[str, str]:
    name, _, value = part.partition("=")
    return quote(unquote_to_bytes(name), safe="~"), quote(unquote_to_bytes(value), safe="~")


def error_code(answer: Answer) -> str:
    """The code in an error document."""
    found = ElementTree.fromstring(answer.body).find("Code")
    assert found is not None and found.text is not None, answer
    return found.text


def values(answer: Answer, path: str) -> list[str]:
    """The texts of all elements at ``path``, a list of local names with slashes."""
    names = "/".join(NAMESPACE + name for name in path.split("/"))
    return [each.text or "" for each in ElementTree.fromstring(answer.body).findall(names)]
