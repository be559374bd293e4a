"""Records that move from a SQLite file to a server while they are written: none is lost, whatever breaks when."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, insert
from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from cloudd.database import (
    MigrationFailed,
    Move,
    Moved,
    MoveFailed,
    _migrate,
    _movable,
    examine_server,
    finish_move,
    migrate,
    moved_from,
    open_control_database,
    settle_move,
)
from cloudd.database._control import ControlDatabase, control_url, make_engine
from cloudd.database.tables import metadata
from cloudd.interfaces.database import Server
from tests.database.choice import new_database
from tests.database.test_backup import all_rows, next_ids, note_task
from tests.identity.house import House
from tests.running_cloud import CHECKOUT

ORIGIN = "here"
MADE = {"created_us": 1_700_000_000_000_000}


def quiet(_step: str, _text: str, _done: int, _total: int) -> None:
    """Nobody looks."""


def execute(place: Path | str, *statements: str) -> None:
    """As somebody else would, in one transaction."""
    engine = make_engine(control_url(place))
    with engine.begin() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)
    engine.dispose()


def fill(place: Path | str, count: int) -> None:
    """So many roles, domains, and a project in each."""
    engine = make_engine(control_url(place))
    tables = metadata.tables
    with engine.begin() as connection:
        for name in ("role", "domain"):
            rows = [{"id": f"{name}{n}", "name": f"{name} {n}", **MADE} for n in range(count)]
            connection.execute(insert(tables[f"identity_{name}"]), rows)
        rows = [{"id": f"p{n}", "name": "one", "domain_id": f"domain{n}", **MADE} for n in range(count)]
        connection.execute(insert(tables["identity_project"]), rows)
    engine.dispose()


class MoveCase(TestCase):
    """A cloud in a file, and an empty database on a server."""

    def setUp(self) -> None:
        self.file = Path(str(new_database(self, "sqlite")))
        self.url = str(new_database(self, "postgresql", migrated=False))

    def move(self, moment: Callable[[str], None] = lambda _name: None, origin: str = ORIGIN) -> Moved:
        return Move(self.file, Server(self.url), origin, quiet, moment).run()

    def assert_moved(self, before: dict[str, list[Any]]) -> None:
        """The same rows are there as were here, and the file takes no more."""
        there, here = all_rows(self.url), all_rows(self.file)
        self.assertEqual({**there, "oldest_reader": ()}, {**before, "oldest_reader": ()})
        self.assertEqual({**here, "oldest_reader": ()}, {**before, "oldest_reader": ()})
        where = moved_from(self.file)
        assert where is not None
        self.assertEqual(where.url, self.url)

    def assert_here(self, before: dict[str, list[Any]]) -> None:
        """The file is as it was, without a trace."""
        self.assertIsNone(settle_move(self.file))
        self.assertEqual(all_rows(self.file), before)
        with sqlite3.connect(self.file) as connection:
            left = connection.execute("SELECT name FROM sqlite_master WHERE name GLOB 'moving*'").fetchall()
        connection.close()
        self.assertEqual(left, [])
        execute(self.file, "INSERT INTO events (created_us, type, data) VALUES (0, 'x', '{}')")


class WholeTests(MoveCase):
    async def test_everything(self) -> None:
        """Rows of each kind, their ids, the order of later ids, and what tokens are checked by."""
        house = await House.built(self)
        self.file = Path(str(new_database(self, "sqlite"))) if isinstance(house.place, str) else house.place
        fill(self.file, 20)
        note_task(self.file)
        before = all_rows(self.file)
        ids = next_ids(self.file)
        execute(
            self.file, f"DELETE FROM events WHERE id = {ids[1]}", f"DELETE FROM identity_revocation WHERE id = {ids[0]}"
        )
        moved = self.move()
        self.assert_moved(before)
        self.assertEqual(sum(moved.rows.values()), sum(map(len, before.values())))
        self.assertLess(moved.pause_s, 5)
        # What a deleted row had is given to no other.
        self.assertEqual(next_ids(self.url), [number + 1 for number in ids])
        finish_move(Server(self.url))
        finish_move(Server(self.url))
        self.assertFalse(migrate(self.url))

    def test_changes_follow(self) -> None:
        """What is made, changed, renamed onto each other, moved and deleted while the copy is made."""
        fill(self.file, 12)
        changed = []

        def meanwhile(name: str) -> None:
            if name == "compared":
                changed.append(name)
                execute(
                    self.file,
                    "UPDATE identity_role SET name = 'between' WHERE id = 'role0'",
                    "UPDATE identity_role SET name = 'role 0' WHERE id = 'role1'",
                    "UPDATE identity_role SET name = 'role 1' WHERE id = 'role0'",
                    "INSERT INTO identity_project (id, name, domain_id, created_us, parent_id)"
                    " VALUES ('a', 'child', 'domain0', 1, 'p0')",
                    "INSERT INTO identity_project (id, name, domain_id, created_us, parent_id)"
                    " VALUES ('0', 'grandchild', 'domain0', 1, 'a')",
                    "UPDATE identity_project SET domain_id = 'domain3', name = 'moved' WHERE id = 'p4'",
                    "DELETE FROM identity_domain WHERE id = 'domain4'",
                    "DELETE FROM identity_role WHERE id = 'role7'",
                    "INSERT INTO identity_role (id, name, created_us) VALUES ('other', 'role 7', 1)",
                    "INSERT INTO identity_user (id, name, domain_id, created_us) VALUES ('u', 'ö\"', 'domain1', 1)",
                    "INSERT INTO identity_project_role (user_id, project_id, role_id) VALUES ('u', 'p1', 'role1')",
                    "DELETE FROM events WHERE id < 10",
                )
            if name == "paused":
                changed.append(name)

        moved = self.move(meanwhile)
        self.assertEqual(changed, ["compared", "paused"])
        self.assertGreaterEqual(moved.changes, 12 + 9)
        self.assert_moved(all_rows(self.file))

    def test_cascades_follow(self) -> None:
        """What a foreign key deletes is deleted there too."""
        fill(self.file, 3)
        execute(
            self.file,
            "INSERT INTO identity_user (id, name, domain_id, created_us) VALUES ('u', 'u', 'domain1', 1)",
            "INSERT INTO identity_project_role (user_id, project_id, role_id) VALUES ('u', 'p1', 'role1')",
        )

        def meanwhile(name: str) -> None:
            if name == "compared":
                execute(self.file, "DELETE FROM identity_user WHERE id = 'u'")

        self.move(meanwhile)
        self.assert_moved(all_rows(self.file))
        self.assertFalse(any("'u'" in row for row in all_rows(self.url)["identity_project_role"]))

    def test_the_file_afterwards(self) -> None:
        """Nobody writes to it or starts on it by accident, whatever release it is of."""
        self.move()
        connection = sqlite3.connect(self.file, isolation_level=None)
        self.addCleanup(connection.close)
        for statement in (
            "INSERT INTO identity_role (id, name, created_us) VALUES ('r', 'r', 1)",
            "INSERT INTO events (created_us, type, data) VALUES (0, 'x', '{}')",
            "UPDATE alembic_version SET version_num = '0004'",
        ):
            error = self.assertRaises(sqlite3.IntegrityError, connection.execute, statement)
            self.assertIn("moved to PostgreSQL at 127.0.0.1", str(error))
        error = self.assertRaises(MigrationFailed, migrate, self.file)
        self.assertIn("moved to PostgreSQL at 127.0.0.1", str(error))
        self.patch(_migrate, "REVISION", "unheard of")  # as to a release that knows of no moves
        error = self.assertRaises(MigrationFailed, migrate, self.file)
        self.assertIn("does not know", str(error))


class RefusedTests(MoveCase):
    def assert_refused(self, cause: str) -> None:
        before = all_rows(self.file)
        found = examine_server(Server(self.url), ORIGIN)
        self.assertTrue(any(cause in refusal for refusal in found.refusals), found)
        error = self.assertRaises(MoveFailed, self.move)
        self.assertIn(cause, str(error))
        self.assert_here(before)

    def test_records_are_there(self) -> None:
        """Those of another cloud stay."""
        migrate(self.url)
        fill(self.url, 1)
        there = all_rows(self.url)
        self.assert_refused("records are there already")
        self.assertEqual(all_rows(self.url), there)

    def test_what_is_looked_at(self) -> None:
        """An empty database is fine, and so is one with nothing but our tables."""
        for _ in range(2):
            found = examine_server(Server(self.url), ORIGIN)
            self.assertEqual(found.refusals, [])
            self.assertRegex(found.version, r"^\d+\.\d+$")
            migrate(self.url)
        execute(self.url, "CREATE TABLE somebodys (x integer)")
        self.assertIn("somebodys", examine_server(Server(self.url), ORIGIN).refusals[0])

    def test_nobody_there(self) -> None:
        """A server that cannot be reached is named."""
        self.url = self.url.rpartition("/")[0] + "/nosuch"
        self.assert_refused("nosuch")

    def test_what_the_server_cannot_keep(self) -> None:
        """A character that PostgreSQL has no place for ends the move, and the file stays."""
        engine = make_engine(control_url(self.file))
        with engine.begin() as connection:
            values = {"id": "r", "name": "a\0b", **MADE}
            connection.execute(insert(metadata.tables["identity_role"]), [values])
        engine.dispose()
        before = all_rows(self.file)
        self.assertRegex(str(self.assertRaises(MoveFailed, self.move)), "identity_role .* NUL")
        self.assert_here(before)


MOMENTS = ("tracked", "copying", "compared", "paused", "committed", "decided")
KILLED = """
import os, signal, sys
from pathlib import Path
from cloudd.database import Move
from cloudd.interfaces.database import Server
file, url, last = sys.argv[1:]
def moment(name):
    if name == last:
        os.kill(os.getpid(), signal.SIGKILL)
