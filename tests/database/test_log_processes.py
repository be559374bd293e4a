"""The log under several processes that write at once, are killed, and end; with limits so low that it never rests."""

from __future__ import annotations

import os
import random
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

ROOT = Path(__file__).parent.parent.parent
LARGE = 256 << 10

WRITER = """
import sys
from pathlib import Path
from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import deferLater, react
from twisted.internet.threads import deferToThread
from cloudd.database import _checkpoint, open_object_index

_checkpoint.USUAL, _checkpoint.LARGE, _checkpoint.STEP = 48 << 10, 256 << 10, 16 << 10
path, prefix, checkpoints = Path(sys.argv[1]), sys.argv[2], [0]
real = _checkpoint._make

def make(connection, checkpoint):
    checkpoints[0] += 1
    return real(connection, checkpoint)

_checkpoint._make = make

def add(connection, name):
    connection.execute("INSERT INTO item VALUES (?, ?)", (name, "x" * 200))

async def main():
    database = open_object_index(path, reactor=reactor)
    await database.write(lambda c: c.execute("CREATE TABLE IF NOT EXISTS item (name TEXT PRIMARY KEY, body TEXT)"))
    asked = deferToThread(sys.stdin.readline)
    number = 0
    while not asked.called:
        names = [f"{hash((prefix, number + extra)) & 0xffff:04x}-{prefix}-{number + extra}" for extra in range(4)]
        await gatherResults([database.write(add, name) for name in names])
        await database.read(lambda c: c.execute("SELECT count(*) FROM item").fetchone())
        print(*names, flush=True)
        number += 4
    await database.close()
    print("checkpoints", checkpoints[0], flush=True)

react(lambda _: Deferred.fromCoroutine(main()))
"""


class Writer:
    """A process that writes until it is told to end; its output goes to a file, so that it never waits for us."""

    def __init__(self, path: Path, prefix: str) -> None:
        self._output = path.with_name(f"{path.name}-{prefix}.out")
        with self._output.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-c", WRITER, str(path), prefix], cwd=ROOT, stdin=subprocess.PIPE, stdout=output
            )

    def lines(self) -> list[list[str]]:
        """What it said; a line that was cut off is left out."""
        return [line.split() for line in self._output.read_text().split("\n")[:-1]]

    def acknowledged(self) -> set[str]:
        return {name for line in self.lines() if line[0] != "checkpoints" for name in line}

    def has_begun(self) -> bool:
        return bool(self.lines()) or self.process.poll() is not None

    def end(self) -> None:
        """In order."""
        self.process.communicate(b"\n", timeout=60)

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


class LogTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.path = Path(self.mktemp()).absolute()
        self.writers: list[Writer] = []
        self.addCleanup(self.kill_all)

    def kill_all(self) -> None:
        for writer in self.writers:
            if writer.process.returncode is None:
                writer.kill()

    def started(self, count: int) -> list[Writer]:
        """Writers that all have written."""
        new = [Writer(self.path, f"{len(self.writers) + number}") for number in range(count)]
        self.writers += new
        self.wait(lambda: all(writer.has_begun() for writer in new))
        return new

    def wait_for_more(self, before: dict[Writer, int]) -> None:
        """Until each has told of more than then."""
        self.wait(lambda: all(len(writer.lines()) > count for writer, count in before.items()))

    def wait(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 60
        while not condition():
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.01)

    def log_size(self) -> int:
        try:
            return os.stat(f"{self.path}-wal").st_size
        except FileNotFoundError:
            return 0

    def assert_sound(self) -> None:
        """Nothing that was acknowledged is missing."""
        acknowledged = set[str]().union(*(writer.acknowledged() for writer in self.writers))
        with closing(sqlite3.connect(self.path)) as connection:
            self.assertEqual(connection.execute("PRAGMA integrity_check").fetchall(), [("ok",)])
            stored = {row[0] for row in connection.execute("SELECT name FROM item")}
        self.assertEqual(acknowledged - stored, set())

    def test_bounded_and_gone_in_the_end(self) -> None:
        """
        Three processes write and read without a pause; a last connection that closes by itself takes the log away.

        Two that close at one moment, as the threads of the last process may, each see the other and leave it.
        """
        writers = self.started(3)
        largest = 0
        deadline = time.monotonic() + 2
        while time.monotonic() < deadline:
            largest = max(largest, self.log_size())
            time.sleep(0.005)
        for writer in writers:
            writer.end()
            self.assertEqual(writer.process.returncode, 0)
        self.assertGreater(largest, 48 << 10)
        self.assertLess(largest, 2 * LARGE)
        for writer in writers:
            self.assertGreater(int(writer.lines()[-1][1]), 3)  # each took part
        self.assert_sound()
        self.assertFalse(Path(f"{self.path}-wal").exists())

    def test_killed_again_and_again(self) -> None:
        """Two are always at it when a third is killed; all it had acknowledged is there, and nobody is held up."""
        rest = self.started(2)
        for _ in range(8):
            before = [len(writer.lines()) for writer in rest]
            [killed] = self.started(1)
            time.sleep(random.random() * 0.1)
            killed.kill()
            self.wait_for_more(dict(zip(rest, before, strict=True)))
            self.assert_sound()
        self.kill_all()
        [last] = self.started(1)
        last.end()
        self.assert_sound()
