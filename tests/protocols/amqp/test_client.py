"""Calls, messages and ends, with a real broker."""

from __future__ import annotations

import os
import socket
from collections.abc import Coroutine
from typing import Any
from unittest import SkipTest

from twisted.internet import reactor
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from cloudd.protocols.amqp import (
    Address,
    Channel,
    Connection,
    ConnectionLost,
    Delivery,
    LoginRefused,
    NotRouted,
    Refused,
    Saturated,
    Unencodable,
    connect,
)

from .broker import PROGRAMS, shared_broker


class BrokerCase(TestCase):
    """Tests with one broker for all of them; each has a connection and a channel."""

    timeout = 60

    async def setUp(self) -> None:  # type: ignore[override]
        if not PROGRAMS.is_dir():
            raise SkipTest("RabbitMQ is not installed")
        self.broker = shared_broker()
        self.address = Address(port=self.broker.port)
        self.connection = await self.connected()
        self.channel = await self.connection.open_channel()

    async def connected(self, **changes: Any) -> Connection:
        address = Address(port=self.broker.port, **changes)
        connection = await connect(reactor, address, "test")
        self.addCleanup(lambda: Deferred.fromCoroutine(connection.leave()))
        return connection

    async def queue(self, channel: Channel | None = None, arguments: dict[str, Any] | None = None) -> str:
        declared = await (channel or self.channel).queue_declare(exclusive=True, arguments=arguments or {})
        return str(declared.queue)

    async def received(self, queue: str, count: int = 1, channel: Channel | None = None) -> list[Delivery]:
        """The next messages of a queue."""
        found: list[Delivery] = []
        done: Deferred[None] = Deferred()

        def take(delivery: Delivery) -> None:
            found.append(delivery)
            if len(found) == count:
                done.callback(None)

        tag = await (channel or self.channel).consume(queue, take)
        await done.addTimeout(10, reactor)
        await (channel or self.channel).cancel(tag)
        return found

    async def assertFails(self, kind: type[Exception], awaited: Coroutine[Any, Any, Any] | Deferred[Any]) -> Any:
        try:
            await awaited
        except kind as error:
            return error
        self.fail(f"{kind.__name__} was expected")

    def pause(self, seconds: float) -> Deferred[None]:
        return deferLater(reactor, seconds, lambda: None)


class MessageTests(BrokerCase):
    async def test_bodies(self) -> None:
        """Bytes are bytes, whatever they look like and in however many frames."""
        queue = await self.queue()
        bodies = [
            b"",
            b"hello",
            b"\xff\xfe\x00abc",
            "h\u00e9llo".encode(),
            b"a" * 300_000,
            bytes(range(256)) * 1200,
            b"a" * 140_000 + b"\xff" * 160_000,
            b"\xff" * 140_000 + b"a" * 160_000,
        ]
        for body in bodies:
            await self.connection.writable()
            await self.channel.publish("", queue, body)
        self.assertEqual([delivery.body for delivery in await self.received(queue, len(bodies))], bodies)

    async def test_headers(self) -> None:
        """All kinds of values come back as they went."""
        queue = await self.queue()
        headers = {
            "a": "b", "n": 5, "m": -5, "big": 1 << 40, "t": True, "d": {"x": [1, {"y": None}]}, "l": [1, "z"],
            "by": b"raw\xff", "none": None, "f": 1.5, "\u00e9": "\u00e9",
        }  # fmt: skip
        await self.channel.publish("", queue, b"", {"headers": headers, "message-id": "\u00e9", "delivery-mode": 2})
        (delivery,) = await self.received(queue)
        self.assertEqual(delivery.properties, {"headers": headers, "message-id": "\u00e9", "delivery-mode": 2})

    async def test_what_cannot_be_encoded(self) -> None:
        """It fails alone; the connection talks on."""
        queue = await self.queue()
        self.assertRaises(Unencodable, self.channel.publish, "", queue, b"", {"headers": {"x": object()}})
        self.assertRaises(Unencodable, self.channel.queue_declare, arguments={"x": object()})
        await self.channel.publish("", queue, b"still here")
        self.assertEqual((await self.received(queue))[0].body, b"still here")

    async def test_confirms(self) -> None:
        """Each message is answered for."""
        queue = await self.queue()
        await self.channel.confirm()
        await DeferredList([self.channel.publish("", queue, b"%d" % number) for number in range(500)])
        self.assertEqual(self.channel.unconfirmed, {})
        found = await self.received(queue, 500)
        self.assertEqual([int(delivery.body) for delivery in found], list(range(500)))

    async def test_not_routed(self) -> None:
        """A mandatory message without a queue fails, and no other one with it."""
        queue = await self.queue()
        await self.channel.confirm()
        sent = [
            self.channel.publish("", name, b"", {"message-id": f"m{number}"}, mandatory=True)
            for number, name in enumerate([queue, "nowhere", queue])
        ]
        results = await DeferredList(sent, consumeErrors=True)
        self.assertEqual([success for success, _ in results], [True, False, True])
        error = results[1][1].value  # type: ignore[attr-defined]
        self.assertIsInstance(error, NotRouted)
        self.assertEqual(error.code, 312)

    async def test_a_queue_that_is_full(self) -> None:
        """The broker's no is an error of that message."""
        queue = await self.queue(arguments={"x-max-length": 1, "x-overflow": "reject-publish"})
        await self.channel.confirm()
        results = await DeferredList([self.channel.publish("", queue, b"") for _ in range(5)], consumeErrors=True)
        self.assertIn(False, [success for success, _ in results])

    async def test_quorum_queues(self) -> None:
        """A message that was put back comes again, with how often it did."""
        declared = await self.channel.queue_declare(
            queue=f"q-{os.urandom(4).hex()}", durable=True, arguments={"x-queue-type": "quorum"}
        )
        await self.channel.publish("", declared.queue, b"x", {"delivery-mode": 2})
        (first,) = await self.received(declared.queue)
        first.nack(requeue=True)
        (again,) = await self.received(declared.queue)
        self.assertTrue(again.redelivered)
        self.assertEqual(again.properties["headers"]["x-delivery-count"], 1)
        again.ack()

    async def test_dead_letters(self) -> None:
        """What nobody can use lies elsewhere, with its story."""
        dead = await self.queue()
        live = await self.queue(arguments={"x-dead-letter-exchange": "", "x-dead-letter-routing-key": dead})
        await self.channel.publish("", live, b"x")
        (delivery,) = await self.received(live)
        delivery.nack(requeue=False)
        (letter,) = await self.received(dead)
        (death,) = letter.properties["headers"]["x-death"]
        self.assertEqual((death["queue"], death["reason"], death["count"]), (live, "rejected", 1))

    async def test_prefetch(self) -> None:
        """No more come than are wanted at a time."""
        queue = await self.queue()
        await self.channel.basic_qos(prefetch_count=2)
        for _ in range(5):
            await self.channel.publish("", queue, b"")
        found: list[Delivery] = []
        await self.channel.consume(queue, found.append)
        await self.pause(0.3)
        self.assertEqual(len(found), 2)
        found[0].ack()
        await self.pause(0.3)
        self.assertEqual(len(found), 3)


