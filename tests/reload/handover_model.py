"""
A world of two processes for tests of the hand-over: connections, descriptors, a link, and every kind of accident.

A process dies by a fuse: each deed that others can see (sending, marking the ledger, freezing, thawing, serving) burns
one step, and at the last one the process stops there and then, in the middle of whatever it was doing.  The kernel's
part (descriptors in flight, shared memory, the end of a link) outlives it.  ``World.check`` says who must serve each
connection afterwards, from the ledger and the descriptors alone, and compares.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from unittest import mock

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from zope.interface import implementer

from reload import Snapshot, _handover_frames
from reload._handover_frames import Frame
from reload._handover_interfaces import IAdopted, IAdopter, IMovable, NotMovable, Offer, Reason
from reload._handover_kinds import Kinds
from reload._handover_ledger import Ledger, Mark
from reload._handover_messages import Prepare, decode
from reload._handover_new import NewProcess
from reload._handover_old import OldProcess
from reload._handover_side import HandoverLimits

KIND = "model-connection"
_FIRST_DESCRIPTOR = 50_000_000  # os.close of one of these in earnest would be EBADF


class Died(BaseException):
    """The process stops here."""


@define(eq=False)
class Connection:
    """
    What the kernel and the client know.

    :ivar truth: bytes that the client has exchanged
    :ivar holders: how many descriptors each process has
    :ivar flying: descriptors on their way to a process
    :ivar mark: the ledger's last entry for it, whose side wrote it, and the batch
    :ivar sent: who sent it last, in which batch
    """

    number: int
    truth: int = 0
    holders: dict[str, int] = field(factory=dict)
    flying: dict[str, int] = field(factory=dict)
    mark: tuple[Mark, str, int] | None = None
    sent: tuple[str, int] | None = None
    busy: bool = False
    restless: int = 0
    servers: set[str] = field(factory=set)


class SharedMemory(Ledger):
    """A ledger in a dict."""

    def __init__(self, world: World, giver: str, number: int) -> None:
        self.world, self.giver, self.descriptor = world, giver, number
        self.entries: dict[tuple[int, int], Mark] = {}
        self.connections: dict[tuple[int, int], Connection] = {}

    def mark(self, batch: int, slot: int, mark: Mark) -> None:
        world = self.world
        actor = self.giver if mark is not Mark.RESUMED else world.other(self.giver).name
        world.processes[actor].step()
        if mark is Mark.RESUMED:
            assert self.read(batch, slot) is Mark.OFFERED, "what was taken back, or never offered, is served elsewhere"
        if mark is Mark.OFFERED:
            exchange = world.processes[self.giver].side._exchange
            self.connections[batch, slot] = exchange._offered[slot].movable.connection
        self.entries = {key: value for key, value in self.entries.items() if key[1] != slot}
        self.entries[batch, slot] = mark
        self.connections[batch, slot].mark = (mark, actor, batch)

    def read(self, batch: int, slot: int) -> Mark:
        return self.entries.get((batch, slot), Mark.NONE)

    def close(self) -> None:
        """The kernel's part lives on."""


@implementer(IMovable)
class ModelMovable:
    """A connection as one process serves it."""

    def __init__(self, process: Process, connection: Connection, state: int, descriptor: int) -> None:
        self.process, self.connection, self.state, self.descriptor = process, connection, state, descriptor
        self.frozen = False

    def freeze(self) -> None:
        self.process.step()
        if self.connection.busy:
            raise NotMovable(Reason.BUSY)
        assert not self.frozen
        self.frozen = True
        self.connection.servers.remove(self.process.name)

    def offer(self) -> Offer:
        return Offer(Snapshot(KIND, 1, {"number": self.connection.number, "state": self.state}), (self.descriptor,))

    def changed(self) -> bool:
        if self.connection.restless:
            self.connection.restless -= 1
            return True
        return False

    def thaw(self) -> None:
        self.process.step()
        assert self.frozen
        self.frozen = False
        self.process.serve(self)

    def release(self) -> None:
        self.process.step()
        assert self.frozen
        del self.process.served[self.connection.number]
        self.process.world.close(self.descriptor)


@implementer(IAdopted)
class ModelAdopted:
    """A connection that is not served yet."""

    def __init__(self, movable: ModelMovable) -> None:
        self.movable = movable

    def resume(self) -> None:
        process = self.movable.process
        process.step()
        process.served[self.movable.connection.number] = self.movable
        process.serve(self.movable)

    def discard(self) -> None:
        self.movable.process.step()
        self.movable.process.world.close(self.movable.descriptor)


