"""Brokers over TLS: with a real one, and with records that come byte by byte."""

from __future__ import annotations

import ssl
from pathlib import Path
from unittest import SkipTest

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase, TestCase

from cloudd.protocols.amqp import Address, ConnectionLost, connect
from cloudd.protocols.amqp._tls import TLSClient
from tests.ports import free_port
from tests.tls_front.certificates import make, write

from .broker import PROGRAMS, Broker

NAME = "127.0.0.1"


class BrokerTests(TestCase):
    """One broker that wants a certificate of its clients."""

    timeout = 90

    def setUp(self) -> None:
        if not PROGRAMS.is_dir():
            raise SkipTest("RabbitMQ is not installed")
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        authority = make("authority")
        self.authority = write(self.folder.absolute(), authority, "authority.key", "authority.pem")[1]
        self.key, self.certificate = write(self.folder.absolute(), make(NAME, addresses=True, issuer=authority))
        self.port = free_port()
        self.broker = Broker(
            settings=f"listeners.ssl.1 = 127.0.0.1:{self.port}\n"
            f"ssl_options.cacertfile = {self.authority}\nssl_options.certfile = {self.certificate}\n"
            f"ssl_options.keyfile = {self.key}\n"
            "ssl_options.verify = verify_peer\nssl_options.fail_if_no_peer_cert = true\n"
        )
        self.addCleanup(self.broker.remove)
        self.broker.start()

    async def refused(self, uri: str) -> str:
        try:
            await connect(reactor, Address.from_uri(uri))
        except ConnectionLost as error:
            return str(error)
        self.fail("it was let in")

    async def test_who_is_let_in(self) -> None:
        """Who knows the broker's authority and shows a certificate; everybody else learns what is wrong."""
        base = f"amqps://127.0.0.1:{self.port}?connection_timeout=5000"
        known = f"&cacertfile={self.authority}"
        shown = f"&certfile={self.certificate}&keyfile={self.key}"
        connection = await connect(reactor, Address.from_uri(base + known + shown))
        channel = await connection.open_channel()
        await channel.confirm()
        declared = await channel.queue_declare(exclusive=True)
        body = bytes(range(256)) * 4000  # many records and frames
        await channel.publish("", declared.queue, body)
        taken: Deferred[bytes] = Deferred()
        await channel.consume(declared.queue, lambda delivery: taken.callback(delivery.body))
        self.assertEqual(await taken.addTimeout(10, reactor), body)
        await connection.leave()

        self.assertIn("self-signed certificate in certificate chain", await self.refused(base + shown))
        self.assertIn("not valid for 'other'", await self.refused(f"{base}{known}{shown}&server_name_indication=other"))
        self.assertIn("CERTIFICATE_REQUIRED", await self.refused(base + known))
        missing = f"&cacertfile={self.folder / 'none.pem'}"
        self.assertIn("none.pem: ", await self.refused(base + missing))
        plain = f"amqps://127.0.0.1:{self.broker.port}?connection_timeout=5000{known}"
        self.assertIn("TLS: ", await self.refused(plain))


class Inner(Protocol):
    """What is inside TLS."""

    def __init__(self) -> None:
        self.received = b""
        self.made = False
        self.lost: list[str] = []
        self.ended: list[str] = []

    def connectionMade(self) -> None:
        self.made = True

    def dataReceived(self, data: bytes) -> None:
        self.received += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.lost.append(reason.getErrorMessage())

    def end(self, cause: Exception) -> None:
        self.ended.append(str(cause))


class Server:
    """The other side, over the same kind of memory."""

    def __init__(self, folder: Path) -> None:
        key, self.certificate = write(folder.absolute(), make(NAME, addresses=True))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, key)
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_side=True)
        self.shaken = False

    def take(self, data: bytes) -> bytes:
        """What comes from the client; what goes to it."""
        self.incoming.write(data)
        if not self.shaken:
            try:
                self.tls.do_handshake()
                self.shaken = True
            except ssl.SSLWantReadError:
                pass
        return self.outgoing.read()


class RecordTests(SynchronousTestCase):
    def setUp(self) -> None:
        folder = Path(self.mktemp())
        folder.mkdir()
        self.server = Server(folder)
        self.clock, self.inner, self.tcp = Clock(), Inner(), StringTransport()
        context = ssl.create_default_context(cafile=self.server.certificate)
        self.client = TLSClient(self.inner, context, NAME, self.clock, 10)
        self.client.makeConnection(self.tcp)

    def exchange(self, to_client: bytes = b"") -> None:
        """Let both sides talk until neither has anything to say; the client hears one byte at a time."""
        while True:
            for byte in to_client:
                self.client.dataReceived(bytes([byte]))
            said, _ = self.tcp.value(), self.tcp.clear()
            to_client = self.server.take(said)
            if not to_client and not said:
                return

    def test_byte_by_byte(self) -> None:
        """Wherever TCP cuts them, bytes are the same on both sides, and the handshake has no end of time."""
        self.assertFalse(self.inner.made)
        self.exchange()
        self.assertTrue(self.inner.made and self.server.shaken)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.client.write(b"question" * 5000)
        self.exchange()
        self.assertEqual(b"".join(iter(self.read, b"")), b"question" * 5000)
        self.server.tls.write(b"answer" * 9000)
        self.exchange(self.server.outgoing.read())
        self.assertEqual(self.inner.received, b"answer" * 9000)

    def read(self) -> bytes:
        try:
            return self.server.tls.read(65_536)
        except ssl.SSLWantReadError:
            return b""

    def test_last_words(self) -> None:
        """Either side may end; nothing is written afterwards."""
        self.exchange()
        self.client.loseConnection()
        self.assertTrue(self.tcp.disconnecting)
        self.server.take(self.tcp.value())
        self.assertEqual(self.server.tls.read(), b"")  # its last word
        self.tcp.clear()
        self.client.write(b"late")
        self.assertEqual(self.tcp.value(), b"")
        self.client.connectionLost(Failure(ConnectionDone()))
        self.assertEqual(len(self.inner.lost), 1)

    def test_last_word_of_the_other_side(self) -> None:
        """What came before it is heard."""
        self.exchange()
        self.server.tls.write(b"bye")
        self.assertRaises(ssl.SSLWantReadError, self.server.tls.unwrap)
        self.exchange(self.server.outgoing.read())
        self.assertEqual((self.inner.received, self.inner.ended), (b"bye", ["TLS: the other side has ended"]))

    def test_no_handshake(self) -> None:
        """Silence, garbage and an early end have their causes."""
        self.clock.advance(10)
        self.assertIn("not finished in time", self.inner.ended[0])
        for data in (b"AMQP\x00\x00\x09\x01", b"HTTP/1.1 400 Bad Request\r\n\r\n"):
            self.setUp()
            self.client.dataReceived(data)
            self.assertIn("TLS: ", self.inner.ended[0])
        self.setUp()
        self.client.connectionLost(Failure(ConnectionDone()))
        self.assertIn("TLS: ", self.inner.ended[0])
        self.assertFalse(self.inner.made)
