# -*- test-case-name: tests.tasks.test_runner -*-
"""
Which tasks a worker runs, and when it looks for them.

**Looking.**  Several times a second, if anybody has committed since, and otherwise when the next task is due: a short
read, and a claim only if something is due.  So a task that was submitted by another worker of the host begins within
``LOOK_S``, and an idle host writes nothing.  Where commits cannot be seen (another host's), every ``POLL_S``, and when
another node tells of a task (``_told``).  Which may be claimed here at all the registry of nodes says (``here``).

**Leases** are renewed three times in their length, all of them in one write.  One that could not be renewed for
``FENCE`` of its length is taken for lost, and its step is cancelled, before the database lets somebody else have it.
A step that hangs is cut off as well (``Kind.silence_s``): it would keep its lease, and one of the places, for ever.

**Kinds.**  Code in a canary, and the code that it may follow, share the kinds among them: ``lead`` says which are run
here from now on.  What runs of another ends where it saves next, and whoever leads its kind goes on with it at once.

**Places.**  A kind may have a share of them alone (``Kind.share``): work that waits for strangers leaves room for
others.

**Rest.**  ``rest`` claims nothing more and lets each task end where it saves next; it gives its lease back with that
very write.  After ``REST_S`` what has not saved is cancelled.  The timers end with the last of them.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Iterable
from typing import Any

from attrs import define, field
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from cloudd.interfaces.application import Transactions

from . import _rows
from ._execution import Ended, Execution
from ._kind import Kind
from ._places import claim_within, with_room
from ._rows import ANYWHERE, Here
from ._task import Moment

LOOK_S = 0.25
POLL_S = 1.0
LONGEST_LOOK_S = 5.0  # where commits are seen
RENEWALS = 3  # in the length of a lease
FENCE = 0.9
REST_S = 3.0

log = Logger()


def _unwatched(_moment: str) -> None:
    """Nobody looks."""


@define(eq=False)
class Runner:
    """
    Runs tasks in this process.

    :param kinds: those that can be run here; all of them are until ``lead`` says otherwise
    :param owner: what operators read of who runs a task
    :param parallel: most tasks at one time
    :param lease_s: how long the task of a dead process waits for another one
    :param ended: told how each execution ended
    :param moment: see ``_execution``
    :ivar cause: why no tasks can be looked for; empty: they can
    :ivar here: which may be claimed; what runs goes on
    """

    _reactor: Any
    _database: Transactions
    kinds: dict[str, Kind]
    _owner: str
    _parallel: int
    _lease_s: float
    _ended: Callable[[Kind, Ended], object] = field(default=lambda _kind, _ended: None)
    _moment: Moment = _unwatched
    _chance: Callable[[], float] = random.random
    cause: str = field(init=False, default="")
    here: Here = field(init=False, default=ANYWHERE)
    _readable: dict[str, tuple[int, ...]] = field(init=False)
    _running: set[Execution] = field(init=False, factory=set)
    _timers: list[LoopingCall] = field(init=False, factory=list)
    _looks: bool = field(init=False, default=False)
    _poked: bool = field(init=False, default=True)
    _seen: int | None = field(init=False, default=None)  # version of the database
    _look_at: float = field(init=False, default=0.0)
    _on_trial: bool = field(init=False, default=False)
    _rests: bool = field(init=False, default=False)
    _cutting: Any = field(init=False, default=None)
    _waiting: list[Deferred[None]] = field(init=False, factory=list)

    def __attrs_post_init__(self) -> None:
        self._readable = self._readable_of(self.kinds)

    @property
    def running(self) -> int:
        """Tasks that this runner has a lease on."""
        return len(self._running)

    def running_of(self, kind: str) -> int:
        """Those of one kind."""
        return sum(execution.kind.form.name == kind for execution in self._running)

    def lead(self, kinds: Collection[str], on_trial: bool) -> None:
        """
        Run tasks of these kinds alone.

        :param on_trial: see ``_execution``
        """
        self._readable = self._readable_of(kinds)
        self._on_trial = on_trial
        for execution in self._running:
            execution.on_trial = on_trial
            if execution.kind.form.name not in self._readable:
                execution.rest()
        self.poke()

    def _readable_of(self, kinds: Collection[str]) -> dict[str, tuple[int, ...]]:
        return {name: kind.form.readable for name, kind in self.kinds.items() if name in kinds}

    def start(self) -> None:
        """Begin to look for tasks."""
        if self._timers or self._rests:
            return
        self._every(LOOK_S, self._tick)
        self._every(self._lease_s / RENEWALS, lambda: Deferred.fromCoroutine(self._renew()))

    def poke(self) -> None:
        """A task was submitted in this process: look at once."""
        self._poked = True
        if self._timers and not self._rests:
            self._tick()

    def rest(self) -> Deferred[None]:
        """Claim nothing more; fires when nothing runs any more.  Safe to call again."""
        if not self._rests:
            self._rests = True
            for execution in self._running:
                execution.rest()
            if self.is_busy:
                self._cutting = self._reactor.callLater(REST_S, self._cut_off)
        if not self.is_busy:
            self._stop()
            return succeed(None)
        waiting: Deferred[None] = Deferred()
        self._waiting.append(waiting)
        return waiting

    @property
    def is_busy(self) -> bool:
        """Whether a task runs here, or one may just be claimed."""
        return self._looks or bool(self._running)

    # ---- looking

    def _tick(self) -> None:
        self._fence()
        now = self._reactor.seconds()
        if self._looks or self._rests or not self.here or len(self._running) >= self._parallel:
            return
        version = self._database.version()
        if not self._poked and version == self._seen and now < self._look_at:
            return
        self._looks, self._poked, self._seen = True, False, version
        looking = Deferred.fromCoroutine(self._look(now, version))
        looking.addErrback(self._cannot_look).addBoth(self._has_looked)

    async def _look(self, now: float, version: int | None) -> None:
        longest_s = POLL_S if version is None else LONGEST_LOOK_S
        self._look_at = now + longest_s
        readable = with_room(self._readable, self._room())
        waits_us = await self._database.read(_rows.next_due_us, readable, self.here)
        self.cause = ""
        if waits_us is None:
            return
        if waits_us > 0:
            self._look_at = now + min(longest_s, waits_us / 1e6)
            return
        self._look_at = began = self._reactor.seconds()
        self._moment("claim")
        lasts_us = int(self._lease_s * 1e6)
        free, room = self._parallel - len(self._running), self._room()
        claimed = await self._database.write(
            claim_within, self._readable, self._owner, lasts_us, free, self.here, room=room
        )
        self._moment("claim, written")
        for lease, facts in claimed:
            kind = self.kinds[facts.kind]
            self._begin(Execution(kind, lease, facts, began, self._database, self._moment, self._chance))

    @property
    def full(self) -> list[str]:
        """Kinds of which no more may begin here before one has ended."""
        return [name for name, room in self._room().items() if not room]

    def _room(self) -> dict[str, int]:
        """Kinds that may not have all places -> how many more of their tasks may begin."""
        limits = {name: kind.most(self._parallel) for name, kind in self.kinds.items() if kind.share < 1}
        return {name: max(0, most - self.running_of(name)) for name, most in limits.items()}

    def _cannot_look(self, failure: Failure) -> None:
        self.cause = f"tasks cannot be looked for: {failure.getErrorMessage()}; it is tried again"
        log.warn("{cause}", cause=self.cause)

    def _has_looked(self, _: object) -> None:
        self._looks = False
        self._end_rest()

    def _begin(self, execution: Execution) -> None:
        self._running.add(execution)
        execution.on_trial = self._on_trial
        if self._rests or execution.kind.form.name not in self._readable:
            execution.rest()
        running = Deferred.fromCoroutine(execution.run())
        running.addErrback(self._broke_off, execution).addCallback(self._has_ended, execution)

    def _broke_off(self, failure: Failure, execution: Execution) -> Ended:
        log.failure("task {task_id} breaks off; its lease will end", failure, task_id=execution.claimed.id)
        return Ended("lost")

    def _has_ended(self, ended: Ended, execution: Execution) -> None:
        self._running.discard(execution)
        try:
            self._ended(execution.kind, ended)
        except Exception:
            log.failure("telling of a task that has ended")
        self._reactor.callLater(0, self.poke)  # there is room for another
        self._end_rest()

    # ---- leases

    async def _renew(self) -> None:
        executions = list(self._running)
        if not executions:
            return
        began = self._reactor.seconds()
        self._moment("renew")
        try:
            leases = [execution.lease for execution in executions]
            held = await self._database.write(_rows.renew, leases, int(self._lease_s * 1e6))
        except Exception as error:
            log.warn("leases of tasks cannot be renewed: {cause}", cause=str(error))
            return
        self._moment("renew, written")
        for execution in executions:
            standing = held.get(execution.lease)
            if standing is not None:
                execution.proven_at = began
                execution.heard(standing)
            elif execution in self._running:
                execution.lose()

    def _fence(self) -> None:
        now = self._reactor.seconds()
        for execution in list(self._running):
            if execution.proven_at < now - FENCE * self._lease_s:
                execution.lose()
            else:
                execution.look(now)

    # ---- the end

    def _cut_off(self) -> None:
        for execution in list(self._running):
            execution.cut_off()

    def _end_rest(self) -> None:
        if self._rests and not self.is_busy:
            self._stop()
            waiting, self._waiting = self._waiting, []
            for each in waiting:
                each.callback(None)

    def _stop(self) -> None:
        if self._cutting is not None and self._cutting.active():
            self._cutting.cancel()
        for timer in self._timers:
            if timer.running:
                timer.stop()
        self._timers.clear()

    def _every(self, seconds: float, call: Callable[[], Any]) -> None:
        timer = LoopingCall(call)
        timer.clock = self._reactor
        self._timers.append(timer)
        timer.start(seconds, now=False).addErrback(lambda failure: log.failure("looking for tasks has ended", failure))


def by_name(kinds: Iterable[Kind]) -> dict[str, Kind]:
    """
    :raises ValueError: two have one name
    """
    found: dict[str, Kind] = {}
    for kind in kinds:
        if found.setdefault(kind.form.name, kind) is not kind:
            raise ValueError(f"there are two kinds of the name {kind.form.name}")
    return found