@implementer(IAdopter)
class ModelAdopter:
    """Where connections arrive in one process."""

    versions = {KIND: 1}

    def __init__(self, process: Process) -> None:
        self.process = process
        self.got: list[Snapshot] = []

    def adopt(self, snapshot: Snapshot, descriptors: Sequence[int]) -> ModelAdopted:
        self.process.step()
        self.got.append(snapshot)
        number = snapshot.fields["number"]
        if number in self.process.unwanted:
            self.process.world.unadopted(self.process, [self.process.world.connections[number]])
            raise OSError(107, "Transport endpoint is not connected")
        connection = self.process.world.connections[number]
        (descriptor,) = descriptors
        return ModelAdopted(ModelMovable(self.process, connection, snapshot.fields["state"], descriptor))


class ProcessClock:
    """The world's clock as one process sees it: nothing happens in a dead or stopped process."""

    def __init__(self, process: Process) -> None:
        self.process = process

    def seconds(self) -> float:
        return float(self.process.world.clock.seconds())

    def callLater(self, delay: float, call: Callable[..., object], *args: Any) -> Any:
        return self.process.world.clock.callLater(delay, self._run, call, args)

    def _run(self, call: Callable[..., object], args: tuple[Any, ...]) -> None:
        process = self.process
        if process.stopped:
            process.missed.append((call, args))
        else:
            process.do(call, *args)


