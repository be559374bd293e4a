"""The outbox: every change of the identity tables is in it, by whatever statement, and no id is lost."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.trial.unittest import SynchronousTestCase, TestCase

from cloudd.database import migrate, open_control_database, tables

ROWS = (
    "INSERT INTO identity_domain (id, name, created_us) VALUES ('d', 'D', 1)",
    "INSERT INTO identity_project (id, name, domain_id, created_us) VALUES ('p', 'say \"x\"', 'd', 1)",
    "INSERT INTO identity_user (id, name, domain_id, password_hash, created_us) VALUES ('u', 'U', 'd', 'hash', 1)",
    "INSERT INTO identity_role (id, name, created_us) VALUES ('r', 'R', 1)",
    "INSERT INTO identity_project_role VALUES ('u', 'p', 'r')",
    "INSERT INTO identity_domain_role VALUES ('u', 'd', 'r')",
    "INSERT INTO identity_application_credential (id, user_id, project_id, name, secret_hash, created_us)"
    " VALUES ('a', 'u', 'p', 'A', 'hash', 1)",
    "INSERT INTO identity_ec2_credential VALUES ('k', 'u', 'p', 'sealed', 1)",
)


class TriggerTests(SynchronousTestCase):
    """The triggers, by plain statements."""

    def setUp(self) -> None:
        path = Path(self.mktemp())
        migrate(path)
        self.connection = sqlite3.connect(path, isolation_level=None)
        self.addCleanup(self.connection.close)
        self.connection.execute("PRAGMA foreign_keys = ON")
        for statement in ROWS:
            self.connection.execute(statement)

    def events(self, after: int = 0) -> list[tuple[Any, ...]]:
        rows = self.connection.execute("SELECT type, project_id, user_id, data FROM events WHERE id > ?", (after,))
        return [(kind, project, user, json.loads(data)) for kind, project, user, data in rows]

    def test_created(self) -> None:
        """Type, owner and facts of each thing, and nothing secret."""
        self.assertEqual(
            self.events(),
            [
                ("identity.domain.created", None, None, {"id": "d", "name": "D", "enabled": True}),
                (
                    "identity.project.created",
                    "p",
                    None,
                    {"id": "p", "name": 'say "x"', "domain_id": "d", "enabled": True},
                ),
                (
                    "identity.user.created",
                    None,
                    "u",
                    {"id": "u", "name": "U", "domain_id": "d", "enabled": True},
                ),
                ("identity.role.created", None, None, {"id": "r", "name": "R"}),
                ("identity.role_assignment.created", "p", "u", {"user_id": "u", "role_id": "r"}),
                ("identity.role_assignment.created", None, "u", {"user_id": "u", "role_id": "r", "domain_id": "d"}),
                ("identity.application_credential.created", "p", "u", {"id": "a", "name": "A", "user_id": "u"}),
                ("identity.ec2_credential.created", "p", "u", {"access": "k", "user_id": "u"}),
            ],
        )

    def test_every_table_of_identity(self) -> None:
        """A table that is added later has triggers, or is named here as one that has none."""
        silent = {"identity_implied_role", "identity_application_credential_role", "identity_revocation"}
        wanted = {table.name for table in tables.metadata.sorted_tables if table.name.startswith("identity_")} - silent
        rows = self.connection.execute("SELECT tbl_name, count(*) FROM sqlite_master WHERE type = 'trigger' GROUP BY 1")
        self.assertEqual(dict(rows.fetchall()), dict.fromkeys(wanted, 3))

    def test_updated(self) -> None:
        self.connection.execute("UPDATE identity_project SET enabled = 0, name = 'N'")
        facts = {"id": "p", "name": "N", "domain_id": "d", "enabled": False}
        self.assertEqual(self.events(8), [("identity.project.updated", "p", None, facts)])

    def test_deleted_by_cascade(self) -> None:
        """What goes with a project is told, too, and to the same owners."""
        self.connection.execute("DELETE FROM identity_project")
        self.assertEqual(
            sorted(event[:3] for event in self.events(8)),
            [
                ("identity.application_credential.deleted", "p", "u"),
                ("identity.ec2_credential.deleted", "p", "u"),
                ("identity.project.deleted", "p", None),
                ("identity.role_assignment.deleted", "p", "u"),
            ],
        )

    def test_time(self) -> None:
        """Microseconds since the epoch."""
        least, greatest = self.connection.execute("SELECT min(created_us), max(created_us) FROM events").fetchone()
        self.assertLess(greatest - least, 60_000_000)
        self.assertGreater(least, 1_600_000_000_000_000)


class IdTests(TestCase):
    """Ids through the daemon's own writer."""

    async def test_no_holes(self) -> None:
        """A call that fails in a shared transaction gives the ids of its events back."""
        path = Path(self.mktemp())
        migrate(path)
        database = open_control_database(path, reactor=reactor)
        self.addCleanup(database.close)

        def add(connection: Any, number: int) -> None:
            values = {"id": f"d{number}", "name": f"D{number}", "created_us": 1}
            connection.execute(tables.domain.insert().values(**values))
            if number % 3 == 0:
                raise ValueError(number)

        waiting = [database.write(add, number) for number in range(30)]
        for number, done in enumerate(waiting):
            if number % 3 == 0:
                await self.assertFailure(done, ValueError)
            else:
                await done

        def ids(connection: Any) -> list[int]:
            return list(connection.exec_driver_sql("SELECT id FROM events ORDER BY id").scalars())

        self.assertEqual(await database.read(ids), list(range(1, 21)))
