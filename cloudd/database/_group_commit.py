# -*- test-case-name: tests.database.test_group_commit -*-
"""
One writer thread that commits in groups, and a few reader threads; for any SQL driver.

**Why groups.**  A durable commit waits for the disk.  While one is under way, more functions queue up; the writer
then runs all of them in one transaction and pays for the disk once.  Each runs in its own savepoint, so that a
function that raises undoes only itself, and no Deferred fires before the commit they share is on disk.

**When the whole transaction is lost** (disk full, an I/O error, or a database that rolled back by itself), the
functions of the group run again, each in a transaction of its own: who is not to blame succeeds, who is to blame
gets the error.  That is why a function given to ``write`` has no effect but in the database.

**Busy.**  Three processes write to one SQLite file.  SQLite's own busy handler sleeps in fixed steps and lets one
process starve; here the wait is short and random (``_patience``).  ``_turn`` tells why there is a lock of ours, too.

Threads keep no reference to a finished function: it belongs to a generation of code that must be freed.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any, Concatenate, Generic, ParamSpec, Protocol, TypeVar

from attrs import define, field
from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from ._damage import Damage
from ._patience import Patience
from ._turn import Turn, TurnTaken
from ._version import CommitWatch

Connection = TypeVar("Connection")
Result = TypeVar("Result")
Arguments = ParamSpec("Arguments")

GROUP_LIMIT = 256
GROUP_TIME_S = 0.02
WAITING_LIMIT = 20_000

log = Logger()


class DatabaseBusy(Exception):
    """
    Another process held the database too long, or more calls wait than ``WAITING_LIMIT``.

    Nothing of the refused call was written; it may be tried again.
    """


class DatabaseClosed(Exception):
    """The process is stopping: the database takes no more calls."""


class Driver(Protocol[Connection]):
    """What differs between databases.  Every method is called in the thread that owns the connection."""

    def connect(self, *, writes: bool) -> Connection: ...

    def close(self, connection: Connection, /) -> None: ...

    def begin(self, connection: Connection, /, *, writes: bool) -> None: ...

    def commit(self, connection: Connection, /) -> None: ...

    def rollback(self, connection: Connection, /) -> None: ...

    def savepoint(self, connection: Connection, /) -> Any: ...

    def release(self, connection: Connection, savepoint: Any, /) -> None: ...

    def undo(self, connection: Connection, savepoint: Any, /) -> None: ...

    def is_busy(self, error: BaseException, /) -> bool: ...

    def turn(self) -> Turn | None:
        """What the writer holds when it begins, and alone for ``tend``; ``None``: the database needs no such thing."""

    def needs_tending(self) -> float | None:
        """``None``: ``tend`` has nothing to do; else how many seconds to try to have the turn alone for it."""

    def tend(self, connection: Connection, /) -> None:
        """After a commit and in the turn alone: what the database needs now and then."""

    def commit_watch(self) -> CommitWatch | None: ...


@define(eq=False)
class _Job:
    """One call on its way.  ``cancelled`` is set by the reactor thread and read by the others."""

    call: Callable[[Any], Any]
    cancelled: bool = False
    deferred: Deferred[Any] = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.deferred = Deferred(self._cancel)

    def _cancel(self, _: Deferred[Any]) -> None:
        self.cancelled = True


@define(eq=False)
class _Outcome:
    """What came of a job: ``result`` is a ``Failure`` or its value."""

    job: _Job
    result: Any


class _GroupLost(Exception):
    """The transaction that a group shared is gone; nobody's changes were kept."""


