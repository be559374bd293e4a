"""A session gets over whatever happens to its broker."""

from __future__ import annotations

import os
import signal
from typing import Any
from unittest import SkipTest

from twisted.internet import reactor
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from cloudd.protocols.amqp import (
    Address,
    Binding,
    ConnectionLost,
    Delivery,
    Exchange,
    Queue,
    Refused,
    Saturated,
    Session,
    Topology,
)
from tests.ports import free_port

from .broker import PROGRAMS, Broker, shared_broker

PATIENCE_S = 90.0


class SessionCase(TestCase):
    """
    :cvar heartbeat_s: a broker on a machine that runs three lanes of tests is silent for a while
    """

    timeout = 300
    heartbeat_s = 6

    async def setUp(self) -> None:  # type: ignore[override]
        if not PROGRAMS.is_dir():
            raise SkipTest("RabbitMQ is not installed")
        self.broker = shared_broker()
        self.queue = f"work-{os.urandom(4).hex()}"
        self.got: list[bytes] = []

    def session(self, *brokers: Broker, **changes: Any) -> Session:
        topology = Topology(
            exchanges=(Exchange(f"x-{self.queue}", "topic"),),
            queues=(Queue(self.queue, arguments={"x-queue-type": "quorum"}),),
            bindings=(Binding(self.queue, f"x-{self.queue}", "work.#"),),
        )
        addresses = [Address(port=broker.port, heartbeat_s=self.heartbeat_s, **changes) for broker in brokers]
        session = Session(reactor, addresses, topology, "test")
        session.start()
        self.addCleanup(lambda: Deferred.fromCoroutine(session.stop()))
        return session

    async def until(self, condition: Any, seconds: float = PATIENCE_S) -> None:
        deadline = reactor.seconds() + seconds
        while not condition():
            if reactor.seconds() > deadline:
                self.fail(f"it did not come about in time: {self.got}")
            await deferLater(reactor, 0.02)

    def take(self, delivery: Delivery) -> None:
        self.got.append(delivery.body)
        delivery.ack()

    async def say(self, session: Session, body: bytes) -> None:
        await session.publish(f"x-{self.queue}", "work.a", body, {"delivery-mode": 2})


