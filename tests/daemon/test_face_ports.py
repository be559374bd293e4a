"""A worker's ports, on real sockets: opened, closed for a while, moved to other sockets."""

from __future__ import annotations

import socket
from typing import Any, cast

from twisted.internet import reactor
from twisted.internet.protocol import Protocol, ServerFactory
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from cloudd.daemon._face_ports import FacePorts


class GreetingFactory(ServerFactory):
    """Stands for the HTTP server: says its name to who connects."""

    secure = False

    def __init__(self, name: bytes) -> None:
        self.name = name

    def has_room_for(self, _host: str) -> bool:
        """As in the HTTP server's."""
        return True

    def buildProtocol(self, _addr: Any) -> Protocol:
        factory = self

        class Greeting(Protocol):
            def connectionMade(self) -> None:
                cast(Any, self.transport).write(factory.name)
                cast(Any, self.transport).loseConnection()

        return Greeting()


class FacePortsTests(TestCase):
    def setUp(self) -> None:
        self.inet, self.unix = self.listener(socket.AF_INET), self.listener(socket.AF_UNIX)
        factories = {"api": GreetingFactory(b"api"), "s3": GreetingFactory(b"s3")}
        self.ports = FacePorts(reactor, ("api", "s3"), [self.inet, self.unix], cast(Any, factories))
        self.addCleanup(self.ports.shut)
        self.addCleanup(self.ports.close)

    def listener(self, family: socket.AddressFamily) -> socket.socket:
        made = socket.socket(family)
        made.bind(("127.0.0.1", 0) if family == socket.AF_INET else "")  # the kernel finds a name
        made.listen(8)
        made.setblocking(False)
        return made

    def connected(self, listener: socket.socket) -> socket.socket:
        client = socket.socket(listener.family)
        self.addCleanup(client.close)
        client.connect(listener.getsockname())
        client.setblocking(False)
        return client

    async def said(self, client: socket.socket, within_s: float = 10.0) -> bytes | None:
        """What it is told; None: nothing, as long as we wait."""
        for _ in range(int(within_s / 0.01)):
            await deferLater(cast(Any, reactor), 0.01)
            try:
                return client.recv(16)
            except BlockingIOError:
                continue
        return None

    async def test_each_face_on_its_socket(self) -> None:
        self.ports.open()
        self.assertTrue(self.ports.are_open)
        self.assertEqual(await self.said(self.connected(self.inet)), b"api")
        self.assertEqual(await self.said(self.connected(self.unix)), b"s3")

    async def test_closed_for_a_while(self) -> None:
        """Who comes meanwhile waits in the socket's queue, and is served when the ports open again."""
        self.ports.open()
        self.ports.close()
        self.assertFalse(self.ports.are_open)
        client = self.connected(self.inet)
        self.assertIsNone(await self.said(client, 0.1))
        self.ports.open()
        self.assertEqual(await self.said(client), b"api")

    async def test_other_sockets(self) -> None:
        """Ports that are open stay so; descriptors of faces that are not served are closed, too."""
        self.ports.open()
        fresh, strange = self.listener(socket.AF_INET), self.listener(socket.AF_INET)
        address, unserved = fresh.getsockname(), strange.getsockname()
        self.ports.change({"api": fresh.detach(), "object": strange.detach()})
        client = socket.create_connection(address)
        self.addCleanup(client.close)
        client.setblocking(False)
        self.assertEqual(await self.said(client), b"api")
        self.assertEqual(await self.said(self.connected(self.unix)), b"s3")
        self.assertEqual(self.inet.fileno(), -1)
        with self.assertRaises(ConnectionRefusedError):
            socket.create_connection(unserved)

    async def test_closed_ones_change_and_stay_closed(self) -> None:
        fresh = self.listener(socket.AF_INET)
        client = self.connected(fresh)
        self.ports.change({"api": fresh.detach()})
        self.assertFalse(self.ports.are_open)
        self.assertIsNone(await self.said(client, 0.1))
        self.ports.open()
        self.assertEqual(await self.said(client), b"api")

    def test_shut(self) -> None:
        """Newcomers are told at once that nobody is there."""
        address = self.inet.getsockname()
        self.ports.shut()
        with self.assertRaises(ConnectionRefusedError):
            socket.create_connection(address)
