"""
The ``aws-chunked`` content coding: chunks with or without signatures, then trailers.

A sans-io decoder: ``feed`` takes the body cut at any byte and gives the payload found so far, ``close`` says that the
body ended.  Payload is given out before its chunk's signature is known to be right, so nothing may be made visible
before ``close`` returned.  At most one line is ever held.

Grammar: ``hex-size[;chunk-signature=hex64]CRLF data CRLF`` repeated, a chunk of size 0, then trailer lines.  Clients
differ in how they end trailer lines (LF or CRLF, blank lines between), so blank lines there mean nothing, and the end
is the end of the body.

Source: "Signature Calculations for the Authorization Header: Transferring Payload in Multiple Chunks" and "... with
Trailing Headers", Amazon S3 API reference.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import Any

from attrs import define, field

from storage import Hasher

from ._canonical import sha256_hex, string_to_sign
from ._errors import S3Error
from ._signature import Signed, sign

MAX_LINE_BYTES = 512
MAX_TRAILER_BYTES = 8192
_CHUNK_LINE = re.compile(rb"([0-9A-Fa-f]{1,16})(?:;chunk-signature=([0-9a-f]{64}))?\r")
_EMPTY = sha256_hex(b"")


@define
class ChunkSignatures:
    """The chain of signatures through one body: each covers the one before it."""

    signed: Signed = field(repr=False)
    _previous: bytes = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._previous = self.signed.signature

    @property
    def previous(self) -> bytes:
        """The signature that the next one covers."""
        return self._previous

    def go_on(self, previous: bytes) -> None:
        """Continue after this signature."""
        self._previous = previous

    def check_chunk(self, signature: bytes, digest: bytes) -> None:
        """:raises S3Error: ``SignatureDoesNotMatch``"""
        self._check(b"AWS4-HMAC-SHA256-PAYLOAD", signature, _EMPTY, digest)

    def check_trailers(self, signature: bytes, lines: bytes) -> None:
        """:raises S3Error: ``SignatureDoesNotMatch``"""
        self._check(b"AWS4-HMAC-SHA256-TRAILER", signature, sha256_hex(lines))

    def _check(self, algorithm: bytes, signature: bytes, *digests: bytes) -> None:
        signed = self.signed
        text = string_to_sign(algorithm, signed.date, signed.scope, self._previous, *digests)
        if not hmac.compare_digest(sign(signed.key, text).hex().encode("ascii"), signature):
            raise S3Error("SignatureDoesNotMatch", "The signature of a chunk or of the trailer does not match.")
        self._previous = signature


class ChunkDecoder:
    """
    One body.

    :param signatures: None when chunks are not signed
    :param with_trailer: whether lines may follow the last chunk
    """

    def __init__(self, signatures: ChunkSignatures | None, *, with_trailer: bool) -> None:
        self.trailers: list[tuple[bytes, bytes]] = []
        self.size = 0
        self._signatures = signatures
        self._with_trailer = with_trailer
        self._step: Callable[[list[bytes]], bool] = self._size_line
        self._held = bytearray()  # what is not consumed yet: shorter than one line
        self._remaining = 0
        self._signature = b""
        self._digest = sha256()
        self._chunk_bytes = 0  # of the current chunk that are in _digest
        self._trailer_bytes = 0
        self._trailer_signature: bytes | None = None
        self._last_chunk_seen = False

    def feed(self, data: bytes) -> bytes:
        """
        Take the next bytes of the body.

        :return: the payload in them
        :raises S3Error: ``InvalidRequest``, ``IncompleteBody``, ``SignatureDoesNotMatch``, ``MalformedTrailerError``
        """
        self._held += data
        payload: list[bytes] = []
        while self._step(payload):
            pass
        return payload[0] if len(payload) == 1 else b"".join(payload)

    def tell(self) -> dict[str, Any]:
        """All that ``go_on`` needs but the digest of the current chunk, whose first ``chunk_bytes`` are in ``size``."""
        return {
            "step": self._step.__name__.strip("_"),
            "size": self.size,
            "held": bytes(self._held),
            "remaining": self._remaining,
            "signature": self._signature,
            "previous": b"" if self._signatures is None else self._signatures.previous,
            "chunk_bytes": self._chunk_bytes,
            "trailers": [list(trailer) for trailer in self.trailers],
            "trailer_bytes": self._trailer_bytes,
            "trailer_signature": self._trailer_signature,
            "last_chunk_seen": self._last_chunk_seen,
        }

    def go_on(self, state: Mapping[str, Any]) -> Hasher | None:
        """
        Continue where another decoder was asked to ``tell``.

        :return: what is to be fed with the current chunk's first ``chunk_bytes``, if chunks are signed
        """
        self._step = self._steps()[state["step"]]
        self.size = state["size"]
        self._held = bytearray(state["held"])
        self._remaining = state["remaining"]
        self._signature = state["signature"]
        self._chunk_bytes = state["chunk_bytes"]
        self.trailers = [(name, value) for name, value in state["trailers"]]
        self._trailer_bytes = state["trailer_bytes"]
        self._trailer_signature = state["trailer_signature"]
        self._last_chunk_seen = state["last_chunk_seen"]
        if self._signatures is None:
            return None
        self._signatures.go_on(state["previous"])
        return self._digest

    def _steps(self) -> dict[str, Callable[[list[bytes]], bool]]:
        steps = (self._size_line, self._data, self._data_end, self._trailer_line)
        return {step.__name__.strip("_"): step for step in steps}

    def close(self) -> None:
        """
        The body has ended; from here on ``trailers`` and ``size`` are whole and verified.

        :raises S3Error: ``IncompleteBody``, ``SignatureDoesNotMatch``, ``MalformedTrailerError``
        """
        if self._held and self._step == self._trailer_line:
            self.feed(b"\n")
        if not self._last_chunk_seen:
            raise S3Error("IncompleteBody", "The request body ended before its last chunk.")
        if self._held:
            raise S3Error("IncompleteBody", "The request body ended inside its last chunk.")
        if self._signatures is not None and self._with_trailer:
            if self._trailer_signature is None:
                raise S3Error("MalformedTrailerError", "x-amz-trailer-signature is missing after the last chunk.")
            lines = b"".join(name + b":" + value + b"\n" for name, value in sorted(self.trailers))
            self._signatures.check_trailers(self._trailer_signature, lines)

    def _line(self, limit: int) -> bytes | None:
        """The next line without its LF, None until it is whole."""
        end = self._held.find(b"\n", 0, limit)
        if end < 0:
            if len(self._held) >= limit:
                raise S3Error("InvalidRequest", "A line of the aws-chunked body is too long.")
            return None
        line = bytes(self._held[:end])
        del self._held[: end + 1]
        return line

    def _size_line(self, _payload: list[bytes]) -> bool:
        line = self._line(MAX_LINE_BYTES)
        if line is None:
            return False
        found = _CHUNK_LINE.fullmatch(line)
        if found is None:
            raise S3Error("InvalidRequest", "A chunk of the aws-chunked body does not begin with its size.")
        if (found[2] is not None) != (self._signatures is not None):
            raise S3Error("InvalidRequest", "chunk-signature must be given exactly when x-amz-content-sha256 says so.")
        self._remaining = int(found[1], 16)
        self._signature = found[2] or b""
        self._digest, self._chunk_bytes = sha256(), 0
        if self._remaining:
            self._step = self._data
        else:
            self._last_chunk_seen = True
            self._check_chunk()
            self._step = self._trailer_line
        return True

    def _data(self, payload: list[bytes]) -> bool:
        if not self._held:
            return False
        piece = bytes(self._held[: self._remaining])
        del self._held[: len(piece)]
        self._remaining -= len(piece)
        self.size += len(piece)
        if self._signatures is not None:
            self._digest.update(piece)
            self._chunk_bytes += len(piece)
        payload.append(piece)
        if not self._remaining:
            self._step = self._data_end
        return True

    def _data_end(self, _payload: list[bytes]) -> bool:
        if len(self._held) < 2:
            return False
        if self._held[:2] != b"\r\n":
            raise S3Error("InvalidRequest", "A chunk of the aws-chunked body is longer than its size says.")
        del self._held[:2]
        self._check_chunk()
        self._chunk_bytes = 0
        self._step = self._size_line
        return True

    def _check_chunk(self) -> None:
        if self._signatures is not None:
            self._signatures.check_chunk(self._signature, self._digest.hexdigest().encode("ascii"))

    def _trailer_line(self, _payload: list[bytes]) -> bool:
        line = self._line(MAX_TRAILER_BYTES)
        if line is None:
            return False
        self._trailer_bytes += len(line) + 1
        if self._trailer_bytes > MAX_TRAILER_BYTES:
            raise S3Error("MalformedTrailerError", "The trailer of the aws-chunked body is too long.")
        line = line.strip()
        if line:
            self._take_trailer(line)
        return True

    def _take_trailer(self, line: bytes) -> None:
        name, colon, value = line.partition(b":")
        name = name.strip().lower()
        if not colon or not name or not self._with_trailer or self._trailer_signature is not None:
            raise S3Error("MalformedTrailerError")
        if name == b"x-amz-trailer-signature":
            self._trailer_signature = value.strip()
        elif any(name == known for known, _ in self.trailers):
            raise S3Error("MalformedTrailerError", f"The trailer {name.decode('latin-1')} is given twice.")
        else:
            self.trailers.append((name, value.strip()))
