"""
The transport, the listening port and the lean reactor on real sockets of the loopback.

The only tests here that open sockets.  Each has a reactor of its own, which the test turns by hand.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import tempfile
from collections.abc import Callable
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.error import ReactorAlreadyInstalledError
from twisted.trial.unittest import SynchronousTestCase

from cloudd.interfaces.settings import HTTPSettings
from cloudd.protocols.http import (
    ClientGone,
    FileTooShort,
    HTTPServerFactory,
    NotExportable,
    Request,
    install_lean,
    listen,
)
from cloudd.protocols.http._reactor import LeanEPollReactor
from cloudd.protocols.http._snapshot import take_snapshot

from .conversation import TestSite, do_nothing, get, post

BIG = 4_000_000


class Client(Protocol):
    """A socket."""

    def recv(self, size: int) -> bytes: ...


class SocketCase(SynchronousTestCase):
    """A server and its reactor, which the test turns, and clients of it."""

    def setUp(self) -> None:
        self.reactor: Any = LeanEPollReactor()
        self.addCleanup(self.close_reactor)
        self.site = TestSite()
        self.factory = HTTPServerFactory(self.site, HTTPSettings(), "api", self.reactor)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(self.listener.close)
        self.port = listen(self.reactor, self.listener.fileno(), self.factory)
        self.content = os.urandom(1_000) * (BIG // 1_000)
        self.file: Any = self.enterContext(tempfile.TemporaryFile())
        self.file.write(self.content)
        self.file.flush()

    def close_reactor(self) -> None:
        for selectable in self.reactor.removeAll():
            if hasattr(selectable, "connectionLost"):
                self.reactor._selectables.pop(selectable.fileno(), None)
                if hasattr(selectable, "socket"):
                    selectable.socket.close()
        for call in self.reactor.getDelayedCalls():
            call.cancel()
        self.reactor._poller.close()

    def connect(self) -> socket.socket:
        client = socket.create_connection(self.listener.getsockname())
        self.addCleanup(client.close)
        client.settimeout(0)
        self.turn_until(lambda: self.factory.accepted > 0)
        return client

    def turn_until(self, done: Callable[[], object]) -> None:
        for _ in range(2_000):
            if done():
                return
            self.reactor.runUntilCurrent()
            self.reactor.doIteration(0.005)
        self.fail("nothing happened")

    def receive(self, client: socket.socket, end: bytes = b"", size: int = 0) -> bytes:
        """What comes until ``end``, ``size`` bytes of body, or the connection's end."""
        got = bytearray()

        def enough() -> bool:
            try:
                data = client.recv(1_000_000)
            except BlockingIOError:
                data = None
            got.extend(data or b"")
            if end or size:
                return bool(end and got.endswith(end)) or bool(
                    size and len(got) >= size + got.find(b"\r\n\r\n") + 4 > 4
                )
            return data == b""

        self.turn_until(enough)
        return bytes(got)


class CrowdTests(SocketCase):
    """A port whose clients may be anybody's."""

    def setUp(self) -> None:
        super().setUp()
        self.factory.per_client = 2

    def connect_from(self, source: str) -> socket.socket:
        client = socket.create_connection(self.listener.getsockname(), source_address=(source, 0))
        self.addCleanup(client.close)
        client.settimeout(5)
        return client

    def turn(self) -> None:
        for _ in range(5):
            self.reactor.runUntilCurrent()
            self.reactor.doIteration(0.005)

    def test_most_of_one(self) -> None:
        """A client's third connection is ended; another one is served, and so is the first when one of his ends."""
        mine = [self.connect_from("127.0.0.5") for _ in range(3)]
        self.turn_until(lambda: self.factory.accepted == 2)
        self.turn()
        self.assertEqual(mine[2].recv(1), b"")
        self.connect_from("127.0.0.6")
        self.turn_until(lambda: self.factory.accepted == 3)
        mine[0].close()
        self.turn_until(lambda: len(self.factory.connections) == 2)
        self.connect_from("127.0.0.5")
        self.turn_until(lambda: self.factory.accepted == 4)

    def test_nothing_kept(self) -> None:
        """Who has no connection is not counted any more."""
        self.connect_from("127.0.0.5").close()
        self.turn_until(lambda: self.factory.accepted == 1 and not self.factory.connections)
        self.assertEqual(self.factory._of_client, {})

    def test_usual(self) -> None:
        """Other ports count nothing."""
        self.factory.per_client = 0
        for _ in range(4):
            self.connect_from("127.0.0.5")
        self.turn_until(lambda: self.factory.accepted == 4)
        self.assertEqual(self.factory._of_client, {})


