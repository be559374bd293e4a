# -*- test-case-name: tests.tasks.test_service -*-
"""Tasks as one part of a generation, with one life."""

from __future__ import annotations

import os
import socket
from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from typing import Any

from attrs import define, field
from sqlalchemy import Connection
from twisted.internet.defer import Deferred, gatherResults, succeed
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from cloudd.interfaces.application import PartHealth, Resources, SelfCheckFailed, WorkForm, WorkReport

from . import _operators, _rows
from ._errors import TaskError
from ._execution import Ended
from ._kind import Fields, Form, Kind
from ._operators import STATES, Count
from ._record import Record
from ._rows import ANYWHERE, Here
from ._runner import Runner, by_name
from ._told import Told

COUNT_EVERY_S = 5.0
FORGET_EVERY_S = 60.0
FORGOTTEN_AT_ONCE = 1_000
STUCK_S = 60.0
MAX_LISTED = 1_000

log = Logger()


@define(eq=False)
class Tasks:
    """
    Work that outlives its process, in one worker of one generation.  See the package for an overview.

    Every worker submits; the agent's runs.
    """

    _resources: Resources
    _kinds: dict[str, Kind] = field(converter=by_name)
    _runner: Runner | None = field(init=False, default=None)
    _told: Told | None = field(init=False, default=None)
    _timers: list[LoopingCall] = field(init=False, factory=list)
    _counts: list[Count] = field(init=False, factory=list)
    _overdue_s: float = field(init=False, default=0.0)
    _counted: int | None = field(init=False, default=None)  # version of the database
    _shown: set[tuple[str, str]] = field(init=False, factory=set)
    _gauge: Any = field(init=False)
    _records: dict[str, Record] = field(init=False, factory=lambda: defaultdict(Record))
    _outcomes: Any = field(init=False)
    _seconds: Any = field(init=False)

    def __attrs_post_init__(self) -> None:
        metrics = self._resources.metrics
        self._gauge = metrics.gauge("cloudd_tasks", "Tasks that are not done", ("kind", "state"))
        self._outcomes = metrics.counter("cloudd_task_ends", "How attempts at tasks ended", ("kind", "how"))
        self._seconds = metrics.histogram("cloudd_task_seconds", "From the order of a task to its end", ("kind",))
        if self._resources.role in ("agent", "all"):
            settings = self._resources.settings.tasks
            owner = f"{socket.gethostname()} process {os.getpid()} generation {self._resources.generation}"
            self._runner = Runner(
                self._resources.reactor,
                self._resources.database,
                self._kinds,
                owner[:128],
                settings.parallel,
                settings.lease_s,
                self._note_end,
            )
            if self._resources.bus is not None and self._resources.settings.messaging.url:
                self._told = Told(self._resources.reactor, self._resources.bus, self._runner.poke)

    async def submit(self, form: Form, payload: Fields, **facts: Any) -> str:
        """
        Have a task done, with no other change; fires when it is on disk.  Within a transaction use ``submit``.

        :param facts: as for ``submit``
        :return: its id
        """
        task_id = await self._resources.database.write(_rows.submit, form, payload, **facts)
        self.poke()
        return task_id

    def poke(self) -> None:
        """A task was submitted in this worker: an agent begins it at once, or tells those of other nodes."""
        if self._runner is not None:
            self._runner.poke()
        if self._told is not None:
            self._told.tell()

    @property
    def running(self) -> int:
        """Tasks that run in this worker."""
        return 0 if self._runner is None else self._runner.running

    @property
    def is_busy(self) -> bool:
        """Whether a task runs in this worker, or one may just be claimed."""
        return self._runner is not None and self._runner.is_busy

    @property
    def readable(self) -> dict[str, tuple[int, ...]]:
        """Names of kinds -> versions of rows that this code reads."""
        return {name: kind.form.readable for name, kind in self._kinds.items()}

    def take(self, node_id: str, *, shared: bool) -> None:
        """
        Claim these from now on; what runs goes on.

        :param node_id: those of this node alone; empty: none
        :param shared: those that any node can do
        """
        here = Here(node_id, shared)
        if self._runner is not None and self._runner.here != here:
            self._runner.here = here
            self._runner.poke()

    def node_removed(self, connection: Connection, node_id: str, name: str) -> None:
        """In the transaction that removes a node: what it alone could do has failed."""
        _operators.fail_of_node(connection, node_id, f"node {name} was removed, and with it what this was to work on")

    # ---- operators

    def calls(self) -> dict[str, Callable[..., Awaitable[dict[str, Any]]]]:
        """What operators may ask: functions of keyword arguments that give plain data or raise ``TaskError``."""
        return {
            "tasks.list": self._list,
            "tasks.show": self._show,
            "tasks.cancel": self._cancel,
            "tasks.retry": self._retry,
        }

    async def _list(self, state: str = "", kind: str = "", project_id: str = "", limit: int = 50) -> dict[str, Any]:
        if state and state not in STATES:
            raise TaskError(f"a task is in one of the states {', '.join(STATES)}, not {state[:32]!r}")
        if not 1 <= limit <= MAX_LISTED:
            raise TaskError(f"limit is a number from 1 to {MAX_LISTED}")
        tasks, more = await self._resources.database.read(
            _operators.listed, state=state, kind=kind, project_id=project_id, limit=limit
        )
        return {"tasks": tasks, "more": more}

    async def _show(self, task_id: str) -> dict[str, Any]:
        return await self._resources.database.read(_operators.shown, task_id)

    async def _cancel(self, task_id: str, who: str) -> dict[str, Any]:
        cause = f"cancelled by {who}"
        return self._poked(await self._resources.database.write(_operators.cancel, task_id, cause, set(self._kinds)))

    async def _retry(self, task_id: str, who: str) -> dict[str, Any]:
        log.info("task {task_id} is tried again for {who}", task_id=task_id, who=who)
        return self._poked(await self._resources.database.write(_operators.retry, task_id))

    def _poked(self, answer: dict[str, Any]) -> dict[str, Any]:
        self.poke()
        return answer

    # ---- life

    async def self_check(self) -> None:
        """
        Read the table, and look whether what is written can be read by this code.

        :raises SelfCheckFailed:
        """
        try:
            await self._resources.database.read(_operators.overdue_s)
            for kind in self._kinds.values():
                if kind.form.emits not in kind.form.readable:
                    raise TaskError(f"{kind.form.name} writes version {kind.form.emits} and cannot read it")
        except Exception as error:
            raise SelfCheckFailed("cloudd.tasks", str(error) or type(error).__name__) from error

    def start(self, state: Mapping[str, Any]) -> None:
        """Nothing yet: ``lead`` says what is run."""

    def lead(self, kinds: Collection[str] | None = None, on_trial: bool = False) -> None:
        """
        In the agent's worker: run tasks, count them, forget old ones.

        :param kinds: run these alone; None: all
        :param on_trial: run them as code in a canary, and do nothing else
        """
        if self._runner is None:
            return
        self._runner.lead(self._kinds if kinds is None else kinds, on_trial)
        self._runner.start()
        if self._told is not None:
            self._told.start()
        if not on_trial and not self._timers:
            self._every(COUNT_EVERY_S, self._count)
            self._every(FORGET_EVERY_S, self._forget)

    def work(self) -> dict[str, WorkForm]:
        """Kinds that are run in this worker."""
        if self._runner is None:
            return {}
        return {name: WorkForm(kind.form.readable, kind.form.emits) for name, kind in self._kinds.items()}

    def work_reports(self) -> dict[str, WorkReport]:
        """How the tasks of each kind have fared here, in this generation."""
        runner = self._runner
        if runner is None:
            return {}
        return {name: self._records[name].report(runner.running_of(name)) for name in self._kinds}

    def snapshot(self) -> dict[str, Any]:
        """Nothing: all is in the database."""
        return {}

    def retire(self) -> None:
        """Claim nothing more.  The kernel waits for ``rest`` before it lets go of this generation."""
        for timer in self._timers:
            if timer.running:
                timer.stop()
        self._timers.clear()
        self.rest()

    def rest(self) -> Deferred[None]:
        """Give all leases back; fires when nothing runs here any more."""
        if self._runner is None:
            return succeed(None)
        unheard = succeed(None) if self._told is None else self._told.stop()
        resting: Deferred[Any] = gatherResults([unheard.addErrback(_not_ended), self._runner.rest()])
        return resting.addCallback(lambda _: None)

    def health(self) -> list[PartHealth]:
        """Of the agent's worker: counts, and whether tasks are taken up."""
        if self._runner is None:
            return []
        trouble = self._runner.cause or self._stuck()
        return [PartHealth("tasks", not trouble, trouble or _told(self._counts))]

    @property
    def _here(self) -> Here:
        return ANYWHERE if self._runner is None else self._runner.here

    def _stuck(self) -> str:
        settings = self._resources.settings.tasks
        if self._runner is None or self._overdue_s < STUCK_S or self._runner.running >= settings.parallel:
            return ""
        return (
            f"a task has been due for {self._overdue_s:.0f} s and is not taken up, since this code has no kind of its "
            "name and version: see `cloudctl task list`, then upgrade or cancel it"
        )

    async def _count(self) -> None:
        version = self._resources.database.version()
        if (
            version is not None
            and version == self._counted
            and not any(count.state != "failed" for count in self._counts)
        ):
            return
        try:
            counts = await self._resources.database.read(_operators.counts)
            full = [] if self._runner is None else self._runner.full
            self._overdue_s = await self._resources.database.read(_operators.overdue_s, self._here, full)
        except Exception as error:
            log.warn("tasks cannot be counted; it is tried again: {cause}", cause=str(error))
            return
        # Health and metrics tell the same from one moment to the next.
        self._counts, self._counted = counts, version
        found = {(count.kind, count.state): count.number for count in self._counts}
        self._shown |= set(found)
        for kind, state in self._shown:
            self._gauge.labels(kind, state).set(found.get((kind, state), 0))

    async def _forget(self) -> None:
        settings, database = self._resources.settings.tasks, self._resources.database
        soon = [("done", kind.keep_s, name) for name, kind in self._kinds.items() if kind.keep_s is not None]
        try:
            for state, keep_s, name in (*soon, ("done", settings.keep_s, ""), ("failed", settings.keep_failed_s, "")):
                if await database.read(_operators.has_old, state, keep_s, name):
                    await database.write(_operators.forget, state, keep_s, FORGOTTEN_AT_ONCE, name)
        except Exception as error:
            log.warn("old tasks could not be forgotten; it is tried again: {cause}", cause=str(error))

    def _note_end(self, kind: Kind, ended: Ended) -> None:
        self._records[kind.form.name].note(ended)
        self._outcomes.labels(kind.form.name, ended.how).inc()
        if ended.how in {"done", "failed"}:
            self._seconds.labels(kind.form.name).observe(ended.age_s)

    def _every(self, seconds: float, work: Callable[[], Any]) -> None:
        timer = LoopingCall(lambda: Deferred.fromCoroutine(work()))
        timer.clock = self._resources.reactor
        self._timers.append(timer)
        # The calls catch everything, so the timer ends only by stop().
        timer.start(seconds, now=True).addErrback(lambda failure: log.failure("a timer of tasks ended", failure))


def _not_ended(failure: Failure) -> None:
    log.failure("a subscription to tasks does not end well", failure)


def _told(counts: Iterable[Count]) -> str:
    """A sentence on what is open or has failed; empty: nothing is."""
    numbers = dict.fromkeys(("queued", "running", "failed"), 0)
    oldest_s = 0.0
    for count in counts:
        numbers[count.state] += count.number
        if count.state != "failed":
            oldest_s = max(oldest_s, count.age_s)
    if not any(numbers.values()):
        return ""
    words = ", ".join(f"{number} {state}" for state, number in numbers.items())
    age = f"; the oldest that is not done was ordered {oldest_s:.0f} s ago" if oldest_s else ""
    see = ": see `cloudctl task list --state failed`" if numbers["failed"] else ""
    return f"{words}{age}{see}"
