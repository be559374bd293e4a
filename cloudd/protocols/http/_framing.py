# -*- test-case-name: tests.protocols.http.test_framing -*-
"""
Where a request's body ends: by its declared length, or by its chunks.

A decoder takes the bytes that have come and returns the body's bytes and what it left: the beginning of a line that
has not ended, or what follows the body.  Left bytes come again in front of the next ones, so that the state of a
decoder is a few numbers.  No I/O.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Protocol

from ._errors import BodyMalformed

Header = tuple[bytes, bytes]

_SIZE_LINE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(;[\t\x20-\x7e\x80-\xff]*)?")
_TRAILER = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\t\x20-\x7e\x80-\xff]*)")
#: Fields that would change the framing or the routing of a message that has already begun (RFC 9110 section 6.5.1).
_FORBIDDEN_TRAILERS = {b"content-length", b"transfer-encoding", b"host", b"trailer", b"connection", b"expect"}
MAX_LINE_BYTES = 4_096
MAX_OVERHEAD_BYTES = 65_536
MAX_TRAILERS = 64


class Decoder(Protocol):
    """What a body is read with."""

    finished: bool

    def feed(self, data: bytes) -> tuple[bytes, bytes]:
        """
        Decode what can be decoded.

        :return: bytes of the body, and the bytes that were not used
        :raises BodyMalformed: the end of the body cannot be known
        """

    def state(self) -> dict[str, Any]:
        """Plain data from which ``decoder_from`` makes an equal decoder."""


class LengthDecoder:
    """A body of ``left`` more bytes."""

    __slots__ = ("finished", "left")

    def __init__(self, left: int) -> None:
        self.left = left
        self.finished = left == 0

    def feed(self, data: bytes) -> tuple[bytes, bytes]:
        """See ``Decoder.feed``."""
        size = len(data)
        if size < self.left:
            self.left -= size
            return data, b""
        piece, rest = data[: self.left], data[self.left :]
        self.left = 0
        self.finished = True
        return piece, rest

    def state(self) -> dict[str, Any]:
        """See ``Decoder.state``."""
        return {"kind": "length", "left": self.left}


class ChunkedDecoder:
    """
    A body in chunks (RFC 9112 section 7.1), with extensions, which are ignored, and trailers.

    :ivar left: bytes of the chunk's data to come; -1 between chunks; 0 before the CRLF that ends the data
    :ivar trailers: once ``finished``; names in lower case
    """

    __slots__ = ("_in_trailers", "_overhead", "finished", "left", "trailers")

    def __init__(self) -> None:
        self.left = -1
        self.trailers: list[Header] = []
        self.finished = False
        self._in_trailers = False
        self._overhead = 0

    def feed(self, data: bytes) -> tuple[bytes, bytes]:
        """See ``Decoder.feed``."""
        pieces: list[memoryview] = []
        view = memoryview(data)
        position, end = 0, len(data)
        while position < end and not self.finished:
            if self.left > 0:
                following = min(end, position + self.left)
                pieces.append(view[position:following])
                self.left -= following - position
            elif self.left == 0:
                following = self._end_of_data(data, position)
            elif self._in_trailers:
                following = self._trailer(data, position)
            else:
                following = self._size(data, position)
            if following == position:
                break
            position = following
        piece = bytes(pieces[0]) if len(pieces) == 1 else b"".join(pieces)
        return piece, data[position:]

    def _end_of_data(self, data: bytes, position: int) -> int:
        ending = data[position : position + 2]
        if ending == b"\r\n":
            self.left = -1
            return position + 2
        if ending != b"\r":
            raise BodyMalformed("the data of a chunk is not followed by CRLF")
        return position

    def _line(self, data: bytes, position: int) -> bytes | None:
        """The line at ``position`` without its CRLF; ``None`` when it has not ended."""
        line_feed = data.find(b"\n", position, position + MAX_LINE_BYTES)
        if line_feed < 0:
            if len(data) - position >= MAX_LINE_BYTES:
                raise BodyMalformed("a line of the chunked framing is too long")
            if b"\r" in data[position:-1]:
                raise BodyMalformed("a line of the chunked framing has a bare CR")
            return None
        line = data[position : line_feed + 1]
        if not line.endswith(b"\r\n"):
            raise BodyMalformed("a line of the chunked framing does not end with CRLF")
        return line[:-2]

    def _size(self, data: bytes, position: int) -> int:
        line = self._line(data, position)
        if line is None:
            return position
        match = _SIZE_LINE.fullmatch(line)
        if match is None:
            raise BodyMalformed("the size of a chunk is not a hexadecimal number")
        if match[2]:
            self._count_overhead(len(match[2]))
        size = int(match[1], 16)
        if size == 0:
            self._in_trailers = True
        else:
            self.left = size
        return position + len(line) + 2

    def _trailer(self, data: bytes, position: int) -> int:
        line = self._line(data, position)
        if line is None:
            return position
        if not line:
            self.finished = True
            return position + 2
        match = _TRAILER.fullmatch(line)
        if match is None:
            raise BodyMalformed("a trailer is not NAME: VALUE")
        name = match[1].lower()
        if name in _FORBIDDEN_TRAILERS:
            raise BodyMalformed(f"{name.decode()} is not allowed in a trailer")
        self._count_overhead(len(line))
        if len(self.trailers) >= MAX_TRAILERS:
            raise BodyMalformed(f"there are more than {MAX_TRAILERS} trailers")
        self.trailers.append((name, match[2].rstrip(b" \t")))
        return position + len(line) + 2

    def _count_overhead(self, size: int) -> None:
        self._overhead += size
        if self._overhead > MAX_OVERHEAD_BYTES:
            raise BodyMalformed("chunk extensions and trailers are too long")

    def state(self) -> dict[str, Any]:
        """See ``Decoder.state``."""
        return {
            "kind": "chunked",
            "left": self.left,
            "in_trailers": self._in_trailers,
            "overhead": self._overhead,
            "trailers": [list(trailer) for trailer in self.trailers],
            "finished": self.finished,
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> ChunkedDecoder:
        """The decoder that gave ``state``."""
        decoder = cls()
        decoder.left = state["left"]
        decoder._in_trailers = state["in_trailers"]
        decoder._overhead = state["overhead"]
        decoder.trailers = [(name, value) for name, value in state["trailers"]]
        decoder.finished = state["finished"]
        return decoder


def decoder_for(length: int | None) -> Decoder:
    """
    The decoder of a body that has not begun.

    :param length: as declared; ``None`` for chunked
    """
    return ChunkedDecoder() if length is None else LengthDecoder(length)


def decoder_from(state: Mapping[str, Any]) -> Decoder:
    """The decoder that gave ``state``, in this process or another one."""
    return LengthDecoder(state["left"]) if state["kind"] == "length" else ChunkedDecoder.from_state(state)
