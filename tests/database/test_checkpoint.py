"""When the log is copied into the database: the rule by itself, and on a file."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from cloudd.database import _checkpoint, _sqlite
from cloudd.database._checkpoint import LARGE, STEP, USUAL, Checkpoint, Log, decide, next_mark


class DecideTests(SynchronousTestCase):
    def test_small(self) -> None:
        self.assertIsNone(decide(0, USUAL))
        self.assertIsNone(decide(USUAL - 1, USUAL))

    def test_at_the_mark(self) -> None:
        """The file keeps its size, and readers are waited for only shortly."""
        self.assertEqual(decide(USUAL, USUAL), Checkpoint("RESTART", _checkpoint.SHORT_S))
        self.assertEqual(decide(LARGE - 1, USUAL), Checkpoint("RESTART", _checkpoint.SHORT_S))

    def test_large(self) -> None:
        """It is cut down, and that is insisted on."""
        self.assertEqual(decide(LARGE, USUAL), Checkpoint("TRUNCATE", _checkpoint.LONG_S))
        self.assertGreater(_checkpoint.LONG_S, _checkpoint.SHORT_S)

    def test_file_that_is_used_again(self) -> None:
        """After a whole checkpoint the file's size says nothing until it grows."""
        mark = next_mark(USUAL + 4096, whole=True)
        self.assertIsNone(decide(USUAL + 4096, mark))
        self.assertIsNotNone(decide(USUAL + 8192, mark))

    def test_after_the_file_was_cut_down(self) -> None:
        self.assertEqual(next_mark(0, whole=True), USUAL)

    def test_readers_in_the_way(self) -> None:
        """The next try comes when the log has grown, not with each commit."""
        for size in (USUAL, LARGE, 10 * LARGE):
            mark = next_mark(size, whole=False)
            self.assertIsNone(decide(size + STEP - 1, mark))
            self.assertIsNotNone(decide(size + STEP, mark))


class LogTests(SynchronousTestCase):
    def setUp(self) -> None:
        for name, value in (("USUAL", 64 << 10), ("LARGE", 256 << 10), ("STEP", 32 << 10)):
            self.patch(_checkpoint, name, value)
        self.path = Path(self.mktemp())
        self.connection = self.opened(writes=True)
        self.connection.execute("CREATE TABLE item (name TEXT)")
        self.log = Log(self.path)

    def opened(self, *, writes: bool) -> sqlite3.Connection:
        connection = _sqlite.connect(self.path, writes=writes)
        self.addCleanup(connection.close)
        return connection

    def size(self) -> int:
        return os.stat(f"{self.path}-wal").st_size

    def write(self, count: int) -> int:
        """How many checkpoints were due in ``count`` commits."""
        due = 0
        for number in range(count):
            self.connection.execute("INSERT INTO item VALUES (?)", (str(number),))
            due += self.log.is_due()
            self.log.tend(self.connection)
        return due

    def test_no_checkpoints_by_itself(self) -> None:
        for number in range(1200):
            self.connection.execute("INSERT INTO item VALUES (?)", (str(number),))
        self.assertGreater(self.size(), 1200 * 4096)

    def test_bounded(self) -> None:
        """A few large checkpoints, not one for each commit; and the file never outgrows the limit."""
        sizes = set()
        for _ in range(40):
            self.assertLess(self.write(20), 4)
            sizes.add(self.size())
        self.assertLess(max(sizes), (256 << 10) + 8 * 4096)

    def test_large_transaction(self) -> None:
        """The file is cut down after it."""
        self.connection.execute("BEGIN IMMEDIATE")
        self.connection.executemany("INSERT INTO item VALUES (?)", [("x" * 4000,)] * 500)
        self.connection.execute("COMMIT")
        self.assertGreater(self.size(), 256 << 10)
        self.log.tend(self.connection)
        self.assertEqual(self.size(), 0)

    def test_long_read(self) -> None:
        """It keeps the log from being copied, tries are few meanwhile, and the log shrinks after it."""
        reader = self.opened(writes=False)
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM item").fetchone()
        self.patch(_checkpoint, "LONG_S", 0.0)
        self.assertLess(self.write(200), 40)
        self.assertGreater(self.size(), 256 << 10)
        reader.execute("COMMIT")
        self.write(20)
        self.assertLess(self.size(), 256 << 10)

    def test_failure_is_not_repeated_at_each_commit(self) -> None:
        self.write(10)
        while not self.log.is_due():
            self.connection.execute("INSERT INTO item VALUES ('x')")
        self.connection.execute("BEGIN IMMEDIATE")  # a checkpoint inside a transaction is an error
        self.connection.execute("INSERT INTO item VALUES ('x')")
        self.assertRaises(sqlite3.OperationalError, self.log.tend, self.connection)
        self.connection.execute("COMMIT")
        self.assertFalse(self.log.is_due())

    def test_another_process_cut_it_down(self) -> None:
        """What this process saw of the file's size is no measure any more."""
        self.connection.execute("BEGIN IMMEDIATE")
        self.connection.executemany("INSERT INTO item VALUES (?)", [("x" * 4000,)] * 50)
        self.connection.execute("COMMIT")
        self.log.tend(self.connection)
        self.assertGreater(self.size(), 200_000)
        self.opened(writes=True).execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        self.write(2)
        self.assertTrue(self.write(40))

    def test_no_log(self) -> None:
        self.assertFalse(Log(Path(self.mktemp())).is_due())
