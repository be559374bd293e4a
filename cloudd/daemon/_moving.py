# -*- test-case-name: tests.daemon.test_handover -*-
"""
A worker's part in a hand-over: the old one gives its connections, the new one takes them.

The anchor brings both ends of a link (``_rendezvous``).  The old worker shows that the new one can adopt (rehearsal),
tells the anchor so, and waits.  The anchor decides for all workers at once by the record of ``_committed``; a worker
that loses its anchor meanwhile reads that record and does what it says, so that all change or none.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import msgspec
from attrs import define
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from cloudd.protocols.http import HTTPAdopter, HTTPServerFactory, MovableHTTP, Request, http_kinds
from cloudd.protocols.http._connection import HTTPConnection
from cloudd.protocols.http._moving import AdoptedHTTP
from reload import Ending, HandoverLimits, IAdopted, Link, NewProcess, OldProcess, Snapshot, Spoken

PREPARE_S = 5.0  # longest that the clients of a batch wait for new code that hangs
DECISION_S = 120.0
COMMIT_S = 10.0  # after it new code is killed with the connections that it has: the machine may only be very busy
MAX_SHOWN_REASONS = 8
SURVEYED = 100  # connections that are looked at in one turn of the reactor


class Served(Protocol):
    """What a hand-over asks of its worker."""

    def open_ports(self) -> None:
        """Accept connections; without effect when it does."""

    def close_ports(self) -> None:
        """Accept no more, here; the sockets stay open."""

    def take_over(self) -> None:
        """A new worker: serve from now on; without effect when it does."""

    def left(self) -> None:
        """All its connections are another worker's: end."""


class Moving:
    """
    At most one hand-over to this worker, and one from it, at a time.

    Both go on at once where an older worker still has a request that cannot move while the next code comes already:
    what follows from there passes through here, on to the newest worker.

    :param factories: by face
    :param tell: tells the anchor: ``tell(phase, **facts)``; phases are ``rehearsed``, ``moved``, ``returned``,
        ``fence`` and ``ended`` of what is given, ``fence_old`` and ``taken`` of what is taken
    :param moved: called with each request that goes on in the other process
    :param window_s: longest time in which connections may be handed back
    :param spoken: gives the states of handlers that the code of this process tells and reads
    """

    log = Logger()

    def __init__(
        self,
        reactor: Any,
        factories: Mapping[str, HTTPServerFactory],
        served: Served,
        tell: Callable[..., None],
        moved: Callable[[Request], None],
        window_s: float,
        spoken: Callable[[], Spoken],
    ) -> None:
        self._reactor = reactor
        self._factories = factories
        self._served = served
        self._tell = tell
        self._moved_away = moved
        self._spoken = spoken
        self._limits = HandoverLimits(
            window_s=window_s, prepare_s=PREPARE_S, commit_s=COMMIT_S, decision_s=DECISION_S, must_return=True
        )
        self._giver: OldProcess | None = None
        self._taker: NewProcess | None = None
        self._decision: Deferred[None] | None = None
        self._decided = self._window_over = False
        self.generation = 0  # of the workers that are given to, or else of this one that takes

    @property
    def is_undecided(self) -> bool:
        """An old worker that waits for the decision."""
        return self._giver is not None and not self._decided

    @property
    def is_leaving(self) -> bool:
        """An old worker whose connections go, or have gone."""
        return self._giver is not None and self._decided

    async def survey(self) -> dict[str, int]:
        """Why connections could not move at this moment -> how many; looked at in slices."""
        found: dict[str, int] = {}
        for factory in self._factories.values():
            for batch in _batches(list(factory.connections)):
                for connection in batch:
                    reason = MovableHTTP(connection, self._moved_away).obstacle()
                    if reason and (reason in found or len(found) < MAX_SHOWN_REASONS):
                        found[reason] = found.get(reason, 0) + 1
                await deferLater(self._reactor, 0)
        return found

    @property
    def is_taking(self) -> bool:
        """A new worker whose old one still runs."""
        return self._taker is not None

    # ---- the old worker

    def give(self, end: socket.socket, generation: int) -> None:
        """Begin to give; nothing is decided yet."""
        _check_free(self._giver)
        self.generation, self._decision = generation, None
        self._decided = self._window_over = False
        old = self._giver = OldProcess(
            self._reactor,
            Link(self._reactor, end),
            http_kinds(self._spoken),
            self._movables,
            self._ask,
            adopter=HTTPAdopter(self._reactor, self._factories),
            limits=self._limits,
            fence=lambda cause: self._tell("fence", cause=cause),
            going_back=self._came_back,
            more=lambda: self._taker is not None,
        )
        old.ended.addCallback(self._given)
        old.start().addCallbacks(lambda _: self._has_moved(old), _heard_elsewhere)
        self._let_follow()

    def _has_moved(self, giver: OldProcess) -> None:
        self._tell("moved", **_facts(giver))
        if self._window_over:
            giver.end_window()

    def _ask(self) -> Deferred[None]:
        self._decision = Deferred()
        self._tell("rehearsed", **_facts(self._giver))
        return self._decision

    def decide(self) -> bool:
        """The host has decided for the new workers: give all.  False: there is nothing to decide."""
        decision, self._decision = self._decision, None
        if decision is None or decision.called:
            return self._decided
        self._decided = True
        self._served.close_ports()
        decision.callback(None)
        return True

    def abort(self, cause: str) -> None:
        """End what is under way: what has not moved is served here."""
        if self._giver is not None:
            self._giver.abort(cause)

    def abort_all(self, cause: str) -> None:
        """The same in both directions: the process ends."""
        self.abort(cause)
        if self._taker is not None:
            self._taker.abort(cause)

    def take_back(self, cause: str) -> None:
        """Have everything handed back; when the new worker has died, serve again what is left."""
        giver = self._giver
        if giver is not None:
            giver.take_back(cause).addCallbacks(
                lambda _: self._tell("returned", **_facts(giver)),
                lambda failure: self._tell("returned", cause=failure.getErrorMessage(), **_facts(giver)),
            )
        else:
            self._served.open_ports()
            self._tell("returned", **_facts(None))

    def end_window(self) -> None:
        """Nothing comes back from now on; what could not move still follows."""
        self._window_over = True
        if self._giver is not None:
            self._giver.end_window()
        else:
            self._served.left()  # the new worker has died meanwhile

    def _came_back(self, cause: str) -> None:
        self.log.info("connections come back: {cause}", cause=cause)
        self._served.open_ports()

    def _given(self, ending: Ending) -> None:
        decided, self._decided = self._decided, False
        facts = _facts(self._giver)
        self._giver = self._decision = None
        self._let_follow()
        self.log.info("the hand-over has ended: {how} {cause}", how=ending.how, cause=ending.cause)
        self._tell("ended", how=ending.how, cause=ending.cause, decided=decided, **facts)
        if decided and (ending.how == "moved" or self._window_over):
            self._served.left()

    # ---- the new worker

    def take(self, end: socket.socket, generation: int) -> None:
        """Take from the worker at the other end; it is served from the decision on."""
        _check_free(self._taker)
        self.generation = generation
        new = self._taker = NewProcess(
            self._reactor,
            Link(self._reactor, end),
            http_kinds(self._spoken),
            _PassingAdopter(self._reactor, self._factories, self._arrived),
            accept=lambda _listeners: self._served.take_over(),
            source=self._movables,
            limits=self._limits,
            fence=lambda cause: self._tell("fence_old", cause=cause),
            going_back=lambda _cause: self._served.close_ports(),
        )
        new.ended.addCallback(self._taken)
        new.start().addErrback(_heard_elsewhere)
        self._let_follow()

    def _arrived(self) -> None:
        """A connection has followed from an older worker: where this one gives, it goes on at once."""
        if self._giver is not None:
            self._giver.look_again()

    def _taken(self, ending: Ending) -> None:
        facts = _facts(self._taker)
        self._taker = None
        self._let_follow()
        self._tell("taken", how=ending.how, cause=ending.cause, decided=True, **facts)
        if ending.how == "returned":
            self._served.left()
        elif self._giver is not None:
            self._giver.look_again()  # nothing more comes: perhaps this was what it waited for

    # ---- both

    def _movables(self) -> Iterable[MovableHTTP]:
        return [self._movable(connection) for factory in self._factories.values() for connection in factory.connections]

    def _movable(self, connection: HTTPConnection) -> MovableHTTP:
        return MovableHTTP(connection, self._moved_away)

    def _let_follow(self) -> None:
        is_under_way = self._giver is not None or self._taker is not None
        for factory in self._factories.values():
            factory.may_move = self._may_move if is_under_way else None

    def _may_move(self, connection: HTTPConnection) -> None:
        if connection.transport is not None:
            for side in (self._giver, self._taker):
                if side is not None:
                    side.ready(self._movable(connection))


