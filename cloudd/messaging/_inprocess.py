# -*- test-case-name: tests.messaging.test_inprocess -*-
"""
Messages inside one process: the transport of a cloud on one host with one worker, and of tests.

A ``Hub`` holds the queues that a broker would; a transport of it stands for one process of a host.  Everything goes
through bytes, as between processes, and arrives in a later turn of the reactor.  Kept messages (``Way.WORK``) are kept
in memory: they outlive their servers, not the process.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from attrs import define, field
from twisted.internet.defer import Deferred, fail, succeed
from zope.interface import implementer

from ._errors import Away, NobodyThere, Overloaded
from ._limits import Limits
from ._transport import IDelivery, IListening, ITransport, Parcel, SetAside, Take, Way

MOST_APART = 1_000
TOLD_CAUSES = 20


@define(eq=False)
class _Held:
    body: bytes
    expires_at: float | None
    redelivered: bool = False
    attempts: int = 0


@implementer(IDelivery)
@define(eq=False)
class _HubDelivery:
    _taker: _Taker
    _held: _Held

    @property
    def body(self) -> bytes:
        return self._held.body

    @property
    def redelivered(self) -> bool:
        return self._held.redelivered

    @property
    def attempts(self) -> int:
        return self._held.attempts

    def done(self) -> None:
        """It is done with."""
        self._taker.settle(self._held)

    def again(self) -> None:
        """To whomever."""
        if self._taker.settle(self._held):
            self._held.attempts += 1
            self._taker.queue.put_back(self._held)

    def set_aside(self, cause: str) -> None:
        """Beside the queues."""
        if self._taker.settle(self._held):
            self._taker.queue.hub.parked.append(cause)


@define(eq=False)
class _Taker:
    queue: _Queue
    take: Take
    most: int
    held: dict[int, _Held] = field(factory=dict)  # by identity

    @property
    def has_room(self) -> bool:
        return len(self.held) < self.most

    def settle(self, held: _Held) -> bool:
        """Whether it was not settled before."""
        if self.held.pop(id(held), None) is None:
            return False
        self.queue.flow_later()
        return True


@define(eq=False)
class _Queue:
    hub: Hub
    lasting: bool
    name: str
    messages: deque[_Held] = field(factory=deque)
    takers: deque[_Taker] = field(factory=deque)
    _flowing: bool = False

    @property
    def is_there(self) -> bool:
        return self.lasting or bool(self.takers)

    def put(self, held: _Held) -> None:
        self.messages.append(held)
        self.flow_later()

    def put_back(self, held: _Held) -> None:
        held.redelivered = True
        self.messages.appendleft(held)
        self.flow_later()

    def flow_later(self) -> None:
        if not self._flowing:
            self._flowing = True
            self.hub.clock.callLater(0, self._flow)

    def _flow(self) -> None:
        self._flowing = False
        while self.messages and (taker := self._next_taker()) is not None:
            held = self.messages.popleft()
            if held.expires_at is not None and held.expires_at <= self.hub.clock.seconds():
                if self.lasting:
                    self.hub.dead.append(f"{self.name}: expired")
                continue
            taker.held[id(held)] = held
            taker.take(_HubDelivery(taker, held))
        if not self.is_there:
            self.messages.clear()

    def _next_taker(self) -> _Taker | None:
        """In turns, of those that have room."""
        for _ in range(len(self.takers)):
            self.takers.rotate(-1)
            if self.takers[-1].has_room:
                return self.takers[-1]
        return None


@define(eq=False)
class Hub:
    """
    What the transports of one process share.

    :ivar parked: causes of messages that were set aside, the newest ``MOST_APART``
    :ivar dead: of those that expired
    """

    clock: Any
    limits: Limits = field(factory=Limits)
    parked: deque[str] = field(factory=lambda: deque(maxlen=MOST_APART))
    dead: deque[str] = field(factory=lambda: deque(maxlen=MOST_APART))
    _queues: dict[str, _Queue] = field(factory=dict)
    _everywhere: dict[str, set[str]] = field(factory=dict)  # topic -> names of its nodes' queues
    _patterns: dict[str, str] = field(factory=dict)  # name of a subscription's queue -> pattern
    _processes: dict[str, InProcess] = field(factory=dict)
    _count: int = 0

    def transport(self, node: str) -> InProcess:
        """One more process, on the host of that name."""
        self._count += 1
        return InProcess(self, node, f"{node}#{self._count}")

    def join(self, process: InProcess) -> None:
        """Answers reach it from now on."""
        self._processes[process.reply_to] = process

    def leave(self, process: InProcess) -> None:
        """They do not."""
        self._processes.pop(process.reply_to, None)

    def process(self, reply_to: str) -> InProcess | None:
        """To whom an answer goes."""
        return self._processes.get(reply_to)

    def put(self, parcel: Parcel) -> None:
        """
        :raises NobodyThere: see ``ITransport.send``
        :raises Overloaded: too many wait for this topic
        """
        queues = [queue for name in self._names(parcel) if (queue := self._queues.get(name)) and queue.is_there]
        if not queues:
            where = f" on {parcel.node}" if parcel.node else ""
            raise NobodyThere(f"nobody serves {parcel.topic}{where}")
        if any(len(queue.messages) >= self.limits.queued for queue in queues):
            raise Overloaded(f"{self.limits.queued} messages wait for {parcel.topic} already")
        expires_at = None if parcel.left_s is None else self.clock.seconds() + parcel.left_s
        for queue in queues:
            queue.put(_Held(parcel.body, expires_at))

    def _names(self, parcel: Parcel) -> list[str]:
        if parcel.way is Way.ALL:
            return sorted(self._everywhere.get(parcel.topic, ()))
        return [
            _node_queue(parcel.topic, parcel.node) if parcel.way is Way.NODE else f"{parcel.way.value} {parcel.topic}"
        ]

    def listen(self, topic: str, node: str, take: Take, most: int) -> IListening:
        """See ``ITransport.listen``."""
        mine = _node_queue(topic, node)
        self._everywhere.setdefault(topic, set()).add(mine)
        names = {f"{Way.CALL.value} {topic}": False, f"{Way.WORK.value} {topic}": True, mine: False}
        return _HubListening([self._taker(name, lasting, take, most) for name, lasting in names.items()])

    def publish(self, key: str, body: bytes) -> None:
        """See ``ITransport.publish``; a subscriber that is too far behind misses it."""
        for name, pattern in self._patterns.items():
            queue = self._queues[name]
            if (
                queue.takers
                and len(queue.messages) < self.limits.queued
                and matches(pattern.split("."), key.split("."))
            ):
                queue.put(_Held(body, None))

    def subscribe(self, pattern: str, take: Take, most: int) -> IListening:
        """See ``ITransport.subscribe``."""
        self._count += 1
        name = f"events {self._count}"
        self._patterns[name] = pattern

        def forget() -> None:
            self._patterns.pop(name, None)
            self._queues.pop(name, None)

        return _HubListening([self._taker(name, False, take, most)], forget)

    def _taker(self, name: str, lasting: bool, take: Take, most: int) -> _Taker:
        queue = self._queues.setdefault(name, _Queue(self, lasting, name))
        taker = _Taker(queue, take, most)
        queue.takers.append(taker)
        queue.flow_later()
        return taker


@implementer(IListening)
@define(eq=False)
class _HubListening:
    _takers: list[_Taker]
    _closed: Callable[[], object] = lambda: None

    @property
    def ready(self) -> Deferred[None]:
        """At once."""
        return succeed(None)

    def cancel(self) -> Deferred[None]:
        """At once."""
        for taker in self._takers:
            if taker in taker.queue.takers:
                taker.queue.takers.remove(taker)
                taker.queue.flow_later()
        return succeed(None)

    def close(self) -> Deferred[None]:
        """At once."""
        self.cancel()
        for taker in self._takers:
            for held in reversed(list(taker.held.values())):
                _HubDelivery(taker, held).again()
        self._closed()
        return succeed(None)


@implementer(ITransport)
@define(eq=False)
class InProcess:
    """Made by ``Hub.transport``."""

    _hub: Hub
    node: str
    reply_to: str
    cause: str = "it has not been started"
    since: float = 0.0
    _on_answer: Callable[[bytes], object] = lambda _: None

    def start(self, on_answer: Callable[[bytes], object], on_change: Callable[[], object]) -> None:
        """It is connected at once, until it is stopped."""
        self._on_answer = on_answer
        self._hub.join(self)
        self.cause, self.since = "", self._hub.clock.seconds()
        on_change()

    def stop(self) -> Deferred[None]:
        """At once."""
        self._hub.leave(self)
        self.cause, self.since = "it has been stopped", self._hub.clock.seconds()
        return succeed(None)

    def send(self, parcel: Parcel) -> Deferred[None]:
        """See ``ITransport``."""
        if self.cause:
            return fail(Away(self.cause))
        try:
            self._hub.put(parcel)
        except (NobodyThere, Overloaded) as error:
            return fail(error)
        return succeed(None)

    def answer(self, reply_to: str, message_id: str, body: bytes, left_s: float) -> Deferred[None]:
        """See ``ITransport``; to a process that has gone it goes nowhere."""
        process = self._hub.process(reply_to)
        if process is not None:
            self._hub.clock.callLater(0, process.take_answer, body)
        return succeed(None)

    def take_answer(self, body: bytes) -> None:
        """One has come."""
        if not self.cause:
            self._on_answer(body)

    def listen(self, topic: str, take: Take, most: int) -> IListening:
        """See ``ITransport``."""
        return self._hub.listen(topic, self.node, take, most)

    def publish(self, key: str, message_id: str, body: bytes) -> Deferred[None]:
        """See ``ITransport``."""
        if self.cause:
            return fail(Away(self.cause))
        self._hub.publish(key, body)
        return succeed(None)

    def subscribe(self, pattern: str, take: Take, most: int) -> IListening:
        """See ``ITransport``."""
        return self._hub.subscribe(pattern, take, most)

    def set_aside(self) -> SetAside:
        """See ``ITransport``."""
        parked, dead = self._hub.parked, self._hub.dead
        return SetAside(len(parked), len(dead), tuple([*parked, *dead][-TOLD_CAUSES:]))


def _node_queue(topic: str, node: str) -> str:
    return f"node {topic}@{node}"


def matches(pattern: list[str], key: list[str]) -> bool:
    """Whether words fit a pattern of words, ``*`` and ``#`` (as a topic exchange of AMQP)."""
    if not pattern:
        return not key
    if pattern[0] == "#":
        return any(matches(pattern[1:], key[skipped:]) for skipped in range(len(key) + 1))
    return bool(key) and pattern[0] in {"*", key[0]} and matches(pattern[1:], key[1:])
