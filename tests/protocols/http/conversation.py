"""A site with one route per way of answering, and talking to it byte by byte in memory."""

from __future__ import annotations

import os
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

from attrs import define, field
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from cloudd.interfaces.settings import HTTPSettings
from cloudd.protocols.http import BodyTruncated, HTTPServerFactory, NotExportable, Request
from cloudd.protocols.http._connection import HTTPConnection
from cloudd.protocols.http._ids import RequestIds
from cloudd.protocols.http._snapshot import take_snapshot
from reload import Snapshot

from .transports import MemoryTransport

TEXT = (b"Content-Type", b"text/plain")
NEW_ID = b"req-00000000-0000-4000-8000-000000000000"
NOON = 1_000_000_000.0  # 9 September 2001


def do_nothing() -> None:
    """For handlers that have nothing to let go of."""


@define(eq=False)
class Summing:
    """A sink that counts and adds up; its state is two numbers, so a handler that uses it can be moved."""

    size: int = 0
    total: int = 0

    def write(self, data: bytes) -> None:
        self.size += len(data)
        self.total += sum(data)


@define(eq=False)
class TestSite:
    """
    Answers by path; every route's answer depends on nothing but the request, however it was cut.

    :ivar handled: requests in order
    :ivar over: those that were reported as finished
    :ivar away: those that go on elsewhere
    :ivar late: answers of ``/late`` that wait for the test
    """

    __test__ = False

    handled: list[Request] = field(factory=list)
    over: list[Request] = field(factory=list)
    away: list[Request] = field(factory=list)
    late: list[Callable[[], None]] = field(factory=list)
    handler: Callable[[Request], Coroutine[Any, Any, None] | None] | None = None

    def handle(self, request: Request) -> Coroutine[Any, Any, None] | None:
        self.handled.append(request)
        if self.handler is not None:
            return self.handler(request)
        route: Any = getattr(self, "answer_" + request.path[1:].decode("ascii", "replace"), None)
        if route is None:
            request.respond(404, [TEXT], b"no such route\n")
            return None
        answer: Coroutine[Any, Any, None] | None = route(request)
        return answer

    def finished(self, request: Request) -> None:
        assert request not in self.over
        assert request not in self.away
        self.over.append(request)

    def moved(self, request: Request) -> None:
        assert request not in self.over
        assert request not in self.away
        self.away.append(request)

    def answer_hello(self, request: Request) -> None:
        request.respond(200, [TEXT], b"hello " + request.method + b" " + request.query + b"\n")

    async def answer_echo(self, request: Request) -> None:
        body = await request.body.read(100_000)
        request.respond(200, [TEXT], b"[%b]" % body)

    async def answer_sum(self, request: Request) -> None:
        sink = Summing(**(request.resumed or {}))
        request.can_move(lambda: {"size": sink.size, "total": sink.total}, do_nothing)
        size = await request.body.stream_to(sink)
        trailers = b",".join(b"%b=%b" % trailer for trailer in request.body.trailers)
        request.respond(200, [TEXT], b"%d %d %d %b" % (size, sink.size, sink.total, trailers))

    def answer_refuse(self, request: Request) -> None:
        request.respond(403, [TEXT], b"not you")

    async def answer_stream(self, request: Request) -> None:
        request.can_move(dict, do_nothing)
        if not request.started:
            request.start(200, [TEXT])
        for word in (b"one ", b"two ", b"three"):
            request.write(word)
        request.finish()

    async def answer_known(self, request: Request) -> None:
        request.start(200, [TEXT], 5)
        request.write(b"he")
        request.write(b"llo")
        request.finish()

    def answer_nothing(self, request: Request) -> None:
        request.respond(204)

    def answer_late(self, request: Request) -> None:
        request.can_move(dict, do_nothing)
        self.late.append(lambda: request.respond(200, [TEXT], b"late"))

    async def answer_accident(self, _request: Request) -> None:
        raise ValueError("secret detail")

    async def answer_silence(self, _request: Request) -> None:
        return None

    async def answer_wait(self, request: Request) -> None:
        await Deferred()


