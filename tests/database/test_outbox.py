"""The outbox: every change of the identity tables is in it, by whatever statement, in the order of commits."""

from __future__ import annotations

import json
import sqlite3
from typing import Any

import psycopg
from twisted.internet import reactor
from twisted.internet.defer import gatherResults
from twisted.trial.unittest import SynchronousTestCase, TestCase

from cloudd.database import open_control_database, tables
from tests.database.choice import new_database

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


OTHERS = {"images", "networks", "subnets", "ports", "security_groups", "security_rules"}


class TriggerContract:
    """
    The triggers, by plain statements.

    :ivar connection: of the driver itself, in autocommit
    """

    connection: Any
    triggers: str  # a query: table, number of its triggers

    def fill(self) -> None:
        for statement in ROWS:
            self.connection.execute(statement)

    def events(self, after: int = 0) -> list[tuple[Any, ...]]:
        query = f"SELECT type, project_id, user_id, data FROM events WHERE id > {after} ORDER BY id"
        rows = self.connection.execute(query).fetchall()
        return [(kind, project, user, json.loads(data)) for kind, project, user, data in rows]

    def test_created(self: Any) -> None:
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

    def test_every_table_of_identity(self: Any) -> None:
        """A table that is added later has triggers, or is named here as one that has none."""
        silent = {"identity_implied_role", "identity_application_credential_role", "identity_revocation"}
        wanted = {table.name for table in tables.metadata.sorted_tables if table.name.startswith("identity_")} - silent
        wanted |= OTHERS
        self.assertEqual(dict(self.connection.execute(self.triggers).fetchall()), dict.fromkeys(wanted, 3))

    def test_images(self: Any) -> None:
        """All changes but that an upload goes on."""
        names = "(id, project_id, status, visibility, min_disk, min_ram, protected, hidden, created_us, updated_us)"
        for statement in (
            f"INSERT INTO images {names} VALUES ('i', 'p', 'queued', 'shared', 0, 0, false, false, 1, 1)",
            "UPDATE images SET saving_until_us = 5",
            "UPDATE images SET name = 'N', status = 'active', size = 7",
            "DELETE FROM images",
        ):
            self.connection.execute(statement)
        blank = {"id": "i", "name": None, "status": "queued", "visibility": "shared", "size": None}
        full = {**blank, "name": "N", "status": "active", "size": 7}
        self.assertEqual(
            self.events(8),
            [
                ("image.created", "p", None, blank),
                ("image.updated", "p", None, full),
                ("image.deleted", "p", None, full),
            ],
        )

    def test_networks(self: Any) -> None:
        """Each kind with its owner, also what goes with its group."""
        some = "id, project_id, created_us, updated_us"
        for statement in (
            f"INSERT INTO networks ({some}, admin_state_up, shared, external, mtu, port_security_enabled, segment)"
            " VALUES ('n', 'p', 1, 1, true, false, false, 1450, true, 1)",
            f"INSERT INTO security_groups ({some}, name, stateful) VALUES ('g', 'p', 1, 1, 'G', true)",
            f"INSERT INTO security_rules ({some}, security_group_id, direction, ethertype)"
            " VALUES ('r', 'p', 1, 1, 'g', 'ingress', 'IPv4')",
            "UPDATE networks SET name = 'N', revision = 1",
            "DELETE FROM security_groups",
        ):
            self.connection.execute(statement)
        told = self.events(8)
        self.assertEqual({project for _kind, project, _user, _data in told}, {"p"})
        self.assertEqual(
            [(kind, data["id"]) for kind, _project, _user, data in told[:4]],
            [
                ("network.network.created", "n"),
                ("network.security_group.created", "g"),
                ("network.security_group_rule.created", "r"),
                ("network.network.updated", "n"),
            ],
        )
        self.assertEqual(told[3][3], {"id": "n", "name": "N", "revision": 1})
        self.assertEqual(
            sorted(kind for kind, *_rest in told[4:]),
            ["network.security_group.deleted", "network.security_group_rule.deleted"],
        )

    def test_updated(self: Any) -> None:
        self.connection.execute("UPDATE identity_project SET enabled = false, name = 'N'")
        facts = {"id": "p", "name": "N", "domain_id": "d", "enabled": False}
        self.assertEqual(self.events(8), [("identity.project.updated", "p", None, facts)])

    def test_deleted_by_cascade(self: Any) -> None:
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

    def test_time(self: Any) -> None:
        """Microseconds since the epoch."""
        least, greatest = self.connection.execute("SELECT min(created_us), max(created_us) FROM events").fetchone()
        self.assertLess(greatest - least, 60_000_000)
        self.assertGreater(least, 1_600_000_000_000_000)


class TriggerOnFileTests(TriggerContract, SynchronousTestCase):
    triggers = "SELECT tbl_name, count(*) FROM sqlite_master WHERE type = 'trigger' GROUP BY 1"

    def setUp(self) -> None:
        self.connection = sqlite3.connect(new_database(self, "sqlite"), isolation_level=None)
        self.addCleanup(self.connection.close)
        self.connection.execute("PRAGMA foreign_keys = ON")
        self.fill()


class TriggerOnServerTests(TriggerContract, SynchronousTestCase):
    triggers = (
        "SELECT relname, count(*) FROM pg_trigger JOIN pg_class ON pg_class.oid = tgrelid"
        " WHERE NOT tgisinternal GROUP BY 1"
    )

    def setUp(self) -> None:
        self.connection = psycopg.connect(str(new_database(self, "postgresql")), autocommit=True)
        self.addCleanup(self.connection.close)
        self.fill()


class IdTests(TestCase):
    """Ids through the daemon's own writer."""

    async def written(self, kind: str) -> list[int]:
        """Thirty calls, of which each third fails; the ids of the events that are left."""
        database = open_control_database(new_database(self, kind), reactor=reactor)
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

        return await database.read(ids)

    async def test_no_holes(self) -> None:
        """On SQLite a call that fails in a shared transaction gives the ids of its events back."""
        self.assertEqual(await self.written("sqlite"), list(range(1, 21)))

    async def test_each_once(self) -> None:
        """On PostgreSQL there may be holes; each event is there once."""
        self.assertEqual(len(set(await self.written("postgresql"))), 20)

    async def test_order_of_commits(self) -> None:
        """
        Whoever has read up to an id misses nothing that comes later, with writers on several hosts.

        Each writer takes its id and commits only later: without the turn a higher id would be seen before a lower one.
        """
        place = new_database(self, "postgresql")
        writers = [open_control_database(place, reactor=reactor, threads=1) for _ in range(4)]
        for writer in writers:
            self.addCleanup(writer.close)

        def add(connection: Any, name: str) -> None:
            connection.execute(tables.domain.insert().values(id=name, name=name, created_us=1))
            connection.exec_driver_sql("SELECT pg_sleep(0.002)")

        def after(connection: Any, last: int) -> list[int]:
            return list(connection.exec_driver_sql(f"SELECT id FROM events WHERE id > {last} ORDER BY id").scalars())

        waiting = gatherResults([writers[n % 4].write(add, f"d{n}") for n in range(80)])
        seen: list[int] = []
        while not waiting.called:
            seen += await writers[0].read(after, seen[-1] if seen else 0)
        await waiting
        seen += await writers[0].read(after, seen[-1] if seen else 0)
        self.assertEqual(len(seen), 80)