class LastingTests(SessionCase):
    async def test_messages(self) -> None:
        """What is published reaches who consumes, also who begins before there is a connection."""
        session = self.session(self.broker)
        session.consume(self.queue, self.take)
        await self.until(lambda: session.is_connected)
        await DeferredList([Deferred.fromCoroutine(self.say(session, b"%d" % each)) for each in range(50)])
        await self.until(lambda: len(self.got) == 50)
        self.assertEqual(self.got, [b"%d" % each for each in range(50)])

    async def test_ending_a_consumer(self) -> None:
        """No further message comes; another consumer gets it."""
        session = self.session(self.broker)
        await self.until(lambda: session.is_connected)
        consumer = session.consume(self.queue, self.take)
        await self.say(session, b"one")
        await self.until(lambda: self.got == [b"one"])
        await consumer.end()
        await self.say(session, b"two")
        others: list[bytes] = []
        session.consume(self.queue, lambda delivery: others.append(delivery.body))
        await self.until(lambda: others == [b"two"])
        self.assertEqual(self.got, [b"one"])

    async def test_no_ack(self) -> None:
        """What has come counts as acknowledged: nobody gets it again."""
        session = self.session(self.broker)
        await self.until(lambda: session.is_connected)
        held: list[bytes] = []
        consumer = session.consume(self.queue, lambda delivery: held.append(delivery.body), no_ack=True)
        await self.say(session, b"one")
        await self.until(lambda: held == [b"one"])
        await consumer.end()
        session.consume(self.queue, self.take)
        await self.say(session, b"two")
        await self.until(lambda: self.got == [b"two"])

    async def test_cancelling_a_consumer(self) -> None:
        """No further message comes, and what has come can still be acknowledged: nobody gets it again."""
        session = self.session(self.broker)
        await self.until(lambda: session.is_connected)
        held: list[Delivery] = []
        consumer = session.consume(self.queue, held.append)
        await self.until(lambda: consumer.is_consuming)
        await self.say(session, b"one")
        await self.until(lambda: held)
        await consumer.cancel()
        await self.say(session, b"two")
        session.consume(self.queue, self.take)
        await self.until(lambda: self.got == [b"two"])
        held[0].ack()
        await consumer.end()
        await deferLater(reactor, 0.3)
        self.assertEqual((self.got, [each.body for each in held]), ([b"two"], [b"one"]))

    async def test_connection_closed(self) -> None:
        """By an operator: it is there again, with its consumers."""
        session = self.session(self.broker)
        session.consume(self.queue, self.take)
        await self.until(lambda: session.is_connected)
        self.broker.control("close_all_connections", "maintenance")
        await self.until(lambda: session.connections == 2)
        await self.say(session, b"again")
        await self.until(lambda: self.got == [b"again"])

    async def test_queue_deleted(self) -> None:
        """It is declared again, and consumed."""
        session = self.session(self.broker)
        consumer = session.consume(self.queue, self.take)
        await self.until(lambda: consumer.is_consuming)
        consumer.patience_s = PATIENCE_S  # a broker that is slow to answer is another test's
        self.broker.control("delete_queue", self.queue)

        async def arrives() -> None:
            while not self.got:
                await self.say(session, b"again")
                await deferLater(reactor, 0.1)

        await Deferred.fromCoroutine(arrives()).addTimeout(PATIENCE_S, reactor)
        self.assertEqual(session.connections, 1)

    async def test_password_changed(self) -> None:
        """It says why it is not let in, and is let in when the password is right again."""
        user = f"u{os.urandom(4).hex()}"
        self.broker.control("add_user", user, "right")
        self.addCleanup(self.broker.control, "delete_user", user)
        self.broker.control("set_permissions", user, ".*", ".*", ".*")
        session = self.session(self.broker, user=user, password="right")
        await self.until(lambda: session.is_connected)
        self.broker.control("change_password", user, "other")
        self.broker.control("close_all_user_connections", user, "maintenance")
        await self.until(lambda: "ACCESS_REFUSED" in session.cause)
        self.assertNotIn("right", session.cause)
        with self.assertRaises(ConnectionLost):
            await self.say(session, b"")
        self.broker.control("change_password", user, "right")
        await self.until(lambda: session.is_connected, 5)

    async def test_resting_a_consumer(self) -> None:
        """What came before is settled first; the next message is another's."""
        session = self.session(self.broker)
        held: list[Delivery] = []
        consumer = session.consume(self.queue, held.append)
        await self.until(lambda: consumer.is_consuming)
        await self.say(session, b"one")
        await self.say(session, b"two")
        await self.until(lambda: len(held) == 2)
        rested = Deferred.fromCoroutine(consumer.rest(10))
        held[0].ack()
        await deferLater(reactor, 0.3)
        self.assertFalse(rested.called)
        held[1].ack()
        await rested
        late = session.consume(self.queue, self.take)
        await self.say(session, b"three")
        await self.until(lambda: self.got)
        await late.rest(0.1)
        self.assertEqual((self.got, len(held)), ([b"three"], 2))

    async def test_resting_in_vain(self) -> None:
        """What is not settled in time is delivered to others."""
        session = self.session(self.broker)
        held: list[Delivery] = []
        consumer = session.consume(self.queue, held.append)
        await self.until(lambda: consumer.is_consuming)
        await self.say(session, b"one")
        await self.until(lambda: held)
        await consumer.rest(0.2)
        session.consume(self.queue, self.take)
        await self.until(lambda: self.got == [b"one"])

    async def test_ended_while_it_begins(self) -> None:
        """At any moment of its beginning: no message comes any more, and the next consumer gets all."""
        session = self.session(self.broker)
        await self.until(lambda: session.is_connected)
        await self.say(session, b"one")
        stolen: list[Delivery] = []
        for step in range(12):
            consumer = session.consume(self.queue, stolen.append)
            await deferLater(reactor, step / 1000)
            await consumer.end()
            before = len(stolen)
            await deferLater(reactor, 0.05)
            self.assertEqual(len(stolen), before)
        session.consume(self.queue, self.take)
        await self.until(lambda: self.got == [b"one"])

    async def test_channel_closed_over_a_message(self) -> None:
        """A message to an exchange that is not there ends the channel, and nothing else."""
        session = self.session(self.broker)
        session.consume(self.queue, self.take)
        await self.until(lambda: session.is_connected)
        with self.assertRaises(Refused):
            await session.publish("nowhere", "", b"")
        self.assertIn("NOT_FOUND", session.cause)
        await self.until(lambda: session.is_connected, 5)
        self.assertEqual((session.cause, session.connections), ("", 1))
        await self.say(session, b"again")
        await self.until(lambda: self.got == [b"again"])

    async def test_exchange_deleted(self) -> None:
        """It is declared again with the channel that is opened again."""
        session = self.session(self.broker)
        session.consume(self.queue, self.take)
        await self.until(lambda: session.is_connected)
        channel = await session.open_channel()
        await channel.exchange_delete(exchange=f"x-{self.queue}")
        await channel.leave()
        with self.assertRaises(Refused):
            await self.say(session, b"lost")
        await self.until(lambda: session.is_connected, 5)
        await self.say(session, b"again")
        await self.until(lambda: self.got == [b"again"])

    async def told_at_a_loss(self, which: str) -> None:
        told: list[tuple[bool, str]] = []
        session = self.session(self.broker)
        await self.until(lambda: session.is_connected)
        session._on_change = lambda: told.append((session.is_connected, session.cause))
        getattr(session, which).end(ConnectionLost("cut"))
        self.assertEqual(told, [(False, "cut")])
        await self.until(lambda: session.is_connected, 5)
        self.assertEqual(told, [(False, "cut"), (True, "")])

    async def test_what_is_told_at_a_loss(self) -> None:
        """The cause, at once, and that there is no connection: whichever of the two was lost."""
        await self.told_at_a_loss("_connection")
        await self.told_at_a_loss("_outlet")

    async def test_consuming_during_an_alarm(self) -> None:
        """A broker that is short of memory takes no messages, and still gives them and hears what becomes of them."""
        session = self.session(self.broker)
        await self.until(lambda: session.is_connected)
        for number in range(20):
            await self.say(session, b"%d" % number)
        self.broker.control("set_vm_memory_high_watermark", "absolute", "1")
        try:
            stuck = Deferred.fromCoroutine(self.say(session, b"20"))
            await self.until(lambda: session.blocked)
            with self.assertRaises(Saturated):
                await self.say(session, b"refused")
            session.consume(self.queue, self.take, prefetch=1)
            await self.until(lambda: len(self.got) == 20)
        finally:
            self.broker.control("set_vm_memory_high_watermark", "0.4")
        await session.writable().addTimeout(20, reactor)
        await stuck
        await self.until(lambda: len(self.got) == 21)
        self.assertEqual((session.connections, session.blocked), (1, ""))

    async def test_password_rotated(self) -> None:
        """The new one counts from the next connection on."""
        user = f"u{os.urandom(4).hex()}"
        self.broker.control("add_user", user, "old")
        self.addCleanup(self.broker.control, "delete_user", user)
        self.broker.control("set_permissions", user, ".*", ".*", ".*")
        session = self.session(self.broker, user=user, password="old")
        await self.until(lambda: session.is_connected)
        self.broker.control("change_password", user, "new")
        self.broker.control("close_all_user_connections", user, "maintenance")
        await self.until(lambda: "ACCESS_REFUSED" in session.cause)
        session.use(Address(port=self.broker.port, user=user, password="new"))
        await self.until(lambda: session.is_connected, 5)

    async def test_several_addresses(self) -> None:
        """One after the other, until one lets it in."""
        nobody = [Broker(port=free_port()) for _ in range(2)]
        for broker in nobody:
            self.addCleanup(broker.remove)
        session = self.session(*nobody, self.broker)
        await self.until(lambda: session.is_connected, 5)
        self.assertEqual(session.address.port, self.broker.port)

    async def test_stopped_while_it_connects(self) -> None:
        """Also when the other side takes a connection and says nothing, or does not answer a log-in."""
        silent: Any = Factory.forProtocol(Protocol)
        port: Any = reactor.listenTCP(0, silent, interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        session = Session(reactor, Address(port=port.getHost().port))
        session.start()
        await deferLater(reactor, 0.1)
        await Deferred.fromCoroutine(session.stop()).addTimeout(1, reactor)
        self.assertEqual(session.cause, "it has been stopped")
        for wait_s in (0, 0.005, 0.01, 0.02, 0.05):
            session = Session(reactor, Address(port=self.broker.port))
            session.start()
            await deferLater(reactor, wait_s)
            await Deferred.fromCoroutine(session.stop()).addTimeout(3, reactor)
            self.assertFalse(session.is_connected)

    async def test_who_is_told_fails(self) -> None:
        """That is logged, and the session goes on."""

        def fail() -> None:
            raise ZeroDivisionError

        session = Session(reactor, Address(port=self.broker.port), on_change=fail)
        session.start()
        self.addCleanup(lambda: Deferred.fromCoroutine(session.stop()))
        await self.until(lambda: session.is_connected)
        await session.publish("", "nowhere", b"")
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)


