# -*- test-case-name: tests.protocols.nodes.test_exchange -*-
"""
One HTTP/1.1 request, as bytes that come in any pieces, and one answer, after which the connection ends.

No more of HTTP than ``cloudd.joining`` speaks: no chunks, no pipelining, no ``Expect``.  No I/O in here.
"""

from __future__ import annotations

import re

from attrs import define, field, frozen

from cloudd.joining import MAX_MESSAGE_BYTES

MAX_HEAD_BYTES = 8_192
_LINE = re.compile(rb"(GET|POST) (/[!-~]{0,255}) HTTP/1\.[01]")
_HEADER = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\t -~\x80-\xff]*?)[ \t]*")
_REASONS = {
    200: "OK",
    400: "Bad Request",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    409: "Conflict",
    413: "Content Too Large",
    429: "Too Many Requests",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
    503: "Service Unavailable",
}


class BadExchange(Exception):
    """This is no request that is answered otherwise than with ``status`` and the cause."""

    def __init__(self, status: int, cause: str) -> None:
        super().__init__(cause)
        self.status = status


@frozen
class Asked:
    """A whole request."""

    method: str
    path: str
    body: bytes = field(repr=False)


@define
class Exchange:
    """Collects one request."""

    _buffer: bytearray = field(factory=bytearray)
    _head: tuple[str, str] | None = None
    _length: int = 0

    def feed(self, data: bytes) -> Asked | None:
        """
        Take the next bytes; None: it is not whole yet.

        :raises BadExchange: it is none
        """
        self._buffer += data
        if self._head is None:
            end = self._buffer.find(b"\r\n\r\n")
            if end < 0 and len(self._buffer) <= MAX_HEAD_BYTES:
                return None
            if not 0 <= end <= MAX_HEAD_BYTES:
                raise BadExchange(431, "the head of the request is too long")
            self._read_head(bytes(self._buffer[:end]))
            del self._buffer[: end + 4]
        if len(self._buffer) > self._length:
            raise BadExchange(400, "there is more than one request")
        if len(self._buffer) < self._length or self._head is None:
            return None
        return Asked(*self._head, bytes(self._buffer))

    def _read_head(self, head: bytes) -> None:
        first, *lines = head.split(b"\r\n")
        found = _LINE.fullmatch(first)
        if found is None:
            raise BadExchange(400, "the first line is none of a request")
        headers: dict[bytes, bytes] = {}
        for line in lines:
            header = _HEADER.fullmatch(line)
            if header is None or header[1].lower() in headers:
                raise BadExchange(400, "a header field is wrong, or there twice")
            headers[header[1].lower()] = header[2]
        if b"transfer-encoding" in headers or b"expect" in headers:
            raise BadExchange(400, "a body comes with its length, and at once")
        length = headers.get(b"content-length", b"0")
        if not re.fullmatch(b"[0-9]{1,9}", length):
            raise BadExchange(400, "the length is wrong")
        if int(length) > MAX_MESSAGE_BYTES:
            raise BadExchange(413, f"a message has at most {MAX_MESSAGE_BYTES} bytes")
        self._length = int(length)
        self._head = (found[1].decode(), found[2].decode())


def answer(status: int, body: bytes) -> bytes:
    """The whole answer; nothing follows it."""
    return (
        f"HTTP/1.1 {status} {_REASONS.get(status, 'Unknown')}\r\ncontent-type: application/json\r\n"
        f"content-length: {len(body)}\r\ncache-control: no-store\r\nconnection: close\r\n\r\n"
    ).encode() + body
