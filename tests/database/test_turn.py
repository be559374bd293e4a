"""The turn: nobody begins to write during a checkpoint, nobody makes one meanwhile, and readers never wait."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase, TestCase

from cloudd.database import DatabaseBusy, MigrationFailed, _checkpoint, _index, _patience, migrate, open_object_index
from cloudd.database._turn import Turn, TurnTaken
from tests.database.test_group_commit import add, create, names

ROOT = Path(__file__).parent.parent.parent

HOLDER = """
import sys
from pathlib import Path
from cloudd.database._turn import Turn

turn = Turn(Path(sys.argv[1]))
turn.take(0.0)
print("held", flush=True)
sys.stdin.read()
"""


def is_taken(path: Path) -> bool:
    """Whether somebody has the turn alone, as another process finds out that begins to write."""
    turn = Turn(path)
    try:
        turn.share()
    except TurnTaken:
        return True
    finally:
        turn.close()
    return False


def is_free(path: Path) -> bool:
    """Whether nobody has it, not even shared."""
    turn = Turn(path)
    try:
        return turn.take(0.0)
    finally:
        turn.close()


class TurnTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.path = Path(self.mktemp()).absolute()

    def test_shared_or_alone(self) -> None:
        """Many share it; one has it alone, for whom the others have to let go."""
        mine, theirs = Turn(self.path), Turn(self.path)
        self.addCleanup(mine.close)
        self.addCleanup(theirs.close)
        for one, other in ((mine, theirs), (theirs, mine)):
            one.share()
            other.share()
            self.assertFalse(is_taken(self.path))
            self.assertFalse(one.take(0.0))
            self.assertFalse(one.is_ours)
            other.release()
            self.assertTrue(one.take(0.0))
            self.assertTrue(one.is_ours)
            self.assertRaises(TurnTaken, other.share)
            self.assertFalse(other.take(0.001))
            other.release()  # lets go of nothing
            self.assertTrue(is_taken(self.path))
            one.release()
            self.assertFalse(one.is_ours)
            self.assertTrue(is_free(self.path))

    def test_each_database_has_its_own(self) -> None:
        mine = Turn(self.path)
        self.addCleanup(mine.close)
        mine.take(0.0)
        self.assertFalse(is_taken(self.path.with_name("another")))

    def test_file(self) -> None:
        """Nobody else may open it, no other program inherits it, and nothing is open at first nor at last."""
        turn, path = Turn(self.path), Path(f"{self.path}.turn")
        self.assertFalse(path.exists())
        turn.share()
        self.assertEqual(path.stat().st_mode & 0o777, 0o600)
        opened = [int(name) for name in os.listdir("/proc/self/fd") if self.leads_to(name, path)]
        self.assertEqual([os.get_inheritable(descriptor) for descriptor in opened], [False])
        turn.close()
        self.assertEqual([name for name in os.listdir("/proc/self/fd") if self.leads_to(name, path)], [])
        turn.share()
        turn.close()

    def leads_to(self, name: str, path: Path) -> bool:
        try:
            return os.readlink(f"/proc/self/fd/{name}") == str(path)
        except FileNotFoundError:
            return False

    def test_child_does_not_keep_it(self) -> None:
        """A fork shares the open file; what the parent lets go is free all the same."""
        turn = Turn(self.path)
        self.addCleanup(turn.close)
        turn.take(0.0)
        reading, writing = os.pipe()
        child = os.fork()
        if not child:
            os.close(writing)
            os.read(reading, 1)
            os._exit(0)
        os.close(reading)
        try:
            turn.release()
            self.assertFalse(is_taken(self.path))
        finally:
            os.close(writing)
            os.waitpid(child, 0)

    def test_migration_waits(self) -> None:
        self.patch(_patience, "BUSY_LIMIT_S", 0.01)
        turn = Turn(self.path)
        self.addCleanup(turn.close)
        turn.take(0.0)
        error = self.assertRaises(MigrationFailed, migrate, self.path)
        self.assertIn("stop the other daemon", str(error))
        turn.release()
        self.assertTrue(migrate(self.path))
        self.assertFalse(is_taken(self.path))


class WriterTests(TestCase):
    async def opened(self) -> Any:
        self.path = Path(self.mktemp()).absolute()
        database = open_object_index(self.path, reactor=reactor)
        self.addCleanup(database.close)
        await database.write(create)
        return database

    def holder(self) -> subprocess.Popen[str]:
        """Another process that has the turn."""
        process = subprocess.Popen(
            [sys.executable, "-c", HOLDER, str(self.path)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

        def end() -> None:
            process.kill()
            process.communicate()

        self.addCleanup(end)
        assert process.stdout is not None
        self.assertEqual(process.stdout.readline().strip(), "held")
        return process

    async def test_shared_to_begin_only(self) -> None:
        """While functions run, SQLite's own lock keeps others from having the turn alone; nothing else is held."""
        database = await self.opened()
        begin, found = _index._IndexDriver.begin, list[tuple[bool, bool]]()

        def beginning(driver: Any, connection: sqlite3.Connection, /, *, writes: bool) -> None:
            found.append((writes, is_free(self.path)))
            begin(driver, connection, writes=writes)

        self.patch(_index._IndexDriver, "begin", beginning)
        self.assertTrue(await database.write(lambda _: is_free(self.path)))
        self.assertTrue(await database.read(lambda _: is_free(self.path)))
        self.assertEqual(found, [(True, False), (False, True)])

    async def test_checkpoint_waits_for_who_begins(self) -> None:
        """One is skipped while another process begins to write, and made with a later commit."""
        database = await self.opened()
        made: list[str] = []
        self.patch(_checkpoint, "decide", lambda size, mark: _checkpoint.Checkpoint("RESTART", 0.0))

        def make(_: sqlite3.Connection, checkpoint: _checkpoint.Checkpoint) -> bool:
            made.append(checkpoint.mode)
            return True

        self.patch(_checkpoint, "_make", make)
        other = Turn(self.path)
        self.addCleanup(other.close)
        other.share()
        await database.write(add, "a")
        await database.write(add, "b")
        self.assertEqual(made, [])
        other.release()
        await database.write(add, "c")
        await database.close()
        self.assertEqual(made, ["RESTART"])

    async def test_let_go_after_failures(self) -> None:
        """A call that fails, alone or in a group, and a lost transaction leave the turn to others."""

        def fail(connection: sqlite3.Connection, *, lose: bool) -> None:
            if lose:
                connection.execute("ROLLBACK")
            raise ValueError

        database = await self.opened()
        for lose in (False, True):
            calls: list[Deferred[Any]] = [database.write(fail, lose=lose) for _ in range(3)]
            for call in calls:
                await self.assertFailure(call, ValueError)
            await database.write(lambda _: None)
            self.assertTrue(is_free(self.path))

    async def test_writes_wait_and_reads_do_not(self) -> None:
        """A holder in another process, until it is killed."""
        database = await self.opened()
        holder = self.holder()
        waiting = database.write(add, "a")
        for _ in range(20):
            self.assertEqual(await database.read(names), [])
        self.assertNoResult(waiting)
        holder.kill()
        self.assertEqual(await waiting, "a")

    async def test_gives_up_in_the_end(self) -> None:
        database = await self.opened()
        holder = self.holder()
        self.patch(_patience, "BUSY_LIMIT_S", 0.01)
        await self.assertFailure(database.write(add, "a"), DatabaseBusy)
        holder.kill()
        holder.wait()
        await database.write(add, "b")
        self.assertEqual(await database.read(names), ["b"])

    async def test_checkpoint_within_the_turn(self) -> None:
        """Whoever makes one holds the turn all the time, has no transaction, and lets go in the end."""
        database = await self.opened()
        self.patch(_checkpoint, "USUAL", 0)
        found: list[tuple[bool, bool, bool]] = []
        real = _checkpoint._make

        def make(connection: sqlite3.Connection, checkpoint: _checkpoint.Checkpoint) -> bool:
            before = is_taken(self.path)
            whole = real(connection, checkpoint)
            found.append((before, is_taken(self.path), connection.in_transaction))
            return whole

        self.patch(_checkpoint, "_make", make)
        self.patch(_checkpoint, "decide", lambda size, mark: _checkpoint.Checkpoint("RESTART", 0.0))
        for number in range(5):
            await database.write(add, str(number))
        await database.close()
        self.assertGreaterEqual(len(found), 5)
        self.assertEqual(set(found), {(True, True, False)})
        self.assertFalse(is_taken(self.path))

    async def test_failed_checkpoint(self) -> None:
        """The write it came after has succeeded, the next one does too, and others have their turn."""
        database = await self.opened()

        def fail(*_: object) -> None:
            raise sqlite3.OperationalError("disk I/O error")

        self.patch(_checkpoint.Log, "patience_s", lambda _: 0.0)
        self.patch(_checkpoint.Log, "tend", fail)
        for number in range(3):
            self.assertEqual(await database.write(add, str(number)), str(number))
        await database.close()
        self.assertTrue(is_free(self.path))
        self.assertGreaterEqual(len(self.flushLoggedErrors(sqlite3.OperationalError)), 3)
