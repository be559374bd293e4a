"""Twisted's TCP transports held still, released and adopted; real sockets, a reactor that only takes notes."""

from __future__ import annotations

import errno
import os
import socket
import struct
from typing import Any

from twisted.internet import reactor as _reactor
from twisted.internet import tcp
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from reload import Snapshot
from reload._handover_interfaces import IAdopted, IMovable, NotMovable, Reason
from reload._handover_sockets import (
    AdoptedConnection,
    FrozenTransport,
    MovableConnection,
    adopt_transport,
    is_reading,
    listen_on,
    listening_socket,
    unsent_output,
)


class Reactor:
    """Remembers descriptors as an epoll reactor does."""

    def __init__(self) -> None:
        self._reads: set[int] = set()
        self._writes: set[int] = set()

    def addReader(self, reader: Any) -> None:
        self._reads.add(reader.fileno())

    def addWriter(self, writer: Any) -> None:
        self._writes.add(writer.fileno())

    def removeReader(self, reader: Any) -> None:
        self._reads.discard(reader.fileno())

    def removeWriter(self, writer: Any) -> None:
        self._writes.discard(writer.fileno())


class ListReactor:
    """One that can only list its readers."""

    def __init__(self) -> None:
        self.readers: list[Any] = []
        self.writers: list[Any] = []

    def addReader(self, reader: Any) -> None:
        self.readers.append(reader)

    def addWriter(self, writer: Any) -> None:
        self.writers.append(writer)

    def removeReader(self, reader: Any) -> None:
        self.readers = [other for other in self.readers if other is not reader]

    def removeWriter(self, writer: Any) -> None:
        self.writers = [other for other in self.writers if other is not writer]

    def getReaders(self) -> list[Any]:
        return self.readers

    def getWriters(self) -> list[Any]:
        return self.writers


