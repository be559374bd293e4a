"""A worker's bus: who has one, over what, under which name."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from twisted.internet import reactor as installed
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase

from cloudd.daemon._messaging import LEAVE_S, bus_of, leave
from cloudd.daemon._metrics import WorkerMetrics
from cloudd.interfaces.settings import NODE_ID, MessagingSettings, Settings
from cloudd.messaging import Bus
from cloudd.protocols.bus import BrokerTransport

reactor = cast(Any, installed)


class BusTests(TestCase):
    def setUp(self) -> None:
        self.state = Path(self.mktemp()).absolute()
        (self.state / NODE_ID).parent.mkdir(parents=True)

    def bus(self, role: str = "agent", **messaging: str) -> Bus | None:
        settings = Settings(state=self.state, messaging=MessagingSettings(**messaging))
        return bus_of(role, settings, reactor, WorkerMetrics())

    def made(self, **messaging: str) -> Bus:
        bus = self.bus(**messaging)
        assert bus is not None
        return bus

    def test_roles(self) -> None:
        """Those that do the host's own work; a process that only tries new code must not answer for the node."""
        having = {role for role in ("agent", "all", "front", "prepare", "check") if self.bus(role) is not None}
        self.assertEqual(having, {"agent", "all"})

    def test_name(self) -> None:
        """The node's id; where there is none yet, something all the same."""
        self.assertTrue(self.made().node)
        (self.state / NODE_ID).write_text("a" * 32 + "\n")
        self.assertEqual(self.made().node, "a" * 32)
        self.assertEqual(self.made(url="amqp://cloudd@mq").node, "a" * 32)

    async def test_alone(self) -> None:
        """Without a broker it works at once, inside of the process."""
        bus = self.made()
        self.assertFalse(bus.health()[0].ok)
        bus.start()
        self.assertTrue(bus.health()[0].ok)
        await leave(bus, reactor)
        await leave(None, reactor)

    def test_addresses(self) -> None:
        """All brokers, with the files that the settings name; the password is read when it connects, and each time."""
        file = Path(self.mktemp()).absolute()
        file.write_text("one\n")
        bus = self.made(
            url="amqps://cloudd@a/v?heartbeat=3 amqps://cloudd@b:7",
            password_file=str(file),
            ca_file="/ca.pem",
            certificate_file="/own.pem",
        )
        transport = bus._transport
        assert isinstance(transport, BrokerTransport) and transport._password is not None
        first, second = transport._addresses
        self.assertEqual((first.host, first.vhost, first.heartbeat_s, second.port), ("a", "v", 3, 7))
        self.assertEqual((second.user, second.ca_file), ("cloudd", Path("/ca.pem")))
        self.assertEqual((second.certificate_file, second.key_file), (Path("/own.pem"), None))
        self.assertEqual(transport._password(), "one")
        file.write_text("two")
        self.assertEqual(transport._password(), "two")

    async def test_broker_that_cannot_be_reached(self) -> None:
        """Health says why, and since when; the end does not wait for it."""
        bus = self.made(url="amqp://cloudd@127.0.0.1:1", password_file="/nowhere/password")
        bus.start()
        while "/nowhere/password" not in bus.health()[0].cause:
            await _soon()
        self.assertIn("since 20", bus.health()[0].cause)
        await leave(bus, reactor)

    def test_end_that_hangs(self) -> None:
        """It is left alone after a while."""
        clock = Clock()

        class Hanging:
            async def stop(self) -> None:
                await Deferred()

        left = Deferred.fromCoroutine(leave(cast(Any, Hanging()), clock))
        self.assertNoResult(left)
        clock.advance(LEAVE_S)
        self.successResultOf(left)


def _soon() -> Deferred[None]:
    waiting: Deferred[None] = Deferred()
    reactor.callLater(0.01, waiting.callback, None)
    return waiting
