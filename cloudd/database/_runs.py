# -*- test-case-name: tests.database.test_broken_driver -*-
"""
The threads behind ``GroupCommit``: what they do with one call after the other, and when something breaks.

**When the whole transaction is lost** (disk full, an I/O error, or a database that rolled back by itself), the
functions of the group run again, each in a transaction of its own: who is not to blame succeeds, who is to blame
gets the error.  That is why a function given to ``write`` has no effect but in the database.

**When the connection is lost**, a read runs again on another one, and so does a write that had not come to its commit.
A commit that was not answered is asked for on another connection (``Driver.fate``); what cannot be told ends in
``CommitUnknown``, and is never repeated.

Threads keep no reference to a finished function: it belongs to a generation of code that must be freed.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any, Generic

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from ._away import Away
from ._damage import Damage
from ._driver import CommitUnknown, Connection, DatabaseAway, DatabaseBusy, Driver
from ._patience import Patience
from ._turn import Turn, TurnTaken

GROUP_LIMIT = 256
GROUP_TIME_S = 0.02
BACKGROUND_TIME_S = 0.005
LONGEST_PAUSE_S = 0.5  # between two tries to reach a server

log = Logger()


@define(eq=False)
class Job:
    """One call on its way.  ``cancelled`` is set by the reactor thread and read by the others."""

    call: Callable[[Any], Any]
    cancelled: bool = False
    deferred: Deferred[Any] = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.deferred = Deferred(self._cancel)

    def _cancel(self, _: Deferred[Any]) -> None:
        self.cancelled = True


@define(eq=False)
class Outcome:
    """What came of a job: ``result`` is a ``Failure`` or its value."""

    job: Job
    result: Any


class _GroupLost(Exception):
    """The transaction that a group shared is gone; nobody's changes were kept."""


@define(eq=False)
class _Connected(Generic[Connection]):
    """A thread's connection: opened when needed, dropped when it is broken."""

    _driver: Driver[Connection]
    _queue: SimpleQueue[Job | None]
    _deliver: Callable[[list[Outcome]], None]
    _damage: Damage
    _away: Away
    _turn: Turn | None = field(init=False, default=None)  # of the writer
    _connection: Connection | None = field(init=False, default=None)

    def _connected(self, *, writes: bool) -> Connection:
        patience = Patience()
        while self._connection is None:
            self._away.refuse()
            try:
                self._connection = self._driver.connect(writes=writes)
                self._away.reached()
            except Exception as error:
                lost = self._driver.is_lost(error)
                if lost and self._away.failed(error):
                    raise
                if not (lost or self._driver.is_busy(error)) or not patience.wait(longest_s=LONGEST_PAUSE_S):
                    raise
        return self._connection

    def _begin(self, *, writes: bool) -> Connection:
        try:
            return self._begun(writes=writes)
        finally:
            if self._turn is not None:
                self._turn.line.leave()

    def _begun(self, *, writes: bool) -> Connection:
        patience = Patience()
        while True:
            connection = self._connected(writes=writes)
            try:
                if self._turn is not None:
                    self._turn.share_in_line()
                self._driver.begin(connection, writes=writes)
                self._let_others()
                return connection
            except Exception as error:
                self._let_others()
                taken, lost = isinstance(error, TurnTaken), self._driver.is_lost(error)
                if not taken and not self._driver.is_busy(error):
                    self._drop()
                    if not lost:
                        raise
                if not patience.wait(about_s=None if lost or self._turn is None else self._turn.line.pause_s()):
                    if lost:
                        raise
                    cause = f"another process has kept the database locked for {patience.limit_s:.0f} s"
                    raise DatabaseBusy(cause) from error

    def _may_pass(self, error: BaseException) -> bool:
        """Whether the same call may succeed next time; nothing of it was committed."""
        if isinstance(error, DatabaseAway):  # it was waited for already
            return False
        return isinstance(error, _GroupLost) or self._driver.is_busy(error) or self._driver.is_lost(error)

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                self._driver.close(connection)
            except Exception:
                log.failure("closing a database connection")
        self._let_others()

    def _let_others(self) -> None:
        if self._turn is not None:
            self._turn.release()


class Reader(_Connected[Connection]):
    """One reader thread."""

    def run(self) -> None:
        while (job := self._queue.get()) is not None:
            outcome = Outcome(job, None)
            if not job.cancelled:
                outcome.result = self._read(job.call)
            self._damage.note_all([outcome.result])
            self._deliver([outcome])
            del job, outcome
        self._drop()

    def _read(self, call: Callable[[Connection], Any]) -> Any:
        patience = Patience()
        while True:
            try:
                connection = self._begin(writes=False)
                try:
                    return call(connection)
                finally:
                    self._end()
            except Exception as error:
                if self._driver.is_lost(error):
                    self._drop()
                if not self._may_pass(error) or not patience.wait():
                    return Failure()
            except BaseException:
                return Failure()

    def _end(self) -> None:
        assert self._connection is not None
        try:
            self._driver.rollback(self._connection)
        except Exception:
            log.failure("ending a read")
            self._drop()


