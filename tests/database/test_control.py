"""The control database: the same group commit with SQLAlchemy connections."""

from __future__ import annotations

from pathlib import Path
from threading import Event
from typing import Any

from sqlalchemy import Connection, func, insert, select, text
from sqlalchemy.exc import IntegrityError, OperationalError
from twisted.internet import reactor
from twisted.internet.defer import Deferred, DeferredList
from twisted.trial.unittest import TestCase

from cloudd.database import DatabaseBusy, _patience, control_url, migrate, open_control_database
from cloudd.database._control import ControlDatabase
from cloudd.database.tables import domain, user


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


class ControlDatabaseTests(TestCase):
    def opened(self) -> ControlDatabase:
        self.path = Path(self.mktemp())
        migrate(self.path)
        database = open_control_database(self.path, reactor=reactor, threads=2)
        self.addCleanup(database.close)
        return database

    async def test_writes_and_reads(self) -> None:
        database = self.opened()
        self.assertEqual(await database.write(add, "a"), "a")
        self.assertEqual(await database.read(count), 1)
        with self.assertRaises(OperationalError):
            await database.read(add, "b")

    async def test_failure_undoes_only_itself(self) -> None:
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

    async def test_busy(self) -> None:
        """Another process that holds the lock for good ends in ``DatabaseBusy``, and nothing is broken after it."""
        self.patch(_patience, "BUSY_LIMIT_S", 0.01)
        database = self.opened()
        other = open_control_database(control_url(self.path), reactor=reactor)
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

    async def test_forget_statements(self) -> None:
        """Compiled statements of an old generation can be dropped; everything works on."""
        database = self.opened()
        await database.read(count)
        database.forget_statements()
        self.assertEqual(await database.read(count), 0)

    async def test_foreign_keys_and_durability(self) -> None:
        def modes(connection: Connection) -> list[int]:
            pragmas = ("synchronous", "foreign_keys")
            return [connection.execute(text(f"PRAGMA {pragma}")).scalar_one() for pragma in pragmas]

        self.assertEqual(await self.opened().write(modes), [2, 1])
