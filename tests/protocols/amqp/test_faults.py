"""Connections that are cut at any byte, and clusters that lose a node: what was confirmed is there, and only that."""

from __future__ import annotations

import os
import signal
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import deferLater

from cloudd.protocols.amqp import (
    Address,
    AMQPError,
    ConnectionLost,
    Delivery,
    Queue,
    Session,
    Topology,
)

from .broker import Broker
from .proxy import Proxy
from .test_session import SessionCase

MESSAGES = 10
CUTS = 30


class _Work:
    """A session that publishes until each message is confirmed, and consumes them."""

    def __init__(self, address: Any) -> None:
        self.queue = f"faults-{os.urandom(4).hex()}"
        topology = Topology(queues=(Queue(self.queue),))
        self.session = Session(reactor, address, topology, "test", jitter=lambda: 0.0)
        self.confirmed: list[bytes] = []
        self.received: list[bytes] = []
        self.session.consume(self.queue, self._take, prefetch=3)
        self.session.start()

    def _take(self, delivery: Delivery) -> None:
        self.received.append(delivery.body)
        delivery.ack()

    async def send(self, body: bytes) -> None:
        """Until the broker has confirmed it; what fails was perhaps taken, and is sent again."""
        while True:
            try:
                await self.session.publish("", self.queue, body, {"delivery-mode": 2})
            except AMQPError:
                await deferLater(reactor, 0.01)
            else:
                self.confirmed.append(body)
                return

    async def send_all(self, count: int, first: int = 0) -> None:
        await gatherResults([Deferred.fromCoroutine(self.send(b"%d" % each)) for each in range(first, first + count)])


class CutTests(SessionCase):
    """At each of many bytes, of either connection of a session and either side."""

    timeout = 300

    async def one(self, cut: tuple[int, str, int]) -> dict[tuple[int, str], int]:
        """A session's life with one cut; how many bytes passed in all."""
        proxy = Proxy(reactor, self.broker.port, cut)
        work = _Work(Address(port=proxy.start()))
        try:
            await Deferred.fromCoroutine(work.send_all(MESSAGES)).addTimeout(20, reactor)
            await self.until(lambda: set(work.received) >= set(work.confirmed), 20)
            self.assertEqual(sorted(set(work.received)), sorted(b"%d" % each for each in range(MESSAGES)))
            if cut[0] < 0:
                self.assertEqual(len(work.received), MESSAGES)  # twice only what was sent or delivered twice
            self.cuts += proxy.was_cut
            if proxy.was_cut:
                await self.delete_queue(work)
        finally:
            await work.session.stop()
            await proxy.stop()
            await self.until(lambda: not proxy._halves, 5)
        return proxy.passed

    async def delete_queue(self, work: _Work) -> None:
        for _ in range(2):
            await self.until(lambda: work.session.is_connected, 5)
            try:
                channel = await work.session.open_channel()
                await channel.queue_delete(queue=work.queue)
            except ConnectionLost:
                continue  # the session had not heard of its loss
            return
        self.fail("a connection that was not cut was lost")

    async def cut_everywhere(self, number: int, side: str) -> None:
        self.cuts = 0
        total = (await self.one((-1, "", 0)))[number, side]
        self.assertGreater(total, 300)
        for place in range(CUTS):
            await self.one((number, side, 1 + place * (total - 1) // (CUTS - 1)))
        self.assertGreater(self.cuts, CUTS * 3 // 4)  # some lives are a few bytes shorter than the first

    async def test_what_consumes_says(self) -> None:
        """The client's side of the connection that declares, consumes and acknowledges."""
        await self.cut_everywhere(0, "client")

    async def test_what_consumes_hears(self) -> None:
        """The broker's side of it: messages."""
        await self.cut_everywhere(0, "broker")

    async def test_what_publishes_says(self) -> None:
        """The client's side of the other: messages."""
        await self.cut_everywhere(1, "client")

    async def test_what_publishes_hears(self) -> None:
        """The broker's side of it: confirms."""
        await self.cut_everywhere(1, "broker")


class ClusterTests(SessionCase):
    async def test_leader_killed(self) -> None:
        """A session at another node, which has never published to that queue, does so when there is a new leader."""
        seed = Broker()
        brokers = [seed, Broker(seed=seed), Broker(seed=seed)]
        for broker in brokers:
            self.addCleanup(broker.remove)
            broker.start()
        first = self.session(seed)  # where a queue is declared its leader is
        await self.until(lambda: first.is_connected)
        await self.say(first, b"before")
        others = [self.session(broker) for broker in brokers[1:]]
        await self.until(lambda: all(each.is_connected for each in others))
        await deferLater(reactor, 6.0)  # younger ones may be lost with their leader
        seed.stop(signal.SIGKILL)
        refused = 0

        async def said(session: Session) -> None:
            nonlocal refused
            while True:
                try:
                    await self.say(session, b"after")
                    return
                except AMQPError:
                    refused += 1
                    await deferLater(reactor, 0.05)

        begun = [Deferred.fromCoroutine(said(each)) for each in others]
        await gatherResults(begun).addTimeout(10.0, reactor)
        self.assertGreater(refused, 0)
        others[0].consume(self.queue, self.take)
        await self.until(lambda: len(self.got) == 3)
        self.assertEqual(sorted(self.got), [b"after", b"after", b"before"])
