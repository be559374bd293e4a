"""A session gets over whatever happens to its broker."""

from __future__ import annotations

import os
import signal
from typing import Any
from unittest import SkipTest

from twisted.internet import reactor
from twisted.internet.defer import Deferred, DeferredList
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
    Session,
    Topology,
)

from .broker import PROGRAMS, Broker, shared_broker

PATIENCE_S = 40.0


class SessionCase(TestCase):
    timeout = 120

    async def setUp(self) -> None:  # type: ignore[override]
        if not PROGRAMS.is_dir():
            raise SkipTest("RabbitMQ is not installed")
        self.broker = shared_broker()
        self.queue = f"work-{os.urandom(4).hex()}"
        self.got: list[bytes] = []

    def session(self, broker: Broker, **changes: Any) -> Session:
        topology = Topology(
            exchanges=(Exchange(f"x-{self.queue}", "topic"),),
            queues=(Queue(self.queue, arguments={"x-queue-type": "quorum"}),),
            bindings=(Binding(self.queue, f"x-{self.queue}", "work.#"),),
        )
        session = Session(reactor, Address(port=broker.port, heartbeat_s=2, **changes), topology, "test")
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

    async def test_exchange_deleted(self) -> None:
        """A message to it fails, and the next begins everything anew, with its bindings."""
        session = self.session(self.broker)
        session.consume(self.queue, self.take)
        await self.until(lambda: session.is_connected)
        channel = await session.open_channel()
        await channel.exchange_delete(exchange=f"x-{self.queue}")
        with self.assertRaises(Refused):
            await self.say(session, b"lost")
        with self.assertRaises(ConnectionLost):
            await self.say(session, b"refused")
        await self.until(lambda: session.connections == 2)
        await self.say(session, b"again")
        await self.until(lambda: self.got == [b"again"])

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
        session.consume(self.queue, self.take)
        await self.until(lambda: session.is_connected)
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


class RestartTests(SessionCase):
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

    async def test_hangs(self) -> None:
        """A broker that says nothing is left after two heartbeats."""
        session = self.session(self.broker)
        await self.until(lambda: session.is_connected)
        self.broker.pause()
        await self.until(lambda: not session.is_connected, 10)
        self.broker.resume()
        await self.until(lambda: session.is_connected, 15)
