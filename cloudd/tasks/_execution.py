# -*- test-case-name: tests.tasks.test_runner -*-
"""
One claimed task, from its claim until its lease is given up.

A step begins with what was saved last.  When it has returned, the next one is entered; after the last the task is
``done``.  A step that raises is tried again later, or the task fails: it enters ``undo`` where its kind has one, and is
``failed`` when that has ended.  Each of these is one write under the lease.

**On trial**, while a canary runs, code decides against no task: whatever goes wrong, the task is given back as it was,
as no attempt, and later other code tries it, or the same again.

``moment`` is called before and after each of these writes and of each step, with its name: tests kill the process
there.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Literal

from attrs import define, field, frozen
from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger

from cloudd.interfaces.application import Transactions
from reload import SnapshotError

from . import _rows
from ._errors import Interrupted, LeaseLost, TaskFailed
from ._kind import UNDO, Fields, Kind, StepFunction
from ._rows import Claimed, Lease, Standing
from ._task import Moment, Task

log = Logger()

How = Literal["done", "failed", "again", "released", "lost"]


TRIAL_WAIT_S = 0.5


@frozen
class Ended:
    """
    How an execution ended.

    :ivar age_s: of a task that is done or has failed, since it was submitted
    :ivar cause: why it is tried ``again`` or has ``failed``; empty: somebody wanted it to end
    """

    how: How
    age_s: float = 0.0
    cause: str = ""


@define(eq=False)
class Execution:
    """
    :ivar proven_at: the lease was held then, by the clock of whoever made this
    :ivar on_trial: the code is in a canary
    """

    kind: Kind
    lease: Lease
    claimed: Claimed
    proven_at: float
    _database: Transactions
    _moment: Moment
    _chance: Callable[[], float]
    on_trial: bool = field(init=False, default=False)
    rests: bool = field(init=False, default=False)
    _step: str = field(init=False)
    _cause: str = field(init=False)  # why it fails, in its undo
    _task: Task | None = field(init=False, default=None)
    _working: Deferred[Any] | None = field(init=False, default=None)
    _sign: tuple[str, int] | None = field(init=False, default=None)  # of life: the step, and its writes
    _sign_at: float = field(init=False, default=0.0)
    _is_silent: bool = field(init=False, default=False)

    def __attrs_post_init__(self) -> None:
        self._step = self.claimed.step or self.kind.first
        self._cause = self.claimed.cause

    async def run(self) -> Ended:
        """
        Go on with the task until it ends, or this has to.

        :raises Exception: the database cannot be written; the lease will end by itself
        """
        try:
            return await self._run()
        except LeaseLost as error:
            log.warn("{cause}", cause=error.cause, task_id=self.claimed.id)
            return Ended("lost")

    def rest(self) -> None:
        """End where the task saves next, or its step ends, so that another runner goes on at once."""
        self.rests = True
        if self._task is not None:
            self._task.rests = True

    def heard(self, standing: Standing) -> None:
        """The lease was renewed; a task that shall end is cut off."""
        if self._task is not None:
            self._task.standing = standing
            if self._task.end:
                self.cut_off()

    def lose(self) -> None:
        """The lease is somebody else's, or may be."""
        if self._task is not None and self._task.over is None:
            self._task.over = LeaseLost(f"the lease of task {self.claimed.id} could not be renewed")
        self.cut_off()

    def look(self, now: float) -> None:
        """Called now and then: cut a step off that hangs."""
        sign = (self._step, self._task.writes if self._task is not None else 0)
        if sign != self._sign:
            self._sign, self._sign_at = sign, now
        elif now - self._sign_at >= self.kind.silence_s and self._working is not None:
            self._sign_at, self._is_silent = now, True
            self.cut_off()

    def cut_off(self) -> None:
        """Cancel what the step waits for."""
        if self._working is not None:
            self._working.cancel()

    # ---- the way of a task

    async def _run(self) -> Ended:
        if self.rests:
            return await self._release()
        try:
            self._task = self._read()
        except (SnapshotError, ValueError) as error:
            cause = f"its row cannot be read: {error}"
            return await (self._spare(cause) if self.on_trial else self._fail(cause))
        ended = await self._begin()
        while ended is None:
            ended = await self._do_step(self._task)
        return ended

    def _read(self) -> Task:
        claimed, form = self.claimed, self.kind.form
        state: Fields = {}
        if claimed.step_state is not None:
            state = form.read(claimed.step_version or form.version, claimed.step_state)
        task = Task(
            id=claimed.id,
            form=form,
            project_id=claimed.project_id,
            resource=claimed.resource,
            request_id=claimed.request_id,
            payload=form.read(claimed.version, claimed.payload),
            state=state,
            progress=claimed.progress,
            total=claimed.total,
            attempt=claimed.attempts,
            lease=self.lease,
            database=self._database,
            moment=self._moment,
            ignores_end=self._undoes,
        )
        task.standing = Standing(claimed.cancel_cause, claimed.is_late)
        task.rests = self.rests
        return task

    @property
    def _undoes(self) -> bool:
        return self._step == UNDO

    async def _begin(self) -> Ended | None:
        """Look whether the claimed task is to be done at all; None: it is."""
        assert self._task is not None
        if self._task.end:
            return await self._give_up(self._task.end)
        most = self.kind.retry.attempts
        if self.claimed.attempts <= most:
            return None
        last = self.claimed.cause if not self._undoes else ""
        cause = f"given up after {most} attempts: {last or 'its process ended each time'}"
        return await (self._spare(cause) if self.on_trial else self._give_up(cause))

    async def _do_step(self, task: Task) -> Ended | None:
        function = self.kind.function(self._step)
        if function is None:
            return await self._again(f"the code that runs has no step {self._step!r}")
        self._moment(f"begin {self._step}")
        try:
            self._working = Deferred.fromCoroutine(_called(function, task))
            result = await self._working
            if task.over is not None:
                raise task.over  # the step has caught it
        except Exception as error:
            return await self._stopped(task, error)
        finally:
            self._working = None
        self._moment(f"end {self._step}")
        return await self._advance(task, result)

    async def _stopped(self, task: Task, error: Exception) -> Ended | None:
        """A step has raised."""
        if isinstance(task.over, LeaseLost):
            raise task.over
        if task.end:
            return await self._give_up(task.end)
        if isinstance(task.over, Interrupted):
            return Ended("released")
        if isinstance(error, CancelledError) and self.rests:
            return await self._release()
        if isinstance(error, CancelledError) and self._is_silent:
            self._is_silent = False
            return await self._again(f"it neither saved nor ended for {self.kind.silence_s:g} s")
        cause = _rows.words(error.cause if isinstance(error, TaskFailed) else f"{type(error).__name__}: {error}")
        if isinstance(error, (TaskFailed, *self.kind.permanent)) and not self.on_trial:
            return await self._give_up(cause)
        return await self._again(cause)

    async def _advance(self, task: Task, result: Fields | None) -> Ended | None:
        """A step has returned."""
        if self._undoes:
            return await self._fail(self._cause)
        following = self.kind.after(self._step)
        if not following:
            age_us = await self._write("done", _rows.finish, result)
            return Ended("done", age_us / 1e6)
        task.standing = await self._write("enter", _rows.enter, following)
        self._step, task.attempt = following, 1
        if task.end:
            return await self._give_up(task.end)
        return await self._release() if self.rests else None

    async def _give_up(self, cause: str) -> Ended | None:
        """The task fails, after its undo."""
        if self._undoes:
            return await self._fail(f"{self._cause}; and it could not be undone: {cause}")
        if self.kind.undo is None:
            return await self._fail(cause)
        await self._write("enter undo", _rows.enter, UNDO, cause)
        self._step, self._cause = UNDO, cause
        if self._task is not None:
            self._task.ignores_end, self._task.attempt, self._task.over = True, 1, None
        return await self._release() if self.rests else None

    async def _fail(self, cause: str) -> Ended:
        log.error(
            "task {task_id} ({kind}) has failed: {cause}",
            task_id=self.claimed.id,
            kind=self.kind.form.name,
            cause=cause,
        )
        age_us = await self._write("failed", _rows.fail, cause)
        wanted = self._task is not None and bool(self._task.standing.end)
        return Ended("failed", age_us / 1e6, "" if wanted else cause)

    async def _again(self, cause: str) -> Ended | None:
        """Try the step again later, or give up."""
        assert self._task is not None
        if self.on_trial:
            return await self._spare(cause)
        retry, attempt = self.kind.retry, self._task.attempt
        if attempt >= retry.attempts:
            return await self._give_up(f"given up after {attempt} attempts: {cause}")
        delay_s = retry.delay_s(attempt, self._chance())
        log.warn(
            "task {task_id} ({kind}) is tried again in {delay_s:.1f} s: {cause}",
            task_id=self.claimed.id,
            kind=self.kind.form.name,
            delay_s=delay_s,
            cause=cause,
        )
        await self._write("put back", _rows.put_back, delay_s, self._cause if self._undoes else cause)
        return Ended("again", cause=cause)

    async def _spare(self, cause: str) -> Ended:
        """Code on trial could not do it, which may be the code's fault."""
        log.warn(
            "task {task_id} ({kind}) is given back by code on trial: {cause}",
            task_id=self.claimed.id,
            kind=self.kind.form.name,
            cause=cause,
        )
        await self._write("put back", _rows.put_back, TRIAL_WAIT_S, self._cause if self._undoes else cause, False)
        return Ended("again", cause=cause)

    async def _release(self) -> Ended:
        await self._write("release", _rows.release)
        return Ended("released")

    async def _write(self, name: str, function: Callable[..., Any], *args: Any) -> Any:
        self._moment(name)
        result = await self._database.write(function, self.lease, *args)
        self._moment(f"{name}, written")
        return result


async def _called(function: StepFunction, task: Task) -> Fields | None:
    result = await function(task)
    try:
        json.dumps(result, ensure_ascii=False).encode()
    except (TypeError, ValueError) as error:
        raise TaskFailed(f"its result is no plain data: {error}") from None
    return result
