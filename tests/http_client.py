"""
A client for tests of HTTP faces: the real server protocol and the real request, over a transport in memory.

::

    client = HTTPClient(face.handle, face="object")
    answer = await client.request("PUT", "/v1/AUTH_p/c/o", headers={"X-Auth-Token": token}, body=b"data")
    self.assertEqual(answer.status, 201)
    answer.headers["etag"], answer.body, answer.json()

    connection = client.connect()                      # cut requests anywhere, pipeline, leave early
    connection.send(b"GET / HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n")
    first = await connection.answer()

Answers arrive when the handler is done, so ``await`` them; nothing here sleeps or opens a socket.
"""

from __future__ import annotations

import json
from collections.abc import Coroutine, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from attrs import Factory, define, field, frozen
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from cloudd.interfaces.settings import HTTPSettings
from cloudd.protocols.http import Handler, HTTPServerFactory, Request

Headers = Mapping[str, str] | Iterable[tuple[str, str]]


@frozen
class Answer:
    """
    One answer as it was on the wire.

    :ivar headers: names lower-case; repeated ones joined by ``, ``
    """

    status: int
    reason: str
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode("utf-8")


class ConnectionEnded(Exception):
    """The server closed the connection before an answer was whole; holds what had arrived."""


@define(eq=False)
class HandlerSite:
    """A ``Site`` of one handler; remembers the requests it was asked."""

    handler: Handler
    generation: int = 1
    requests: list[Request] = Factory(list)
    ended: list[Request] = Factory(list)

    def handle(self, request: Request) -> Coroutine[Any, Any, None] | None:
        request.generation = self.generation
        self.requests.append(request)
        return self.handler(request)

    def finished(self, request: Request) -> None:
        self.ended.append(request)

    def moved(self, request: Request) -> None:
        assert request in self.requests


class HTTPClient:
    """
    Requests to one handler.

    :param handler: what answers
    :param face: the port it is asked through
    :param limits: HTTP settings; the usual ones by default
    """

    def __init__(self, handler: Handler, *, face: str = "api", limits: HTTPSettings | None = None) -> None:
        self.clock = Clock()
        self.site = HandlerSite(handler)
        self.factory = HTTPServerFactory(self.site, limits or HTTPSettings(), face, self.clock)

    def connect(self) -> Connection:
        """A fresh connection."""
        return Connection(self.factory)

    async def request(
        self, method: str, target: str, *, headers: Headers = (), body: bytes | None = None, host: str = "cloud"
    ) -> Answer:
        """One request on a connection of its own; ``Content-Length`` is added when there is a body."""
        return await self.connect().request(method, target, headers=headers, body=body, host=host)

    async def json(self, method: str, target: str, document: Any = None, *, headers: Headers = ()) -> Answer:
        """A request with a JSON body, or without one."""
        if document is None:
            return await self.request(method, target, headers=headers)
        fields = [*_pairs(headers), ("Content-Type", "application/json")]
        return await self.request(method, target, headers=fields, body=json.dumps(document).encode())


class Connection:
    """One connection to the server, at the level of bytes."""

    def __init__(self, factory: HTTPServerFactory) -> None:
        self.closed = False
        self._parser = _AnswerParser()
        self._waiting: list[Deferred[Answer]] = []
        self._answers: list[Answer] = []
        self.transport = _MemoryTransport(self)
        protocol = factory.buildProtocol(IPv4Address("TCP", "127.0.0.1", 5123))
        assert protocol is not None
        self.protocol: Any = protocol
        self.protocol.makeConnection(self.transport)

    @property
    def received(self) -> bytes:
        """Bytes that are no whole answer yet."""
        return bytes(self._parser.data)

    @property
    def interim(self) -> list[int]:
        """Status of the 1xx answers so far."""
        return self._parser.interim

    def send(self, data: bytes) -> None:
        """Bytes from the client, to the server at once."""
        if not self.closed:
            with self.transport.reading():
                self.protocol.dataReceived(data)

    def expect(self, method: str) -> None:
        """The next answer belongs to a request of this method: one to ``HEAD`` has no body."""
        self._parser.methods.append(method)

    def leave(self) -> None:
        """The client goes away without a word."""
        self.transport.end()

    def answer(self) -> Deferred[Answer]:
        """The next answer; fails with ``ConnectionEnded`` when there will be none."""
        waiting: Deferred[Answer] = Deferred()
        self._waiting.append(waiting)
        self._serve()
        return waiting

    async def request(
        self, method: str, target: str, *, headers: Headers = (), body: bytes | None = None, host: str = "cloud"
    ) -> Answer:
        """One request and its answer; the connection stays open."""
        self.expect(method)
        self.send(request_bytes(method, target, headers=headers, body=body, host=host))
        return await self.answer()

    def arrived(self, data: bytes) -> None:
        """The transport has bytes from the server."""
        self._answers += self._parser.feed(data)
        self._serve()

    def ended(self) -> None:
        """The transport is closed, by either side."""
        if not self.closed:
            self.closed = True
            self._answers += self._parser.end()
            self._serve()

    def _serve(self) -> None:
        while self._waiting and (self._answers or self.closed):
            waiting = self._waiting.pop(0)
            if self._answers:
                waiting.callback(self._answers.pop(0))
            else:
                waiting.errback(ConnectionEnded(self.received))


