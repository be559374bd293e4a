"""
One request's body on its way to a sink: decoding, and every promise about its bytes checked.

The promises are the SHA-256 in ``x-amz-content-sha256``, ``Content-MD5``, an additional checksum by header or trailer,
and ``x-amz-decoded-content-length``.  The sink may hold the bytes early, but must make nothing visible before
``verify`` has returned.
"""

from __future__ import annotations

import hmac
import re
from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Callable, Mapping
from typing import Any

from twisted.internet.defer import Deferred

from cloudd.objects import md5, sha256
from cloudd.protocols.http import Body, BodySink, BodyTruncated
from storage import Hasher, IUpload

from ._checksums import Promise, digest_of, promise
from ._chunked import ChunkDecoder, ChunkSignatures
from ._errors import S3Error
from ._faults import cut_short
from ._signature import UNSIGNED_PAYLOAD, Signed

_CODING_BYTES = 1_048_576  # what chunk lines and trailers may add to a document
_HEX_SHA256 = re.compile(rb"[0-9a-f]{64}")
_STREAMING = {  # value of x-amz-content-sha256 -> (chunks are signed, a trailer follows)
    b"STREAMING-AWS4-HMAC-SHA256-PAYLOAD": (True, False),
    b"STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER": (True, True),
    b"STREAMING-UNSIGNED-PAYLOAD-TRAILER": (False, True),
}


class Payload:
    """
    What a request says about its body.

    :param headers: lower-case names to values
    :raises S3Error: a promise is malformed, or the length is missing
    """

    def __init__(self, body: Body, headers: Mapping[str, str], signed: Signed) -> None:
        self._body = body
        self._decoder: ChunkDecoder | None = None
        self._sha256: bytes | None = None
        self.promise = promise(headers)
        self._md5 = _content_md5(headers.get("content-md5"))
        kind = signed.payload
        if kind in _STREAMING:
            is_signed, with_trailer = _STREAMING[kind]
            self._decoder = ChunkDecoder(ChunkSignatures(signed) if is_signed else None, with_trailer=with_trailer)
            self.size = _decoded_length(headers.get("x-amz-decoded-content-length"))
        else:
            if kind != UNSIGNED_PAYLOAD:
                self._sha256 = _content_sha256(kind)
            if body.length is None:
                raise S3Error("MissingContentLength")
            self.size = body.length
        if self.promise is not None and self.promise.digest is None and (self._decoder is None or not with_trailer):
            raise S3Error("InvalidRequest", "x-amz-trailer needs a payload of STREAMING-...-TRAILER.")

    @property
    def is_protected(self) -> bool:
        """Whether MD5 or an additional checksum guards the body."""
        return self._md5 is not None or self.promise is not None

    @property
    def digests(self) -> dict[str, Callable[[], Hasher]]:
        """The digests that ``verify`` wants, besides MD5 which every object needs."""
        wanted: dict[str, Callable[[], Hasher]] = {}
        if self._sha256 is not None:
            wanted["sha256"] = sha256
        if self.promise is not None:
            wanted[self.promise.algorithm.name] = self.promise.algorithm.hasher
        return wanted

    def tell(self) -> dict[str, Any]:
        """How far the body was decoded, as plain data; at any moment between two pieces of it."""
        return {} if self._decoder is None else {"decoder": self._decoder.tell()}

    async def go_on(self, state: Mapping[str, Any], upload: IUpload) -> None:
        """
        Continue where ``tell`` was asked; called once, before ``stream_to``.

        :param upload: what was decoded so far
        """
        if self._decoder is not None:
            digest = self._decoder.go_on(state["decoder"])
            chunk_bytes = state["decoder"]["chunk_bytes"]
            if digest is not None and chunk_bytes:
                await upload.feed(digest, upload.size - chunk_bytes)

    async def stream_to(self, sink: BodySink) -> None:
        """
        Give the decoded body to ``sink``.

        :raises S3Error: ``IncompleteBody``, or the coding or a chunk's signature is wrong
        """
        try:
            await self._body.stream_to(_DecodingSink(self._decoder, sink, self.size) if self._decoder else sink)
        except BodyTruncated as cause:
            raise cut_short(cause) from cause
        self._end()

    def _end(self) -> None:
        """The last byte was decoded: what the coding itself promises must hold now."""
        if self._decoder is None:
            return
        self._decoder.close()
        if self._decoder.size != self.size:
            raise S3Error("IncompleteBody", "x-amz-decoded-content-length is not the length of the payload.")
        self._take_trailers(self._decoder)

    def verify(self, digests: Mapping[str, bytes]) -> None:
        """
        Compare what came with what was promised.

        :param digests: by name; ``md5`` and those of ``digests``
        :raises S3Error: ``XAmzContentSHA256Mismatch``, ``BadDigest``
        """
        if self._sha256 is not None and not hmac.compare_digest(digests["sha256"], self._sha256):
            raise S3Error(
                "XAmzContentSHA256Mismatch",
                ClientComputedContentSHA256=self._sha256.hex(),
                S3ComputedContentSHA256=digests["sha256"].hex(),
            )
        if self._md5 is not None and digests["md5"] != self._md5:
            raise S3Error(
                "BadDigest",
                "The Content-MD5 you specified did not match what we received.",
                ExpectedDigest=self._md5.hex(),
                CalculatedDigest=digests["md5"].hex(),
            )
        if self.promise is not None and digests[self.promise.algorithm.name] != self.promise.digest:
            label = self.promise.algorithm.label
            raise S3Error("BadDigest", f"The {label} you specified did not match the calculated checksum.")

    async def read(self, limit: int) -> bytes:
        """
        A whole small body, verified.

        :raises S3Error: any of the above; ``MalformedXML`` when it is longer than ``limit``
        """
        if self.size > limit:
            raise S3Error("MalformedXML", f"The request body is longer than {limit} bytes.")
        try:
            body = await self._body.read(limit + _CODING_BYTES)
        except BodyTruncated as cause:
            raise cut_short(cause) from cause
        if self._decoder is not None:
            body = self._decoder.feed(body)
        self._end()
        hashers = {"md5": md5, **self.digests}
        digests = {}
        for name, make in hashers.items():
            hasher = make()
            hasher.update(body)
            digests[name] = hasher.digest()
        self.verify(digests)
        return body

    def _take_trailers(self, decoder: ChunkDecoder) -> None:
        if self.promise is None or self.promise.digest is not None:
            if decoder.trailers:
                raise S3Error("MalformedTrailerError", "A trailer came that x-amz-trailer does not announce.")
            return
        algorithm = self.promise.algorithm
        expected = algorithm.header.encode("ascii")
        if [name for name, _ in decoder.trailers] != [expected]:
            raise S3Error("MalformedTrailerError", f"Expected was one trailer, {algorithm.header}.")
        self.promise = Promise(algorithm, digest_of(decoder.trailers[0][1].decode("latin-1"), algorithm))


