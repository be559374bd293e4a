"""The control database: the same group commit with SQLAlchemy connections, on a file and on a server."""

from __future__ import annotations

import contextlib
from threading import Event
from typing import Any

from sqlalchemy import Connection, func, insert, select, text
from sqlalchemy.exc import DBAPIError, IntegrityError
from twisted.internet import reactor
from twisted.internet.defer import Deferred, DeferredList, gatherResults
from twisted.trial.unittest import TestCase

from cloudd.database import DatabaseBusy, _patience, _postgres, control_url, open_control_database
from cloudd.database._control import ControlDatabase
from cloudd.database.tables import domain, user
from tests.database.choice import new_database
from tests.database.postgres import shared_postgres


def add(connection: Connection, name: str) -> str:
    connection.execute(insert(domain).values(id=name, name=name, created_us=1))
    return name


def orphan(connection: Connection) -> None:
    connection.execute(insert(user).values(id="u", domain_id="nowhere", name="u", created_us=1))


def lose(connection: Connection) -> None:
    connection.exec_driver_sql("ROLLBACK")
    raise ValueError


def count(connection: Connection) -> int:
    return connection.execute(select(func.count()).select_from(domain)).scalar_one()


class ControlDatabaseContract:
    """
    What holds on both databases.

    :cvar kind: one of ``tests.database.choice.KINDS``
    """

    kind = ""

    def opened(self: Any) -> ControlDatabase:
        self.place = new_database(self, self.kind)
        database = open_control_database(self.place, reactor=reactor, threads=2)
        self.addCleanup(database.close)
        return database

    async def test_writes_and_reads(self: Any) -> None:
        database = self.opened()
        self.assertEqual(await database.write(add, "a"), "a")
        self.assertEqual(await database.read(count), 1)
        with self.assertRaises(DBAPIError):
            await database.read(add, "b")
        self.assertEqual(await database.read(count), 1)

    async def test_reads_are_snapshots(self: Any) -> None:
        """A read that has begun does not see a later commit, and a read that begins afterwards does."""
        database = self.opened()
        began, go = Event(), Event()

        def twice(connection: Connection) -> tuple[int, int]:
            first = count(connection)
            began.set()
            assert go.wait(20)
            return first, count(connection)

        slow = database.read(twice)
        assert began.wait(20)
        await database.write(add, "a")
        self.assertEqual(await database.read(count), 1)
        go.set()
        self.assertEqual(await slow, (0, 0))

    async def test_one_writes_at_a_time(self: Any) -> None:
        """What a write has read does not change until it is committed, whoever else writes."""
        database = self.opened()
        other = open_control_database(self.place, reactor=reactor)
        self.addCleanup(other.close)

        def next_name(connection: Connection) -> None:
            add(connection, str(count(connection)))

        waiting = [each.write(next_name) for _ in range(20) for each in (database, other)]
        await gatherResults(waiting)
        self.assertEqual(await database.read(count), 40)

    async def test_failure_undoes_only_itself(self: Any) -> None:
        """A name that is taken, a broken reference and a lost transaction each fail alone."""
        database = self.opened()
        await database.write(add, "a")
        go = Event()
        held = database.write(lambda _: go.wait(20))
        writes: list[Deferred[Any]] = [
            database.write(add, "b"),
            database.write(add, "a"),
            database.write(orphan),
            database.write(lose),
            database.write(add, "c"),
        ]
        go.set()
        await held
        results = await DeferredList(writes, consumeErrors=True)
        self.assertEqual([success for success, _ in results], [True, False, False, False, True])
        for success, result in results[1:3]:
            self.assertFalse(success)
            result.trap(IntegrityError)
        self.assertEqual(await database.read(count), 3)

    async def test_busy(self: Any) -> None:
        """Another process that holds the lock for good ends in ``DatabaseBusy``, and nothing is broken after it."""
        self.patch(_patience, "BUSY_LIMIT_S", 0.01)
        self.shorten_lock_timeout()
        database = self.opened()
        other = open_control_database(control_url(self.place), reactor=reactor)
        self.addCleanup(other.close)
        began, go = Event(), Event()

        def hold(_: Connection) -> None:
            began.set()
            assert go.wait(20)

        held = other.write(hold)
        assert began.wait(20)
        await self.assertFailure(database.write(add, "a"), DatabaseBusy)
        go.set()
        await held
        await database.write(add, "a")
        self.assertEqual(await database.read(count), 1)

    async def test_forget_statements(self: Any) -> None:
        """Compiled statements of an old generation can be dropped; everything works on."""
        database = self.opened()
        await database.read(count)
        database.forget_statements()
        self.assertEqual(await database.read(count), 0)


class ControlDatabaseOnFileTests(ControlDatabaseContract, TestCase):
    kind = "sqlite"

    def shorten_lock_timeout(self) -> None:
        """SQLite does not wait by itself."""

    async def test_foreign_keys_and_durability(self) -> None:
        def modes(connection: Connection) -> list[int]:
            pragmas = ("synchronous", "foreign_keys")
            return [connection.execute(text(f"PRAGMA {pragma}")).scalar_one() for pragma in pragmas]

        self.assertEqual(await self.opened().write(modes), [2, 1])


class ControlDatabaseOnServerTests(ControlDatabaseContract, TestCase):
    kind = "postgresql"

    def shorten_lock_timeout(self) -> None:
        self.patch(_postgres, "_SESSION", {**_postgres._SESSION, "lock_timeout": "10ms"})

    async def test_swallowed_error(self) -> None:
        """A call that goes on after a statement of its own failed is refused: PostgreSQL would undo it in silence."""
        database = self.opened()

        def swallow(connection: Connection) -> None:
            add(connection, "a")
            with contextlib.suppress(IntegrityError):
                add(connection, "a")

        await self.assertFailure(database.write(swallow), RuntimeError)
        self.assertEqual(await database.read(count), 0)

    async def test_durability(self) -> None:
        """Whatever the server does by default, a write fires when it is on disk."""
        place = new_database(self, "postgresql")
        name = str(place).rpartition("/")[2]
        with shared_postgres().connect() as server:
            server.execute(f"ALTER DATABASE {name} SET synchronous_commit = off")
        database = open_control_database(place, reactor=reactor)
        self.addCleanup(database.close)
        shown = await database.write(
            lambda connection: connection.execute(text("SHOW synchronous_commit")).scalar_one()
        )
        self.assertEqual(shown, "on")