@define(eq=False)
class Conversation:
    """
    One client of a ``TestSite``.

    :ivar heard: what the client has got so far
    """

    site: TestSite = field(factory=TestSite)
    limits: HTTPSettings = field(factory=HTTPSettings)
    face: str = "api"
    clock: Clock = field(factory=Clock)
    factory: HTTPServerFactory = field(init=False)
    transport: MemoryTransport = field(factory=MemoryTransport)
    connection: HTTPConnection = field(init=False)
    before: bytes = b""

    def __attrs_post_init__(self) -> None:
        if not self.clock.seconds():
            self.clock.advance(NOON)
        self.factory = self.make_factory()
        self.connection = self.factory.buildProtocol(IPv4Address("TCP", "192.0.2.7", 4711))
        self.transport.protocol = self.connection
        self.connection.makeConnection(self.transport)

    def make_factory(self) -> HTTPServerFactory:
        factory = HTTPServerFactory(self.site, self.limits, self.face, self.clock)
        factory.ids = RequestIds(bytes)
        return factory

    def say(self, *pieces: bytes) -> None:
        for piece in pieces:
            if self.transport.closing or self.transport.aborted:
                return
            if not self.transport.reading:
                raise AssertionError("the transport is paused")
            self.connection.dataReceived(piece)

    @property
    def heard(self) -> bytes:
        return self.before + bytes(self.transport.written)

    @property
    def state(self) -> tuple[bytes, bool]:
        """What the client can know at the end: all bytes, and whether the connection is open."""
        transport = self.transport
        return self.heard, not (transport.closing or transport.half_closed or transport.aborted)

    def half_close(self) -> None:
        self.connection.readConnectionLost()

    def move(self) -> None:
        """
        Continue in a new connection, as another process would.

        :raises NotExportable: not now
        """
        data = take_snapshot(self.connection).pack()
        old = self.connection
        request = old.request
        descriptors = () if request is None else tuple(map(os.dup, request.descriptors_to_move()))
        self.before = self.heard
        old_transport, self.transport = self.transport, MemoryTransport(room=self.transport.room)
        self.factory = self.make_factory()
        self.connection = self.factory.restore(Snapshot.unpack(data), descriptors)
        # As in a hand-over: the one lets go before the other begins.
        told = bytes(old_transport.written)
        old.moved_away(self.site.moved)
        assert bytes(old_transport.written) == told
        self.connection.makeConnection(self.transport)
        self.transport.protocol = self.connection
        if request is not None and request in self.site.over and self.connection.request is not None:
            assert self.connection.request.reported


def converse(pieces: Iterable[bytes], *, moving: bool = False, **settings: Any) -> tuple[bytes, bool]:
    """Say each piece and return the end state; with ``moving`` the connection is moved between pieces if it can be."""
    conversation = Conversation(**settings)
    for piece in pieces:
        conversation.say(piece)
        if moving:
            try:
                conversation.move()
            except NotExportable as error:
                assert error.cause == "the connection is being closed", error.cause
    return conversation.state


def bytewise(data: bytes) -> list[bytes]:
    return [data[index : index + 1] for index in range(len(data))]


def get(path: bytes, *fields: bytes, method: bytes = b"GET", version: bytes = b"HTTP/1.1") -> bytes:
    """A request without a body."""
    lines = [method + b" " + path + b" " + version, b"Host: cloud.example", *fields, b"", b""]
    return b"\r\n".join(lines)


def post(path: bytes, body: bytes, *fields: bytes) -> bytes:
    """A request with a body of declared length."""
    return get(path, b"Content-Length: %d" % len(body), *fields, method=b"POST") + body


def chunked(path: bytes, framed: bytes, *fields: bytes) -> bytes:
    """A request whose body is ``framed``, chunks and all."""
    return get(path, b"Transfer-Encoding: chunked", *fields, method=b"PUT") + framed


def answer(status_and_phrase: bytes, framing: bytes, body: bytes, *fields: bytes) -> bytes:
    """What the connection should send."""
    lines = [
        b"HTTP/1.1 " + status_and_phrase,
        b"Server: cloudd",
        b"Date: Sun, 09 Sep 2001 01:46:40 GMT",
        *fields,
        b"x-openstack-request-id: " + NEW_ID,
        *([framing] if framing else []),
        b"",
        b"",
    ]
    return b"\r\n".join(lines) + body


def text(status_and_phrase: bytes, body: bytes) -> bytes:
    """A whole text answer."""
    return answer(status_and_phrase, b"Content-Length: %d" % len(body), body, b"Content-Type: text/plain")


async def ignore_truncation(request: Request) -> None:
    """Read a body and answer 400 when it is cut."""
    try:
        body = await request.body.read(1_000)
    except BodyTruncated:
        request.respond(400, [TEXT], b"cut")
    else:
        request.respond(200, [TEXT], body)