class _DecodingSink:
    """Takes the coded body, passes on the payload; stops at the first byte beyond the declared length."""

    def __init__(self, decoder: ChunkDecoder, sink: BodySink, size: int) -> None:
        self._decoder = decoder
        self._sink = sink
        self._size = size

    def write(self, data: bytes) -> Deferred[None] | None:
        payload = self._decoder.feed(data)
        if self._decoder.size > self._size:
            raise S3Error("InvalidRequest", "The payload is longer than x-amz-decoded-content-length.")
        return self._sink.write(payload) if payload else None


def _content_md5(value: str | None) -> bytes | None:
    if value is None:
        return None
    try:
        digest = b64decode(value, validate=True)
    except (Base64Error, ValueError) as cause:
        raise S3Error("InvalidDigest", "The Content-MD5 you specified is not valid base64.") from cause
    if len(digest) != 16:
        raise S3Error("InvalidDigest", "The Content-MD5 you specified is not an MD5.")
    return digest


def _content_sha256(kind: bytes) -> bytes:
    if not _HEX_SHA256.fullmatch(kind):
        raise S3Error(
            "InvalidArgument",
            "x-amz-content-sha256 must be UNSIGNED-PAYLOAD, STREAMING-AWS4-HMAC-SHA256-PAYLOAD, "
            "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER, STREAMING-UNSIGNED-PAYLOAD-TRAILER or a valid sha256 value.",
            ArgumentName="x-amz-content-sha256",
            ArgumentValue=kind.decode("latin-1"),
        )
    return bytes.fromhex(kind.decode("ascii"))


def _decoded_length(value: str | None) -> int:
    if value is None:
        raise S3Error("MissingContentLength", "A streamed payload needs the header x-amz-decoded-content-length.")
    if not value.isascii() or not value.isdigit() or len(value) > 18:
        raise S3Error("InvalidArgument", "x-amz-decoded-content-length is not a length.")
    return int(value)