@implementer(IAdopted)
@define
class _Arriving:
    """An adopted connection that tells when it is served here."""

    _adopted: AdoptedHTTP
    _arrived: Callable[[], None]

    def resume(self) -> None:
        self._adopted.resume()
        self._arrived()

    def discard(self) -> None:
        self._adopted.discard()


class _PassingAdopter(HTTPAdopter):
    """:param arrived: called soon after a connection is served here"""

    def __init__(self, reactor: Any, factories: Mapping[str, HTTPServerFactory], arrived: Callable[[], None]) -> None:
        super().__init__(reactor, factories)
        self._clock, self._arrived = reactor, arrived

    def adopt(self, snapshot: Snapshot, descriptors: Sequence[int]) -> Any:
        return _Arriving(super().adopt(snapshot, descriptors), lambda: self._clock.callLater(0, self._arrived))


def _check_free(side: OldProcess | NewProcess | None) -> None:
    if side is not None:
        raise RuntimeError("a hand-over of this worker is under way")


def _facts(side: OldProcess | NewProcess | None) -> dict[str, Any]:
    """How far it has come, for the anchor."""
    if side is None:
        return {"moved": 0, "taken": 0, "lost": 0, "pause_s": 0.0, "later": {}}
    progress = side.progress
    later: dict[str, int] = {}
    for reason, detail in side.later.values():
        text = f"{reason.name}: {detail}" if detail else reason.name
        if text in later or len(later) < MAX_SHOWN_REASONS:
            later[text] = later.get(text, 0) + 1
    return {
        "moved": progress.moved,
        "taken": progress.taken,
        "lost": progress.lost,
        "pause_s": round(progress.longest_pause_s, 4),
        "later": later,
    }


def _batches(connections: list[HTTPConnection]) -> Iterator[list[HTTPConnection]]:
    return (connections[begin : begin + SURVEYED] for begin in range(0, len(connections), SURVEYED))


def state_file(state: Mapping[str, Any]) -> int:
    """A memory file with an application's snapshot, for the worker of other code; the caller closes it."""
    descriptor = os.memfd_create("cloudd-state", os.MFD_CLOEXEC)
    with open(os.dup(descriptor), "wb") as file:
        file.write(msgspec.msgpack.encode(state))
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


def read_state_file(descriptor: int) -> dict[str, Any]:
    """What ``state_file`` wrote; the descriptor is closed."""
    with open(descriptor, "rb") as file:
        state: dict[str, Any] = msgspec.msgpack.decode(file.read(), type=dict[str, Any])
    return state


def _heard_elsewhere(_failure: Failure) -> None:
    """Why a session failed is told by its ``ended``."""
