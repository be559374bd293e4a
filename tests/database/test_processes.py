"""Several processes on one database, and processes that are killed."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from cloudd.database import _sqlite, control_url, migrate

ROOT = Path(__file__).parent.parent.parent

WRITER = """
import sys
from pathlib import Path
from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import react
from cloudd.database import open_object_index

def add(connection, name):
    connection.execute("INSERT INTO item VALUES (?)", (name,))

async def main(prefix, count):
    database = open_object_index(Path(sys.argv[1]), reactor=reactor)
    await database.write(lambda c: c.execute("CREATE TABLE IF NOT EXISTS item (name TEXT PRIMARY KEY)") and None)
    print("ready", flush=True)
    sys.stdin.readline()
    for number in range(0, count, 4):
        names = [f"{prefix}-{number + extra}" for extra in range(4)]
        await gatherResults([database.write(add, name) for name in names])
        print(*names, flush=True)
    await database.close()

react(lambda _: Deferred.fromCoroutine(main(sys.argv[2], int(sys.argv[3]))))
"""

VISITOR = """
import sys
from pathlib import Path
from cloudd.database import _sqlite

connection = _sqlite.connect(Path(sys.argv[1]), writes=True)
print(connection.execute("SELECT count(*) FROM item").fetchone()[0])
connection.close()
"""

MIGRATION = """
import sys
from cloudd.database import migrate
print(migrate(sys.argv[1]))
"""


class ProcessTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.path = Path(self.mktemp()).absolute()

    def started(self, program: str, *arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", program, str(self.path), *arguments],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

        def end() -> None:
            process.kill()
            process.communicate()

        self.addCleanup(end)
        return process

    def line(self, process: subprocess.Popen[str]) -> str:
        assert process.stdout is not None
        return process.stdout.readline().strip()

    def go(self, process: subprocess.Popen[str]) -> None:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()

    def stored(self) -> set[str]:
        connection = sqlite3.connect(self.path)
        try:
            self.assertEqual(connection.execute("PRAGMA integrity_check").fetchone()[0], "ok")
            return {row[0] for row in connection.execute("SELECT name FROM item")}
        finally:
            connection.close()

    def test_three_processes_write_at_once(self) -> None:
        """None fails, none starves, nothing is lost."""
        writers = [self.started(WRITER, str(number), "400") for number in range(3)]
        for writer in writers:
            self.assertEqual(self.line(writer), "ready")
        for writer in writers:
            self.go(writer)
        for writer in writers:
            writer.communicate()
            self.assertEqual(writer.returncode, 0)
        self.assertEqual(self.stored(), {f"{writer}-{number}" for writer in range(3) for number in range(400)})

    def test_killed(self) -> None:
        """Whatever was acknowledged before kill -9 is there after it."""
        writer = self.started(WRITER, "x", "1000000")
        self.assertEqual(self.line(writer), "ready")
        self.go(writer)
        acknowledged: set[str] = set()
        while len(acknowledged) < 200:
            acknowledged.update(self.line(writer).split())
        writer.kill()
        rest, _ = writer.communicate()
        *whole, _ = rest.split("\n")  # the last line may be cut off
        acknowledged.update(name for line in whole for name in line.split())
        self.assertLessEqual(acknowledged, self.stored())

    def test_a_process_that_ends_leaves_the_log_to_the_others(self) -> None:
        """SQLite's locks outlive the opening of a further connection: the log is deleted by the last process only."""
        writer = _sqlite.connect(self.path, writes=True)
        self.addCleanup(writer.close)
        writer.execute("CREATE TABLE item (name TEXT PRIMARY KEY)")
        reader = _sqlite.connect(self.path, writes=False)
        self.addCleanup(reader.close)
        for number in range(2):
            writer.execute("INSERT INTO item VALUES (?)", (str(number),))
            self.assertEqual(self.line(self.started(VISITOR)), str(number + 1))

    def test_two_migrate_at_once(self) -> None:
        """One makes the tables, the other finds them made."""
        processes = [self.started(MIGRATION) for _ in range(2)]
        self.assertEqual(sorted(self.line(process) for process in processes), ["False", "True"])
        self.assertFalse(migrate(control_url(self.path)))
