"""
Presigned URLs of signature version 2.

Amazon has left this version behind, yet ``aws s3 presign`` and boto3 still make such URLs for other endpoints when the
region is ``us-east-1``, which is everyone's default.  So they are taken, in the query and nowhere else; the payload is
never covered.

Source: "Signing and authenticating REST requests", Amazon S3 user guide, section "Query string request authentication
alternative".
"""

from __future__ import annotations

import hmac
from base64 import b64encode
from collections.abc import Mapping, Sequence

from attrs import field, frozen

from ._canonical import Header
from ._errors import S3Error
from ._signature import UNSIGNED_PAYLOAD, Signed

_SIGNED_PARAMETERS = frozenset(
    (
        "accelerate",
        "acl",
        "analytics",
        "cors",
        "defaultObjectAcl",
        "delete",
        "encryption",
        "inventory",
        "legal-hold",
        "lifecycle",
        "location",
        "logging",
        "metrics",
        "notification",
        "object-lock",
        "partNumber",
        "policy",
        "publicAccessBlock",
        "replication",
        "requestPayment",
        "response-cache-control",
        "response-content-disposition",
        "response-content-encoding",
        "response-content-language",
        "response-content-type",
        "response-expires",
        "restore",
        "retention",
        "select",
        "select-type",
        "storageClass",
        "tagging",
        "torrent",
        "uploadId",
        "uploads",
        "versionId",
        "versioning",
        "versions",
        "website",
    )
)


@frozen(kw_only=True)
class PresignedV2:
    """Who says to have presigned this until when; nothing is verified yet."""

    access_key: str
    expires_at: int  # seconds since the epoch
    signature: bytes = field(repr=False)
    presigned: bool = field(default=True, init=False)


def read_presigned_v2(pairs: Sequence[tuple[bytes, bytes]]) -> PresignedV2 | None:
    """
    The claim in a query; None when it is not of this version.

    :param pairs: the decoded query
    :raises S3Error: ``AccessDenied``: a parameter is missing, or ``Expires`` is no time; ``InvalidArgument``: one is
        given twice
    """
    query = dict(pairs)
    if b"AWSAccessKeyId" not in query:
        return None
    # The signature covers one value of a name; whoever reads the query next could take another one.
    if len({name.lower() for name, _ in pairs}) != len(pairs):
        raise S3Error("InvalidArgument", "A parameter of the presigned URL is given twice.")
    expires = query.get(b"Expires", b"")
    if b"Signature" not in query or not expires.isdigit() or len(expires) > 12:
        raise S3Error("AccessDenied", "Query-string authentication requires the Signature and Expires parameters")
    return PresignedV2(
        access_key=query[b"AWSAccessKeyId"].decode("utf-8", "replace"),
        expires_at=int(expires),
        signature=query[b"Signature"],
    )


def verify_presigned_v2(
    claim: PresignedV2,
    secret: str,
    method: bytes,
    path: bytes,
    query: Mapping[bytes, bytes],
    headers: Sequence[Header],
    *,
    bucket: str,
    now: float,
) -> Signed:
    """
    Check time and signature.

    :param path: raw path
    :param bucket: the bucket when the host names it, else ``""``
    :param now: seconds since the epoch
    :raises S3Error: ``AccessDenied``, ``SignatureDoesNotMatch``
    """
    if now > claim.expires_at:
        raise S3Error("AccessDenied", "Request has expired")
    text = text_to_sign(claim, method, path, query, headers, bucket)
    expected = b64encode(hmac.digest(secret.encode("utf-8"), text, "sha1"))
    if not hmac.compare_digest(expected, claim.signature):
        raise S3Error(
            "SignatureDoesNotMatch", AWSAccessKeyId=claim.access_key, StringToSign=text.decode("utf-8", "replace")
        )
    return Signed(payload=UNSIGNED_PAYLOAD)


def text_to_sign(
    claim: PresignedV2,
    method: bytes,
    path: bytes,
    query: Mapping[bytes, bytes],
    headers: Sequence[Header],
    bucket: str,
) -> bytes:
    """
    What the secret signs.  Fields may stand in the query in place of the header; the header goes first, but of
    Amazon's own fields both count, as they do for whoever reads them afterwards.
    """
    fields: dict[bytes, list[bytes]] = {}
    for name, value in headers:
        fields.setdefault(name, []).append(value.strip())
    for name, value in query.items():
        values = fields.setdefault(name.lower(), [])
        if not values or name.lower().startswith(b"x-amz-"):
            values.insert(0, value)
    amazon = sorted(name for name in fields if name.startswith(b"x-amz-"))
    lines = [method, *(b",".join(fields.get(name, [])) for name in (b"content-md5", b"content-type"))]
    lines.append(b"%d" % claim.expires_at)
    lines += [name + b":" + b",".join(fields[name]) for name in amazon]
    lines.append((f"/{bucket}".encode() if bucket else b"") + path + _parameters(query))
    return b"\n".join(lines)


def _parameters(query: Mapping[bytes, bytes]) -> bytes:
    chosen = sorted(name for name in query if name.decode("latin-1") in _SIGNED_PARAMETERS)
    parts = [name + b"=" + query[name] if query[name] else name for name in chosen]
    return b"?" + b"&".join(parts) if parts else b""
