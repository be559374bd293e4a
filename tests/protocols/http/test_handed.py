"""Connections that the TLS front hands over: real sockets, with the test in the front's place."""

from __future__ import annotations

import contextlib
import os
import resource
import socket
import tempfile
from collections.abc import Callable
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from cloudd.interfaces.settings import HTTPSettings
from cloudd.protocols.http import HTTPServerFactory, Request, listen_handed
from cloudd.protocols.http._moving import HTTPAdopter, MovableHTTP
from cloudd.protocols.http._reactor import LeanEPollReactor
from cloudd.protocols.http._transport import HTTPTransport
from cloudd.tls_front import Origin

from .conversation import TestSite, get

ORIGIN = Origin("192.0.2.7", 40_000, "198.51.100.1", 443, "TLSv1.3", "TLS_AES_128_GCM_SHA256", "www.example.org")
BIG = 3_000_000


class Case(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor: Any = LeanEPollReactor()
        self.addCleanup(self.close_reactor)
        self.channel, self.theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.addCleanup(self.channel.close)
        self.addCleanup(self.theirs.close)
        self.site, self.factory = self.worker()
        self.port = listen_handed(self.reactor, self.theirs.fileno(), self.factory)
        self.addCleanup(self.port.stopListening)

    def worker(self) -> tuple[TestSite, HTTPServerFactory]:
        site = TestSite()
        factory = HTTPServerFactory(site, HTTPSettings(), "api", self.reactor)
        factory.secure = True
        return site, factory

    def close_reactor(self) -> None:
        for selectable in self.reactor.removeAll():
            if hasattr(selectable, "socket"):
                selectable.socket.close()
        for call in self.reactor.getDelayedCalls():
            call.cancel()
        self.reactor._poller.close()

    def hand_over(self, origin: bytes = ORIGIN.encode(), count: int = 1) -> socket.socket:
        """Send one connection; gives the front's end of it."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        self.addCleanup(ours.close)
        with theirs:
            theirs.setblocking(False)
            socket.send_fds(self.channel, [origin], [theirs.fileno()] * count)
        ours.settimeout(0)
        return ours

    def turn_until(self, done: Callable[[], object]) -> None:
        for _ in range(2_000):
            if done():
                return
            self.reactor.runUntilCurrent()
            self.reactor.doIteration(0.005)
        self.fail("nothing happened")

    def turn(self) -> None:
        for _ in range(5):
            self.reactor.runUntilCurrent()
            self.reactor.doIteration(0.002)

    def receive(self, client: socket.socket, size: int) -> bytes:
        got = bytearray()

        def enough() -> bool:
            with contextlib.suppress(BlockingIOError):
                got.extend(client.recv(1_000_000))
            return len(got) >= size

        self.turn_until(enough)
        return bytes(got)


class HandedTests(Case):
    def test_request(self) -> None:
        """The request's peer is the front's client, and the connection is secure."""
        client = self.hand_over()
        client.send(get(b"/hello"))
        self.turn_until(lambda: self.site.over)
        self.assertIn(b"hello GET", client.recv(1000))
        (request,) = self.site.over
        self.assertEqual(request.peer, "192.0.2.7:40000")
        self.assertTrue(request.isSecure())
        self.assertEqual(getattr(request.getHost(), "port", None), None)
        (connection,) = self.factory.connections
        self.assertIs(type(connection.transport), HTTPTransport)
        self.assertEqual((connection.transport.getPeer().host, connection.transport.getPeer().port), ORIGIN[:2])

    def test_version_6(self) -> None:
        """A client with an IPv6 address is named as one."""
        client = self.hand_over(ORIGIN._replace(host="2001:db8::7", our_host="2001:db8::1").encode())
        client.send(get(b"/hello"))
        self.turn_until(lambda: self.site.over)
        self.assertEqual(self.site.over[0].peer, "[2001:db8::7]:40000")
        (connection,) = self.factory.connections
        self.assertEqual(connection.transport.getPeer().host, "2001:db8::7")

    def test_not_secure(self) -> None:
        """Whether a connection is secure is what its factory says."""
        self.factory.secure = False
        client = self.hand_over()
        client.send(get(b"/hello"))
        self.turn_until(lambda: self.site.over)
        self.assertFalse(self.site.over[0].isSecure())

    def test_file(self) -> None:
        """A file goes out by sendfile, without a copy in this process."""
        content = os.urandom(BIG)
        with tempfile.TemporaryFile() as file:
            file.write(content)
            file.flush()

            async def send(request: Request) -> None:
                request.start(200, [], BIG)
                await request.send_file(file.fileno(), 0, BIG)
                request.finish()

            self.site.handler = send
            client = self.hand_over()
            client.send(get(b"/"))
            self.turn_until(lambda: self.factory.connections)
            (connection,) = self.factory.connections
            self.turn_until(lambda: connection.transport.unsent)
            got = self.receive(client, BIG + 100)
        self.assertTrue(got.endswith(content))

    def test_end(self) -> None:
        """The client's end is the connection's end; what it had asked before is answered."""
        client = self.hand_over()
        client.send(get(b"/hello"))
        client.shutdown(socket.SHUT_WR)
        self.turn_until(lambda: self.site.over and not self.factory.connections)
        self.assertIn(b"hello GET", client.recv(1000))
        self.assertEqual(client.recv(1000), b"")

    def test_moved(self) -> None:
        """Such a connection moves as any other one, with its peer, half a request and what it has still to send."""
        client = self.hand_over()
        client.send(get(b"/hello") + get(b"/hello")[:20])
        self.turn_until(lambda: self.site.over)
        (connection,) = self.factory.connections
        connection.transport.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4_000)
        movable = MovableHTTP(connection)
        movable.freeze()
        offer = movable.offer()
        site, factory = self.worker()
        adopted = HTTPAdopter(self.reactor, {"api": factory}).adopt(
            offer.snapshot, [os.dup(descriptor) for descriptor in offer.descriptors]
        )
        movable.release()
        adopted.resume()
        client.send(get(b"/hello")[20:])
        self.turn_until(lambda: site.over)
        self.assertEqual(client.recv(10_000).count(b"hello GET"), 2)
        self.assertEqual(site.over[0].peer, "192.0.2.7:40000")
        self.assertTrue(site.over[0].isSecure())
        self.assertEqual(self.factory.connections, set())
        client.close()
        self.turn_until(lambda: not factory.connections)


class ChannelTests(Case):
    def test_what_is_no_connection(self) -> None:
        """Messages that cannot be used are logged, their descriptors closed, and the next one is taken."""
        before = self.descriptors()
        for data, count in ((b"junk", 1), (ORIGIN.encode(), 2), (ORIGIN.encode()[:-1], 1), (ORIGIN.encode() * 20, 1)):
            client = self.hand_over(data, count)
            self.turn()
            self.assertEqual(client.recv(1), b"", "it was not closed")
            client.close()
        self.channel.send(ORIGIN.encode())
        self.turn()
        self.assertEqual(len(self.flushLoggedErrors()), 0)
        self.assertEqual(self.factory.accepted, 0)
        self.assertEqual(self.descriptors(), before)
        self.hand_over()
        self.turn_until(lambda: self.factory.accepted)

    def descriptors(self) -> int:
        return len(os.listdir("/proc/self/fd"))

    def test_shared(self) -> None:
        """Two workers share a channel; when one stops, the other takes what comes."""
        site, factory = self.worker()
        other = listen_handed(self.reactor, self.theirs.fileno(), factory)
        self.port.stopListening()
        for _ in range(3):
            self.hand_over().send(get(b"/hello"))
        self.turn_until(lambda: len(site.over) == 3)
        self.assertEqual(self.site.over, [])
        other.stopListening()

    def test_no_descriptors_left(self) -> None:
        """Without a place for it a connection stays in the channel until there is one."""
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        client = self.hand_over()
        client.send(get(b"/hello"))
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
        try:
            self.turn()
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        self.assertEqual(self.factory.accepted, 0)
        self.turn_until(lambda: self.site.over)
        self.assertIn(b"hello GET", client.recv(1000))

    def test_front_side_gone(self) -> None:
        """When nobody has the front's end any more, the port stops instead of spinning."""
        self.channel.close()
        self.turn_until(lambda: self.port not in self.reactor.getReaders())
        self.port.stopListening()