class Recording(Protocol):
    """Writes down what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def connectionMade(self) -> None:
        self.told.append("made")

    def connectionLost(self, *_: object) -> None:
        self.told.append("lost")


class TransportCase(SynchronousTestCase):
    """A transport and its client."""

    def setUp(self) -> None:
        self.reactor: Any = Reactor()
        self.transport, self.client = self.connect()

    def connect(self) -> tuple[Any, socket.socket]:
        with listening_socket("127.0.0.1", 0) as listener:
            client = socket.create_connection(listener.getsockname())
            self.addCleanup(client.close)
            client.settimeout(10)
            listener.setblocking(True)
            accepted, peer = listener.accept()
        self.protocol = Recording()
        transport: Any = tcp.Server(accepted, self.protocol, peer, None, 1, self.reactor)  # type: ignore[arg-type]
        transport.repstr = "<a transport>"
        transport.protocol = self.protocol
        self.protocol.transport = transport
        self.addCleanup(accepted.close)
        return transport, client


class FrozenTransportTests(TransportCase):
    """``FrozenTransport``."""

    def test_still(self) -> None:
        """Nothing is read or written while it is frozen; what was asked for is done at the thaw."""
        number = self.transport.fileno()
        frozen = FrozenTransport(self.transport)
        self.assertEqual((self.reactor._reads, self.reactor._writes), (set(), set()))
        self.transport.resumeProducing()
        self.transport.write(b"hello")
        self.assertEqual((self.reactor._reads, self.reactor._writes), (set(), set()))
        self.assertTrue(frozen.changed())
        self.assertEqual(unsent_output(self.transport), b"hello")
        frozen.thaw()
        self.assertEqual((self.reactor._reads, self.reactor._writes), ({number}, {number}))
        self.transport.doWrite()
        self.assertEqual(self.client.recv(10), b"hello")

    def test_as_before(self) -> None:
        """A paused transport is paused after the thaw; one with output goes on sending."""
        self.transport.pauseProducing()
        self.transport.write(b"abc")
        frozen = FrozenTransport(self.transport)
        self.assertFalse(frozen.reading)
        self.assertFalse(frozen.changed())
        frozen.thaw()
        self.assertFalse(is_reading(self.transport))
        self.assertIn(self.transport.fileno(), self.reactor._writes)

    def test_closing_waits(self) -> None:
        """To close a frozen transport is a change, and is done at the thaw."""
        for name in ("loseConnection", "abortConnection", "loseWriteConnection"):
            transport, _ = self.connect()
            done: list[str] = []
            frozen = FrozenTransport(transport)
            getattr(transport, name)()
            self.assertTrue(frozen.changed())
            self.assertFalse(transport.disconnecting)
            transport._ended = done.append
            self.patch(type(transport), name, lambda self, name=name: self._ended(name))
            frozen.thaw()
            self.assertEqual(done, [name])

    def test_release(self) -> None:
        """The connection lives on in the duplicate; the protocol hears nothing."""
        other = socket.socket(fileno=os.dup(self.transport.fileno()))
        self.addCleanup(other.close)
        self.transport.write(b"not sent here")
        FrozenTransport(self.transport).release()
        self.assertEqual((self.transport.fileno(), self.transport.connected), (-1, 0))
        self.transport.write(b"dropped")
        self.transport.loseConnection()
        other.setblocking(True)
        other.sendall(b"alive")
        self.assertEqual(self.client.recv(20), b"alive")
        self.assertEqual(self.protocol.told, [])

    def test_not_movable(self) -> None:
        """What is being closed, was half closed by us, has TLS, or is no TCP transport."""
        cases: list[tuple[Any, Reason]] = [(StringTransport(), Reason.TRANSPORT)]
        for name, value, reason in (
            ("disconnecting", True, Reason.CLOSING),
            ("connected", 0, Reason.CLOSING),
            ("_writeDisconnecting", True, Reason.CLOSING),
            ("TLS", True, Reason.TRANSPORT),
        ):
            transport, _ = self.connect()
            setattr(transport, name, value)
            cases.append((transport, reason))
        for transport, reason in cases:
            self.assertIs(self.assertRaises(NotMovable, FrozenTransport, transport).reason, reason)

    def test_other_reactors(self) -> None:
        """A reactor is asked in whichever way it answers."""
        self.reactor = ListReactor()
        transport, _ = self.connect()
        self.assertTrue(is_reading(transport))
        frozen = FrozenTransport(transport)
        self.assertFalse(is_reading(transport))
        frozen.thaw()
        self.assertTrue(is_reading(transport))


class MovableConnectionTests(TransportCase):
    """``MovableConnection`` and ``AdoptedConnection``."""

    def movable(self, forgotten: list[str]) -> MovableConnection:
        return MovableConnection(
            self.transport,
            lambda: Snapshot("line", 1, {"output": unsent_output(self.transport)}),
            lambda: forgotten.append("forgotten"),
        )

    def test_interfaces(self) -> None:
        """They are what the hand-over wants."""
        verifyObject(IMovable, self.movable([]))
        verifyObject(IAdopted, AdoptedConnection(self.transport, self.protocol))
        self.assertEqual(self.movable([]), self.movable([]))
        self.assertEqual(len({self.movable([]), self.movable([])}), 1)
        self.assertIn("movable", repr(self.movable([])))

    def test_move(self) -> None:
        """Freeze, tell, adopt elsewhere, release here, resume there: the client gets every byte once."""
        forgotten: list[str] = []
        self.transport.write(b"first ")
        movable = self.movable(forgotten)
        self.assertTrue(movable.changed())
        movable.freeze()
        self.assertFalse(movable.changed())
        offer = movable.offer()
        duplicate = os.dup(offer.descriptors[0])
        protocol = Recording()
        there = adopt_transport(self.reactor, duplicate, protocol)
        adopted = AdoptedConnection(there, protocol, offer.snapshot.fields["output"])
        self.assertEqual((protocol.told, self.reactor._reads), ([], set()))
        movable.release()
        adopted.resume()
        self.assertEqual((protocol.told, forgotten), (["made"], ["forgotten"]))
        self.assertTrue(is_reading(there))
        there.doWrite()
        self.assertEqual(self.client.recv(20), b"first ")
        self.assertEqual(there.getPeer().port, self.client.getsockname()[1])
        there.socket.close()

    def test_given_up(self) -> None:
        """An adopted connection that is discarded is as if it had never been."""
        movable = self.movable([])
        movable.freeze()
        protocol = Recording()
        there = adopt_transport(self.reactor, os.dup(self.transport.fileno()), protocol)
        AdoptedConnection(there, protocol, b"never sent").discard()
        movable.thaw()
        movable.thaw()
        movable.release()
        self.assertTrue(is_reading(self.transport))
        self.transport.write(b"here")
        self.transport.doWrite()
        self.assertEqual(self.client.recv(20), b"here")
        self.assertEqual((protocol.told, self.protocol.told), ([], []))

    def test_client_has_left(self) -> None:
        """A connection that was reset meanwhile cannot be adopted; the descriptor stays the caller's."""
        self.client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.client.close()
        duplicate = os.dup(self.transport.fileno())
        error = self.assertRaises(OSError, adopt_transport, self.reactor, duplicate, self.protocol)
        self.assertEqual(error.errno, errno.ENOTCONN)
        os.close(duplicate)


class ListeningTests(SynchronousTestCase):
    """Listening sockets that several processes share."""

    def test_stopped_here_only(self) -> None:
        """Stopping a port leaves the socket listening: who connects waits for another process."""
        listener = listening_socket("127.0.0.1", 0)
        self.addCleanup(listener.close)
        port = listen_on(_reactor, listener.fileno(), Factory.forProtocol(Recording))
        self.assertEqual(port.getHost().port, listener.getsockname()[1])
        port.stopListening()
        with socket.create_connection(listener.getsockname()) as client:
            accepted, peer = listener.accept()
            accepted.close()
            self.assertEqual(peer, client.getsockname())

    def test_address_in_use(self) -> None:
        """An address that cannot be had is an error, and leaves nothing open."""
        with listening_socket("::1", 0) as listener:
            self.assertRaises(OSError, listening_socket, "::1", listener.getsockname()[1])
