"""Accepting on a unix socket when the machine has run out of something, and when nobody can serve who comes."""

from __future__ import annotations

import errno
import os
import socket
from typing import Any

from twisted.internet.error import ConnectionDone
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.testing import MemoryReactorClock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from cloudd.daemon._unix_port import listen_unix

LONGER_THAN_A_REST_S = 1.0


class Exhausted:
    """A listening socket from which nobody can be accepted; the kernel shows it as readable all the while."""

    def __init__(self, real: socket.socket) -> None:
        self.real = real
        self.looks = 0

    def accept(self) -> Any:
        self.looks += 1
        raise OSError(errno.EMFILE if self.looks > 1 else errno.ECONNABORTED, "no")


class UnixPortTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor: Any = MemoryReactorClock()
        self.path = self.mktemp()
        listener = socket.socket(socket.AF_UNIX)
        listener.setblocking(False)
        listener.bind(self.path)
        listener.listen()
        self.served: list[Protocol] = []
        self.factory: Any = Factory.forProtocol(self.serve)
        self.port: Any = listen_unix(self.reactor, listener, self.factory)
        listener.close()
        self.addCleanup(self.port.stopListening)

    def serve(self) -> Protocol:
        protocol = Protocol()
        self.served.append(protocol)
        return protocol

    def tearDown(self) -> None:
        for each in self.served:
            transport: Any = each.transport
            transport.connectionLost(Failure(ConnectionDone()))

    def connect(self) -> socket.socket:
        client = socket.socket(socket.AF_UNIX)
        client.settimeout(60)
        client.connect(os.fspath(self.path))
        self.addCleanup(client.close)
        return client

    def test_takes_all_who_wait(self) -> None:
        """In one go, each with a transport of its own."""
        for _ in range(3):
            self.connect()
        self.port.doRead()
        self.assertEqual(len(self.served), 3)
        self.assertEqual(len({each.transport for each in self.served}), 3)

    def test_out_of_descriptors(self) -> None:
        """The port rests for a moment instead of spinning; who came meanwhile is served afterwards."""
        real = self.port.socket
        self.port.socket = exhausted = Exhausted(real)
        self.port.doRead()
        self.assertEqual(exhausted.looks, 2)
        self.assertNotIn(self.port, self.reactor.getReaders())
        self.port.socket = real
        self.reactor.advance(LONGER_THAN_A_REST_S)
        self.assertIn(self.port, self.reactor.getReaders())

    def test_closed_while_it_rests(self) -> None:
        """It does not begin again."""
        real = self.port.socket
        self.port.socket = Exhausted(real)
        self.port.doRead()
        self.port.socket = real
        self.port.stopListening()
        self.reactor.advance(LONGER_THAN_A_REST_S)
        self.assertNotIn(self.port, self.reactor.getReaders())

    def test_nobody_serves(self) -> None:
        """A client whose connection cannot be set up is hung up on, and the next one is served."""
        clients = [self.connect(), self.connect(), self.connect()]
        answers = iter([ValueError("no"), None, Protocol()])

        def build(_address: object) -> Protocol | None:
            answer = next(answers)
            if isinstance(answer, Exception):
                raise answer
            if answer is not None:
                self.served.append(answer)
            return answer

        self.patch(self.factory, "buildProtocol", build)
        self.port.doRead()
        self.assertEqual([client.recv(1) for client in clients[:2]], [b"", b""])
        self.assertEqual(len(self.served), 1)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