class RestartTests(SessionCase):
    heartbeat_s = 2  # which one that hangs is noticed by

    async def setUp(self) -> None:  # type: ignore[override]
        await SessionCase.setUp(self)
        self.broker = Broker()
        self.addCleanup(self.broker.remove)
        self.broker.start()

    async def test_killed_and_started(self) -> None:
        """It is there within 5 s after the broker; confirmed messages are, and consumers go on."""
        session = self.session(self.broker)
        await self.until(lambda: session.is_connected)
        await DeferredList([Deferred.fromCoroutine(self.say(session, b"%d" % each)) for each in range(20)])
        await deferLater(reactor, 6)  # RabbitMQ itself loses a quorum queue that is younger than some seconds
        self.broker.stop(signal.SIGKILL)
        await self.until(lambda: not session.is_connected)
        session.consume(self.queue, self.take)
        self.broker.start()
        await self.until(lambda: session.is_connected, 5)
        await self.until(lambda: len(self.got) == 20)
        self.assertEqual(sorted(self.got, key=int), [b"%d" % each for each in range(20)])

    async def test_stopped_and_started(self) -> None:
        """In order: the session says why, and is there again."""
        session = self.session(self.broker)
        session.consume(self.queue, self.take)
        await self.until(lambda: session.is_connected)
        self.broker.stop()
        await self.until(lambda: not session.is_connected)
        with self.assertRaises(ConnectionLost):
            await self.say(session, b"lost")
        self.broker.start()
        await self.until(lambda: session.is_connected, 5)
        await self.say(session, b"again")
        await self.until(lambda: self.got == [b"again"])

    async def test_hangs(self) -> None:
        """A broker that says nothing is left after two heartbeats."""
        session = self.session(self.broker)
        await self.until(lambda: session.is_connected)
        self.broker.pause()
        await self.until(lambda: not session.is_connected, 10)
        self.broker.resume()
        await self.until(lambda: session.is_connected, 15)
