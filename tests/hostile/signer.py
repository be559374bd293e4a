"""Signatures of S3, made from Amazon's description, with every part open to be spoilt."""

from __future__ import annotations

import hashlib
import hmac
import time
from base64 import b64encode
from collections.abc import Mapping
from urllib.parse import quote, unquote_to_bytes

from attrs import define, field


@define
class Signer:
    """One key pair and the host it signs for."""

    access: str
    secret: str = field(repr=False)
    host: str
    region: str = "us-east-1"

    def headers(
        self,
        method: str,
        target: str,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        *,
        payload: str | None = None,
        at: float | None = None,
    ) -> dict[str, str]:
        """
        The fields of a signed request.

        :param payload: the value of ``x-amz-content-sha256``; the hash of the body when it is not given
        :param at: when the signer believes it to be, in seconds since the epoch
        """
        fields = {name.lower(): value for name, value in (headers or {}).items()}
        fields["host"] = self.host
        fields["x-amz-content-sha256"] = payload or hashlib.sha256(body).hexdigest()
        fields["x-amz-date"] = stamp(at)
        signature = self.sign(method, target, fields, fields["x-amz-content-sha256"], fields["x-amz-date"])
        fields["authorization"] = (
            f"AWS4-HMAC-SHA256 Credential={self.access}/{self.scope(fields['x-amz-date'])}, "
            f"SignedHeaders={';'.join(sorted(name for name in fields))}, Signature={signature}"
        )
        return fields

    def presigned(self, method: str, target: str, expires: int = 300, at: float | None = None, more: str = "") -> str:
        """The target with its signature in the query."""
        date = stamp(at)
        target += ("&" if "?" in target else "?") + (
            f"X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={quote(f'{self.access}/{self.scope(date)}', safe='')}"
            f"&X-Amz-Date={date}&X-Amz-Expires={expires}&X-Amz-SignedHeaders=host{more}"
        )
        return f"{target}&X-Amz-Signature=" + self.sign(method, target, {"host": self.host}, "UNSIGNED-PAYLOAD", date)

    def presigned_v2(self, method: str, path: str, expires_at: int, signed_query: str = "") -> str:
        """A URL of signature version 2; ``signed_query`` holds sub-resources in the order of their names."""
        text = f"{method}\n\n\n{expires_at}\n{path}" + (f"?{signed_query}" if signed_query else "")
        signature = b64encode(hmac.digest(self.secret.encode(), text.encode(), "sha1")).decode()
        query = f"AWSAccessKeyId={self.access}&Expires={expires_at}&Signature={quote(signature, safe='')}"
        return f"{path}?{signed_query}{'&' if signed_query else ''}{query}"

    def sign(self, method: str, target: str, covered: Mapping[str, str], payload: str, date: str) -> str:
        path, _, query = target.partition("?")
        pairs = sorted(_pair(part) for part in query.split("&") if part)
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
        digest = hashlib.sha256(canonical.encode()).hexdigest()
        text = "\n".join(("AWS4-HMAC-SHA256", date, self.scope(date), digest))
        return hmac.new(self.key(date), text.encode(), "sha256").hexdigest()

    def chunked(self, fields: Mapping[str, str], *pieces: bytes) -> bytes:
        """The pieces as signed chunks of a request with these fields, and the last chunk."""
        previous = fields["authorization"].rpartition("=")[2]
        date, coded = fields["x-amz-date"], b""
        for piece in (*pieces, b""):
            digests = (hashlib.sha256(b"").hexdigest(), hashlib.sha256(piece).hexdigest())
            text = "\n".join(("AWS4-HMAC-SHA256-PAYLOAD", date, self.scope(date), previous, *digests))
            previous = hmac.new(self.key(date), text.encode(), "sha256").hexdigest()
            coded += b"%x;chunk-signature=%s\r\n%s\r\n" % (len(piece), previous.encode(), piece)
        return coded

    def key(self, date: str) -> bytes:
        derived = b"AWS4" + self.secret.encode()
        for part in (date[:8], self.region, "s3", "aws4_request"):
            derived = hmac.digest(derived, part.encode(), "sha256")
        return derived

    def scope(self, date: str) -> str:
        return f"{date[:8]}/{self.region}/s3/aws4_request"


def stamp(at: float | None = None) -> str:
    return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(at))


def _pair(part: str) -> tuple[str, str]:
    name, _, value = part.partition("=")
    return quote(unquote_to_bytes(name), safe="~"), quote(unquote_to_bytes(value), safe="~")
