"""The first start: once, whatever happens meanwhile."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlalchemy import Connection, func, select
from twisted.internet import reactor
from twisted.trial.unittest import TestCase

from cloudd.database import GroupCommit, open_control_database, tables
from cloudd.identity import _bootstrap, bootstrap, first_login_kept
from cloudd.identity._bootstrap import ROLES, role_id
from cloudd.interfaces.settings import Settings
from tests.database.choice import new_database


def counts(connection: Connection) -> dict[str, int]:
    return {
        table.name.removeprefix("identity_"): connection.execute(select(func.count()).select_from(table)).scalar_one()
        for table in tables.metadata.sorted_tables
    }


class BootstrapTests(TestCase):
    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.secrets = self.folder / "secrets"
        self.secrets.mkdir(parents=True)
        self.place = new_database(self)
        self.settings = Settings(state=self.folder)
        # Only that a hash is made matters here.
        self.patch(_bootstrap, "hash_secret", lambda secret: f"hash of {len(secret)} characters")

    def database(self) -> GroupCommit[Any]:
        database = open_control_database(self.place, reactor=reactor)
        self.addCleanup(database.close)
        return database

    async def test_first_start(self) -> None:
        database = self.database()
        login = await bootstrap(database, self.settings, self.secrets)
        self.assertEqual(login["region"], "RegionOne")
        self.assertEqual(login["domain_id"], "default")
        self.assertGreaterEqual(len(login["admin_password"]), 20)
        self.assertNotEqual(login["admin_password"], login["demo_password"])
        found = await database.read(counts)
        self.assertEqual(
            {name: number for name, number in found.items() if number},
            {
                "domain": 1,
                "project": 2,
                "user": 2,
                "role": 4,
                "implied_role": 3,
                "project_role": 2,
                "domain_role": 1,
                "ec2_credential": 1,
                "events": 13,  # one a row, but for implied roles
                "oldest_reader": 1,
            },
        )
        for file in (self.secrets / "first-login.json", self.secrets / "tokens" / "1"):
            self.assertEqual(file.stat().st_mode & 0o777, 0o600)

    async def test_second_start(self) -> None:
        """The passwords are told until they are kept elsewhere; nothing is made twice."""
        database = self.database()
        login = await bootstrap(database, self.settings, self.secrets)
        before = await database.read(counts)
        self.assertEqual(await bootstrap(self.database(), self.settings, self.secrets), login)
        first_login_kept(self.secrets)
        first_login_kept(self.secrets)
        self.assertEqual(await bootstrap(database, self.settings, self.secrets), {})
        self.assertEqual(await database.read(counts), before)
        self.assertEqual([file.name for file in self.secrets.iterdir() if file.is_file()], [])

    async def test_killed_before_the_commit(self) -> None:
        """What was promised on disk is what the next start makes."""
        fill = _bootstrap._fill

        def killed(*_: Any) -> None:
            raise KeyboardInterrupt

        self.patch(_bootstrap, "_fill", killed)
        await self.assertFailure(self.first(), KeyboardInterrupt)
        self.assertEqual((await self.database().read(counts))["domain"], 0)
        kept = (self.secrets / "first-login.json").read_text()
        self.patch(_bootstrap, "_fill", fill)
        login = await self.first()
        self.assertIn(login["admin_password"], kept)

    def test_role_ids(self) -> None:
        """They are the same in every cloud: policies and other tools may name them."""
        self.assertEqual(len({role_id(name) for name in ROLES}), 4)
        self.assertEqual(role_id("member"), "1be56d000ca753d49208bd0fdce1500f")

    def first(self) -> Any:
        from twisted.internet.defer import Deferred

        return Deferred.fromCoroutine(bootstrap(self.database(), self.settings, self.secrets))