def request_bytes(
    method: str, target: str, *, headers: Headers = (), body: bytes | None = None, host: str = "cloud"
) -> bytes:
    """A request as HTTP/1.1 writes it."""
    fields = _pairs(headers)
    names = {name.lower() for name, _ in fields}
    if "host" not in names:
        fields.insert(0, ("Host", host))
    if body is not None and not names & {"content-length", "transfer-encoding"}:
        fields.append(("Content-Length", str(len(body))))
    head = f"{method} {target} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in fields) + "\r\n"
    return head.encode("latin-1") + (body or b"")


def _pairs(headers: Headers) -> list[tuple[str, str]]:
    return list(headers.items() if isinstance(headers, Mapping) else headers)


@define(eq=False)
class _AnswerParser:
    """Bytes from the server in, whole answers out."""

    data: bytearray = field(factory=bytearray)
    methods: list[str] = field(factory=list)
    interim: list[int] = field(factory=list)

    def feed(self, data: bytes) -> list[Answer]:
        self.data += data
        found = []
        while (answer := self._next(ended=False)) is not None:
            found.append(answer)
        return found

    def end(self) -> list[Answer]:
        answer = self._next(ended=True)
        return [] if answer is None else [answer]

    def _next(self, *, ended: bool) -> Answer | None:
        while True:
            head, blank, rest = bytes(self.data).partition(b"\r\n\r\n")
            if not blank:
                return None
            status, reason, headers = _head(head)
            if status >= 200 or status == 101:
                break
            self.interim.append(status)
            self.data = bytearray(rest)
        method = self.methods[0] if self.methods else "GET"
        taken = _body(rest, headers, bodiless=method == "HEAD" or status in (204, 304), ended=ended)
        if taken is None:
            return None
        body, remainder = taken
        self.data = bytearray(remainder)
        del self.methods[:1]
        return Answer(status, reason, headers, body)


def _head(head: bytes) -> tuple[int, str, dict[str, str]]:
    first, *lines = head.decode("latin-1").split("\r\n")
    version, status, reason = first.split(" ", 2)
    assert version == "HTTP/1.1", first
    headers: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(":")
        name, value = name.lower(), value.strip()
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return int(status), reason, headers


def _body(data: bytes, headers: dict[str, str], *, bodiless: bool, ended: bool) -> tuple[bytes, bytes] | None:
    """The body and what follows it; ``None`` until it is whole."""
    if bodiless:
        return b"", data
    if headers.get("transfer-encoding") == "chunked":
        return _chunks(data)
    if "content-length" in headers:
        length = int(headers["content-length"])
        return (data[:length], data[length:]) if len(data) >= length else None
    return (data, b"") if ended else None


def _chunks(data: bytes) -> tuple[bytes, bytes] | None:
    body = b""
    while True:
        size, line_end, data = data.partition(b"\r\n")
        if not line_end:
            return None
        length = int(size.split(b";")[0], 16)
        if length == 0:
            _, end, rest = (b"\r\n" + data).partition(b"\r\n\r\n")
            return (body, rest) if end else None
        if len(data) < length + 2:
            return None
        body, data = body + data[:length], data[length + 2 :]


class _MemoryTransport(StringTransport):
    """Gives what the server writes to the connection at once; a pull producer is asked until it is done."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(peerAddress=IPv4Address("TCP", "127.0.0.1", 5123))
        self.connection = connection
        self.connected = True
        self._reading = False
        self._losing = False

    @contextmanager
    def reading(self) -> Iterator[None]:
        """The server is inside ``dataReceived``: as on a socket, a loss is told after it returns."""
        self._reading = True
        try:
            yield
        finally:
            self._reading = False
        if self._losing:
            self.end()

    def write(self, data: bytes) -> None:
        if self.connected:
            self.connection.arrived(data)

    def writeSequence(self, data: Iterable[bytes]) -> None:
        self.write(b"".join(data))

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        super().registerProducer(producer, streaming)
        while not streaming and id(self.producer) == id(producer):
            producer.resumeProducing()

    def loseConnection(self) -> None:
        self.end()

    def loseWriteConnection(self) -> None:
        self.connection.ended()

    def abortConnection(self) -> None:
        self.end()

    def end(self) -> None:
        """Both sides are closed; the protocol hears of it once."""
        if self._reading:
            self._losing = True
        elif self.connected:
            self.connected = False
            self.connection.ended()
            self.connection.protocol.connectionLost(Failure(ConnectionDone()))
