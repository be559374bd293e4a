"""Contracting: it runs once, in one transaction, and closes the tables to releases that would miss what went away."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from sqlalchemy import inspect, select
from twisted.trial.unittest import SynchronousTestCase

from cloudd.database import HEAD, Standing, _migrate, contract, migrate, standing, tables
from cloudd.database._contract import CONTRACTING
from cloudd.database._control import control_url, make_engine
from tests.database.choice import new_database

DROPS = 'def contract(op):\n    op.drop_column("nodes", "load")\n'
BREAKS = 'def contract(op):\n    op.drop_column("nodes", "load")\n    raise ValueError("no")\n'


class Rules:
    """On either database."""

    kind: str

    def setUp(self: Any) -> None:
        self.place = new_database(self, self.kind)
        migrate(self.place)
        self.engine = make_engine(control_url(self.place))
        self.addCleanup(self.engine.dispose)
        self.folder = Path(self.mktemp())
        self.folder.mkdir()

    def step(self: Any, name: str, program: str = DROPS) -> None:
        (self.folder / f"{name}.py").write_text(program)

    def contract(self: Any, **how: Any) -> list[str]:
        with self.engine.begin() as connection:
            return contract(connection, self.folder, **how)

    def columns(self: Any) -> set[str]:
        return {column["name"] for column in inspect(self.engine).get_columns("nodes")}

    def standing(self: Any) -> Standing:
        with self.engine.connect() as connection:
            return standing(connection)

    def test_runs_once(self: Any) -> None:
        self.step(f"{HEAD}_load")
        self.assertEqual(self.contract(), [f"{HEAD}_load"])
        self.assertNotIn("load", self.columns())
        self.assertEqual(self.standing(), Standing(HEAD, HEAD))
        self.assertEqual(self.contract(), [])

    def test_looking_changes_nothing(self: Any) -> None:
        self.step(f"{HEAD}_load")
        self.assertEqual(self.contract(only_look=True), [f"{HEAD}_load"])
        self.assertIn("load", self.columns())

    def test_a_step_of_later_tables_waits(self: Any) -> None:
        """A release knows steps of its own revision at most; this one comes with tables that are not there yet."""
        self.step("9999_load")
        self.assertEqual(self.contract(), [])
        self.assertIn("load", self.columns())

    def test_all_or_nothing(self: Any) -> None:
        self.step(f"{HEAD}_a", BREAKS)
        with self.assertRaises(ValueError):
            self.contract()
        self.assertIn("load", self.columns())
        self.assertNotEqual(self.standing().oldest, HEAD)

    def test_closes_the_tables_to_older_releases(self: Any) -> None:
        """The release before, which has no scripts of this revision, starts before the step and not after it."""
        scripts = Path(self.mktemp())
        newest = shutil.ignore_patterns(f"{HEAD}_*", "__pycache__")
        shutil.copytree(_migrate._SCRIPTS, scripts, ignore=newest)
        self.patch(_migrate, "_SCRIPTS", scripts)
        self.patch(_migrate, "HEAD", f"{int(HEAD) - 1:04}")
        self.assertFalse(migrate(self.place))
        self.step(f"{HEAD}_load")
        self.contract()
        with self.assertRaises(_migrate.MigrationFailed):
            migrate(self.place)


class SqliteTests(Rules, SynchronousTestCase):
    kind = "sqlite"


class PostgresTests(Rules, SynchronousTestCase):
    kind = "postgresql"


class ExpandingTests(SynchronousTestCase):
    """The steps that are made at each start."""

    def test_never_close_the_tables(self) -> None:
        """They run beside the release before, so none raises ``oldest_reader``: that is for contracting steps."""
        database = Path(self.mktemp())
        migrate(database)
        engine = make_engine(control_url(database))
        self.addCleanup(engine.dispose)
        with engine.connect() as connection:
            self.assertEqual(connection.execute(select(tables.oldest_reader.c.revision)).scalar_one(), "0001")

    def test_each_contracting_step_has_a_revision_of_ours(self) -> None:
        for step in CONTRACTING.glob("*.py"):
            self.assertRegex(step.name, r"^[0-9]{4}_[a-z_]+\.py$")
            self.assertLessEqual(step.name[:4], HEAD)