@define(eq=False)
class GroupCommit(Generic[Connection]):
    """
    ``cloudd.interfaces.application.Transactions`` over a ``Driver``.

    Threads start with the first call.  ``close`` ends them.  Cancelling a Deferred drops a call that has not begun;
    one that has begun goes on, and its result is ignored.
    """

    _driver: Driver[Connection]
    _reactor: Any
    _name: str
    _read_threads: int = 4
    _file: str = ""
    _damage: Damage = field(init=False)
    _reads: SimpleQueue[_Job | None] = field(init=False, factory=SimpleQueue)
    _writes: SimpleQueue[_Job | None] = field(init=False, factory=SimpleQueue)
    _threads: int = field(init=False, default=0)  # reactor thread; running ones
    _readers: int = field(init=False, default=0)  # reactor thread; started ones
    _has_writer: bool = field(init=False, default=False)
    _waiting: int = field(init=False, default=0)  # reactor thread
    _closed: Deferred[None] | None = field(init=False, default=None)
    _watch: CommitWatch | None = field(init=False)
    _opens_watch: bool = field(init=False, default=False)

    def __attrs_post_init__(self) -> None:
        self._watch = self._driver.commit_watch()
        self._damage = Damage(self._name, self._file)

    @property
    def damage(self) -> str:
        """Empty, or how the first error went that told of a damaged file, and what to do; it stays until restart."""
        return self._damage.cause

    def version(self) -> int | None:
        """
        A number that stays the same as long as nobody commits, in whichever process; costs some microseconds.

        What a ``read`` begun afterwards finds holds as long as this number.  ``None``: it cannot be told now.
        """
        if self._watch is None or self._closed is not None:
            return None
        number = self._watch.number()
        if number is None and not self._opens_watch:
            self._opens_watch = True
            self.read(lambda _, watch: watch.open(), self._watch).addCallbacks(self._use_watch, self._no_watch)
        return number

    def read(
        self,
        function: Callable[Concatenate[Any, Arguments], Result],
        /,
        *args: Arguments.args,
        **kwargs: Arguments.kwargs,
    ) -> Deferred[Result]:
        """
        Run ``function(connection, *args)`` on a consistent snapshot; a write in it fails.

        :raises DatabaseBusy: the database stayed locked, or too many calls wait
        :raises DatabaseClosed: after ``close``
        """
        if self._waiting >= self._readers and self._readers < self._read_threads and self._closed is None:
            self._readers += 1
            self._start(_Reader(self._driver, self._reads, self._deliver, self._damage).run, f"reader {self._readers}")
        return self._submit(self._reads, lambda connection: function(connection, *args, **kwargs))

    def write(
        self,
        function: Callable[Concatenate[Any, Arguments], Result],
        /,
        *args: Arguments.args,
        **kwargs: Arguments.kwargs,
    ) -> Deferred[Result]:
        """
        Run ``function(connection, *args)`` as one transaction; fires when its commit is on disk.

        It runs in the order of the calls, and again when the database lost the transaction.

        :raises DatabaseBusy: the database stayed locked, or too many calls wait; nothing was written
        :raises DatabaseClosed: after ``close``
        """
        if not self._has_writer and self._closed is None:
            self._has_writer = True
            self._start(_Writer(self._driver, self._writes, self._deliver, self._damage).run, "writer")
        return self._submit(self._writes, lambda connection: function(connection, *args, **kwargs))

    def close(self) -> Deferred[None]:
        """Take no more calls, finish those that wait, close all connections; fires when the threads have ended."""
        if self._closed is None:
            self._closed = Deferred()
            if self._watch is not None:
                self._watch.close()
            for _ in range(self._readers):
                self._reads.put(None)
            if self._has_writer:
                self._writes.put(None)
            if not self._threads:
                self._closed.callback(None)
        if self._closed.called:
            return succeed(None)
        done: Deferred[None] = Deferred()
        self._closed.chainDeferred(done)
        self._closed.addCallback(lambda _: None)
        return done

    def _use_watch(self, connection: Any) -> None:
        self._opens_watch = False
        if self._watch is None or self._closed is not None:
            connection.close()
        else:
            self._watch.use(connection)

    def _no_watch(self, _: Failure) -> None:
        self._opens_watch = False  # the next call tries again

    def _submit(self, queue: SimpleQueue[_Job | None], call: Callable[[Connection], Result]) -> Deferred[Result]:
        deferred: Deferred[Result]
        if self._closed is not None:
            deferred = Deferred()
            deferred.errback(DatabaseClosed(f"{self._name} is closed: the daemon is stopping"))
            return deferred
        if self._waiting >= WAITING_LIMIT:
            deferred = Deferred()
            deferred.errback(DatabaseBusy(f"{self._waiting} calls wait for {self._name} already; try again later"))
            return deferred
        job = _Job(call)
        self._waiting += 1
        queue.put(job)
        return job.deferred

    def _start(self, run: Callable[[], None], role: str) -> None:
        self._threads += 1

        def body() -> None:
            try:
                run()
            finally:
                self._reactor.callFromThread(self._ended)

        # Daemon threads: a process that ends without `close` is not held up; what was acknowledged is on disk.
        Thread(target=body, name=f"{self._name} {role}", daemon=True).start()

    def _ended(self) -> None:
        self._threads -= 1
        if self._closed is not None and not self._threads:
            self._closed.callback(None)

    def _deliver(self, outcomes: list[_Outcome]) -> None:
        self._reactor.callFromThread(self._fire, outcomes)

    def _fire(self, outcomes: list[_Outcome]) -> None:
        self._waiting -= len(outcomes)
        for outcome in outcomes:
            if not outcome.job.deferred.called:
                outcome.job.deferred.callback(outcome.result)  # a Failure goes down the errbacks