class ModelLink:
    """One end of the link."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.receiver: Any = None
        self.open = True

    def start(self, receiver: Any) -> None:
        self.receiver = receiver

    def send(self, payload: bytes, descriptors: tuple[int, ...]) -> None:
        self.process.step()
        if self.open:
            self.process.world.sent(self.process, payload, descriptors)

    def close(self) -> None:
        self.open = False
        self.process.world.link_closed(self.process)


class Process:
    """
    One of the two.

    :ivar fuse: steps until it dies; negative for a long life
    :ivar stopped: nothing is received and no timer runs (SIGSTOP)
    """

    def __init__(self, world: World, name: str) -> None:
        self.world, self.name = world, name
        self.fuse = -1
        self.steps = 0
        self.alive, self.stopped = True, False
        self.missed: list[tuple[Callable[..., object], tuple[Any, ...]]] = []
        self.served: dict[int, ModelMovable] = {}
        self.unwanted: set[int] = set()
        self.link = ModelLink(self)
        self.clock = ProcessClock(self)
        self.side: Any = None

    def step(self) -> None:
        if not self.alive:
            raise Died
        self.steps += 1
        if self.fuse == 0:
            self.world.kill(self)
            raise Died
        self.fuse -= 1

    def do(self, call: Callable[..., object], *args: Any) -> None:
        """Run something in this process."""
        if self.alive:
            try:
                call(*args)
            except Died:
                assert not self.alive

    def serve(self, movable: ModelMovable) -> None:
        servers = movable.connection.servers
        assert not servers, f"{movable.connection} is served by {self.name} too"
        servers.add(self.name)

    def go_on(self) -> None:
        self.stopped = False
        missed, self.missed = self.missed, []
        for call, args in missed:
            self.do(call, *args)


_END = object()


class World:
    """
    Two processes, the kernel between them, and clients.

    :param chance: decides orders
    """

    def __init__(
        self,
        connections: int,
        batch: int = 2,
        chance: random.Random | None = None,
        new_kinds: Kinds | None = None,
        must_return: bool = False,
    ) -> None:
        new_kinds = new_kinds or Kinds({KIND: 1})
        self.clock = Clock()
        self.chance = chance or random.Random(1)
        self.connections = [Connection(number) for number in range(connections)]
        self.descriptors: dict[int, tuple[str, Any]] = {}
        self._next_descriptor = _FIRST_DESCRIPTOR
        self.ledgers: dict[int, SharedMemory] = {}
        self.old, self.new = Process(self, "old"), Process(self, "new")
        self.processes = {"old": self.old, "new": self.new}
        self.queues: dict[str, deque[Any]] = {"old": deque(), "new": deque()}
        self.accident: Callable[[Process, int, Any], Any] = lambda receiver, index, item: item
        self.delivered = 0
        self.fenced: list[str] = []
        self.accepting: dict[str, int] | None = None
        self.endings: dict[str, Any] = {}
        self.decision: Deferred[None] | None = None
        self.decide: Callable[[], Deferred[None] | None] = lambda: None
        limits = HandoverLimits(batch=batch, window_s=1.0, must_return=must_return)
        for connection in self.connections:
            descriptor = self.open("old", connection)
            movable = ModelMovable(self.old, connection, 0, descriptor)
            self.old.served[connection.number] = movable
            self.old.serve(movable)
        self.listener = self.open("old", "listener")
        self.old.side = OldProcess(
            self.old.clock,
            self.old.link,
            Kinds({KIND: 1}),
            lambda: list(self.old.served.values()),
            self._decide,
            adopter=ModelAdopter(self.old),
            listeners={"api": self.listener},
            limits=limits,
            fence=lambda cause: self.fence(self.new, cause),
            ledger=self._ledger("old"),
        )
        self.new.side = NewProcess(
            self.new.clock,
            self.new.link,
            new_kinds,
            ModelAdopter(self.new),
            accept=self._accept,
            source=lambda: list(self.new.served.values()),
            limits=limits,
            fence=lambda cause: self.fence(self.old, cause),
            ledger=self._ledger("new"),
        )
        for name, process in self.processes.items():
            process.side.open_ledger = lambda descriptor: self.ledgers[self.descriptors[descriptor][1]]
            process.side.ended.addCallback(lambda ending, name=name: self.endings.__setitem__(name, ending))

    def _decide(self) -> Deferred[None] | None:
        return self.decide()

    def _ledger(self, name: str) -> SharedMemory:
        ledger = SharedMemory(self, name, 0)
        key = len(self.ledgers)
        self.ledgers[key] = ledger
        ledger.descriptor = self.open(name, key)
        return ledger

    def _accept(self, listeners: dict[str, int]) -> None:
        self.accepting = listeners

    def other(self, name: str) -> Process:
        return self.new if name == "old" else self.old

    # ---- the kernel

    def open(self, name: str, thing: Any) -> int:
        self._next_descriptor += 1
        self.descriptors[self._next_descriptor] = (name, thing)
        if isinstance(thing, Connection):
            thing.holders[name] = thing.holders.get(name, 0) + 1
        return self._next_descriptor

    def close(self, descriptor: int) -> None:
        if descriptor not in self.descriptors:
            raise OSError(9, "Bad file descriptor")
        name, thing = self.descriptors.pop(descriptor)
        if isinstance(thing, Connection):
            thing.holders[name] -= 1

    def sent(self, sender: Process, payload: bytes, descriptors: tuple[int, ...]) -> None:
        receiver = self.other(sender.name)
        things = [self.descriptors[descriptor][1] for descriptor in descriptors]
        message = decode(payload)
        for thing in things:
            if isinstance(thing, Connection):
                assert isinstance(message, Prepare)
                thing.sent = (sender.name, message.batch)
                thing.flying[receiver.name] = thing.flying.get(receiver.name, 0) + 1
        self.queues[receiver.name].append((payload, things))

    def link_closed(self, process: Process) -> None:
        self.queues[self.other(process.name).name].append(_END)

    def kill(self, process: Process) -> None:
        if not process.alive:
            return
        process.alive = False
        for connection in self.connections:
            connection.holders[process.name] = 0
            connection.servers.discard(process.name)
        self._throw_away(process)
        self.note_descriptors()
        if process.link.open:
            self.link_closed(process)

    def _throw_away(self, process: Process) -> None:
        for item in self.queues[process.name]:
            if item is not _END:
                self._landed(process, item[1])
        self.queues[process.name].clear()

    def _landed(self, process: Process, things: list[Any]) -> None:
        for thing in things:
            if isinstance(thing, Connection):
                thing.flying[process.name] -= 1

    def fence(self, process: Process, cause: str) -> None:
        self.fenced.append(cause)
        self.kill(process)

    # ---- time and traffic

    def start(self, *names: str) -> None:
        for name in names or ("new", "old"):
            self.processes[name].do(self._start, self.processes[name])

    def _start(self, process: Process) -> None:
        process.side.start().addErrback(lambda _: None)

    def run(self, seconds: float = 0.0) -> None:
        """Everything that happens within ``seconds``."""
        end = self.clock.seconds() + seconds
        while True:
            self._settle()
            due = [call.getTime() for call in self.clock.getDelayedCalls()]
            if not due or min(due) > end:
                break
            self.clock.advance(max(0.0, min(due) - self.clock.seconds()))
        self.clock.advance(end - self.clock.seconds())
        self._settle()

    def _settle(self) -> None:
        while self.deliver_one():
            pass

    def deliver_one(self) -> bool:
        """Deliver a message, whichever; false when there is none."""
        ready = [p for p in self.processes.values() if self.queues[p.name] and not p.stopped and p.alive]
        if ready:
            self._deliver(self.chance.choice(ready))
            self._traffic()
        return bool(ready)

    def _deliver(self, receiver: Process) -> None:
        item = self.queues[receiver.name].popleft()
        if item is not _END:
            self.delivered += 1
            item = self.accident(receiver, self.delivered, item)
        if item is None or not receiver.alive:
            return
        if receiver.stopped:
            self.queues[receiver.name].appendleft(item)
        elif item is _END:
            self._throw_away(receiver)
            if receiver.link.open:
                receiver.link.open = False
                receiver.do(receiver.side.link_ended, "closed")
        else:
            self._hand_over(receiver, *item)

    def _hand_over(self, receiver: Process, payload: bytes, things: list[Any], announced: int | None = None) -> None:
        self._landed(receiver, things)
        if not receiver.link.open:
            return
        descriptors = tuple(self.open(receiver.name, thing) for thing in things)
        frame = Frame(payload, descriptors, len(descriptors) if announced is None else announced)
        receiver.do(receiver.side.frame_received, frame)

    def exhausted(self, receiver: Process, item: Any) -> None:
        """Deliver a message to a process which can open no descriptor but the first."""
        payload, things = item
        self._landed(receiver, things[1:])
        self.unadopted(receiver, things[1:])
        self._hand_over(receiver, payload, things[:1], announced=len(things))

    def unadopted(self, receiver: Process, things: list[Any]) -> None:
        """The receiver drops its only descriptors of these; what a dead giver had offered is lost with it."""
        if not self.other(receiver.name).alive:
            self._unheld |= {thing.number for thing in things if isinstance(thing, Connection)}

    def _traffic(self) -> None:
        """A client talks."""
        if not self.connections:
            return
        connection = self.chance.choice(self.connections)
        for name in connection.servers:
            process = self.processes[name]
            if process.alive and not process.stopped:
                process.served[connection.number].state += 1
                connection.truth += 1

    # ---- what must hold

    def check(self) -> None:
        """Each connection has exactly one server that knows all of it, unless its owner has died."""
        dead = {process.name for process in self.processes.values() if not process.alive}
        for connection in self.connections:
            holders = {name for name, count in connection.holders.items() if count}
            if self._lost_with(connection, dead):
                assert not connection.servers, f"{connection} was lost and is served"
                assert not holders, f"{connection} was lost and {holders} hold it"
                continue
            assert len(connection.servers) == 1, f"{connection} has no server, or several; dead: {dead}"
            (name,) = connection.servers
            assert holders == {name}, f"{connection} is served by {name} and held by {holders}"
            movable = self.processes[name].served[connection.number]
            assert not movable.frozen
            assert movable.state == connection.truth, f"{connection} has state {movable.state}"
        for process in self.processes.values():
            if process.alive and process.side._closed:
                assert not process.side._exchange._adopted and not process.side._exchange._offered

    def _lost_with(self, connection: Connection, dead: set[str]) -> bool:
        if connection.mark is None:
            return "old" in dead
        mark, actor, _ = connection.mark
        if mark is not Mark.OFFERED:
            return actor in dead
        return actor in dead and connection.number in self._unheld

    def note_descriptors(self) -> None:
        """At a death: which connections the survivor has no descriptor of, present or to come."""
        self._unheld = {
            connection.number
            for connection in self.connections
            if (connection.mark is not None and connection.sent != connection.mark[1:])
            or not any(
                connection.holders.get(process.name) or connection.flying.get(process.name)
                for process in self.processes.values()
                if process.alive
            )
        }

    _unheld: set[int] = set()


@contextmanager
def own_descriptors(world: World) -> Iterator[None]:
    """Descriptors that the library closes are the world's."""
    with mock.patch.object(_handover_frames, "os", mock.Mock(close=world.close)):
        yield


__all__ = ["KIND", "Connection", "Process", "World", "own_descriptors"]
