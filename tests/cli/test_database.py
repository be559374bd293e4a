"""``cloudctl database`` against a daemon in memory."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec

from cloudd.cli import Exit

from .test_commands import CommandCase

URL = "postgresql://cloudd@db/cloud"


class StatusTests(CommandCase):
    def test_file(self) -> None:
        """Each fact, and the rows of each table."""
        output = self.run_it("database", "status").output
        for text in ("SQLite, a file", "3.40.1", "revision 0004", "0.25 ms", "events", "7", "front-1: sqlite"):
            self.assertIn(text, output)
        self.assertEqual(json.loads(self.run_it("--json", "database", "status").output)["rows"], {"events": 7})

    def test_server(self) -> None:
        """Its name, and how far its standbys are behind."""
        moves = self.host.database
        moves.found = msgspec.structs.replace(moves.found, kind="postgresql", name="PostgreSQL at db, database cloud")
        output = self.run_it("database", "status").output
        for text in ("PostgreSQL at db", "second: 12 bytes behind", "hidden: may not be seen"):
            self.assertIn(text, output)


class MigrateTests(CommandCase):
    def test_moves(self) -> None:
        """Steps, and at the end what was moved and for how long writes waited; a relative path is made absolute."""
        output = self.run_it("database", "migrate", "--to", URL, "--password-file", "secret", "--yes").output
        for text in ("it is looked at", "7 records", "writes waited for 125 ms", "warning: w"):
            self.assertIn(text, output)
        self.assertEqual(self.host.database.asked, [(URL, str(Path("secret").absolute()), False, "root")])

    def test_check(self) -> None:
        """0 when it can be done, 1 with the cause when it cannot; nobody is asked."""
        self.assertIn("it can be done", self.run_it("database", "migrate", "--to", URL, "--check").output)
        full = f"{URL}/full"
        output = self.run_it("database", "migrate", "--to", full, "--check", code=Exit.REFUSED).output
        self.assertIn("records are there already", output)
        self.assertEqual([asked[2] for asked in self.host.database.asked], [True, True])

    def test_asks(self) -> None:
        """On a terminal it asks; elsewhere it wants ``--yes``."""
        self.run_it("database", "migrate", "--to", URL, code=Exit.USAGE)
        self.run_it("database", "migrate", "--to", URL, answer="n\n", terminal=True, code=Exit.REFUSED)
        self.assertEqual(self.host.database.asked, [])
        self.run_it("database", "migrate", "--to", URL, answer="y\n", terminal=True)
        self.assertEqual(len(self.host.database.asked), 1)

    def test_for_programs(self) -> None:
        """JSON lines, at last the outcome."""
        output = self.run_it("--json", "database", "migrate", "--to", URL, "--yes").output
        lines = [json.loads(line) for line in output.splitlines()]
        self.assertEqual([line["type"] for line in lines], ["progress", "outcome"])
        self.assertEqual((lines[-1]["rows"], lines[-1]["pause_s"]), ({"events": 7}, 0.125))
