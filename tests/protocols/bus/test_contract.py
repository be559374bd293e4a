"""Messaging over a real broker keeps to the contract."""

from __future__ import annotations

from unittest import SkipTest

from twisted.internet import reactor
from twisted.trial.unittest import TestCase

from cloudd.messaging import ITransport, Limits
from cloudd.protocols.amqp import Address, connect
from cloudd.protocols.bus import BrokerTransport, _transport
from cloudd.protocols.bus._topology import DEAD, PARKED, lasting
from tests.contracts.messaging import MessagingContract
from tests.protocols.amqp.broker import PROGRAMS, Broker, shared_broker

HEARTBEAT_S = 2


async def empty(broker: Broker) -> None:
    """Of what tests before have left apart."""
    connection = await connect(reactor, Address(port=broker.port))
    for queue in (PARKED, DEAD):
        channel = await connection.open_channel()
        await lasting().declare(channel)
        await channel.queue_purge(queue=queue)
    await connection.leave()


class BrokerTests(MessagingContract, TestCase):
    timeout = 120

    async def setUp(self) -> None:  # type: ignore[override]
        if not PROGRAMS.is_dir():
            raise SkipTest("RabbitMQ is not installed")
        self.broker = shared_broker()
        self.patch(_transport, "LOOK_EVERY_S", 0.3)
        await empty(self.broker)
        self.build()

    def make_transport(self, node: str, limits: Limits) -> ITransport:
        return BrokerTransport(reactor, [Address(port=self.broker.port, heartbeat_s=HEARTBEAT_S)], node, limits)
