"""Security groups and rules."""

from __future__ import annotations

from typing import Any

from .cloud import ADMIN, ALICE, BOB, NetworkCase


class GroupTests(NetworkCase):
    async def default(self, who: str = ALICE) -> dict[str, Any]:
        found: dict[str, Any] = (await self.good(200, who, "GET", "/security-groups?name=default"))["security_groups"][
            0
        ]
        return found

    async def test_default(self) -> None:
        """Made by itself, once for each project; it lets its members in and everything out."""
        group = await self.default()
        self.assertEqual(await self.default(), group)
        self.assertEqual(len(group["security_group_rules"]), 4)
        incoming = [rule for rule in group["security_group_rules"] if rule["direction"] == "ingress"]
        self.assertEqual({rule["remote_group_id"] for rule in incoming}, {group["id"]})
        self.assertNotEqual((await self.default(BOB))["id"], group["id"])
        path = f"/security-groups/{group['id']}"
        await self.refused(
            409, "SecurityGroupCannotUpdateDefault", ALICE, "PUT", path, {"security_group": {"name": "x"}}
        )
        await self.refused(409, "SecurityGroupCannotRemoveDefault", ALICE, "DELETE", path)
        await self.refused(
            409,
            "SecurityGroupDefaultAlreadyExists",
            ALICE,
            "POST",
            "/security-groups",
            {"security_group": {"name": "default"}},
        )

    async def test_life(self) -> None:
        group = await self.made("security_group", name="web", description="d")
        self.assertEqual([rule["direction"] for rule in group["security_group_rules"]], ["egress", "egress"])
        path = f"/security-groups/{group['id']}"
        changed = (await self.good(200, ALICE, "PUT", path, {"security_group": {"name": "www"}}))["security_group"]
        self.assertEqual((changed["name"], changed["description"], changed["revision_number"]), ("www", "d", 1))
        await self.refused(404, "SecurityGroupNotFound", BOB, "GET", path)
        network, _ = await self.net()
        port = await self.made("port", network_id=network["id"], security_groups=[group["id"]])
        await self.refused(409, "SecurityGroupInUse", ALICE, "DELETE", path)
        await self.good(204, ALICE, "DELETE", f"/ports/{port['id']}")
        await self.good(204, ALICE, "DELETE", path)
        self.assertEqual((await self.good(200, ALICE, "GET", f"/security-group-rules?security_group_id={group['id']}")),
                         {"security_group_rules": []})  # fmt: skip


class RuleTests(NetworkCase):
    async def setUp(self) -> None:  # type: ignore[override]
        super().setUp()
        self.group = await self.made("security_group", name="g")

    async def rule(self, **members: Any) -> dict[str, Any]:
        wanted = {"security_group_id": self.group["id"], "direction": "ingress", **members}
        return await self.made("security_group_rule", **wanted)

    async def test_life(self) -> None:
        rule = await self.rule(protocol="TCP", port_range_min="80", port_range_max=81, remote_ip_prefix="10.0.0.0/8")
        self.assertEqual(
            {name: rule[name] for name in ("direction", "ethertype", "protocol", "port_range_min", "port_range_max",
                                           "remote_ip_prefix", "remote_group_id", "project_id")},
            {"direction": "ingress", "ethertype": "IPv4", "protocol": "tcp", "port_range_min": 80, "port_range_max": 81,
             "remote_ip_prefix": "10.0.0.0/8", "remote_group_id": None, "project_id": "p1"},
        )  # fmt: skip
        shown = (await self.good(200, ALICE, "GET", f"/security-groups/{self.group['id']}"))["security_group"]
        self.assertEqual((len(shown["security_group_rules"]), shown["revision_number"]), (3, 1))
        path = f"/security-group-rules/{rule['id']}"
        self.assertEqual((await self.good(200, ALICE, "GET", path))["security_group_rule"], rule)
        await self.refused(404, "SecurityGroupRuleNotFound", BOB, "GET", path)
        await self.good(204, ALICE, "DELETE", path)
        await self.refused(404, "SecurityGroupRuleNotFound", ALICE, "GET", path)

    async def test_same_meaning(self) -> None:
        """However it is written."""
        await self.rule(protocol="tcp", port_range_min=22, port_range_max=22)
        for same in ({"protocol": "6"}, {"protocol": "tcp", "remote_ip_prefix": "0.0.0.0/0"}):
            body = {
                "security_group_id": self.group["id"],
                "direction": "ingress",
                "port_range_min": 22,
                "port_range_max": 22,
            }
            await self.refused(
                409,
                "SecurityGroupRuleExists",
                ALICE,
                "POST",
                "/security-group-rules",
                {"security_group_rule": {**body, **same}},
            )

    async def test_refused(self) -> None:
        other = await self.made("security_group", BOB, name="his")
        for status, kind, members in (
            (400, "InvalidInput", {"direction": "up"}),
            (400, "InvalidInput", {"ethertype": "IPX"}),
            (400, "SecurityGroupRuleInvalidProtocol", {"protocol": "tcpp"}),
            (400, "SecurityGroupRuleInvalidProtocol", {"protocol": 256}),
            (400, "SecurityGroupProtocolRequiredWithPorts", {"port_range_min": 1, "port_range_max": 2}),
            (400, "SecurityGroupInvalidPortRange", {"protocol": "tcp", "port_range_min": 2, "port_range_max": 1}),
            (400, "SecurityGroupInvalidPortRange", {"protocol": "udp", "port_range_min": 1}),
            (400, "SecurityGroupInvalidPortRange", {"protocol": "tcp", "port_range_min": 1, "port_range_max": 65_536}),
            (400, "SecurityGroupInvalidIcmpValue", {"protocol": "icmp", "port_range_min": 256}),
            (400, "SecurityGroupMissingIcmpType", {"protocol": "icmp", "port_range_max": 1}),
            (400, "SecurityGroupRuleParameterConflict", {"remote_ip_prefix": "fd00::/8"}),
            (400, "InvalidInput", {"remote_ip_prefix": "x"}),
            (400, "SecurityGroupMultipleRemoteSourcesProvided",
             {"remote_ip_prefix": "10.0.0.0/8", "remote_group_id": self.group["id"]}),
            (404, "SecurityGroupNotFound", {"remote_group_id": other["id"]}),
            (404, "SecurityGroupNotFound", {"security_group_id": other["id"]}),
            (400, "InvalidInput", {"protocol": "tcp", "port_range_min": "x"}),
        ):  # fmt: skip
            wanted = {"security_group_id": self.group["id"], "direction": "ingress", **members}
            await self.refused(status, kind, ALICE, "POST", "/security-group-rules", {"security_group_rule": wanted})

    async def test_several(self) -> None:
        wanted = [
            {"security_group_id": self.group["id"], "direction": "ingress", "protocol": name} for name in ("tcp", "udp")
        ]
        made = await self.good(201, ADMIN, "POST", "/security-group-rules", {"security_group_rules": wanted})
        self.assertEqual([rule["protocol"] for rule in made["security_group_rules"]], ["tcp", "udp"])
        listed = await self.good(200, ALICE, "GET", "/security-group-rules?protocol=udp")
        self.assertEqual(len(listed["security_group_rules"]), 1)
