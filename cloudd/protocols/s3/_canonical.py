"""
The canonical request of signature version 4, byte for byte as S3 wants it.

S3 differs from other AWS services: the path is percent-encoded once, and ``//``, ``.`` and ``..`` stay as they are.
Path and query are decoded and encoded again, so that a client may send an unreserved byte in either form.

Source: "Authenticating Requests: Using the Authorization Header (AWS Signature Version 4)", Amazon S3 API reference.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from urllib.parse import quote_from_bytes, unquote_to_bytes

from ._errors import S3Error

Header = tuple[bytes, bytes]


def encode(raw: bytes, safe: str = "") -> bytes:
    """AWS's UriEncode: all bytes but ``A-Z a-z 0-9 - . _ ~`` and those of ``safe``, in upper-case hex."""
    return quote_from_bytes(raw, safe).encode("ascii")


def canonical_path(path: bytes) -> bytes:
    return encode(unquote_to_bytes(path), "/") or b"/"


def query_pairs(query: bytes) -> list[tuple[bytes, bytes]]:
    """The decoded pairs in the order sent; ``+`` is a space, a name alone has an empty value."""
    pairs = []
    for part in query.split(b"&"):
        if part:
            name, _, value = part.partition(b"=")
            pairs.append((unquote_to_bytes(name.replace(b"+", b" ")), unquote_to_bytes(value.replace(b"+", b" "))))
    return pairs


def canonical_query(pairs: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Sorted by encoded name, then by encoded value; ``X-Amz-Signature`` never signs itself."""
    encoded = sorted((encode(name), encode(value)) for name, value in pairs if name != b"X-Amz-Signature")
    return b"&".join(name + b"=" + value for name, value in encoded)


def canonical_headers(headers: Sequence[Header], signed: Sequence[bytes]) -> bytes:
    """
    The lines of the signed headers: values trimmed, white space made one space, repeated fields joined by ``,``.

    :param signed: lower-case names in the order of ``SignedHeaders``
    :raises S3Error: ``AccessDenied``: a signed header did not arrive
    """
    lines = []
    for name in signed:
        values = [b" ".join(value.split()) for found, value in headers if found == name]
        if not values:
            raise S3Error("AccessDenied", f"The signed header {name.decode('latin-1')} is not in the request.")
        lines.append(name + b":" + b",".join(values) + b"\n")
    return b"".join(lines)


def canonical_request(
    method: bytes,
    path: bytes,
    pairs: Iterable[tuple[bytes, bytes]],
    headers: Sequence[Header],
    signed: Sequence[bytes],
    payload: bytes,
) -> bytes:
    """
    The text whose SHA-256 is signed.

    :param path: raw path as in the request target
    :param payload: the value of ``x-amz-content-sha256``, or ``UNSIGNED-PAYLOAD``
    """
    return b"\n".join(
        (
            method,
            canonical_path(path),
            canonical_query(pairs),
            canonical_headers(headers, signed),
            b";".join(signed),
            payload,
        )
    )


def string_to_sign(algorithm: bytes, date: bytes, scope: bytes, *parts: bytes) -> bytes:
    """
    What the signing key signs.

    :param date: ``YYYYMMDD'T'HHMMSS'Z'``
    :param scope: ``YYYYMMDD/region/s3/aws4_request``
    """
    return b"\n".join((algorithm, date, scope, *parts))


def sha256_hex(data: bytes) -> bytes:
    return hashlib.sha256(data).hexdigest().encode("ascii")
