# -*- test-case-name: tests.protocols.amqp.test_session -*-
"""
Being connected: a session connects again whenever it must, declares what there has to be, and consumes anew.

A broker that is stopped, restarted or cut off, a node of a cluster that dies, a queue that somebody deletes, a password
that is changed and changed back: a session gets over each of them by itself, within ``LONGEST_DELAY_S`` after it has
passed.  What it cannot know is whether a message that waited for its confirm at that moment was taken: ``publish``
fails, and who called decides.

It has two connections.  A broker that is short of memory reads nothing more from a connection on which messages come:
with one for both, acknowledgements would stick behind messages, and nobody could empty the queues that fill it.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Coroutine, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

from attrs import define, field
from twisted.internet.defer import CancelledError, Deferred, ensureDeferred, fail, gatherResults
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from ._address import Address
from ._channel import Channel, OnDelivery
from ._connection import Connection, connect
from ._consumer import FIRST_PATIENCE_S, Consumer
from ._errors import AMQPError, ConnectionLost, Refused
from ._topology import Topology

FIRST_DELAY_S = 0.1
LONGEST_DELAY_S = 2.0
# For declaring and consuming.  RabbitMQ never answers who consumes from a quorum queue that has just lost its leader.
LONGEST_PATIENCE_S = 30.0
# A channel whose first message for a quorum queue comes while that has no leader is refused all further ones, for ever:
# RabbitMQ goes on asking the node that has died.  Another channel asks the new leader.  So where messages are refused
# one takes the place of the other, though no more often than this; a queue that is full refuses on any.
RENEW_S = 1.0

Result = TypeVar("Result")


def _in_turn(address: Address | Sequence[Address]) -> tuple[Address, ...]:
    addresses = (address,) if isinstance(address, Address) else tuple(address)
    if not addresses:
        raise ValueError("a session needs the address of a broker")
    return addresses


@define(eq=False)
class Session:
    """
    :param address: of the broker, or of each node of a cluster, which are tried in turn
    :param name: of this client at the broker
    :param on_change: called when it gets connected or loses the connection
    :ivar cause: why it is not connected; empty when it is
    :ivar connections: how often it got connected
    """

    _reactor: Any
    _addresses: tuple[Address, ...] = field(alias="address", converter=_in_turn)
    _topology: Topology = field(factory=Topology)
    _name: str = "cloudd"
    _on_change: Callable[[], object] = lambda: None
    _connect: Callable[..., Any] = connect
    _jitter: Callable[[], float] = random.random
    cause: str = "it has not been started"
    connections: int = 0
    _turn: int = 0
    _connection: Connection | None = None  # which declares and consumes
    _outlet: Connection | None = None  # which publishes
    _publishing: Channel | None = None
    _opened_at: float = 0.0  # that channel
    _renewing: Deferred[None] | None = None
    _consumers: list[Consumer] = field(factory=list)
    _running: Deferred[None] | None = None
    _connecting: Deferred[Connection] | None = None
    _pauses: set[Deferred[None]] = field(factory=set)
    _stopping: bool = False

    log = Logger()

    @property
    def is_connected(self) -> bool:
        """Whether messages can go out."""
        return self._publishing is not None and not self._publishing.closed

    @property
    def blocked(self) -> str:
        """Why the broker takes no messages though it is there, as short of memory; empty: it does."""
        return "" if self._outlet is None else self._outlet.blocked

    @property
    def address(self) -> Address:
        """Where it is connected, or tries to be next."""
        return self._addresses[self._turn % len(self._addresses)]

    def use(self, address: Address | Sequence[Address]) -> None:
        """Other addresses, or another password: from the next connection on."""
        self._addresses, self._turn = _in_turn(address), 0

    def start(self) -> None:
        """Be connected from now on; ``stop`` ends it."""
        self._running = Deferred.fromCoroutine(self._run())

    async def stop(self) -> None:
        """Leave in order; messages that were not acknowledged are delivered to others."""
        self._stopping = True
        if self._connecting is not None:
            self._connecting.cancel()
        for pause in list(self._pauses):
            pause.cancel()
        there = [each for each in (self._outlet, self._connection) if each is not None]
        await gatherResults([Deferred.fromCoroutine(each.leave()) for each in there])
        if self._running is not None:
            await self._running

    async def open_channel(self) -> Channel:
        """
        One of one's own on the connection of now, to be left after use; not to publish on.

        :raises ConnectionLost: there is none
        """
        if self._connection is None or not self.is_connected:
            raise ConnectionLost(f"not connected to the broker: {self.cause}")
        return await self._connection.open_channel()

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
            return fail(ConnectionLost(f"not connected to the broker: {self.cause}"))
        return channel.publish(exchange, routing_key, body, properties, mandatory=mandatory)

    def writable(self) -> Deferred[None]:
        """Fires when ``publish`` is not ``Saturated`` by the connection; fails when there is none, or when it ends."""
        if self._outlet is None:
            return fail(ConnectionLost(f"not connected to the broker: {self.cause}"))
        return self._outlet.writable()

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

    # ---- being connected

    async def _run(self) -> None:
        delay_s = FIRST_DELAY_S
        while not self._stopping:
            began, lasted = self._reactor.seconds(), False
            try:
                lost = await self._be_connected()
                lasted = self._reactor.seconds() - began > LONGEST_DELAY_S
            except (AMQPError, OSError, CancelledError) as error:
                lost = error
            except Exception as error:
                self.log.failure("{address}: nobody has thought of this", address=str(self.address))
                lost = error
            if self._stopping:
                break
            if str(lost) != self.cause:
                self.log.warn("{address}: {cause}", address=str(self.address), cause=lost)
            delay_s = FIRST_DELAY_S if lasted else min(delay_s * 2, LONGEST_DELAY_S)
            self._turn += 1
            self._tell(str(lost) or type(lost).__name__)
            await self._pause(delay_s)
        self.cause = "it has been stopped"

    async def _be_connected(self) -> Exception:
        """From log-in to the end of either connection; its cause."""
        try:
            connection = self._connection = await self._open(self._name)
            await self._declare(connection)
            outlet = self._outlet = await self._open(f"{self._name} (messages)")
            over: Deferred[Exception] = Deferred()
            for lost in (connection.lost, outlet.lost):
                lost.addCallback(_fire, over)
            Deferred.fromCoroutine(self._publish_on(outlet, connection)).addErrback(_end, outlet)
            return await over
        finally:
            for each in (self._connection, self._outlet):  # neither is of use without the other
                if each is not None:
                    Deferred.fromCoroutine(each.leave())
            self._publishing = self._connection = self._outlet = None

    async def _open(self, name: str) -> Connection:
        self._connecting = ensureDeferred(self._connect(self._reactor, self.address, name))
        try:
            connection = await self._connecting
        finally:
            self._connecting = None
        if self._stopping:
            await connection.leave()
            raise ConnectionLost("it is being stopped")
        return connection

    async def _publish_on(self, outlet: Connection, connection: Connection) -> None:
        """Until the connection ends; with another channel when the broker closes one over a message."""
        channel = self._publishing = await self._within(LONGEST_PATIENCE_S, outlet, self._outgoing(outlet))
        self.connections += 1
        self.log.info("connected to {address}", address=str(self.address))
        for consumer in [each for each in self._consumers if not each.stopped]:
            self._keep_consuming(connection, consumer)
        self._tell("")
        while not outlet.closed:
            cause = await channel.gone
            if outlet.closed or connection.closed:
                return
            if channel is not self._publishing and self._publishing is not None:
                channel = self._publishing  # which has taken its place
                continue
            self.log.warn("publishing: {cause}", cause=cause)
            self._tell(str(cause))
            await self._pause(FIRST_DELAY_S)
            await self._declare(connection)  # it may have been what is not there any more
            channel = self._publishing = await self._within(LONGEST_PATIENCE_S, outlet, self._outgoing(outlet))
            self._tell("")

    def _refused(self, channel: Channel) -> None:
        """The broker does not take a message: perhaps another channel's."""
        outlet = self._outlet
        late = self._reactor.seconds() - self._opened_at >= RENEW_S
        if outlet is not None and channel is self._publishing and self._renewing is None and late:
            self._renewing = Deferred.fromCoroutine(self._renew(channel, outlet))
            self._renewing.addErrback(_end, outlet).addBoth(self._renewed)

    async def _renew(self, channel: Channel, outlet: Connection) -> None:
        """Publish on another channel; what waits for its confirm on this one still gets it."""
        fresh = await self._within(LONGEST_PATIENCE_S, outlet, self._outgoing(outlet))
        if channel is not self._publishing:
            await fresh.leave()
            return
        self._publishing = fresh
        deadline = self._reactor.seconds() + LONGEST_PATIENCE_S
        while channel.unconfirmed and not channel.closed and self._reactor.seconds() < deadline:
            await self._pause(FIRST_DELAY_S)
        await channel.leave()

    def _renewed(self, _: object) -> None:
        self._renewing = None

    def _tell(self, cause: str) -> None:
        self.cause = cause
        try:
            self._on_change()
        except Exception:
            self.log.failure("who was told of a change failed over it")

    async def _declare(self, connection: Connection) -> None:
        channel = await self._within(LONGEST_PATIENCE_S, connection, self._prepare(connection))
        await channel.leave()

    async def _outgoing(self, outlet: Connection) -> Channel:
        channel = await outlet.open_channel()
        await channel.confirm()
        self._opened_at = self._reactor.seconds()
        channel.on_refused = partial(self._refused, channel)
        return channel

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

    async def _pause(self, seconds: float) -> None:
        """Not all sessions at the same moment, or a broker that comes back meets them all at once."""
        if self._stopping:
            return  # a pause would outlast it
        pause: Deferred[None] = deferLater(self._reactor, seconds * (0.5 + self._jitter() / 2))
        self._pauses.add(pause)
        await pause.addErrback(lambda _: None)
        self._pauses.discard(pause)

    # ---- consuming

    def _keep_consuming(self, connection: Connection, consumer: Consumer) -> None:
        task = Deferred.fromCoroutine(self._consume(connection, consumer))
        task.addErrback(lambda failure: self.log.failure("a consumer has ended", failure=failure))

    async def _consume(self, connection: Connection, consumer: Consumer) -> None:
        """Until the connection ends; also when the queue is deleted, or the broker closes the channel."""
        delay_s, last = FIRST_DELAY_S, ""
        while not (connection.closed or consumer.stopped):
            try:
                await self._consume_once(connection, consumer)
                delay_s = FIRST_DELAY_S
            except ConnectionLost:
                return
            except Refused as error:
                delay_s = min(delay_s * 2, LONGEST_DELAY_S)
                if str(error) != last and not connection.closed:
                    self.log.warn("consuming {queue}: {error}", queue=consumer.queue, error=error)
                last = str(error)
            if not (connection.closed or consumer.stopped):
                await self._pause(delay_s)

    async def _consume_once(self, connection: Connection, consumer: Consumer) -> None:
        ended: Deferred[None] = Deferred()

        def end(_: object = None) -> None:
            if not ended.called:
                ended.callback(None)

        async def begin() -> Channel:
            channel = await self._prepare(connection)
            channel.gone.addCallback(end)
            if not consumer.stopped:
                await consumer.begin(channel, end)
            return channel

        patience_s, consumer.patience_s = consumer.patience_s, min(consumer.patience_s * 2, LONGEST_PATIENCE_S)
        channel = await self._within(patience_s, connection, begin())
        consumer.patience_s = FIRST_PATIENCE_S
        if not consumer.is_deaf:
            await ended
        await channel.leave()


def _fire(cause: Exception, over: Deferred[Exception]) -> None:
    if not over.called:
        over.callback(cause)


def _end(failure: Failure, connection: Connection) -> None:
    connection.end(failure.value if isinstance(failure.value, Exception) else ConnectionLost(str(failure.value)))
