# -*- test-case-name: tests.protocols.http -*-
"""The head of an answer, as bytes."""

from __future__ import annotations

import time
from collections.abc import Iterable
from http import HTTPStatus

from ._head import Header

STATUS_LINES: dict[int, bytes] = {
    int(status): b"HTTP/1.1 %d %s\r\n" % (status, HTTPStatus(status).phrase.encode()) for status in HTTPStatus
}
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
CLOSE = b"Connection: close\r\n"
KEEP_ALIVE = b"Connection: keep-alive\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
LAST_CHUNK = b"0\r\n\r\n"

#: Statuses whose answer has no body, whatever the handler gave (RFC 9110 sections 15.3.5, 15.4.5).
BODILESS = frozenset({204, 304})

#: Further names of the request id, by face.
_ID_NAMES = {
    "object": (b"x-openstack-request-id", b"x-trans-id"),
    "s3": (b"x-openstack-request-id", b"x-amz-request-id"),
}
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def status_line(status: int) -> bytes:
    """The first line; also of a status that has no name."""
    return STATUS_LINES.get(status) or b"HTTP/1.1 %d Status %d\r\n" % (status, status)


def header_block(headers: Iterable[Header]) -> bytes:
    """
    Header lines.

    :raises ValueError: a name or value has a line break or NUL, which would let a client's text become a header
    """
    lines = [b"%b: %b\r\n" % header for header in headers]
    block = b"".join(lines)
    count = len(lines)
    if block.count(b"\n") != count or block.count(b"\r") != count or b"\0" in block:
        raise ValueError("a header of the answer has a line break or NUL in it")
    return block


def http_date(seconds: float) -> bytes:
    """``Fri, 20 Nov 2026 14:18:33 GMT``, whatever the locale."""
    t = time.gmtime(seconds)
    day, month = _DAYS[t.tm_wday], _MONTHS[t.tm_mon - 1]
    text = f"{day}, {t.tm_mday:02} {month} {t.tm_year:04} {t.tm_hour:02}:{t.tm_min:02}:{t.tm_sec:02} GMT"
    return text.encode("ascii")


def common_lines(seconds: float) -> bytes:
    """The lines that all answers of one second share: Server and Date."""
    return b"Server: cloudd\r\nDate: %b\r\n" % http_date(seconds)


def id_names(face: str) -> tuple[bytes, ...]:
    """The header names under which a face gives the request id."""
    return _ID_NAMES.get(face, (b"x-openstack-request-id",))


def id_lines(names: tuple[bytes, ...], request_id: str) -> bytes:
    """The request id under each of its names."""
    value = request_id.encode("ascii")
    if len(names) == 1:
        return b"%b: %b\r\n" % (names[0], value)
    return b"".join([b"%b: %b\r\n" % (name, value) for name in names])
