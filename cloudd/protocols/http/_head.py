# -*- test-case-name: tests.protocols.http.test_head -*-
"""
The head of a request: from bytes to facts, or to a refusal.

The connection collects bytes until the empty line and gives the whole head to ``HeadParser``.  llhttp (by httptools)
checks the syntax strictly; on top of it this module refuses everything that two parsers could read differently, as
RFC 9112 sections 6.3 and 11.2 ask for: a message that is framed twice, a length that is not plain digits, a transfer
coding other than exactly ``chunked``, a missing or ambiguous host.  No I/O, no state between two heads.
"""

from __future__ import annotations

import re

import httptools
from httptools import HttpParserError, HttpParserInvalidMethodError, HttpParserUpgrade

from cloudd.interfaces.settings import HTTPSettings

from ._errors import BadRequest

Header = tuple[bytes, bytes]

_VERSIONS = {b"HTTP/1.1": (1, 1), b"HTTP/1.0": (1, 0)}
_VERSION_FORM = re.compile(rb"HTTP/\d(\.\d)?")
_MAX_LENGTH_DIGITS = 18  # below 2**63
_HOST = re.compile(rb"(?:[A-Za-z0-9._~!$&'()*+;=%-]*|\[[0-9A-Za-z:.%]+\])(?::[0-9]{0,5})?")
_ABSOLUTE = re.compile(rb"(?i:https?)://([^/?#]*)(.*)", re.DOTALL)
_KNOWN_HOSTS = 256
_MAX_EMPTY_LINES = 4
END = b"\r\n\r\n"

BARE_LINE_FEED = "A line of the request head does not end with CRLF."


class Head:
    """
    The facts of one request head.

    :ivar method: for example ``b"GET"``
    :ivar target: as it stood in the request line
    :ivar path: its path, not percent-decoded
    :ivar query: its query without the question mark
    :ivar version: ``(1, 1)`` or ``(1, 0)``
    :ivar headers: names in lower case, in order, repeated ones too
    :ivar fields: value by name; the values of a repeated name are joined by ``b", "``
    :ivar length: of the body in bytes; ``None`` when it is chunked, 0 when there is none
    :ivar keep: whether the connection may be used again after the answer
    :ivar expects_continue: the client waits for ``100 Continue`` before it sends the body, even an empty one
    """

    __slots__ = (
        "expects_continue",
        "fields",
        "headers",
        "keep",
        "length",
        "method",
        "path",
        "query",
        "target",
        "version",
    )

    method: bytes
    target: bytes
    path: bytes
    query: bytes
    version: tuple[int, int]
    headers: list[Header]
    fields: dict[bytes, bytes]
    length: int | None
    keep: bool
    expects_continue: bool

    def be_blank(self) -> None:
        """The head of what was no request."""
        self.method = self.target = self.path = self.query = b""
        self.version = (1, 1)
        self.headers = []
        self.fields = {}
        self.length = 0
        self.keep = self.expects_continue = False


