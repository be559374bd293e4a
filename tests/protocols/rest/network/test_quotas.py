"""Quotas: shown, changed, and kept by whoever adds something."""

from __future__ import annotations

from typing import Any

from sqlalchemy import event

from .cloud import ADMIN, ALICE, BOB, READER, NetworkCase


class QuotaTests(NetworkCase):
    async def limit(self, **limits: int) -> None:
        """Other limits for ALICE's project."""
        await self.good(200, ADMIN, "PUT", "/quotas/p1", {"quota": limits})

    async def test_shown(self) -> None:
        """To the project itself and to administrators; with what it has."""
        defaults = (await self.good(200, READER, "GET", "/quotas/p1"))["quota"]
        self.assertEqual(set(defaults), {"network", "subnet", "port", "security_group", "security_group_rule"})
        self.assertEqual((await self.good(200, ADMIN, "GET", "/quotas/p1"))["quota"], defaults)
        await self.refused(403, "PolicyNotAuthorized", BOB, "GET", "/quotas/p1")
        await self.net()
        await self.limit(network=-1, subnet=7)
        found = (await self.good(200, ALICE, "GET", "/quotas/p1/details"))["quota"]
        self.assertEqual(found["network"], {"limit": -1, "used": 1, "reserved": 0})
        self.assertEqual(found["subnet"], {"limit": 7, "used": 1, "reserved": 0})
        self.assertEqual(found["security_group_rule"]["used"], 4)
        self.assertEqual((await self.good(200, ALICE, "GET", "/quotas/p1/default"))["quota"], defaults)
        (own,) = (await self.good(200, ADMIN, "GET", "/quotas"))["quotas"]
        self.assertEqual((own["project_id"], own["subnet"], own["port"]), ("p1", 7, defaults["port"]))
        await self.good(204, ADMIN, "DELETE", "/quotas/p1")
        self.assertEqual((await self.good(200, ALICE, "GET", "/quotas/p1"))["quota"], defaults)

    async def test_changed_by_administrators_alone(self) -> None:
        for method, path, document in (
            ("PUT", "/quotas/p1", {"quota": {"network": 1_000}}),
            ("DELETE", "/quotas/p1", None),
            ("GET", "/quotas", None),
        ):
            await self.refused(403, "PolicyNotAuthorized", ALICE, method, path, document)

    async def test_bad_limits(self) -> None:
        for limits in ({"network": -2}, {"network": 2**31}, {"network": "x"}, {"router": 1}, {"port": 10**400}):
            await self.refused(400, "", ADMIN, "PUT", "/quotas/p1", {"quota": limits})
        await self.refused(400, "", ADMIN, "PUT", "/quotas/p1", {"limits": {}})

    async def test_projects_that_are_none(self) -> None:
        """Told to administrators, since limits for them would be nobody's; of one that is gone they can be removed."""
        for project in ("none", "x" * 65, "x" * 3_000, "%E2%98%81"):
            for method, path in (("GET", ""), ("GET", "/default"), ("GET", "/details"), ("PUT", "")):
                document = {"quota": {"network": 1}} if method == "PUT" else None
                message = await self.refused(400, "", ADMIN, method, f"/quotas/{project}{path}", document)
                self.assertIn("is not a valid project", message)
                await self.refused(403, "PolicyNotAuthorized", ALICE, method, f"/quotas/{project}{path}", document)
            await self.good(204, ADMIN, "DELETE", f"/quotas/{project}")
        await self.refused(404, "HTTPNotFound", ADMIN, "PUT", "/quotas/a%00b", {"quota": {"network": 1}})
        self.assertEqual(await self.good(200, ADMIN, "GET", "/quotas"), {"quotas": []})

    async def test_all(self) -> None:
        """Each project that has limits of its own, with those that it has not."""
        defaults = (await self.good(200, ALICE, "GET", "/quotas/p1/default"))["quota"]
        await self.limit(network=7, port=8)
        await self.good(200, ADMIN, "PUT", "/quotas/p2", {"quota": {"subnet": 9}})
        found = (await self.good(200, ADMIN, "GET", "/quotas"))["quotas"]
        self.assertEqual(
            found,
            [
                {**defaults, "network": 7, "port": 8, "project_id": "p1", "tenant_id": "p1"},
                {**defaults, "subnet": 9, "project_id": "p2", "tenant_id": "p2"},
            ],
        )

    async def test_kept(self) -> None:
        """One more is refused; of several in one request none is made; another project has its own."""
        network, _subnet = await self.net()
        group = await self.made("security_group", name="g")
        await self.made("port", network_id=network["id"])
        await self.limit(network=2, subnet=1, port=1, security_group=2, security_group_rule=6)
        subnet = {"network_id": network["id"], "ip_version": 4, "cidr": "10.1.0.0/24"}
        rule = {"security_group_id": group["id"], "direction": "ingress", "protocol": "tcp"}
        for path, kind, document in (
            ("/networks", "network", {"networks": [{"name": "a"}, {"name": "b"}]}),
            ("/subnets", "subnet", {"subnet": subnet}),
            ("/ports", "port", {"port": {"network_id": network["id"]}}),
            ("/security-groups", "security_group", {"security_group": {"name": "h"}}),
            ("/security-group-rules", "security_group_rule", {"security_group_rule": rule}),
        ):
            message = await self.refused(409, "OverQuota", ALICE, "POST", path, document)
            self.assertIn(f"'{kind}'", message)
        self.assertEqual(len((await self.good(200, ALICE, "GET", "/networks"))["networks"]), 1)
        await self.made("network", name="a")
        await self.net(who=BOB)

    async def test_counted_once(self) -> None:
        """However many are made by one request; and as many as there is room for, to the last."""
        network, _subnet = await self.net()
        group = await self.made("security_group", name="g")
        await self.limit(network=51, port=50, security_group=52, security_group_rule=256)
        bulk: dict[str, list[dict[str, Any]]] = {
            "networks": [{"name": f"n{number}"} for number in range(50)],
            "ports": [{"network_id": network["id"]} for _ in range(50)],
            "security_groups": [{"name": f"g{number}"} for number in range(50)],
            "security_group_rules": [
                {"security_group_id": group["id"], "direction": "ingress", "protocol": "tcp", "port_range_min": port,
                 "port_range_max": port}
                for port in range(1, 51)
            ],
        }  # fmt: skip
        counts: list[str] = []

        def note(_connection: Any, _cursor: Any, statement: str, *_more: Any) -> None:
            if statement.startswith("SELECT count(*)"):
                counts.append(statement)

        event.listen(self.database.engine, "before_cursor_execute", note)
        for plural, items in bulk.items():
            counts.clear()
            path = f"/{plural.replace('_', '-')}"
            await self.good(201, ALICE, "POST", path, {plural: items[:49]})
            self.assertEqual(len(counts), 1, plural)
            if plural == "security_group_rules":  # groups brought some of their own
                continue
            await self.refused(409, "OverQuota", ALICE, "POST", path, {plural: items[:2]})
            await self.good(201, ALICE, "POST", path, {plural: items[49:]})
            await self.refused(409, "OverQuota", ALICE, "POST", path, {plural: items[:1]})

    async def test_below_what_there_is(self) -> None:
        """Refused to who asks for that; otherwise what is there stays, and nothing is added."""
        await self.net()
        await self.refused(
            400, "QuotaExceeded", ADMIN, "PUT", "/quotas/p1", {"quota": {"network": 0, "check_limit": True}}
        )
        await self.limit(network=0)
        await self.limit(network=0, check_limit=True, force=True)
        await self.refused(409, "OverQuota", ALICE, "POST", "/networks", {"network": {}})

    async def test_default_group(self) -> None:
        """It is made however little is left, since nothing works without it."""
        await self.limit(security_group=0, security_group_rule=0)
        await self.net()
        self.assertEqual(len((await self.good(200, ALICE, "GET", "/security-groups"))["security_groups"]), 1)
