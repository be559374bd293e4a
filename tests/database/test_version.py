"""The number that changes with every commit."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from twisted.internet import reactor
from twisted.trial.unittest import SynchronousTestCase, TestCase

from cloudd.database import _sqlite, open_control_database, open_object_index
from cloudd.database._version import CommitWatch


class CommitWatchTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.path = Path(self.mktemp())
        self.writer = self.connection()
        self.writer.execute("CREATE TABLE item (name TEXT)")
        self.opened: list[sqlite3.Connection] = []
        self.watch = CommitWatch(self.watching)
        self.watch.use(self.watch.open())
        self.addCleanup(self.watch.close)

    def connection(self) -> sqlite3.Connection:
        connection = _sqlite.connect(self.path, writes=True)
        self.addCleanup(connection.close)
        return connection

    def watching(self) -> sqlite3.Connection:
        self.opened.append(_sqlite.connect(self.path, writes=False))
        return self.opened[-1]

    def add(self) -> None:
        self.writer.execute("INSERT INTO item VALUES ('x')")

    def test_each_commit(self) -> None:
        seen = {self.watch.number()}
        for _ in range(20):
            self.add()
            number = self.watch.number()
            self.assertNotIn(number, seen)
            self.assertEqual(self.watch.number(), number)
            seen.add(number)

    def test_not_before_the_commit(self) -> None:
        """Neither an open transaction nor one that is undone counts."""
        number = self.watch.number()
        self.writer.execute("BEGIN IMMEDIATE")
        self.add()
        self.assertEqual(self.watch.number(), number)
        self.writer.execute("ROLLBACK")
        self.assertEqual(self.watch.number(), number)

    def test_holds_nothing(self) -> None:
        """A checkpoint can empty the log: no reader's lock stays behind."""
        self.add()
        self.watch.number()
        self.assertEqual(self.writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0], 0)

    def test_another_connection(self) -> None:
        """Each connection counts for itself: a number of the last one must not come again."""
        seen = {self.watch.number()}
        for _ in range(3):
            self.add()
            self.watch.use(self.watch.open())
            number = self.watch.number()
            self.assertNotIn(number, seen)
            seen.add(number)

    def test_broken(self) -> None:
        """Nothing is said by a connection that fails."""
        self.opened[-1].close()
        self.assertIsNone(self.watch.number())
        self.assertIsNone(self.watch.number())
        self.watch.use(self.watch.open())
        self.assertIsNotNone(self.watch.number())


class VersionTests(TestCase):
    async def test_object_index(self) -> None:
        index = open_object_index(Path(self.mktemp()), reactor=reactor)
        self.addCleanup(index.close)
        await index.write(lambda connection: connection.execute("CREATE TABLE item (name TEXT)") and None)
        self.assertIsNone(index.version())  # its connection is opened by a thread
        await index.read(lambda _: None)
        while (first := index.version()) is None:
            await index.read(lambda _: None)
        self.assertEqual(index.version(), first)
        await index.write(lambda connection: connection.execute("INSERT INTO item VALUES ('x')") and None)
        self.assertNotEqual(index.version(), first)

    async def test_closed(self) -> None:
        """Also when the connection was just being opened."""
        for reads in (0, 3):
            index = open_object_index(Path(self.mktemp()), reactor=reactor)
            index.version()
            for _ in range(reads):
                await index.read(lambda _: None)
            await index.close()
            self.assertIsNone(index.version())

    async def test_control_database(self) -> None:
        database = open_control_database(Path(self.mktemp()), reactor=reactor)
        self.addCleanup(database.close)
        database.version()
        while database.version() is None:
            await database.read(lambda _: None)