@define(eq=False)
class Writer(_Connected[Connection]):
    """
    The writer thread.

    :param in_background: nobody waits for what is written: commit early where another process wants to write
    """

    _in_background: bool = False
    _stopping: bool = field(init=False, default=False)

    def run(self) -> None:
        self._turn = self._driver.turn()
        try:
            self._work()
        finally:
            self._drop()
            if self._turn is not None:
                self._turn.close()

    def _work(self) -> None:
        while not self._stopping and (job := self._queue.get()) is not None:
            group: list[Outcome] = [Outcome(job, None)]
            del job
            try:
                self._commit_group(group)
            except (DatabaseBusy, DatabaseAway) as error:
                self._refuse_all(group, error)
            except CommitUnknown as error:
                for outcome in group:
                    outcome.result = Failure(error)
            except Exception as error:
                self._drop()
                self._one_by_one(group, error)
            self._damage.note_all(outcome.result for outcome in group)
            self._deliver(group)
            del group
            self._tend()

    def _commit(self, connection: Connection) -> None:
        patience_s = self._driver.needs_tending() if self._turn is not None else None
        if self._turn is not None and patience_s is not None:
            self._turn.take(patience_s)
        try:
            ticket = self._driver.ticket(connection)
        except Exception as error:
            if not self._driver.is_lost(error):
                raise
            raise _GroupLost("the connection was lost before the commit") from error
        try:
            self._driver.commit(connection)
        except Exception as error:
            if not self._driver.is_lost(error):
                raise
            self._drop()
            self._settle(ticket, error)

    def _settle(self, ticket: Any, cause: Exception) -> None:
        """
        A commit was not answered: find out whether it counts.  It does when this returns.

        :raises _GroupLost: it does not
        :raises CommitUnknown: it cannot be told
        """
        patience, fate = Patience(), "open"
        while fate == "open" and patience.wait(longest_s=LONGEST_PAUSE_S):
            try:
                fate = self._driver.fate(self._connected(writes=True), ticket)
            except Exception as error:
                self._drop()
                if not self._driver.is_lost(error):
                    break
        log.warn("a commit was not answered ({cause}): it is {fate}", cause=str(cause), fate=fate)
        if fate == "committed":
            return
        if fate == "undone":
            raise _GroupLost("the connection was lost before the commit") from cause
        told = f"the connection was lost during a commit ({_line(cause)}); look whether it was done before repeating it"
        raise CommitUnknown(told) from cause

    def _tend(self) -> None:
        """After the answers, so that nobody waits for it who need not."""
        if self._turn is None or not self._turn.is_ours:
            return
        try:
            if self._connection is not None:
                self._driver.tend(self._connection)
        except Exception as error:
            self._damage.note(error)
            log.failure("a checkpoint of the database")
            self._drop()
        self._let_others()

    def _commit_group(self, group: list[Outcome]) -> None:
        """
        Run the first of ``group``, then whatever waits, and commit; each adds its outcome to ``group``.

        :raises Exception: the transaction was lost; ``group`` is complete, its outcomes are void
        """
        connection = self._begin(writes=True)
        began = time.monotonic()
        # A call that is alone needs no savepoint: its failure rolls back a transaction that holds nothing else.
        if self._queue.empty():
            group[0].result = self._attempt(group[0].job, connection)
            if isinstance(group[0].result, Failure):
                if self._driver.is_lost(_error(group[0].result)):
                    raise _GroupLost("the connection was lost")
                self._driver.rollback(connection)
                return
        else:
            group[0].result = self._attempt_in_savepoint(group[0].job, connection)
        while len(group) < GROUP_LIMIT and not self._is_enough(began) and (job := self._next()) is not None:
            group.append(Outcome(job, None))
            group[-1].result = self._attempt_in_savepoint(job, connection)
        self._commit(connection)

    def _is_enough(self, began: float) -> bool:
        """Whether to commit what there is, since others wait for that."""
        lasted_s = time.monotonic() - began
        if lasted_s < BACKGROUND_TIME_S or not self._in_background or self._turn is None:
            return lasted_s >= GROUP_TIME_S
        return lasted_s >= GROUP_TIME_S or self._turn.line.is_wanted()

    def _refuse_all(self, group: list[Outcome], error: DatabaseBusy | DatabaseAway) -> None:
        """No lock, or no server: those that wait as well need not wait as long again, one after the other."""
        while (job := self._next()) is not None:
            group.append(Outcome(job, None))
        for outcome in group:
            outcome.result = Failure(error)

    def _one_by_one(self, group: list[Outcome], cause: Exception) -> None:
        """After a lost transaction: each call again, in a transaction of its own."""
        if len(group) == 1 and not self._driver.is_busy(cause) and not isinstance(cause, _GroupLost):
            group[0].result = Failure(cause)
            return
        for outcome in group:
            outcome.result = self._commit_alone(outcome.job)

    def _commit_alone(self, job: Job) -> Any:
        patience = Patience()
        while True:
            try:
                connection = self._begin(writes=True)
                result = self._attempt(job, connection)
                if not isinstance(result, Failure):
                    self._commit(connection)
                    return result
                again = self._may_pass(_error(result))
                if self._driver.is_lost(_error(result)):
                    self._drop()
                else:
                    self._driver.rollback(connection)
            except Exception as error:
                self._drop()
                result, again = Failure(), self._may_pass(error)
            if not again or not patience.wait():
                return result

    def _attempt(self, job: Job, connection: Connection) -> Any:
        if job.cancelled:
            return None
        try:
            return job.call(connection)
        except BaseException:
            return Failure()

    def _attempt_in_savepoint(self, job: Job, connection: Connection) -> Any:
        savepoint = self._driver.savepoint(connection)
        result = self._attempt(job, connection)
        try:
            if isinstance(result, Failure):
                self._driver.undo(connection, savepoint)
            else:
                self._driver.release(connection, savepoint)
        except Exception as error:
            raise _GroupLost("the database rolled the shared transaction back") from error
        return result

    def _next(self) -> Job | None:
        try:
            job = self._queue.get_nowait()
        except Empty:
            return None
        self._stopping = job is None
        return job


def _error(failure: Failure) -> BaseException:
    assert failure.value is not None
    return failure.value


def _line(error: BaseException) -> str:
    """The first line of what an error says."""
    return str(getattr(error, "orig", None) or error).strip().partition("\n")[0]
