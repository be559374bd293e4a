"""Damaged files: whoever meets one says so until the end, and a start looks for one."""

from __future__ import annotations

import os
import shutil
import sqlite3
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.trial.unittest import SynchronousTestCase, TestCase

from cloudd.database import DatabaseDamaged, check, migrate, open_control_database, open_object_index
from cloudd.database._damage import QUICK_CHECK_LIMIT, needs_quick_check
from tests.database.choice import new_database
from tests.database.test_group_commit import add, names

PAGE = 4096


def make(path: Path) -> None:
    """A database of some hundred pages, without a log."""
    connection = sqlite3.connect(path)
    with connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE item (name TEXT PRIMARY KEY)")
        connection.executemany("INSERT INTO item VALUES (?)", ((f"{number:0500}",) for number in range(1000)))
    connection.close()


def damage(path: Path) -> None:
    """Overwrite everything behind the first pages: header and schema stay."""
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(3 * PAGE)
        file.write(b"\xa5" * (size - 3 * PAGE))


def leave_log(path: Path) -> None:
    """As after a kill: a log lies beside the database."""
    copy = path.with_name(f"{path.name}.copy")
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE another (name TEXT)")
    shutil.copy(path, copy)
    shutil.copy(f"{path}-wal", f"{copy}-wal")
    connection.close()
    os.replace(copy, path)
    os.replace(f"{copy}-wal", f"{path}-wal")


class MetTests(TestCase):
    async def test_sticks(self) -> None:
        """The first error that tells of damage stays; queries that do not come near the place still work."""
        path = Path(self.mktemp())
        make(path)
        damage(path)
        database = open_object_index(path, reactor=reactor)
        self.addCleanup(database.close)
        await database.read(lambda connection: connection.execute("SELECT 1").fetchone())
        self.assertEqual(database.damage, "")
        await self.assertFailure(database.read(names), sqlite3.DatabaseError)
        found = database.damage
        for words in (str(path), "malformed", "backup", "operators.md"):
            self.assertIn(words, found)
        await database.read(lambda connection: connection.execute("SELECT 1").fetchone())
        self.assertEqual(database.damage, found)

    async def test_by_a_write(self) -> None:
        path = Path(self.mktemp())
        make(path)
        damage(path)
        database = open_object_index(path, reactor=reactor)
        self.addCleanup(database.close)
        await self.assertFailure(database.write(add, "x"), sqlite3.DatabaseError)
        self.assertIn("malformed", database.damage)

    async def test_no_database(self) -> None:
        """Through SQLAlchemy, whose errors wrap SQLite's."""
        path = Path(self.mktemp())
        path.write_bytes(b"this is not a database" * 100)
        database = open_control_database(path, reactor=reactor)
        self.addCleanup(database.close)
        await self.assertFailure(database.read(lambda _: None), Exception)
        self.assertIn("not a database", database.damage)

    async def test_other_errors(self) -> None:
        """A wrong statement, a name that is taken and an error of the caller are no damage."""
        path = Path(self.mktemp())
        make(path)
        database = open_object_index(path, reactor=reactor)
        self.addCleanup(database.close)

        def fail(connection: sqlite3.Connection) -> Any:
            raise ValueError

        await self.assertFailure(database.read(lambda c: c.execute("nonsense")), sqlite3.OperationalError)
        await self.assertFailure(database.write(add, f"{1:0500}"), sqlite3.IntegrityError)
        await self.assertFailure(database.write(fail), ValueError)
        self.assertEqual(database.damage, "")


class CheckTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.path = Path(self.mktemp()).absolute()

    def test_rule(self) -> None:
        """Only after an end that was not clean, and only what is read quickly."""
        self.assertFalse(needs_quick_check(PAGE, None))
        self.assertTrue(needs_quick_check(PAGE, 0))
        self.assertTrue(needs_quick_check(QUICK_CHECK_LIMIT - PAGE, PAGE))
        self.assertFalse(needs_quick_check(QUICK_CHECK_LIMIT, 1))

    def test_sound(self) -> None:
        check(self.path)
        self.assertFalse(self.path.exists())
        migrate(self.path)
        check(self.path)
        leave_log(self.path)
        check(self.path)

    def test_damaged_after_a_kill(self) -> None:
        make(self.path)
        leave_log(self.path)
        damage(self.path)
        error = self.assertRaises(DatabaseDamaged, check, self.path)
        for words in (str(self.path), "backup", "operators.md"):
            self.assertIn(words, str(error))

    def test_damaged_after_a_clean_end(self) -> None:
        """Nobody waits for a look at all pages then."""
        make(self.path)
        damage(self.path)
        check(self.path)

    def test_no_database(self) -> None:
        """The header is looked at always."""
        self.path.write_bytes(b"this is not a database" * 100)
        self.assertIn("not a database", str(self.assertRaises(DatabaseDamaged, check, self.path)))


class ServerTests(TestCase):
    async def test_a_server_that_says_so(self) -> None:
        """Damage that PostgreSQL reports sticks as that of a file does; another error does not."""
        url = new_database(self, "postgresql")
        database = open_control_database(url, reactor=reactor)
        self.addCleanup(database.close)

        def fail(connection: Any, state: str) -> None:
            connection.exec_driver_sql(f"DO $$ BEGIN RAISE 'page 7 is bad' USING ERRCODE = '{state}'; END $$")

        for state in ("P0001", "XX001"):
            self.assertEqual(database.damage, "")
            with self.assertRaises(Exception):  # noqa: B017 - which one is SQLAlchemy's business
                await database.read(fail, state)
        self.assertIn("page 7 is bad", database.damage)
        self.assertIn("REINDEX", database.damage)
