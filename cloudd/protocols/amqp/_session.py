# -*- test-case-name: tests.protocols.amqp.test_session -*-
"""
Being connected: a session connects again whenever it must, declares what there has to be, and consumes anew.

A broker that is stopped, restarted or cut off, a queue that somebody deletes, a password that is changed and changed
back: a session gets over each of them by itself, within ``LONGEST_DELAY_S`` after it has passed.  What it cannot know
is whether a message that waited for its confirm at that moment was taken: ``publish`` fails, and who called decides.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, TypeVar

from attrs import define, field, frozen
from twisted.internet.defer import Deferred, fail
from twisted.internet.task import deferLater
from twisted.logger import Logger

from ._address import Address
from ._channel import Channel, Delivery, OnCancelled, OnDelivery
from ._connection import Connection, connect
from ._errors import AMQPError, ConnectionLost, Refused

FIRST_DELAY_S = 0.1
LONGEST_DELAY_S = 2.0
# For declaring and consuming.  RabbitMQ never answers who consumes from a quorum queue that has just lost its leader.
FIRST_PATIENCE_S = 2.0
LONGEST_PATIENCE_S = 30.0

Result = TypeVar("Result")


@frozen
class Exchange:
    """To be declared; ``kind`` as ``direct``, ``topic`` or ``fanout``."""

    name: str
    kind: str
    durable: bool = True


@frozen
class Queue:
    """To be declared; an exclusive one goes with this connection, an ``auto_delete`` one with its last consumer."""

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


@define(eq=False)
class Consumer:
    """
    Messages of a queue that come, on each connection anew; made by ``Session.consume``.

    :ivar is_deaf: what comes is not taken, the broker gets it back with the channel
    :ivar is_consuming: whether the broker has agreed that messages come, on the connection of now
    """

    _queue: str | Callable[[], str]
    _on_delivery: OnDelivery
    prefetch: int
    on_consuming: Callable[[], object]
    no_ack: bool = False
    channel: Channel | None = None
    stopped: bool = False
    patience_s: float = FIRST_PATIENCE_S
    _tag: str = ""
    is_deaf: bool = False

    @property
    def queue(self) -> str:
        """Its name on the connection of now."""
        return self._queue if isinstance(self._queue, str) else self._queue()

    @property
    def is_consuming(self) -> bool:
        """See the class."""
        return bool(self._tag) and self.channel is not None and not self.channel.closed

    async def begin(self, channel: Channel, on_cancelled: OnCancelled) -> None:
        """On a channel that is prepared."""
        self.channel, self._tag = channel, ""
        await channel.basic_qos(prefetch_count=self.prefetch)
        self._tag = await channel.consume(self.queue, self._take, on_cancelled, no_ack=self.no_ack)
        if not self.stopped:
            self.on_consuming()

    def _take(self, delivery: Delivery) -> None:
        if not self.is_deaf:
            self._on_delivery(delivery)

    async def cancel(self) -> None:
        """No further message comes when this is done; those that have come can still be acknowledged, until ``end``."""
        self.stopped = True
        if not self.is_consuming or self.channel is None:
            self.is_deaf = True
            return
        try:
            await self.channel.basic_cancel(consumer_tag=self._tag)
        except AMQPError:
            return  # nothing comes on a channel that is closed

    async def end(self) -> None:
        """No further message comes; those that were not acknowledged are delivered to others.  Safe to call again."""
        self.stopped = self.is_deaf = True
        channel, self.channel = self.channel, None
        if channel is not None:
            try:
                await channel.leave()
            except AMQPError:
                return  # the connection went first


@define(eq=False)
class Session:
    """
    :param name: of this client at the broker
    :param on_change: called when it gets connected or loses the connection
    :ivar cause: why it is not connected; empty when it is
    :ivar connections: how many there have been
    """

    _reactor: Any
    _address: Address
    _topology: Topology = field(factory=Topology)
    _name: str = "cloudd"
    _on_change: Callable[[], object] = lambda: None
    _connect: Callable[..., Any] = connect
    _jitter: Callable[[], float] = random.random
    cause: str = "it has not been started"
    connections: int = 0
    _connection: Connection | None = None
    _publishing: Channel | None = None
    _consumers: list[Consumer] = field(factory=list)
    _running: Deferred[None] | None = None
    _waiting: Deferred[None] | None = None
    _stopping: bool = False
    _pauses: set[Deferred[None]] = field(factory=set)  # of consumers that begin again soon

    log = Logger()

    @property
    def is_connected(self) -> bool:
        """Whether messages can go out."""
        return self._publishing is not None and not self._publishing.closed

    def start(self) -> None:
        """Be connected from now on; ``stop`` ends it."""
        self._running = Deferred.fromCoroutine(self._run())

    @property
    def blocked(self) -> str:
        """Why the broker takes no messages though it is there, as short of memory; empty: it does."""
        return "" if self._connection is None else str(self._connection.blocked)

    async def open_channel(self) -> Channel:
        """
        One of one's own on the connection of now, to be left after use.

        :raises ConnectionLost: there is none
        """
        if self._connection is None or not self.is_connected:
            raise ConnectionLost(f"not connected to the broker: {self.cause}")
        return await self._connection.open_channel()

    async def stop(self) -> None:
        """Leave in order; messages that were not acknowledged are delivered to others."""
        self._stopping = True
        if self._waiting is not None:
            self._waiting.cancel()
        for pause in list(self._pauses):
            pause.cancel()
        if self._connection is not None:
            await self._connection.leave()
        if self._running is not None:
            await self._running

    def publish(
        self,
        exchange: str,
        routing_key: str,
        body: bytes,
        properties: Mapping[str, Any] | None = None,
        *,
        mandatory: bool = False,
    ) -> Deferred[None]:
        """As ``Channel.publish``, with confirms; fails with ``ConnectionLost`` at once when there is no connection."""
        channel = self._publishing
        if channel is None or channel.closed:
            self._renew()
            return fail(ConnectionLost(f"not connected to the broker: {self.cause}"))
        return channel.publish(exchange, routing_key, body, properties, mandatory=mandatory)

    def consume(
        self,
        queue: str | Callable[[], str],
        on_delivery: OnDelivery,
        prefetch: int = 10,
        on_consuming: Callable[[], object] = lambda: None,
        *,
        no_ack: bool = False,
    ) -> Consumer:
        """
        Let messages of a queue come, on each connection anew.

        :param queue: its name, or what gives it on each connection, when what there has to be was declared
        :param prefetch: so many at a time that are not acknowledged
        :param on_consuming: called each time the broker has agreed
        :param no_ack: messages count as acknowledged when the broker has sent them, and ``prefetch`` bounds nothing
        """
        consumer = Consumer(queue, on_delivery, prefetch, on_consuming, no_ack)
        self._consumers = [each for each in self._consumers if not each.stopped] + [consumer]
        if self._connection is not None and self.is_connected:
            self._keep_consuming(self._connection, consumer)
        return consumer

    async def _run(self) -> None:
        delay_s = FIRST_DELAY_S
        while not self._stopping:
            try:
                lost = await self._be_connected()
                delay_s = FIRST_DELAY_S
            except (AMQPError, OSError) as error:
                lost = error
                delay_s = min(delay_s * 2, LONGEST_DELAY_S)
            self._publishing = self._connection = None
            if self._stopping:
                break
            if str(lost) != self.cause:
                self.log.warn("{address}: {cause}", address=str(self._address), cause=lost)
            self.cause = str(lost)
            self._on_change()
            await self._pause(delay_s)
        self.cause = "it has been stopped"

    async def _be_connected(self) -> Exception:
        """From log-in to the end of the connection; its cause."""
        connection = self._connection = await self._connect(self._reactor, self._address, self._name)
        try:
            channel = await self._within(LONGEST_PATIENCE_S, connection, self._prepare(connection))
            await channel.confirm()
        except AMQPError:
            await connection.leave()
            raise
        self._publishing, self.cause = channel, ""
        self.connections += 1
        self.log.info("connected to {address}", address=str(self._address))
        for consumer in [each for each in self._consumers if not each.stopped]:
            self._keep_consuming(connection, consumer)
        self._on_change()
        cause: Exception = await connection.lost
        return cause

    async def _prepare(self, connection: Connection) -> Channel:
        channel = await connection.open_channel()
        await self._topology.declare(channel)
        return channel

    async def _within(self, seconds: float, connection: Connection, doing: Coroutine[Any, Any, Result]) -> Result:
        """End the connection when the broker leaves this unanswered: nothing else ends the call."""
        late = ConnectionLost(f"the broker did not answer within {seconds:g} s")
        timer = self._reactor.callLater(seconds, connection.end, late)
        try:
            return await doing
        finally:
            if timer.active():
                timer.cancel()

    def _keep_consuming(self, connection: Connection, consumer: Consumer) -> None:
        task = Deferred.fromCoroutine(self._consume(connection, consumer))
        task.addErrback(lambda failure: self.log.failure("a consumer has ended", failure=failure))

    async def _consume(self, connection: Connection, consumer: Consumer) -> None:
        """Until the connection ends; also when the queue is deleted, or the broker closes the channel."""
        while not (connection.closed or consumer.stopped):
            try:
                await self._consume_once(connection, consumer)
            except ConnectionLost:
                return
            except Refused as error:
                self.log.warn("consuming {queue}: {error}", queue=consumer.queue, error=error)
            if connection.closed or consumer.stopped or self._stopping:
                return
            pause: Deferred[None] = deferLater(self._reactor, FIRST_DELAY_S * (1 + self._jitter()))
            self._pauses.add(pause)
            await pause.addErrback(lambda _: None)
            self._pauses.discard(pause)

    async def _consume_once(self, connection: Connection, consumer: Consumer) -> None:
        ended: Deferred[None] = Deferred()

        async def begin() -> Channel:
            channel = await self._prepare(connection)
            await consumer.begin(channel, lambda: ended.callback(None))
            return channel

        patience_s, consumer.patience_s = consumer.patience_s, min(consumer.patience_s * 2, LONGEST_PATIENCE_S)
        channel = await self._within(patience_s, connection, begin())
        consumer.patience_s = FIRST_PATIENCE_S
        if consumer.is_deaf and not ended.called:
            await consumer.end()  # cancelled while it began
        await ended
        if not channel.closed:
            await channel.leave()

    def _renew(self) -> None:
        """
        Begin anew when the broker has closed the channel for messages, over one to an exchange that is gone.

        Another channel would do for messages, but bindings went with the exchange, and all that is declared is
        declared with a connection.
        """
        channel, connection = self._publishing, self._connection
        if channel is not None and channel.closed and connection is not None and not connection.closed:
            connection.end(
                ConnectionLost(f"the broker closed the channel for messages: {channel.reason}"), politely=True
            )

    async def _pause(self, seconds: float) -> None:
        """Not all sessions at the same moment, or a broker that comes back meets them all at once."""
        self._waiting = deferLater(self._reactor, seconds * (0.5 + self._jitter() / 2))
        await self._waiting.addErrback(lambda _: None)
        self._waiting = None
