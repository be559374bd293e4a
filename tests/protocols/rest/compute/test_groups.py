"""Server groups."""

from __future__ import annotations

from typing import Any

from cloudd import compute as service
from cloudd.compute.servers._groups import group_of, join_group, leave_groups

from .cloud import ADMIN, ALICE, BOB, READER, ComputeCase

VERSIONS = ("2.1", "2.12", "2.13", "2.14", "2.15", "2.63", "2.64", "2.79")


def named(name: str, version: str, policy: str = "affinity") -> dict[str, Any]:
    """The body of a new one."""
    members = {"policy": policy} if int(version[2:]) >= 64 else {"policies": [policy]}
    return {"server_group": {"name": name, **members}}


class GroupTests(ComputeCase):
    async def add(self, name: str, who: str = ALICE) -> str:
        """Id of a new one."""
        made = await self.good(200, who, "POST", "/os-server-groups", named(name, "2.1"))
        return str(made["server_group"]["id"])

    async def test_each_version(self) -> None:
        """Made, shown, listed and deleted with the members of each version."""
        kind, path = "server_groups", "/os-server-groups"
        for version in VERSIONS:
            body = named("g", version, "anti-affinity")
            made = await self.fits(kind, "create_show_server_group", ALICE, "POST", path, version, body)
            group = made["server_group"]
            own = f"{path}/{group['id']}"
            self.assertEqual(await self.fits(kind, "create_show_server_group", READER, "GET", own, version), made)
            listed = await self.fits(kind, "list_server_groups", READER, "GET", path, version)
            self.assertEqual(listed, {"server_groups": [group]})
            minor = int(version[2:])
            if minor >= 13:
                self.assertEqual((group["project_id"], group["user_id"]), ("p1", "alice-id"))
            if minor >= 64:
                self.assertEqual((group["policy"], group["rules"]), ("anti-affinity", {}))
            else:
                self.assertEqual((group["policies"], group["metadata"]), (["anti-affinity"], {}))
            await self.fits(kind, "delete_server_group", ALICE, "DELETE", own, version)
            message = await self.refused(404, "itemNotFound", ALICE, "GET", own, None, version)
            self.assertEqual(message, f"Instance group {group['id']} could not be found.")

    async def test_policies(self) -> None:
        """Soft ones from 2.15 on, a rule with anti-affinity alone from 2.64 on."""
        path = "/os-server-groups"
        for policy in ("affinity", "anti-affinity", "soft-affinity", "soft-anti-affinity"):
            for version in ("2.14", "2.15", "2.64"):
                status = 400 if version == "2.14" and policy.startswith("soft") else 200
                answer = await self.call(ALICE, "POST", path, named("g", version, policy), version)
                self.assertEqual(answer.status, status, answer.text)
        for given in (3, "3"):
            body = named("g", "2.64", "anti-affinity")
            body["server_group"]["rules"] = {"max_server_per_host": given}
            made = await self.fits("server_groups", "create_show_server_group", ADMIN, "POST", path, "2.64", body)
            self.assertEqual(made["server_group"]["rules"], {"max_server_per_host": 3})
        body["server_group"]["policy"] = "affinity"
        message = await self.refused(400, "badRequest", ADMIN, "POST", path, body, "2.64")
        self.assertEqual(message, "Only anti-affinity policy supports rules.")

    async def test_bad(self) -> None:
        bad: list[tuple[dict[str, Any], str]] = [
            ({}, "2.1"), ({"server_group": {}}, "2.1"), (named("", "2.1"), "2.1"), (named("x" * 256, "2.1"), "2.1"),
            (named(" x", "2.1"), "2.1"), (named("x", "2.1", "legacy"), "2.1"), (named("x", "2.64"), "2.63"),
            (named("x", "2.63"), "2.64"), ({"server_group": {"name": "x"}}, "2.1"),
            ({"server_group": {"name": "x"}}, "2.64"), ({"server_group": {"name": "x", "policies": []}}, "2.1"),
            ({"server_group": {"name": "x", "policies": ["affinity", "affinity"]}}, "2.1"),
            ({"server_group": {"name": "x", "policies": "affinity"}}, "2.1"),
            ({"server_group": {"name": "x", "policy": "anti-affinity", "rules": {"other": 1}}}, "2.64"),
            ({"server_group": {"name": "x", "policy": "anti-affinity", "rules": {"max_server_per_host": 0}}}, "2.64"),
            ({"server_group": {"name": "x", "policy": "anti-affinity", "rules": []}}, "2.64"),
        ]  # fmt: skip
        for body, version in bad:
            await self.refused(400, "badRequest", ALICE, "POST", "/os-server-groups", body, version)

    async def test_rights(self) -> None:
        """They are the project's; readers only read; administrators see all where they say so."""
        own = f"/os-server-groups/{await self.add('mine')}"
        await self.add("his", BOB)
        for method in ("GET", "DELETE"):
            await self.refused(404, "itemNotFound", BOB, method, own)
        await self.refused(403, "forbidden", READER, "POST", "/os-server-groups", named("x", "2.1"))
        await self.refused(403, "forbidden", READER, "DELETE", own)
        for who, query, names in (
            (ALICE, "", ["mine"]), (ALICE, "?all_projects=True", ["mine"]), (ADMIN, "", []),
            (ADMIN, "?all_projects=True", ["mine", "his"]), (ADMIN, "?all_projects&limit=1", ["mine"]),
            (ADMIN, "?all_projects=1&offset=1", ["his"]),
        ):  # fmt: skip
            found = (await self.good(200, who, "GET", f"/os-server-groups{query}"))["server_groups"]
            self.assertEqual([each["name"] for each in found], names, query)
        await self.refused(400, "badRequest", ALICE, "GET", "/os-server-groups?limit=x")
        await self.refused(400, "badRequest", ALICE, "GET", "/os-server-groups?x=1", None, "2.75")

    async def test_quota(self) -> None:
        """As many as the project may have; one that is deleted counts no longer."""
        await self.good(200, ADMIN, "PUT", "/os-quota-sets/p1", {"quota_set": {"server_groups": 1}})
        own = await self.add("one")
        message = await self.refused(403, "forbidden", ALICE, "POST", "/os-server-groups", named("two", "2.1"))
        self.assertEqual(message, "Quota exceeded, too many server groups.")
        await self.add("his", BOB)
        await self.good(204, ALICE, "DELETE", f"/os-server-groups/{own}")
        await self.add("two")

    async def test_members(self) -> None:
        """Servers come and go; there are never more than the quota says."""
        access = self.client_access(ALICE)
        await self.good(200, ADMIN, "PUT", "/os-quota-sets/p1", {"quota_set": {"server_group_members": 2}})
        own = await self.add("g")
        await self.database.write(join_group, access, own, ["s2", "s1"])
        shown = (await self.good(200, ALICE, "GET", f"/os-server-groups/{own}"))["server_group"]
        self.assertEqual(shown["members"], ["s1", "s2"])
        self.assertEqual(await self.database.read(group_of, "s1"), own)
        await self.assertFailure(self.database.write(join_group, access, own, ["s3"]), service.QuotaExceeded)
        await self.database.write(leave_groups, "s1")
        self.assertIsNone(await self.database.read(group_of, "s1"))
        await self.database.write(join_group, access, own, ["s3"])
        await self.good(204, ALICE, "DELETE", f"/os-server-groups/{own}")
        self.assertIsNone(await self.database.read(group_of, "s3"))