Move(Path(file), Server(url), "here", lambda *of: None, moment).run()
"""


class BrokenTests(MoveCase):
    def test_raised(self) -> None:
        """An exception before the decision leaves the file as it was, and the next try succeeds."""
        fill(self.file, 5)
        for moment in MOMENTS[:-1]:

            def break_in(name: str, moment: str = moment) -> None:
                if name == moment:
                    raise OSError(moment)

            before = all_rows(self.file)
            self.assertRaises(OSError, self.move, break_in)
            self.assert_here(before)
        before = all_rows(self.file)
        self.move()
        self.assert_moved(before)

    def test_killed(self) -> None:
        """After a kill -9 at any moment the records are here or there, all of them."""
        fill(self.file, 5)
        for moment in MOMENTS:
            before = all_rows(self.file)
            words = [sys.executable, "-c", KILLED, str(self.file), self.url, moment]
            done = subprocess.run(words, cwd=CHECKOUT, env=os.environ, check=False)
            self.assertEqual(done.returncode, -signal.SIGKILL, moment)
            if moment != "decided":
                self.assert_here(before)
        self.assert_moved(before)
        self.assertIsNotNone(settle_move(self.file))

    def test_what_another_left(self) -> None:
        """What was committed and not decided for goes at the next try of the same cloud, and of no other."""
        fill(self.file, 5)

        def break_in(name: str) -> None:
            if name == "committed":
                raise OSError

        self.assertRaises(OSError, self.move, break_in)
        error = self.assertRaises(MoveFailed, self.move, origin="elsewhere")
        self.assertIn("records are there already", str(error))
        self.assertEqual(examine_server(Server(self.url), ORIGIN).refusals, [])
        before = all_rows(self.file)
        self.move()
        self.assert_moved(before)


def note(connection: Connection, name: str) -> str:
    values = {"created_us": 1, "type": name, "data": "{}"}
    connection.execute(insert(metadata.tables["events"]), [values])
    return name


def names(connection: Connection) -> list[str]:
    return [row[0] for row in connection.exec_driver_sql("SELECT type FROM events ORDER BY id")]


class RunningTests(MoveCase):
    """Databases that are open meanwhile, each as a process of its own would be."""

    def opened(self) -> ControlDatabase:
        database = open_control_database(self.file, reactor=reactor)
        self.addCleanup(database.close)
        return database

    async def test_writers_wait(self) -> None:
        """What is written without a break during a move: all of it is on the server, in order, and nothing fails."""
        databases = [self.opened(), self.opened()]
        acknowledged: list[str] = []
        ended = False

        async def write(number: int) -> int:
            count = 0
            while not ended:
                count += 1
                acknowledged.append(await databases[number].write(note, f"{number}.{count}"))
            return count

        async def read() -> None:
            while not ended:
                known = set(acknowledged)
                self.assertEqual(known - set(await databases[0].read(names)), set())

        running = [Deferred.fromCoroutine(each) for each in (write(0), write(1), read())]
        await deferToThread(self.move)
        while len(acknowledged) < 50 or any(database.server is None for database in databases):
            await databases[0].read(names)
        ended = True
        await gatherResults(running, consumeErrors=True)
        found = await open_control_database_names(self, self.url)
        self.assertEqual(sorted(found), sorted(acknowledged))
        for number in ("0", "1"):
            counts = [int(name.partition(".")[2]) for name in found if name[0] == number]
            self.assertEqual(counts, sorted(counts))

    async def test_nobody_reads_the_past(self) -> None:
        """What one has written after the decision, the other reads; its version says so before."""
        one, other = self.opened(), self.opened()
        await other.read(names)
        version = other.version()
        while (version := other.version()) is None:
            await other.read(names)
        await deferToThread(self.move)
        await one.write(note, "later")
        self.assertNotEqual(other.version(), version)
        self.assertEqual(await other.read(names), ["later"])
        self.assertIsNone(other.version())
        self.assertEqual(other.server, Server(self.url))
        other.forget_statements()

    async def test_busy_when_it_looks(self) -> None:
        """Looking for the mark may find the file locked, as any read may: it begins again."""
        database = self.opened()
        looked: list[int] = []

        def is_fenced(connection: sqlite3.Connection) -> bool:
            looked.append(1)
            if len(looked) < 3:
                error = sqlite3.OperationalError("database is locked")
                error.sqlite_errorcode = sqlite3.SQLITE_BUSY
                raise error
            return False

        self.patch(_movable, "is_fenced", is_fenced)
        self.assertEqual(await database.read(names), [])
        looked.clear()
        self.assertEqual(await database.write(note, "x"), "x")
        self.assertEqual(len(looked), 3)

    async def test_a_move_that_fails(self) -> None:
        """Writes that waited go on in the file."""
        database = self.opened()
        waiting: list[Deferred[str]] = []
        running: Any = reactor

        def break_in(name: str) -> None:
            if name == "committed":
                running.callFromThread(lambda: waiting.append(database.write(note, "held")))
                time.sleep(0.2)
                raise OSError

        await self.assertFailure(deferToThread(self.move, break_in), OSError)
        self.assertEqual(await waiting[0], "held")
        self.assertIsNone(database.server)
        self.assertEqual(await database.read(names), ["held"])


async def open_control_database_names(case: TestCase, url: str) -> list[str]:
    database = open_control_database(url, reactor=reactor)
    case.addCleanup(database.close)
    return await database.read(names)
