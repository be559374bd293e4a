"""Group commit: who shares a commit, whose failure undoes what, and what a thread keeps."""

from __future__ import annotations

import gc
import sqlite3
import weakref
from pathlib import Path
from threading import Event
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred, DeferredList, gatherResults
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from cloudd.database import (
    DatabaseBusy,
    DatabaseClosed,
    GroupCommit,
    _group_commit,
    _line,
    _patience,
    _runs,
    open_object_index,
)
from cloudd.database._index import _IndexDriver
from cloudd.database._line import Line

CREATE = "CREATE TABLE IF NOT EXISTS item (name TEXT PRIMARY KEY)"


def create(connection: sqlite3.Connection) -> None:
    connection.execute(CREATE)


def add(connection: sqlite3.Connection, name: str) -> str:
    connection.execute("INSERT INTO item VALUES (?)", (name,))
    return name


def add_and_fail(connection: sqlite3.Connection, name: str) -> None:
    add(connection, name)
    raise ValueError(name)


def add_and_lose_the_transaction(connection: sqlite3.Connection, name: str) -> None:
    """As SQLite does by itself when the disk is full."""
    add(connection, name)
    connection.execute("ROLLBACK")
    raise sqlite3.OperationalError("database or disk is full")


def names(connection: sqlite3.Connection) -> list[str]:
    return [row[0] for row in connection.execute("SELECT name FROM item ORDER BY rowid")]


def committed_before(_: sqlite3.Connection, seen: sqlite3.Connection) -> list[str]:
    """What another connection sees while a transaction is under way."""
    return names(seen)