class SocketTests(SocketCase):
    def test_answer_in_the_event_of_the_request(self) -> None:
        """The reactor need not ask for a write event."""
        client = self.connect()
        client.send(get(b"/hello") * 3)
        self.turn_until(lambda: self.site.over)
        self.assertEqual(client.recv(10_000).count(b"hello GET"), 3)
        self.assertEqual(self.reactor.getWriters(), [])

    def test_answer_out_of_the_blue(self) -> None:
        client = self.connect()
        client.send(get(b"/late"))
        self.turn_until(lambda: self.site.late)
        self.site.late.pop()()
        self.assertTrue(client.recv(10_000).endswith(b"late"))

    def test_answer_that_does_not_fit_at_once(self) -> None:
        """What the kernel does not take of an immediate answer follows when it can."""
        client = self.connect()
        (connection,) = self.factory.connections
        connection.transport.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4_000)
        waiting: list[Request] = []
        self.site.handler = waiting.append
        client.send(get(b"/"))
        self.turn_until(lambda: waiting)
        waiting.pop().respond(200, [], self.content[:60_000])
        self.assertTrue(0 < connection.transport.unsent < 60_000)
        self.assertTrue(self.receive(client, size=60_000).endswith(self.content[:60_000]))

    def test_client_is_gone_when_the_answer_comes(self) -> None:
        client = self.connect()
        client.send(get(b"/late"))
        self.turn_until(lambda: self.site.late)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        client.close()
        self.site.late.pop()()
        self.turn_until(lambda: not self.factory.connections)
        self.assertEqual(len(self.site.over), 1)

    def test_after_the_end(self) -> None:
        """Nothing can be queued on a connection that is gone."""
        client = self.connect()
        (connection,) = self.factory.connections
        transport = connection.transport
        client.close()
        self.turn_until(lambda: not self.factory.connections)
        transport.writeSequence([b"x", b"y"])
        transport.write_now(b"z")
        self.assertEqual(transport.export_output(), b"")
        self.failureResultOf(transport.send_file(None, self.file.fileno(), 0, 100_000), ClientGone)

    def test_large_answers_in_order(self) -> None:
        """Bytes, files and bytes; more than the kernel takes at once."""

        async def answer(request: Request) -> None:
            request.start(200, [], BIG + BIG + 2 * BIG + 3)
            request.write(b"<")
            first = request.send_file(self.file.fileno(), 0, BIG)
            second = request.send_file(self.file.fileno(), 7, BIG - 7)
            request.write(self.content + b"-")
            await first
            await second
            waiting = request.write(b"+" * (BIG + 7))
            if waiting is not None:
                await waiting
            request.write(b">")
            request.finish()

        self.site.handler = answer
        client = self.connect()
        client.send(get(b"/"))
        expected = b"<" + self.content + self.content[7:] + self.content + b"-" + b"+" * (BIG + 7) + b">"
        got = self.receive(client, size=len(expected)).partition(b"\r\n\r\n")[2]
        self.assertEqual(len(got), len(expected))
        self.assertTrue(got == expected)
        self.assertEqual(self.site.over[0].sent_bytes, len(expected))

    def test_back_pressure(self) -> None:
        """A client that does not read stops the writer, and its reading wakes it."""
        written = 0

        async def answer(request: Request) -> None:
            nonlocal written
            request.start(200)
            for _ in range(400):
                waiting = request.write(b"x" * 50_000)
                written += 1
                if waiting is not None:
                    await waiting
            request.finish()

        self.site.handler = answer
        client = self.connect()
        client.send(get(b"/"))
        self.turn_until(lambda: written)
        for _ in range(20):
            self.reactor.doIteration(0.005)
        self.assertLess(written, 400)
        (connection,) = self.factory.connections
        self.assertTrue(connection.unsent)
        self.assertTrue(self.receive(client, end=b"\r\n0\r\n\r\n"))
        self.assertEqual(written, 400)

    def begin_file(self, length: int, client: socket.socket) -> Deferred[None]:
        sent: list[Deferred[None]] = []

        def answer(request: Request) -> None:
            request.can_move(dict, do_nothing)
            request.start(200, [], length)
            sent.append(request.send_file(self.file.fileno(), 0, length))

        self.site.handler = answer
        client.send(get(b"/"))
        self.turn_until(lambda: sent and self.site.handled[0].sent_bytes)
        return sent[0]

    def test_client_leaves_in_the_middle_of_a_file(self) -> None:
        """The descriptor stays open: it is the handler's."""
        client = self.connect()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 10_000)
        sent = self.begin_file(BIG, client)
        errors: list[Any] = []
        sent.addErrback(errors.append)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        client.close()
        self.turn_until(lambda: errors)
        self.assertEqual(errors[0].type.__name__, "ClientGone")
        os.fstat(self.file.fileno())
        self.assertEqual(len(self.site.over), 1)

    def test_short_file(self) -> None:
        client = self.connect()
        sent = self.begin_file(BIG + 100_000, client)
        errors: list[Any] = []
        sent.addErrback(errors.append)
        self.receive(client, size=BIG)
        self.turn_until(lambda: errors)
        self.assertTrue(errors[0].check(FileTooShort))
        self.site.handled[0].abort()
        self.turn_until(lambda: not self.factory.connections)

    def test_snapshot_in_the_middle_of_a_file(self) -> None:
        """It says how much of the file is gone; together with what waits before it that is all the client gets."""
        client = self.connect()
        self.begin_file(BIG, client)
        request = self.site.handled[0]
        (connection,) = self.factory.connections
        fields = take_snapshot(connection).fields
        self.assertEqual(fields["output"], b"")
        self.assertEqual(fields["request"]["sent_bytes"], request.sent_bytes)
        self.assertTrue(0 < request.sent_bytes < BIG)
        connection.send(b"behind")
        self.assertRaises(NotExportable, take_snapshot, connection)

    def test_snapshot_of_unsent_bytes(self) -> None:
        client = self.connect()
        self.site.handler = lambda request: request.respond(200, [], self.content * 5)
        client.send(get(b"/"))
        self.turn_until(lambda: self.site.over)
        (connection,) = self.factory.connections
        output = take_snapshot(connection).fields["output"]
        self.assertEqual(len(output), connection.transport.unsent)
        self.assertTrue(output and (self.content * 5).endswith(output))

    def test_upload_in_large_reads(self) -> None:
        client = self.connect()
        client.settimeout(None)
        message = post(b"/sum", b"\1" * 1_000_000)
        position = 0
        client.settimeout(0)

        def sent() -> bool:
            nonlocal position
            with contextlib.suppress(BlockingIOError):
                position += client.send(message[position : position + 400_000])
            return bool(self.site.over)

        self.turn_until(sent)
        self.assertTrue(self.receive(client, end=b"1000000 1000000 1000000 ").startswith(b"HTTP/1.1 200"))

    def test_half_closed(self) -> None:
        client = self.connect()
        client.send(get(b"/late"))
        client.shutdown(socket.SHUT_WR)
        self.turn_until(lambda: self.site.late)
        for _ in range(3):
            self.reactor.doIteration(0)
        self.site.late.pop()()
        self.assertTrue(self.receive(client).endswith(b"late"))
        self.turn_until(lambda: not self.factory.connections)

    def test_half_closed_at_once(self) -> None:
        client = self.connect()
        client.send(get(b"/late") + get(b"/hello"))
        client.shutdown(socket.SHUT_WR)
        self.turn_until(lambda: self.site.late)
        self.site.late.pop()()
        self.assertTrue(self.receive(client).endswith(b"hello GET \n"))

    def test_refusal_reaches_a_client_that_still_sends(self) -> None:
        """No reset swallows the answer, although megabytes of the body were never read."""
        client = self.connect()
        client.send(get(b"/refuse", b"Content-Length: 100000000", method=b"PUT"))
        position = 0

        def send_more() -> bool:
            nonlocal position
            with contextlib.suppress(BlockingIOError):
                position += client.send(b"x" * 100_000)
            return position > 3_000_000

        self.turn_until(send_more)
        self.assertTrue(self.receive(client, end=b"not you").startswith(b"HTTP/1.1 403"))
        client.close()
        self.turn_until(lambda: not self.factory.connections)

    def test_close(self) -> None:
        client = self.connect()
        client.send(get(b"/hello", b"Connection: close"))
        self.assertTrue(self.receive(client).endswith(b"hello GET \n"))
        self.assertEqual(self.factory.connections, set())

    def test_failing_protocol(self) -> None:
        """An accident in one connection ends that connection, is logged, and the reactor goes on."""
        client = self.connect()
        (connection,) = self.factory.connections

        class Broken:
            def dataReceived(self, data: bytes) -> None:
                raise RuntimeError

            def connectionLost(self, reason: object) -> None:
                connection.connectionLost(reason)  # type: ignore[arg-type]

        connection.transport.protocol = Broken()
        client.send(b"x")
        self.turn_until(lambda: not self.factory.connections)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    def test_stop_accepting_leaves_the_listener_to_others(self) -> None:
        other = listen(
            self.reactor, self.listener.fileno(), HTTPServerFactory(self.site, HTTPSettings(), "api", self.reactor)
        )
        stopped: list[object] = []
        other.stopListening().addCallback(stopped.append)
        self.turn_until(lambda: stopped)
        client = self.connect()
        client.send(get(b"/hello"))
        self.assertTrue(self.receive(client, end=b"hello GET \n"))

    def test_out_of_descriptors(self) -> None:
        """Accepting rests for a moment, instead of spinning, and begins again."""

        class Exhausted:
            calls = 0

            def __init__(self, real: socket.socket) -> None:
                self.real = real

            def accept(self) -> Any:
                Exhausted.calls += 1
                raise OSError(errno.EMFILE if Exhausted.calls > 1 else errno.ECONNABORTED, "no")

        real = self.port.socket
        self.port.socket = Exhausted(real)
        client = socket.create_connection(self.listener.getsockname())
        self.addCleanup(client.close)
        self.turn_until(lambda: self.port.resting)
        self.assertEqual(Exhausted.calls, 2)
        self.assertNotIn(self.port, self.reactor.getReaders())
        self.port.socket = real
        self.turn_until(lambda: self.factory.connections)
        self.assertFalse(self.port.resting)

    def test_connection_that_cannot_be_set_up(self) -> None:
        self.port.factory = None
        client = socket.create_connection(self.listener.getsockname())
        client.settimeout(0)
        self.addCleanup(client.close)
        self.assertEqual(self.receive(client), b"")
        self.assertEqual(len(self.flushLoggedErrors(AttributeError)), 1)

    def test_own_address(self) -> None:
        self.connect()
        (connection,) = self.factory.connections
        self.assertEqual(connection.host().port, self.listener.getsockname()[1])
        self.assertIs(connection.host(), connection.host())

    def test_lean_reactor_cannot_replace_another(self) -> None:
        import twisted.internet.reactor  # noqa: F401

        self.assertRaises(ReactorAlreadyInstalledError, install_lean)
