"""Where a daemon finds its database after a move, whatever was cut off, and what a worker says of it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
from twisted.internet import reactor
from twisted.trial.unittest import TestCase

from cloudd.daemon._backup import main as backup_program
from cloudd.daemon._database_order import Order, Said
from cloudd.daemon._database_part import DatabasePart, noted_place, open_place
from cloudd.daemon._database_place import DatabaseRecord, PlaceError, control_place, read_record, write_record
from cloudd.daemon._database_settle import settle_place
from cloudd.daemon._state_folder import StateFolder
from cloudd.database import Move, migrate, moved_from
from cloudd.interfaces.application import PartHealth
from cloudd.interfaces.database import Server
from cloudd.interfaces.settings import DatabaseSettings, Settings
from tests.daemon.code_trees import ThreadsAtOnce
from tests.database.choice import new_database
from tests.database.test_backup import all_rows
from tests.database.test_move import fill, quiet
from tests.running_cloud import CHECKOUT


class PlaceCase(TestCase):
    def setUp(self) -> None:
        self.state = StateFolder(Path(self.mktemp()).absolute())
        self.state.create()
        self.settings = Settings(state=self.state.path)
        self.url = str(new_database(self, "postgresql", migrated=False))
        migrate(self.state.control_database)
        fill(self.state.control_database, 2)

    def move(self) -> None:
        """To the decision and no further: as of a process that was killed then."""
        Move(self.state.control_database, Server(self.url), "x", quiet).run()


class RecordTests(PlaceCase):
    def test_which_counts(self) -> None:
        """The settings, else the record, else the file."""
        self.assertEqual(control_place(self.settings, self.state).where, self.state.control_database)
        write_record(self.state, DatabaseRecord(url=self.url, password_file="/p", since=1.0))
        place = control_place(self.settings, self.state)
        self.assertEqual((place.where, place.password_file), (self.url, "/p"))
        self.assertIn(f"[database] url = '{self.url}'", place.note)
        named = Settings(state=self.state.path, database=DatabaseSettings(url="postgresql://a@b/c", password_file="/q"))
        place = control_place(named, self.state)
        self.assertEqual((place.where, place.password_file, place.note), ("postgresql://a@b/c", "/q", ""))
        self.assertEqual((self.state.path / "database.json").stat().st_mode & 0o777, 0o600)

    def test_damaged(self) -> None:
        """A record that cannot be read is no reason to begin with an empty file."""
        path = self.state.path / "database.json"
        for content in (b"{", b'{"url": "u", "since": 1, "format": 2}'):
            path.write_bytes(content)
            error = self.assertRaises(PlaceError, control_place, self.settings, self.state)
            self.assertIn("[database] url", str(error))

    def test_cut_off_after_the_decision(self) -> None:
        """A start finds the mark in the file, and writes the record; nothing is left at the server."""
        self.move()
        self.assertIsNone(read_record(self.state))
        for _ in range(2):
            self.assertEqual(settle_place(self.settings, self.state).where, self.url)
        record = read_record(self.state)
        assert record is not None
        self.assertEqual(record.url, self.url)
        self.assertEqual(all_rows(self.url)["identity_role"], all_rows(self.state.control_database)["identity_role"])

    def test_cut_off_while_the_server_is_away(self) -> None:
        """The record is written all the same."""
        self.move()
        self.patch(sys.modules["cloudd.daemon._database_settle"], "finish_move", self.away)
        self.assertEqual(settle_place(self.settings, self.state).where, self.url)

    def away(self, _server: Server) -> None:
        from cloudd.database import DatabaseAway

        raise DatabaseAway("nobody there")

    def test_backup_follows(self) -> None:
        """``cloudctl backup`` and ``restore`` take the server of the record."""
        self.move()
        settle_place(self.settings, self.state)
        file = Path(self.mktemp()).absolute()
        where = ["--state", str(self.state.path)]
        self.assertEqual(backup_program(["backup", str(file), *where]), 0)
        self.assertEqual(backup_program(["restore", str(file), *where, "--yes"]), 0)
        self.assertIsNotNone(moved_from(self.state.control_database))


class WorkerTests(PlaceCase):
    async def test_part(self) -> None:
        """What a worker says before and after a move; and that it got ready for it."""
        threads: Any = ThreadsAtOnce()
        database = open_place(control_place(self.settings, self.state), reactor, 1)
        self.addCleanup(database.close)
        part = DatabasePart(database, threads).callees()
        healthy = [PartHealth("database", True), PartHealth("object index", True)]
        self.assertEqual(part["database_place"](), "")
        self.assertEqual(noted_place(healthy, database, self.settings), healthy)
        self.assertEqual(await part["database_ready"](self.url, ""), "")
        self.assertIn("nosuch", await part["database_ready"](self.url.rpartition("/")[0] + "/nosuch", ""))
        self.assertEqual((await part["database_facts"]())["kind"], "sqlite")
        self.move()
        name = Server(self.url).name
        self.assertEqual(await part["database_follow"](), name)
        facts = await part["database_facts"]()
        self.assertEqual((facts["kind"], facts["name"], facts["rows"]["identity_role"]), ("postgresql", name, 2))
        self.assertGreater(facts["round_trip_ms"], 0)
        self.assertIn("write [database] url", noted_place(healthy, database, self.settings)[0].cause)
        named = Settings(state=self.state.path, database=DatabaseSettings(url=self.url))
        self.assertEqual([each.cause for each in noted_place(healthy, database, named)], [name, ""])
        failing = [PartHealth("database", False, "away")]
        self.assertEqual(noted_place(failing, database, named), failing)
        await part["database_ready"](self.url, "")  # on a server nothing is to be got ready


class MoverTests(PlaceCase):
    def started(self, order: Order) -> subprocess.Popen[bytes]:
        mover = subprocess.Popen(
            [sys.executable, "-m", "cloudd.daemon._database_mover"],
            cwd=CHECKOUT,
            env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert mover.stdin is not None
        mover.stdin.write(msgspec.json.encode(order) + b"\n")
        mover.stdin.flush()
        return mover

    def ordered(self, what: Any) -> list[Said]:
        """All that one says."""
        order = Order(what=what, state=str(self.state.path), url=self.url)
        mover = self.started(order)
        assert mover.stdout is not None
        assert mover.stdin is not None
        said = [msgspec.json.decode(line, type=Said) for line in mover.stdout]
        mover.stdin.close()
        mover.stdout.close()
        self.assertEqual(mover.wait(30), 0)
        return said

    def test_orders(self) -> None:
        """Look, tidy up where nothing is to be tidied, move, and find it moved."""
        *steps, last = self.ordered("check")
        self.assertEqual([said.step for said in steps], ["check"])
        self.assertEqual((last.refused, last.cause, last.server), (False, "", ""))
        self.assertEqual(self.ordered("settle")[-1].server, "")
        *steps, last = self.ordered("move")
        self.assertEqual(last.server, Server(self.url).name)
        self.assertEqual([step for step in ("check", "copy", "pause") if step not in {said.step for said in steps}], [])
        self.assertEqual(last.rows["identity_role"], 2)
        self.assertGreater(last.pause_s, 0)
        self.assertEqual(self.ordered("settle")[-1].server, last.server)
        self.assertIsNotNone(read_record(self.state))
        self.assertIn("already", self.ordered("move")[-1].cause)  # nobody asks for it; it harms nothing
        self.assertEqual(len(all_rows(self.url)["identity_role"]), 2)

    def test_nobody_listens(self) -> None:
        """Where the anchor has gone, it ends, and the records are where they were."""
        mover = self.started(Order(what="move", state=str(self.state.path), url=self.url))
        assert mover.stdin is not None
        mover.stdin.close()
        mover.wait(30)
        assert mover.stdout is not None
        mover.stdout.close()
        self.assertEqual(mover.returncode, 3)
        settle_place(self.settings, self.state)
        self.assertIsNone(moved_from(self.state.control_database))