class GroupCommitTests(TestCase):
    async def opened(self, **options: Any) -> GroupCommit[sqlite3.Connection]:
        self.path = Path(self.mktemp())
        database = open_object_index(self.path, reactor=reactor, **options)
        self.addCleanup(database.close)
        await database.write(create)
        return database

    def held_up(self, database: GroupCommit[sqlite3.Connection]) -> tuple[Deferred[None], Event]:
        """The writer waits in a function until the event is set; what is written meanwhile shares its commit."""
        go = Event()

        def wait(_: sqlite3.Connection) -> None:
            assert go.wait(20)

        return database.write(wait), go

    async def test_durable_and_visible_when_it_fires(self) -> None:
        """When a write fires, another connection sees it, and the log is synced at each commit."""
        database = await self.opened()
        self.assertEqual(await database.write(add, "a"), "a")
        other = sqlite3.connect(self.path)
        self.addCleanup(other.close)
        self.assertEqual(names(other), ["a"])

        def modes(connection: sqlite3.Connection) -> list[Any]:
            pragmas = ("journal_mode", "synchronous", "foreign_keys")
            return [connection.execute(f"PRAGMA {pragma}").fetchone()[0] for pragma in pragmas]

        self.assertEqual(await database.write(modes), ["wal", 2, 1])
        self.assertEqual(self.path.stat().st_mode & 0o777, 0o600)

    async def test_failure_undoes_only_itself(self) -> None:
        """In a shared commit a function that raises loses its changes and no other's."""
        database = await self.opened()
        held, go = self.held_up(database)
        writes: list[Deferred[Any]] = [
            database.write(add, "a"),
            database.write(add_and_fail, "b"),
            database.write(add, "a"),  # fails by itself: the name is taken
            database.write(add, "c"),
        ]
        go.set()
        await held
        results = await DeferredList(writes, consumeErrors=True)
        self.assertEqual([success for success, _ in results], [True, False, False, True])
        self.assertEqual(await database.read(names), ["a", "c"])
        results[1][1].trap(ValueError)
        results[2][1].trap(sqlite3.IntegrityError)

    async def test_failure_alone(self) -> None:
        """A function that fails outside of a group leaves nothing, and the next one is not harmed."""
        database = await self.opened()
        with self.assertRaises(ValueError):
            await database.write(add_and_fail, "a")
        await database.write(add, "b")
        self.assertEqual(await database.read(names), ["b"])

    async def test_lost_transaction(self) -> None:
        """When the database rolls a group back, all but the guilty are done again; none before it is on disk."""
        database = await self.opened()
        held, go = self.held_up(database)
        writes: list[Deferred[Any]] = [
            database.write(add, "a"),
            database.write(add_and_lose_the_transaction, "b"),
            database.write(add, "c"),
        ]
        go.set()
        await held
        results = await DeferredList(writes, consumeErrors=True)
        self.assertEqual([success for success, _ in results], [True, False, True])
        self.assertEqual(sorted(await database.read(names)), ["a", "c"])

    async def test_one_commit_for_a_group(self) -> None:
        """Writes that wait together fire together, after a single commit, in the order of the calls."""
        database = await self.opened()
        version = sqlite3.connect(self.path, isolation_level=None)
        self.addCleanup(version.close)
        fired: list[str] = []
        held, go = self.held_up(database)
        writes = [database.write(add, f"{number:03}").addCallback(fired.append) for number in range(100)]
        before = version.execute("PRAGMA data_version").fetchone()
        go.set()
        await held
        await gatherResults(writes)
        self.assertEqual(fired, [f"{number:03}" for number in range(100)])
        self.assertEqual(await database.read(names), fired)
        self.assertNotEqual(version.execute("PRAGMA data_version").fetchone(), before)

    async def test_reads_cannot_write(self) -> None:
        database = await self.opened()
        with self.assertRaises(sqlite3.OperationalError):
            await database.read(add, "a")
        self.assertEqual(await database.read(names), [])

    async def test_reads_are_snapshots(self) -> None:
        """A read that began before a commit does not see it; reads go on meanwhile in other threads."""
        database = await self.opened(threads=2)
        began, go = Event(), Event()

        def twice(connection: sqlite3.Connection) -> tuple[list[str], list[str]]:
            first = names(connection)
            began.set()
            assert go.wait(20)
            return first, names(connection)

        slow = database.read(twice)
        assert began.wait(20)
        await database.write(add, "a")
        self.assertEqual(await database.read(names), ["a"])
        go.set()
        self.assertEqual(await slow, ([], []))

    async def test_cancelled_before_it_began(self) -> None:
        """Cancelling a write that still waits drops it; the others of its group are done."""
        database = await self.opened()
        held, go = self.held_up(database)
        dropped = database.write(add, "a")
        kept = database.write(add, "b")
        dropped.cancel()
        go.set()
        await held
        await self.assertFailure(dropped, CancelledError)
        await kept
        self.assertEqual(await database.read(names), ["b"])

    async def test_close_finishes_what_waits(self) -> None:
        database = await self.opened()
        held, go = self.held_up(database)
        last = database.write(add, "a")
        closed = database.close()
        go.set()
        everything: list[Deferred[Any]] = [held, last, closed, database.close()]
        await gatherResults(everything)
        late: list[Deferred[Any]] = [database.write(add, "b"), database.read(names)]
        for refused in late:
            await self.assertFailure(refused, DatabaseClosed)
        reopened = open_object_index(self.path, reactor=reactor)
        self.assertEqual(await reopened.read(names), ["a"])
        await reopened.close()

    async def test_close_unused(self) -> None:
        database = open_object_index(Path(self.mktemp()), reactor=reactor)
        await database.close()

    async def test_too_many_waiting(self) -> None:
        """Beyond the limit a call is refused at once, without harm to those that wait."""
        self.patch(_group_commit, "WAITING_LIMIT", 2)
        database = await self.opened()
        held, go = self.held_up(database)
        second = database.write(add, "a")
        await self.assertFailure(database.write(add, "b"), DatabaseBusy)
        go.set()
        await held
        await second
        self.assertEqual(await database.read(names), ["a"])

    async def test_waits_for_another_process(self) -> None:
        """While another connection holds the lock a write waits, and goes on when it is let go."""
        database = await self.opened()
        other = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False)
        self.addCleanup(other.close)
        other.execute("BEGIN IMMEDIATE")
        waiting = database.write(add, "a")
        self.assertEqual(await database.read(names), [])  # readers are not held up
        self.assertNoResult(waiting)
        other.execute("COMMIT")
        self.assertEqual(await waiting, "a")

    async def test_stands_in_line(self) -> None:
        """While another one is to write next a write waits, though nobody writes."""
        self.patch(_line, "COURTESY_S", 60.0)
        database = await self.opened()
        other = Line(self.path)
        self.addCleanup(other.close)
        self.assertTrue(other.may_try())
        waiting = database.write(add, "a")
        await deferLater(reactor, 0.05)
        self.assertNoResult(waiting)
        other.leave()
        self.assertEqual(await waiting, "a")
        self.assertTrue(other.may_try(), "who has begun is in line no more")

    async def test_in_the_background(self) -> None:
        """Where another one is to write next, a group ends early if no client waits for it, and else does not."""
        self.patch(_runs, "BACKGROUND_TIME_S", 0.0)
        self.patch(_runs, "GROUP_TIME_S", 60.0)
        self.patch(_line, "COURTESY_S", 0.0)
        for in_background in (True, False):
            await self.opened()
            database = GroupCommit(_IndexDriver(self.path, "FULL"), reactor, "index", 1, "", in_background)
            self.addCleanup(database.close)
            other, seen = Line(self.path), sqlite3.connect(self.path, check_same_thread=False)
            self.addCleanup(other.close)
            self.addCleanup(seen.close)
            blocked, go = self.held_up(database)
            first = database.write(add, "a")
            committed = database.write(committed_before, seen)
            self.assertTrue(other.may_try())
            go.set()
            self.assertEqual(await committed, ["a"] if in_background else [])
            await blocked
            await first

    async def test_gives_up_in_the_end(self) -> None:
        """A lock that is never let go ends in ``DatabaseBusy``; the writer lives on."""
        self.patch(_patience, "BUSY_LIMIT_S", 0.01)
        database = await self.opened()
        other = sqlite3.connect(self.path, isolation_level=None)
        self.addCleanup(other.close)
        other.execute("BEGIN IMMEDIATE")
        await self.assertFailure(database.write(add, "a"), DatabaseBusy)
        other.execute("ROLLBACK")
        await database.write(add, "b")
        self.assertEqual(await database.read(names), ["b"])

    async def test_unreadable_file(self) -> None:
        """What is no database fails each call, and does not end the threads."""
        path = Path(self.mktemp())
        path.write_bytes(b"this is not a database" * 100)
        database = open_object_index(path, reactor=reactor)
        self.addCleanup(database.close)
        for _ in range(2):
            await self.assertFailure(database.read(names), sqlite3.DatabaseError)
            await self.assertFailure(database.write(add, "a"), sqlite3.DatabaseError)

    async def test_functions_are_let_go(self) -> None:
        """No thread keeps a function after it ran, also one that failed: its generation must be freed."""
        database = await self.opened(threads=1)

        class Owner:
            def ask(self, connection: sqlite3.Connection) -> list[str]:
                return names(connection)

            def fail(self, connection: sqlite3.Connection) -> None:
                raise ValueError

        owner = Owner()
        await database.read(owner.ask)
        await database.write(owner.ask)
        for call in (database.read, database.write):
            await self.assertFailure(call(owner.fail), ValueError)
        gone = weakref.ref(owner)
        del owner, call
        await database.read(names)  # until now the threads may have been on their way back
        await database.write(names)
        gc.collect()
        self.assertIsNone(gone())
