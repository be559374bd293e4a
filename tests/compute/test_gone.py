"""What is left of a project and of a user once they are deleted: nothing of theirs, all of others'."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, func, insert, select
from twisted.internet import reactor
from twisted.trial.unittest import TestCase

from cloudd.application import project_gone, user_gone
from cloudd.database import open_control_database, tables
from tests.database.choice import new_database

MADE = {"created_us": 1}
FLAVOR = {"ram_mib": 1, "vcpus": 1, "disk_gib": 1, "ephemeral_gib": 0, "swap_mib": 0, "rxtx_factor": 1.0,
          "is_public": False, "disabled": False, "updated_us": 1, **MADE}  # fmt: skip


def fill(connection: Connection) -> None:
    """A row of each kind for each of two projects and users."""
    connection.execute(insert(tables.flavor).values(id="f", flavor_id="f", name="f", **FLAVOR))
    for who in ("a", "b"):
        project, user = f"project {who}", f"user {who}"
        of_both = {"project_id": project, "user_id": user}
        group = {"id": who, "name": who, "policy": "affinity", **of_both, **MADE}
        share = {"server_id": who, "name": who, "flavor": "f", "vcpus": 1, "ram_mib": 1, "disk_gib": 1, **of_both}
        key = {"user_id": user, "name": "k", "number": 1, "type": "ssh", "fingerprint": "x", "public_key": "x", **MADE}
        for table, row in (
            (tables.flavor_access, {"flavor": "f", "project_id": project}),
            (tables.server_group, group),
            (tables.server_group_member, {"group_id": who, "server_id": who}),
            (tables.compute_limit, {"project_id": project, "user_id": "", "resource": "cores", "value": 1}),
            (tables.compute_limit, {**of_both, "resource": "cores", "value": 1}),
            (tables.network_quota, {"project_id": project, "resource": "port", "most": 1}),
            (tables.server_share, {**share, "taken_us": 1, "released_us": None}),
            (tables.keypair, key),
        ):
            connection.execute(insert(table).values(**row))
    everybody = {"project_id": "", "user_id": "", "resource": "cores", "value": 1}
    connection.execute(insert(tables.compute_limit).values(**everybody))


def counted(connection: Connection) -> dict[str, int]:
    kinds = (tables.flavor_access, tables.server_group, tables.server_group_member, tables.compute_limit,
             tables.network_quota, tables.server_share, tables.keypair)  # fmt: skip
    return {each.name: connection.execute(select(func.count()).select_from(each)).scalar_one() for each in kinds}


class GoneTests(TestCase):
    def setUp(self) -> None:
        self.database = open_control_database(new_database(self), reactor=reactor, threads=2)
        self.addCleanup(self.database.close)

    async def left(self, function: Any, gone: str) -> dict[str, int]:
        """Rows that there are after it, called twice."""
        await self.database.write(fill)
        self.before = await self.database.read(counted)
        for _ in range(2):
            await self.database.write(function, gone)
        found: dict[str, int] = await self.database.read(counted)
        return {name: self.before[name] - number for name, number in found.items() if number != self.before[name]}

    async def test_project(self) -> None:
        def gone(connection: Connection, project_id: str) -> None:
            project_gone(connection, project_id, [])

        self.assertEqual(
            await self.left(gone, "project a"),
            {"flavor_access": 1, "server_groups": 1, "server_group_members": 1, "compute_limits": 2,
             "network_quotas": 1},
        )  # fmt: skip

    async def test_user(self) -> None:
        self.assertEqual(await self.left(user_gone, "user a"), {"keypairs": 1, "compute_limits": 1})