class PressureTests(BrokerCase):
    async def test_blocked(self) -> None:
        """A broker short of memory says so; messages are refused until it says otherwise, and none is lost."""
        queue = await self.queue()
        await self.channel.confirm()
        self.broker.control("set_vm_memory_high_watermark", "absolute", "1")
        try:
            first = self.channel.publish("", queue, b"first")
            while not self.connection.blocked:
                await self.pause(0.05)
            await self.assertFails(Saturated, self.channel.publish("", queue, b"refused"))
            writable = self.connection.writable()
            self.assertNoResult(writable)
        finally:
            self.broker.control("set_vm_memory_high_watermark", "0.4")
        await writable.addTimeout(20, reactor)
        await first
        await self.channel.publish("", queue, b"second")
        self.assertEqual([found.body for found in await self.received(queue, 2)], [b"first", b"second"])

    async def test_a_slow_broker(self) -> None:
        """What it does not read is refused after a megabyte, and taken when it has caught up."""
        queue = await self.queue()
        await self.channel.confirm()
        results: list[Deferred[None]] = []
        body = bytes(100_000)
        while not self.connection.is_saturated:
            results.append(self.channel.publish("", queue, body))
            self.assertLess(len(results), 1000)
        await self.assertFails(Saturated, self.channel.publish("", queue, body))
        await self.connection.writable()
        await DeferredList([*results, self.channel.publish("", queue, body)], fireOnOneErrback=True)


class EndTests(BrokerCase):
    async def test_queue_deleted(self) -> None:
        """Its consumer hears of it."""
        queue = await self.queue()
        cancelled: Deferred[None] = Deferred()
        await self.channel.consume(queue, lambda _: None, lambda: cancelled.callback(None))
        await self.channel.queue_delete(queue=queue)
        await cancelled.addTimeout(10, reactor)

    async def test_channel_closed(self) -> None:
        """The broker's reason is told to all that waited on it; its number is used again."""
        await self.channel.confirm()
        refused = self.channel.queue_declare(queue="nope", passive=True)
        message = self.channel.publish("", "nope", b"")
        error = await self.assertFails(Refused, refused)
        self.assertEqual(error.code, 404)
        await self.assertFails(Refused, message)
        await self.assertFails(Refused, self.channel.queue_declare(queue="nope"))
        again = await self.connection.open_channel()
        self.assertEqual(again.id, self.channel.id)
        await self.queue(again)

    async def test_no_wait(self) -> None:
        """A call without an answer is over at once, and the next answer belongs to the next call."""
        await self.channel.queue_declare(queue="no-wait", exclusive=True, nowait=True)
        self.assertEqual((await self.channel.queue_declare(queue="no-wait", exclusive=True)).queue, "no-wait")

    async def test_who_is_let_in(self) -> None:
        """A wrong password or virtual host is told from a connection that went away."""
        for changes, code in (({"password": "wrong"}, 403), ({"vhost": "nowhere"}, 530)):
            error = await self.assertFails(LoginRefused, self.connected(**changes))
            self.assertEqual(error.code, code)
            self.assertNotIn("wrong", str(error))

    async def test_nobody_there(self) -> None:
        """Neither a broker nor anything else."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
        await self.assertFails(ConnectionLost, connect(reactor, Address(port=port)))

    async def test_connection_lost(self) -> None:
        """All that waits fails."""
        await self.channel.confirm()
        queue = await self.queue()
        waiting = [self.channel.publish("", queue, b""), self.channel.queue_purge(queue=queue)]
        self.connection.transport.abortConnection()
        for each in waiting:
            await self.assertFails(ConnectionLost, each)
        self.assertIsInstance(await self.connection.lost, ConnectionLost)
        await self.assertFails(ConnectionLost, self.channel.publish("", queue, b""))

    async def test_heartbeats(self) -> None:
        """A silent connection stays."""
        quiet = await self.connected(heartbeat_s=1)
        await self.pause(4)
        await quiet.open_channel()

    async def test_closed_by_an_operator(self) -> None:
        """With the operator's reason."""
        self.broker.control("close_all_connections", "maintenance")
        error = await self.connection.lost
        self.assertIsInstance(error, Refused)
        self.assertIn("maintenance", str(error))