class HeadParser:
    """Reads one whole head after the other, of any connections."""

    def __init__(self) -> None:
        self._headers: list[Header] = []
        self._parser = httptools.HttpRequestParser(self)
        self._hosts: set[bytes] = set()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Called by httptools."""
        self._headers.append((name.lower(), value.rstrip(b" \t")))

    def parse(self, raw: bytes, head: Head) -> None:
        """
        Read ``raw``, which ends with its first empty line, into ``head``.

        :raises BadRequest: with status and cause; ``head`` is then half filled
        """
        head.method, head.target, head.version = read_line(raw[: raw.find(b"\r\n")])
        if raw.count(b"\n") != raw.count(b"\r\n"):
            raise BadRequest(400, BARE_LINE_FEED)
        headers = self._checked_headers(raw, head.method)
        fields = dict(headers)
        head.headers = headers
        head.fields = fields if len(fields) == len(headers) else joined(headers)
        self._read_target(head)
        read_framing(head)
        read_connection(head)

    def _checked_headers(self, raw: bytes, method: bytes) -> list[Header]:
        if method == b"CONNECT":
            raise BadRequest(501, "This server is no proxy: CONNECT is not implemented.")
        headers = self._headers = []
        parser = self._parser
        parser.__init__(self)  # type: ignore[misc]  # llhttp_init again: half the price of a new parser
        try:
            parser.feed_data(raw)
        except HttpParserUpgrade:
            pass  # no switch of protocols here: the request is answered in HTTP/1.1 (RFC 9110 section 7.8)
        except HttpParserInvalidMethodError:
            raise BadRequest(501, "The method is not implemented.") from None
        except HttpParserError as error:
            raise BadRequest(400, f"The request is malformed: {error}.") from None
        return headers

    def _read_target(self, head: Head) -> None:
        target = head.target
        host = head.fields.get(b"host")
        if host is None:
            if head.version == (1, 1):
                raise BadRequest(400, "An HTTP/1.1 request must have a Host field.")
        elif host not in self._hosts:
            self._check_host(host)
        if not target.startswith(b"/"):
            target = self._other_form(head)
        path, _, head.query = target.partition(b"?")
        head.path = path
        if b"#" in target:
            raise BadRequest(400, "The request target must not have a fragment.")

    def _check_host(self, host: bytes) -> None:
        if not _HOST.fullmatch(host):
            raise BadRequest(400, "The Host field is not one host and port.")
        if len(self._hosts) >= _KNOWN_HOSTS:
            self._hosts.clear()
        self._hosts.add(host)

    def _other_form(self, head: Head) -> bytes:
        """The origin form of a target in absolute or asterisk form (RFC 9112 section 3.2)."""
        if head.target == b"*":
            if head.method != b"OPTIONS":
                raise BadRequest(400, "The target * is for OPTIONS only.")
            return b"*"
        match = _ABSOLUTE.fullmatch(head.target)
        if match is None or not match[1]:
            raise BadRequest(400, "The request target is neither a path nor an http URL.")
        host, rest = match.groups()
        self._check_host(host)
        head.fields[b"host"] = host  # section 3.2.2: the target's host replaces the field's
        head.headers = [(name, value) for name, value in head.headers if name != b"host"]
        head.headers.insert(0, (b"host", host))
        return rest if rest.startswith(b"/") else b"/" + rest


def read_line(line: bytes) -> tuple[bytes, bytes, tuple[int, int]]:
    """
    Method, target and version of a request line.

    :raises BadRequest: 400 for another form, 505 for a version that is not spoken here
    """
    parts = line.split(b" ")
    if len(parts) != 3:
        raise BadRequest(400, "The request line is not METHOD TARGET VERSION.")
    method, target, version = parts
    known = _VERSIONS.get(version)
    if known is None:
        raise bad_version(version)
    return method, target, known


def bad_version(version: bytes) -> BadRequest:
    """The refusal of a protocol version that is not 1.0 or 1.1."""
    if _VERSION_FORM.fullmatch(version):
        return BadRequest(505, "This server speaks HTTP/1.1 and HTTP/1.0 only.")
    return BadRequest(400, "The request line does not end with an HTTP version.")


def joined(headers: list[Header]) -> dict[bytes, bytes]:
    """Value by name, the values of a repeated name joined as RFC 9110 section 5.3 says."""
    fields: dict[bytes, bytes] = {}
    for name, value in headers:
        fields[name] = fields[name] + b", " + value if name in fields else value
    return fields


def read_framing(head: Head) -> None:
    """
    Where the body ends (RFC 9112 section 6.3), refusing whatever is not beyond doubt.

    :raises BadRequest: 400, or 501 for a transfer coding that is not implemented
    """
    fields = head.fields
    declared = fields.get(b"content-length")
    coding = fields.get(b"transfer-encoding")
    if coding is not None:
        if declared is not None:
            raise BadRequest(400, "Content-Length and Transfer-Encoding exclude each other.")
        if head.version != (1, 1):
            raise BadRequest(400, "HTTP/1.0 has no Transfer-Encoding.")
        if coding.lower() != b"chunked":
            raise BadRequest(501, "The only transfer coding here is chunked.")
        head.length = None
    elif declared is None:
        head.length = 0
    elif declared.isdigit() and len(declared) <= _MAX_LENGTH_DIGITS:
        head.length = int(declared)
    else:
        raise BadRequest(400, "Content-Length is not one plain number.")


def read_connection(head: Head) -> None:
    """
    Whether the connection lives on, and whether the client waits for ``100 Continue``.

    :raises BadRequest: 417 for another expectation
    """
    fields = head.fields
    head.keep = head.version == (1, 1)
    connection = fields.get(b"connection")
    if connection is not None:
        options = {option.strip() for option in connection.lower().split(b",")}
        if b"close" in options:
            head.keep = False
        elif b"keep-alive" in options:
            head.keep = True
    expectation = fields.get(b"expect")
    if expectation is None or head.version == (1, 0):
        head.expects_continue = False
        return
    if expectation.lower() != b"100-continue":
        raise BadRequest(417, "The only expectation here is 100-continue.")
    head.expects_continue = True


def find_end(buffer: bytes, scanned: int, limits: HTTPSettings) -> int:
    """
    Where the head at the beginning of ``buffer`` ends, past its empty line; -1 while that has not come.

    :param scanned: bytes that an earlier call has seen
    :raises BadRequest: 414 or 431 beyond a limit, 400 for a line that does not end with CRLF; also when the rest of
        the head has not come yet, so that a client cannot make the server wait for an end that will not come
    """
    found = buffer.find(END, max(0, scanned - 3))
    end = found + 4 if found >= 0 else -1
    size = end if found >= 0 else len(buffer)
    line_end = buffer.find(b"\r\n", 0, limits.max_line_bytes + 2)
    if line_end < 0 and size > limits.max_line_bytes + 1:  # one more for a CR whose LF has not come
        raise BadRequest(414, f"The request line is longer than {limits.max_line_bytes} bytes.")
    if size > limits.max_head_bytes:
        raise BadRequest(431, f"The request head is longer than {limits.max_head_bytes} bytes.")
    lines = buffer.count(b"\r\n", 0, size)
    if lines - (2 if found >= 0 else 1) > limits.max_headers:
        raise BadRequest(431, f"The request has more than {limits.max_headers} header fields.")
    if found < 0:
        if line_end >= 0:
            read_line(buffer[:line_end])
        if buffer.count(b"\n") != lines:
            raise BadRequest(400, BARE_LINE_FEED)
    return end


def skip_empty_lines(buffer: bytes) -> bytes:
    """
    ``buffer`` without the empty lines that old clients send after a body (RFC 9112 section 2.2).

    They stay while nothing else follows, so that sending empty lines for ever is a head that does not arrive.

    :raises BadRequest: too many of them
    """
    skipped = 0
    while buffer.startswith(b"\r\n", skipped):
        skipped += 2
        if skipped > 2 * _MAX_EMPTY_LINES:
            raise BadRequest(400, "There are empty lines in the place of a request.")
    rest = buffer[skipped:]
    return buffer if rest in {b"", b"\r"} else rest
