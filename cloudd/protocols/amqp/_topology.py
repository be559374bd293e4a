# -*- test-case-name: tests.protocols.amqp.test_session -*-
"""What there has to be at a broker: exchanges, queues, bindings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import field, frozen

from ._channel import Channel


@frozen
class Exchange:
    """To be declared; ``kind`` as ``direct``, ``topic`` or ``fanout``."""

    name: str
    kind: str
    durable: bool = True


@frozen
class Queue:
    """
    To be declared.

    :param exclusive: only the connection that declares it consumes it, and it goes with that
    :param auto_delete: it goes with its last consumer
    """

    name: str
    durable: bool = True
    exclusive: bool = False
    arguments: Mapping[str, Any] = field(factory=dict)
    auto_delete: bool = False


@frozen
class Binding:
    """To be made."""

    queue: str
    exchange: str
    routing_key: str = ""


@frozen
class Topology:
    """What there has to be at the broker before anybody publishes or consumes."""

    exchanges: tuple[Exchange, ...] = ()
    queues: tuple[Queue, ...] = ()
    bindings: tuple[Binding, ...] = ()

    async def declare(self, channel: Channel) -> None:
        """
        Without effect on what is there already.

        :raises Refused: something of that name is there, and another thing
        """
        for exchange in self.exchanges:
            await channel.exchange_declare(exchange=exchange.name, type=exchange.kind, durable=exchange.durable)
        for queue in self.queues:
            await channel.queue_declare(
                queue=queue.name,
                durable=queue.durable,
                exclusive=queue.exclusive,
                auto_delete=queue.auto_delete,
                arguments=dict(queue.arguments),
            )
        for binding in self.bindings:
            await channel.queue_bind(queue=binding.queue, exchange=binding.exchange, routing_key=binding.routing_key)
