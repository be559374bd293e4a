"""Migrations: they make the tables that the code has, once, as a whole or not at all."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect
from twisted.trial.unittest import SynchronousTestCase

from cloudd.database import HEAD, MigrationFailed, migrate
from cloudd.database._control import control_url, make_engine
from cloudd.database._migrate import current_revision, script_location
from cloudd.database.tables import metadata
from tests.database.choice import new_database

ROOT = Path(__file__).parent.parent.parent


class MigrateTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.path = Path(self.mktemp())

    def test_head_is_the_newest_script(self) -> None:
        self.assertEqual(ScriptDirectory.from_config(script_location()).get_heads(), [HEAD])

    def test_makes_the_tables_of_the_code(self) -> None:
        """Columns, types and constraints with their names are those of ``tables``."""
        self.assertTrue(migrate(self.path))
        made = inspect(make_engine(control_url(self.path)))
        with make_engine(control_url(self.path)).connect() as connection:
            self.assertEqual(current_revision(connection), HEAD)
            context = MigrationContext.configure(connection, opts={"compare_type": True})
            self.assertEqual(compare_metadata(context, metadata), [])
        for table in metadata.sorted_tables:
            if table.name not in ("identity_revocation", "events"):  # SQLite has no name for a key that counts up
                self.assertEqual(made.get_pk_constraint(table.name)["name"], f"pk_{table.name}")
            named = {str(constraint.name) for constraint in table.foreign_key_constraints}
            self.assertEqual({str(key["name"]) for key in made.get_foreign_keys(table.name)}, named)
            cascading = {
                (key["constrained_columns"][0], key["options"].get("ondelete"))
                for key in made.get_foreign_keys(table.name)
            }
            self.assertEqual(cascading, {(key.column_keys[0], key.ondelete) for key in table.foreign_key_constraints})

    def test_event_ids_are_never_used_again(self) -> None:
        """Workers resume by the id of the last revocation they read, so a purge must not make ids begin anew."""
        migrate(self.path)
        event = "INSERT INTO identity_revocation (subject, issued_before_us, created_us) VALUES ('x', 0, 0)"
        for statement in (event, event, "DELETE FROM identity_revocation", event):
            self.execute(statement)
        connection = sqlite3.connect(self.path)
        self.addCleanup(connection.close)
        self.assertEqual(connection.execute("SELECT id FROM identity_revocation").fetchall(), [(3,)])

    def test_again_changes_nothing(self) -> None:
        migrate(self.path)
        self.assertFalse(migrate(self.path))
        self.assertFalse(migrate(control_url(self.path)))

    def test_current_needs_no_alembic(self) -> None:
        """The daemon has to be ready in two seconds: Alembic is not imported for nothing."""
        migrate(self.path)
        program = (
            "import sys; from cloudd.database import migrate; migrate(sys.argv[1]); print('alembic' in sys.modules)"
        )
        ran = subprocess.run(
            [sys.executable, "-c", program, str(self.path.absolute())],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
        self.assertEqual(ran.stdout.strip(), "False")

    def test_later_revision_that_allows_this_code(self) -> None:
        """After a rollback the code finds the tables of the release that was rolled back: it runs on them."""
        migrate(self.path)
        self.execute("UPDATE alembic_version SET version_num = '9999'")
        self.assertFalse(migrate(self.path))

    def test_unknown_revision(self) -> None:
        """A database that a later release has contracted is left alone, and the error says what to do."""
        migrate(self.path)
        self.execute("UPDATE alembic_version SET version_num = '9999'")
        self.execute("UPDATE oldest_reader SET revision = '9000'")
        error = self.assertRaises(MigrationFailed, migrate, self.path)
        self.assertIn("9999", str(error))

    def test_failed_migration_changes_nothing(self) -> None:
        """A migration that fails half-way leaves the database as it was, and works once the cause is gone."""
        self.execute("CREATE TABLE identity_revocation (in_the_way INTEGER)")
        self.assertRaises(MigrationFailed, migrate, self.path)
        self.assertEqual(self.tables(), {"identity_revocation"})
        self.execute("DROP TABLE identity_revocation")
        self.assertTrue(migrate(self.path))

    def test_no_database(self) -> None:
        self.path.write_bytes(b"this is not a database" * 100)
        self.assertRaises(MigrationFailed, migrate, self.path)

    def execute(self, statement: str) -> None:
        connection = sqlite3.connect(self.path)
        with connection:
            connection.execute(statement)
        connection.close()

    def tables(self) -> set[str]:
        connection = sqlite3.connect(self.path)
        rows = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        connection.close()
        return {row[0] for row in rows}


class MigrateOnServerTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.url = str(new_database(self, "postgresql", migrated=False))

    def execute(self, statement: str) -> None:
        with psycopg.connect(self.url) as connection:
            connection.execute(statement)

    def test_makes_the_tables_of_the_code(self) -> None:
        """The same as on SQLite; keys that count up have 64 bits."""
        self.assertTrue(migrate(self.url))
        self.assertFalse(migrate(self.url))
        engine = make_engine(self.url)
        self.addCleanup(engine.dispose)
        with engine.connect() as connection:
            self.assertEqual(current_revision(connection), HEAD)
            context = MigrationContext.configure(connection, opts={"compare_type": True})
            self.assertEqual(compare_metadata(context, metadata), [])
            made = inspect(connection)
            for table in metadata.sorted_tables:
                self.assertEqual(made.get_pk_constraint(table.name)["name"], f"pk_{table.name}")
                named = {str(constraint.name) for constraint in table.foreign_key_constraints}
                self.assertEqual({str(key["name"]) for key in made.get_foreign_keys(table.name)}, named)

    def test_failed_migration_changes_nothing(self) -> None:
        self.execute("CREATE TABLE identity_revocation (in_the_way INTEGER)")
        self.assertRaises(MigrationFailed, migrate, self.url)
        engine = make_engine(self.url)
        self.addCleanup(engine.dispose)
        with engine.connect() as connection:
            self.assertEqual(inspect(connection).get_table_names(), ["identity_revocation"])
        self.execute("DROP TABLE identity_revocation")
        self.assertTrue(migrate(self.url))

    def test_unknown_revision(self) -> None:
        migrate(self.url)
        self.execute("UPDATE alembic_version SET version_num = '9999'; UPDATE oldest_reader SET revision = '9000'")
        self.assertIn("9999", str(self.assertRaises(MigrationFailed, migrate, self.url)))

    def test_two_at_once(self) -> None:
        """One makes the tables, the other finds them made."""
        with ThreadPoolExecutor(2) as threads:
            self.assertEqual(sorted(threads.map(migrate, [self.url] * 2)), [False, True])
