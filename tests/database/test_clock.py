"""The database's own clock: as SQL of each dialect, and as SQLite tells it."""

from __future__ import annotations

import time
from pathlib import Path

from sqlalchemy import Connection, select
from sqlalchemy.dialects import postgresql, sqlite
from twisted.internet import reactor
from twisted.trial.unittest import SynchronousTestCase, TestCase

from cloudd.database import migrate, now_us, open_control_database


class DialectTests(SynchronousTestCase):
    def test_by_dialect(self) -> None:
        """PostgreSQL's goes on inside a transaction."""
        self.assertIn("clock_timestamp()", str(select(now_us()).compile(dialect=postgresql.dialect())))
        self.assertIn("julianday('now')", str(select(now_us()).compile(dialect=sqlite.dialect())))


class TimeTests(TestCase):
    async def test_time(self) -> None:
        """Microseconds since the epoch, to the millisecond; arithmetic keeps them whole."""
        path = Path(self.mktemp())
        migrate(path)
        database = open_control_database(path, reactor=reactor)
        self.addCleanup(database.close)

        def ask(connection: Connection) -> tuple[int, int]:
            row = connection.execute(select(now_us(), now_us() + 5)).one()
            return row[0], row[1]

        before = time.time() * 1e6
        now, later = await database.read(ask)
        self.assertTrue(before - 2_000 <= now <= time.time() * 1e6 + 2_000)
        self.assertEqual(later - now, 5)
        self.assertIsInstance(now, int)
