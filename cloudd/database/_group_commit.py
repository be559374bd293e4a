# -*- test-case-name: tests.database.test_group_commit -*-
"""
One writer thread that commits in groups, and a few reader threads; for any SQL driver.

**Why groups.**  A durable commit waits for the disk.  While one is under way, more functions queue up; the writer
then runs all of them in one transaction and pays for the disk once.  Each runs in its own savepoint, so that a
function that raises undoes only itself, and no Deferred fires before the commit they share is on disk.

**Busy.**  Three processes write to one SQLite file.  SQLite's own busy handler sleeps in fixed steps and lets one
process starve; here they stand in line (``_line``), and what is written in the background is committed early where
another process stands there.  ``_turn`` tells why there is a second lock of ours.

What the threads do is in ``_runs``, what differs between databases in ``_driver``.
"""

from __future__ import annotations

from collections.abc import Callable
from queue import SimpleQueue
from threading import Thread
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar

from attrs import define, field
from twisted.internet.defer import Deferred, succeed
from twisted.python.failure import Failure

from ._away import Away
from ._damage import Damage
from ._driver import Connection, DatabaseBusy, DatabaseClosed, Driver
from ._runs import Job, Outcome, Reader, Writer
from ._version import CommitWatch

Result = TypeVar("Result")
Arguments = ParamSpec("Arguments")

WAITING_LIMIT = 20_000


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
    _in_background: bool = False
    _damage: Damage = field(init=False)
    _away: Away = field(init=False, factory=Away)
    _reads: SimpleQueue[Job | None] = field(init=False, factory=SimpleQueue)
    _writes: SimpleQueue[Job | None] = field(init=False, factory=SimpleQueue)
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
    def away(self) -> str:
        """Empty, or why the server cannot be reached: what trying it said last."""
        return self._away.cause

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
        :raises DatabaseAway: the server cannot be reached
        :raises DatabaseClosed: after ``close``
        """
        if self._waiting >= self._readers and self._readers < self._read_threads and self._closed is None:
            self._readers += 1
            self._start(
                Reader(self._driver, self._reads, self._deliver, self._damage, self._away).run,
                f"reader {self._readers}",
            )
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
        :raises DatabaseAway: the server cannot be reached; nothing was written
        :raises CommitUnknown: the server was lost during the commit; it may have been written
        :raises DatabaseClosed: after ``close``
        """
        if not self._has_writer and self._closed is None:
            self._has_writer = True
            writer = Writer(self._driver, self._writes, self._deliver, self._damage, self._away, self._in_background)
            self._start(writer.run, "writer")
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

    def _submit(self, queue: SimpleQueue[Job | None], call: Callable[[Connection], Result]) -> Deferred[Result]:
        deferred: Deferred[Result]
        if self._closed is not None:
            deferred = Deferred()
            deferred.errback(DatabaseClosed(f"{self._name} is closed: the daemon is stopping"))
            return deferred
        if self._waiting >= WAITING_LIMIT:
            deferred = Deferred()
            deferred.errback(DatabaseBusy(f"{self._waiting} calls wait for {self._name} already; try again later"))
            return deferred
        job = Job(call)
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

    def _deliver(self, outcomes: list[Outcome]) -> None:
        self._reactor.callFromThread(self._fire, outcomes)

    def _fire(self, outcomes: list[Outcome]) -> None:
        self._waiting -= len(outcomes)
        for outcome in outcomes:
            if not outcome.job.deferred.called:
                outcome.job.deferred.callback(outcome.result)  # a Failure goes down the errbacks
