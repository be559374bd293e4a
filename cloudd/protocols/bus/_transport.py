# -*- test-case-name: tests.protocols.bus.test_faults -*-
"""One process's connection to the broker, as a transport of messaging."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from attrs import define, evolve, field
from twisted.internet.defer import Deferred, fail, gatherResults, succeed
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from cloudd.messaging import (
    Away,
    BadMessage,
    IListening,
    Interrupted,
    ITransport,
    Limits,
    MessagingError,
    NobodyThere,
    Overloaded,
    Parcel,
    SetAside,
    Take,
    Way,
)
from cloudd.protocols.amqp import (
    Address,
    AMQPError,
    Binding,
    Channel,
    Connection,
    Consumer,
    NotRouted,
    NotTaken,
    Refused,
    Saturated,
    Session,
    Topology,
    Unencodable,
    connect,
)

from . import _apart
from ._delivery import BrokerDelivery
from ._topology import EVENTS, Live, calls_queue, lasting, node_queue, of_one, of_topic, route, work_queue

LOOK_EVERY_S = 5.0
ANSWERS_AT_A_TIME = 1_000
ANSWER_AGAIN_S = 0.02
PERSISTENT = 2


@implementer(IListening)
@define(eq=False)
class _Listening:
    _consumers: list[Consumer]
    ready: Deferred[None]

    _forget: Callable[[], object]  # what there has to be because of it

    def cancel(self) -> Deferred[None]:
        """See ``IListening``."""
        forget, self._forget = self._forget, lambda: None
        forget()
        return self._of_all(Consumer.cancel)

    def close(self) -> Deferred[None]:
        """See ``IListening``."""
        forget, self._forget = self._forget, lambda: None
        forget()
        return self._of_all(Consumer.end)

    def _of_all(self, deed: Callable[[Consumer], Any]) -> Deferred[None]:
        done = gatherResults([Deferred.fromCoroutine(deed(each)) for each in self._consumers], consumeErrors=True)
        return done.addCallback(lambda _: None)


@implementer(ITransport)
@define(eq=False)
class BrokerTransport:
    """
    :param addresses: of the brokers of one cluster; the next one is tried when one fails
    :param node: the name of this host
    :param password: reads it, in a thread, before each connect; None: that of the address
    """

    _reactor: Any
    _addresses: Sequence[Address]
    node: str
    _limits: Limits = field(factory=Limits)
    _password: Callable[[], str] | None = None
    since: float = field(init=False, default=0.0)
    _own: str = field(init=False, factory=lambda: os.urandom(6).hex())  # of this process, in names of its queues
    _session: Session = field(init=False)
    _client: Any = field(init=False, default=None)  # the connection whose queues have the number below
    _number: int = field(init=False, default=0)
    _topics: Counter[str] = field(init=False, factory=Counter)
    _subscriptions: dict[int, str] = field(init=False, factory=dict)  # its number -> pattern
    _subscribed: int = field(init=False, default=0)
    _outgoing: int = field(init=False, default=0)  # bytes that the broker has not answered for
    _apart: SetAside = field(init=False, factory=SetAside)
    _timer: Any = field(init=False, default=None)
    _on_change: Callable[[], object] = field(init=False, default=lambda: None)
    _blocked: str = field(init=False, default="")

    log = Logger()

    def __attrs_post_init__(self) -> None:
        if not self._addresses:
            raise ValueError("messaging over a broker needs the address of one")
        self._session = Session(
            self._reactor,
            self._addresses,
            Live(ask=self._declare),
            f"cloudd {self.node} {os.getpid()}",
            self._changed,
            self._connect,
        )

    # ---- being connected

    @property
    def cause(self) -> str:
        """See ``ITransport``."""
        if self._session.cause:
            return self._session.cause
        blocked = self._session.blocked
        if blocked != self._blocked:
            self._blocked, self.since = blocked, self._reactor.seconds()
        return f"the broker takes no messages: {blocked}" if blocked else ""

    @property
    def reply_to(self) -> str:
        """See ``ITransport``: a name of its own on each connection, as the broker may not have noticed the last end."""
        return f"cloudd.replies.{self.node}.{self._own}.{self._number}"

    def start(self, on_answer: Callable[[bytes], object], on_change: Callable[[], object]) -> None:
        """See ``ITransport``."""
        self._on_change = on_change
        self.since = self._reactor.seconds()

        # Nobody else could have an answer that this process did not take: its queue goes with the connection.
        self._session.consume(
            lambda: self.reply_to, lambda delivery: on_answer(delivery.body), ANSWERS_AT_A_TIME, no_ack=True
        )
        self._session.start()
        self._timer = self._reactor.callLater(LOOK_EVERY_S, self._look)

    def stop(self) -> Deferred[None]:
        """See ``ITransport``."""
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None
        return Deferred.fromCoroutine(self._session.stop())

    async def _connect(self, reactor: Any, address: Address, name: str) -> Connection:
        if self._password is not None:
            address = evolve(address, password=await deferToThread(self._password))
        return await connect(reactor, address, name)

    def _changed(self) -> None:
        self.since = self._reactor.seconds()
        self._on_change()

    # ---- what there has to be

    async def _declare(self, channel: Channel) -> None:
        if channel.client is not self._client:
            self._client = channel.client
            self._number += 1
        await lasting().declare(channel)
        await Topology(queues=(of_one(self.reply_to),)).declare(channel)
        for topology in self._asked_for():
            await self._try_to_declare(channel.client, topology)

    def _asked_for(self) -> list[Topology]:
        asked = [of_topic(topic, self.node, self._limits) for topic in self._topics]
        for number, pattern in self._subscriptions.items():
            name = self._events_queue(number)
            asked.append(Topology(queues=(of_one(name),), bindings=(Binding(name, EVENTS, pattern),)))
        return asked

    async def _try_to_declare(self, connection: Connection, topology: Topology) -> None:
        """
        Each on a channel of its own: a queue whose last consumer leaves may go before it is bound.

        Whoever needs it finds out when it consumes, and all is declared again then; the others go on.
        """
        channel = await connection.open_channel()
        try:
            await topology.declare(channel)
            await channel.leave()
        except Refused as error:
            self.log.info("declaring: {error}", error=error)

    def _events_queue(self, number: int) -> str:
        return f"cloudd.events.{self.node}.{self._own}.{self._number}.{number}"

    # ---- what goes out

    def send(self, parcel: Parcel) -> Deferred[None]:
        """See ``ITransport``."""
        properties: dict[str, Any] = {"message-id": parcel.id}
        if parcel.way is Way.WORK:
            properties["delivery-mode"] = PERSISTENT
        if parcel.left_s is not None:
            properties["expiration"] = str(max(1, int(parcel.left_s * 1000)))
        exchange, key = route(parcel)
        return self._publish(exchange, key, parcel.body, properties, mandatory=True)

    def publish(self, key: str, message_id: str, body: bytes) -> Deferred[None]:
        """See ``ITransport``."""
        return self._publish(EVENTS, key, body, {"message-id": message_id})

    def answer(self, reply_to: str, message_id: str, body: bytes, left_s: float) -> Deferred[None]:
        """See ``ITransport``; to a queue that is gone it goes nowhere."""
        return Deferred.fromCoroutine(self._answer(reply_to, body, {"message-id": message_id}, left_s))

    async def _answer(self, reply_to: str, body: bytes, properties: dict[str, Any], left_s: float) -> None:
        ends_at = self._reactor.seconds() + left_s
        while True:
            try:
                await self._publish("", reply_to, body, properties)
                return
            except (Away, Overloaded, Interrupted):
                if self._reactor.seconds() >= ends_at:
                    raise
            await deferLater(self._reactor, ANSWER_AGAIN_S)

    def _publish(
        self, exchange: str, key: str, body: bytes, properties: dict[str, Any], *, mandatory: bool = False
    ) -> Deferred[None]:
        if cause := self.cause:
            return fail(Away(cause))
        size, connected = len(body), self._session.is_connected
        if self._outgoing and self._outgoing + size > self._limits.outgoing_bytes:
            return fail(Overloaded(f"{self._outgoing} bytes wait for the broker already"))
        try:
            sent = self._session.publish(exchange, key, body, properties, mandatory=mandatory)
        except Unencodable as error:
            return fail(BadMessage(str(error)))
        self._outgoing += size
        return sent.addCallbacks(self._taken, self._not_taken, (size,), {}, (size, connected))

    def _taken(self, _: None, size: int) -> None:
        self._outgoing -= size

    def _not_taken(self, why: Failure, size: int, connected: bool) -> Failure:
        self._outgoing -= size
        if not isinstance(why.value, AMQPError):
            return why
        return Failure(_translated(why.value) if connected else Away(str(why.value)))

    # ---- what comes

    def listen(self, topic: str, take: Take, most: int) -> IListening:
        """See ``ITransport``."""
        self._topics[topic] += 1

        def forget() -> None:
            self._topics[topic] -= 1
            if not self._topics[topic]:
                del self._topics[topic]

        queues = (work_queue(topic), node_queue(topic, self.node), calls_queue(topic))
        return self._consume(queues, take, most, forget)

    def subscribe(self, pattern: str, take: Take, most: int) -> IListening:
        """See ``ITransport``."""
        self._subscribed += 1
        number = self._subscribed
        self._subscriptions[number] = pattern
        name, forget = lambda: self._events_queue(number), lambda: self._subscriptions.pop(number, None)
        return self._consume((name,), take, most, forget)

    def _consume(
        self, queues: Sequence[str | Callable[[], str]], take: Take, most: int, forget: Callable[[], object]
    ) -> IListening:
        ready: Deferred[None] = Deferred()

        def consuming() -> None:
            if not ready.called and all(consumer.is_consuming for consumer in consumers):
                ready.callback(None)

        def taken(delivery: Any) -> None:
            take(BrokerDelivery(self._reactor, self._session, delivery))

        consumers: list[Consumer] = []
        consumers += [self._session.consume(queue, taken, most, consuming) for queue in queues]
        return _Listening(consumers, ready, forget)

    # ---- what lies apart

    def set_aside(self) -> SetAside:
        """See ``ITransport``; at most ``LOOK_EVERY_S`` old when there is a connection."""
        return self._apart

    def _look(self) -> None:
        looked: Deferred[None] = succeed(None)
        if not self.cause:
            looked = Deferred.fromCoroutine(self._look_apart())
        looked.addErrback(lambda why: self.log.warn("what is apart cannot be told: {why}", why=why.getErrorMessage()))
        looked.addBoth(lambda _: self._look_again())

    async def _look_apart(self) -> None:
        self._apart = await _apart.look(self._session, self._apart)

    def _look_again(self) -> None:
        if self._timer is not None:
            self._timer = self._reactor.callLater(LOOK_EVERY_S, self._look)


def _translated(error: AMQPError) -> MessagingError:
    if isinstance(error, NotRouted):
        return NobodyThere(f"nobody is there for it: {error}")
    if isinstance(error, NotTaken):
        return Overloaded("the broker refused it: its queue is full")
    if isinstance(error, Saturated):
        return Overloaded(str(error))
    return Interrupted(f"the connection was lost before the broker answered: {error}")