@define(eq=False)
class _Connected(Generic[Connection]):
    """A thread's connection: opened when needed, dropped when it is broken."""

    _driver: Driver[Connection]
    _queue: SimpleQueue[_Job | None]
    _deliver: Callable[[list[_Outcome]], None]
    _damage: Damage
    _turn: Turn | None = field(init=False, default=None)  # of the writer
    _connection: Connection | None = field(init=False, default=None)

    def _connected(self, *, writes: bool) -> Connection:
        if self._connection is None:
            patience = Patience()
            while True:
                try:
                    self._connection = self._driver.connect(writes=writes)
                    break
                except Exception as error:
                    if not self._driver.is_busy(error) or not patience.wait():
                        raise
        return self._connection

    def _begin(self, *, writes: bool) -> Connection:
        connection = self._connected(writes=writes)
        patience = Patience()
        while True:
            try:
                if self._turn is not None:
                    self._turn.share()
                self._driver.begin(connection, writes=writes)
                self._let_others()
                return connection
            except Exception as error:
                self._let_others()
                taken = isinstance(error, TurnTaken)
                if not taken and not self._driver.is_busy(error):
                    self._drop()
                    raise
                if not patience.wait(grows=not taken):
                    cause = f"another process has kept the database locked for {patience.limit_s:.0f} s"
                    raise DatabaseBusy(cause) from error

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


class _Reader(_Connected[Connection]):
    """One reader thread."""

    def run(self) -> None:
        while (job := self._queue.get()) is not None:
            outcome = _Outcome(job, None)
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
                if not self._driver.is_busy(error) or not patience.wait():
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


class _Writer(_Connected[Connection]):
    """The writer thread."""

    _stopping = False

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
            group: list[_Outcome] = [_Outcome(job, None)]
            del job
            try:
                self._commit_group(group)
            except DatabaseBusy as error:
                self._refuse_all(group, error)
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
        self._driver.commit(connection)

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

    def _commit_group(self, group: list[_Outcome]) -> None:
        """
        Run the first of ``group``, then whatever waits, and commit; each adds its outcome to ``group``.

        :raises Exception: the transaction was lost; ``group`` is complete, its outcomes are void
        """
        connection = self._begin(writes=True)
        deadline = time.monotonic() + GROUP_TIME_S
        # A call that is alone needs no savepoint: its failure rolls back a transaction that holds nothing else.
        if self._queue.empty():
            group[0].result = self._attempt(group[0].job, connection)
            if isinstance(group[0].result, Failure):
                self._driver.rollback(connection)
                return
        else:
            group[0].result = self._attempt_in_savepoint(group[0].job, connection)
        while len(group) < GROUP_LIMIT and time.monotonic() < deadline and (job := self._next()) is not None:
            group.append(_Outcome(job, None))
            group[-1].result = self._attempt_in_savepoint(job, connection)
        self._commit(connection)

    def _refuse_all(self, group: list[_Outcome], error: DatabaseBusy) -> None:
        """The lock was not to be had: those that wait as well need not wait as long again, one after the other."""
        while (job := self._next()) is not None:
            group.append(_Outcome(job, None))
        for outcome in group:
            outcome.result = Failure(error)

    def _one_by_one(self, group: list[_Outcome], cause: Exception) -> None:
        """After a lost transaction: each call again, in a transaction of its own."""
        if len(group) == 1 and not self._driver.is_busy(cause) and not isinstance(cause, _GroupLost):
            group[0].result = Failure(cause)
            return
        for outcome in group:
            outcome.result = self._commit_alone(outcome.job)

    def _commit_alone(self, job: _Job) -> Any:
        patience = Patience()
        while True:
            try:
                connection = self._begin(writes=True)
                result = self._attempt(job, connection)
                if isinstance(result, Failure):
                    self._driver.rollback(connection)
                    busy = result.value is not None and self._driver.is_busy(result.value)
                else:
                    self._commit(connection)
                    busy = False
            except Exception as error:
                self._drop()
                result, busy = Failure(), self._driver.is_busy(error)
            if not busy or not patience.wait():
                return result

    def _attempt(self, job: _Job, connection: Connection) -> Any:
        if job.cancelled:
            return None
        try:
            return job.call(connection)
        except BaseException:
            return Failure()

    def _attempt_in_savepoint(self, job: _Job, connection: Connection) -> Any:
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

    def _next(self) -> _Job | None:
        try:
            job = self._queue.get_nowait()
        except Empty:
            return None
        self._stopping = job is None
        return job
