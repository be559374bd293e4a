"""Two processes and one duty: killed, stopped for a while, and with clocks ten minutes apart; on both databases."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.database.choice import new_database

CHECKOUT = Path(__file__).parent.parent.parent
PATIENCE_S = 60.0
LEASE_S = 2.0


class Holder:
    """One of the processes; ``lines`` is what it has said."""

    def __init__(self, place: Path | str, name: str, skew_s: float) -> None:
        command = [sys.executable, "-m", "tests.nodes.holder", str(place), name, str(skew_s), str(LEASE_S)]
        environment = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=CHECKOUT, env=environment)
        assert self.process.stdout is not None
        os.set_blocking(self.process.stdout.fileno(), False)
        self._said = b""

    @property
    def lines(self) -> list[str]:
        assert self.process.stdout is not None
        self._said += self.process.stdout.read() or b""
        return self._said.decode().splitlines()

    def until(self, start: str) -> None:
        """A line that begins so."""
        deadline = time.monotonic() + PATIENCE_S
        while not any(line.startswith(start) for line in self.lines):
            assert time.monotonic() < deadline and self.process.poll() is None, (start, self.lines)
            time.sleep(0.01)

    def end(self, sign: signal.Signals = signal.SIGKILL) -> None:
        if self.process.poll() is None:
            self.process.send_signal(sign)
        self.process.wait(30)


class Rules:
    """Rules for either database."""

    kind: str

    def setUp(self: Any) -> None:
        self.place = new_database(self, self.kind)

    def holder(self: Any, name: str, skew_s: float = 0.0) -> Holder:
        holder = Holder(self.place, name, skew_s)
        self.addCleanup(holder.end)
        self.addCleanup(lambda: holder.process.stdout.close() if holder.process.stdout else None)
        holder.until("ready")
        return holder

    def written(self: Any) -> list[tuple[str, str]]:
        """Who wrote in which term, in order."""
        query = "SELECT type, data FROM events WHERE type LIKE 'test.%' ORDER BY id"
        if isinstance(self.place, Path):
            import sqlite3

            connection: Any = sqlite3.connect(self.place)
        else:
            import psycopg

            connection = psycopg.connect(self.place)
        try:
            return [(row[0].removeprefix("test."), row[1]) for row in connection.execute(query).fetchall()]
        finally:
            connection.close()

    def check(self: Any) -> list[tuple[str, str]]:
        """Each term was one process's, and no term wrote after a later one had."""
        written = self.written()
        terms = [int(term) for _, term in written]
        self.assertEqual(terms, sorted(terms))
        self.assertEqual(len(set(written)), len(set(terms)))
        return written  # type: ignore[no-any-return]

    def test_killed(self: Any) -> None:
        """The other one goes on, and not before the lease has ended, whatever the clocks of both say."""
        first = self.holder("first", skew_s=600)
        first.until("begins 1")
        second = self.holder("second", skew_s=-600)
        time.sleep(1.5 * LEASE_S)
        first.end()
        had = len(first.lines)
        second.until("begins ")
        time.sleep(0.3)
        second.end()
        self.assertGreater(had, 1)
        self.assertEqual(self.check()[-1][0], "second")

    def test_stopped_for_a_while(self: Any) -> None:
        """One that stood still while another took over writes nothing any more, and ends its work by itself."""
        first = self.holder("stops")
        first.until("stops")
        second = self.holder("second")
        second.until("begins ")
        first.process.send_signal(signal.SIGCONT)
        first.until("ends")
        time.sleep(0.5)
        second.end()
        self.assertIn("second", {name for name, _term in self.check()})


class SqliteTests(Rules, SynchronousTestCase):
    kind = "sqlite"


class PostgresTests(Rules, SynchronousTestCase):
    kind = "postgresql"
