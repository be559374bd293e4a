"""Security groups and their rules by the Compute API, up to 2.35."""

from __future__ import annotations

from typing import Any

from cloudd import network
from cloudd.database import tables
from cloudd.network import Listing, Rule
from cloudd.protocols.rest.compute._security_view import show_rule

from .cloud import ADMIN, ALICE, BOB, READER, ComputeCase
from .servers import ServerCase

NONE = "55555555-5555-4555-8555-555555555555"
GROUPS, RULES = "/os-security-groups", "/os-security-group-rules"


class GroupCase(ServerCase):
    async def made(self, name: str = "web", who: str = ALICE) -> dict[str, Any]:
        """A new group."""
        body = {"security_group": {"name": name, "description": "d"}}
        made = await self.fits("security_groups", "create_security_group", who, "POST", GROUPS, "2.1", body)
        group: dict[str, Any] = made["security_group"]
        return group

    async def groups(self, who: str = ALICE, query: str = "") -> list[dict[str, Any]]:
        """A list."""
        found = await self.fits("security_groups", "list_security_groups", who, "GET", f"{GROUPS}{query}", "2.35")
        listed: list[dict[str, Any]] = found["security_groups"]
        return listed

    async def rule(self, parent_group_id: str, **members: Any) -> dict[str, Any]:
        """A new rule."""
        body = {"security_group_rule": {"parent_group_id": parent_group_id, **members}}
        made = await self.fits("security_groups", "create_security_group_rule", ALICE, "POST", RULES, "2.1", body)
        rule: dict[str, Any] = made["security_group_rule"]
        return rule

    async def bad_rule(self, status: int, **members: Any) -> str:
        """One that is refused; gives why."""
        name = {400: "badRequest", 403: "forbidden", 404: "itemNotFound"}[status]
        return await self.refused(status, name, ALICE, "POST", RULES, {"security_group_rule": members})


class GroupTests(GroupCase):
    async def test_life(self) -> None:
        """Made, shown, renamed, deleted; blanks in names are kept."""
        group = await self.made(" web 1 ")
        self.assertEqual((group["name"], group["description"], group["rules"]), (" web 1 ", "d", []))
        path = f"{GROUPS}/{group['id']}"
        self.assertEqual(
            await self.fits("security_groups", "get_security_group", READER, "GET", path, "2.1"),
            {"security_group": group},
        )
        body = {"security_group": {"name": "", "description": "other"}}
        after = await self.fits("security_groups", "update_security_group", ALICE, "PUT", path, "2.1", body)
        self.assertEqual(after["security_group"], group | body["security_group"])
        await self.fits("security_groups", "delete_security_group", ALICE, "DELETE", path, "2.1")
        for method, given in (("GET", None), ("PUT", body), ("DELETE", None)):
            await self.refused(404, "itemNotFound", ALICE, method, path, given)

    async def test_list(self) -> None:
        """The project's, by name, with its default one, which is made then; administrators see everybody's."""
        (first,) = await self.groups(READER)
        self.assertEqual((first["name"], len(first["rules"])), ("default", 2))
        self.assertEqual(first["rules"][0]["group"], {"name": "default", "tenant_id": "p1"})
        web, other = await self.made("a"), await self.made("z", BOB)
        self.assertEqual([each["name"] for each in await self.groups(READER)], ["a", "default"])
        self.assertEqual([each["id"] for each in await self.groups(ALICE, "?limit=1&offset=1")], [first["id"]])
        mine = {each["id"] for each in await self.groups(BOB, "?all_tenants=1")}
        self.assertTrue(other["id"] in mine and web["id"] not in mine)
        self.assertLessEqual(
            {web["id"], other["id"]}, {each["id"] for each in await self.groups(ADMIN, "?all_tenants=1")}
        )
        self.assertFalse({web["id"], other["id"]} & {each["id"] for each in await self.groups(ADMIN)})

    async def test_refused(self) -> None:
        """Lengths, what is missing, what is not known, what is no id, and names that are taken."""
        long = "x" * 256
        for body in ({"name": long, "description": ""}, {"name": "a", "description": long}, {"name": "a"},
                     {"name": None, "description": ""}, {"name": "a", "description": "", "rules": []},
                     {"name": "default", "description": ""}):  # fmt: skip
            await self.refused(400, "badRequest", ALICE, "POST", GROUPS, {"security_group": body})
        for method in ("GET", "DELETE"):
            await self.refused(400, "badRequest", ALICE, method, f"{GROUPS}/1")
        (first,) = await self.groups()
        path = f"{GROUPS}/{first['id']}"
        await self.refused(400, "badRequest", ALICE, "DELETE", path)
        body = {"name": "mine", "description": ""}
        await self.refused(400, "badRequest", ALICE, "PUT", path, {"security_group": body})
        self.assertEqual([each["name"] for each in await self.groups()], ["default"])

    async def test_rights(self) -> None:
        """Others know of none of them; who may only read makes none, and changes none."""
        group = await self.made()
        path, body = f"{GROUPS}/{group['id']}", {"security_group": {"name": "a", "description": ""}}
        for method, given in (("GET", None), ("PUT", body), ("DELETE", None)):
            await self.refused(404, "itemNotFound", BOB, method, path, given)
        await self.refused(403, "forbidden", READER, "POST", GROUPS, body)
        await self.refused(403, "forbidden", READER, "PUT", path, body)
        await self.refused(403, "forbidden", READER, "DELETE", path)
        await self.good(202, ADMIN, "DELETE", path)

    async def test_in_use(self) -> None:
        """A port has it: 400."""
        group = await self.made()
        port = self.add_port(self.network_id)
        values = {"security_group_ids": (group["id"],)}
        self.write(network.update_port, self.client_access(ALICE), port.id, values, None)
        self.assertIn("in use", await self.refused(400, "badRequest", ALICE, "DELETE", f"{GROUPS}/{group['id']}"))

    async def test_quota(self) -> None:
        """403, as for everything that a project has enough of."""
        limits = {"security_group": 1, "security_group_rule": 100}
        self.write(network.set_quota, self.client_access(ADMIN), "p1", limits)
        body = {"security_group": {"name": "a", "description": ""}}
        self.assertIn("Quota", await self.refused(403, "forbidden", ALICE, "POST", GROUPS, body))

    async def test_ends(self) -> None:
        """From 2.36 on there are none."""
        group = await self.made()
        for method, path in (("GET", GROUPS), ("GET", f"{GROUPS}/{group['id']}"), ("POST", GROUPS), ("POST", RULES),
                             ("DELETE", f"{GROUPS}/{group['id']}"), ("DELETE", f"{RULES}/{NONE}")):  # fmt: skip
            await self.refused(404, "itemNotFound", ALICE, method, path, version="2.36")


class RuleTests(GroupCase):
    async def test_addresses(self) -> None:
        """For a range of addresses, as it was written; for all of them where none is named."""
        group = await self.made()
        rule = await self.rule(group["id"], ip_protocol="tcp", from_port=22, to_port="23")
        expected = {"ip_protocol": "tcp", "from_port": 22, "to_port": 23, "parent_group_id": group["id"], "group": {}}
        self.assertEqual(rule, expected | {"id": rule["id"], "ip_range": {"cidr": "0.0.0.0/0"}})
        rule = await self.rule(group["id"], ip_protocol="UDP", from_port=53, to_port=53, cidr="10.2.3.124/24")
        self.assertEqual((rule["ip_protocol"], rule["ip_range"]), ("udp", {"cidr": "10.2.3.124/24"}))
        rule = await self.rule(group["id"], ip_protocol="tcp", from_port=1, to_port=9, cidr="2001:db8::%2F32")
        self.assertEqual(rule["ip_range"], {"cidr": "2001:db8::/32"})
        found = self.write(network.one_rule, self.client_access(ALICE), rule["id"])
        self.assertEqual((found.direction, found.ethertype, found.project_id), ("ingress", "IPv6", "p1"))

    async def test_icmp(self) -> None:
        """-1 is every type and every code."""
        group = await self.made()
        for kind, code, low, high in ((-1, -1, None, None), (8, 0, 8, 0), (3, -1, 3, None)):
            rule = await self.rule(group["id"], ip_protocol="icmp", from_port=kind, to_port=code)
            found = self.write(network.one_rule, self.client_access(ALICE), rule["id"])
            self.assertEqual((found.port_range_min, found.port_range_max), (low, high))
        shown = (await self.good(200, ALICE, "GET", f"{GROUPS}/{group['id']}"))["security_group"]["rules"]
        self.assertIn((-1, -1), {(each["from_port"], each["to_port"]) for each in shown})

    async def test_groups(self) -> None:
        """For members of a group, all they send or some; rules that name a group go with it."""
        group, other = await self.made(), await self.made("db")
        rules = [
            await self.rule(group["id"], group_id=other["id"]),
            await self.rule(group["id"], group_id=other["id"], ip_protocol="tcp"),
            await self.rule(group["id"], group_id=other["id"], ip_protocol="icmp"),
            await self.rule(group["id"], group_id=other["id"], ip_protocol="tcp", from_port=1, to_port=2),
        ]
        told = [(each["ip_protocol"], each["from_port"], each["to_port"]) for each in rules]
        self.assertEqual(told, [(None, None, None), ("tcp", 1, 65_535), ("icmp", -1, -1), ("tcp", 1, 2)])
        for each in rules:
            self.assertEqual((each["group"], each["ip_range"]), ({"name": "db", "tenant_id": "p1"}, {}))
        shown = (await self.good(200, ALICE, "GET", f"{GROUPS}/{group['id']}"))["security_group"]["rules"]
        self.assertCountEqual(shown, rules)
        await self.good(202, ALICE, "DELETE", f"{GROUPS}/{other['id']}")
        shown = (await self.good(200, ALICE, "GET", f"{GROUPS}/{group['id']}"))["security_group"]["rules"]
        self.assertEqual(shown, [])

    async def test_delete(self) -> None:
        """Once; others know of none."""
        group = await self.made()
        rule = await self.rule(group["id"], ip_protocol="tcp", from_port=1, to_port=2)
        path = f"{RULES}/{rule['id']}"
        await self.refused(404, "itemNotFound", BOB, "DELETE", path)
        await self.refused(403, "forbidden", READER, "DELETE", path)
        await self.fits("security_groups", "delete_security_group_rule", ALICE, "DELETE", path, "2.1")
        await self.refused(404, "itemNotFound", ALICE, "DELETE", path)
        await self.refused(400, "badRequest", ALICE, "DELETE", f"{RULES}/7")

    async def test_refused(self) -> None:
        """Ids, protocols, ranges, addresses, what is missing, and what is there already; nothing is made."""
        group = await self.made()
        good = {"parent_group_id": group["id"], "ip_protocol": "tcp", "from_port": 22, "to_port": 22}
        count = len(self.rows(tables.security_rule))
        for change, word in (
            ({"parent_group_id": "x"}, "uuid"), ({"parent_group_id": 7}, "uuid"), ({"parent_group_id": None}, "uuid"),
            ({"ip_protocol": "999"}, "999"), ({"ip_protocol": None}, "Not enough"), ({"to_port": None}, "Not enough"),
            ({"from_port": 23}, "range"), ({"from_port": 0}, "range"), ({"to_port": 65_536}, "range"),
            ({"from_port": "ssh"}, "integers"), ({"ip_protocol": "icmp", "to_port": 256}, "ICMP"),
            ({"ip_protocol": "icmp", "from_port": "x"}, "ICMP"), ({"ip_protocol": "icmp", "from_port": -2}, "ICMP"),
            ({"ip_protocol": "icmp", "from_port": -1, "to_port": 0}, "ICMP"),
            ({"cidr": "10.0.0.0"}, "valid IP network"), ({"cidr": "10.0.0.0/33"}, "valid IP network"),
            ({"cidr": "10.0.0.1/0"}, "Bad prefix"), ({"group_id": "x"}, "uuid"), ({"ethertype": "IPv6"}, "ethertype"),
            ({"group_id": group["id"], "from_port": None}, "Not enough"),
            ({"group_id": group["id"], "ip_protocol": "gre"}, "gre"),
            ({"group_id": group["id"], "cidr": "10.0.0.0/8"}, "Only"),
        ):  # fmt: skip
            self.assertIn(word, await self.bad_rule(400, **{**good, **change}), str(change))
        await self.bad_rule(404, **{**good, "parent_group_id": NONE})
        await self.bad_rule(404, **{**good, "group_id": NONE})
        self.assertEqual(len(self.rows(tables.security_rule)), count)
        await self.rule(**good)

    async def test_twice(self) -> None:
        """400, also where it is written otherwise."""
        group = await self.made()
        members = {"parent_group_id": group["id"], "ip_protocol": "tcp", "from_port": 22, "to_port": 22}
        await self.rule(**members)
        for cidr in (None, "0.0.0.0/0"):
            self.assertIn("already exists", await self.bad_rule(400, **members, cidr=cidr))

    async def test_others(self) -> None:
        """Nobody adds to another project's group, nor lets its members in."""
        theirs = await self.made("theirs", BOB)
        mine = await self.made()
        range_ = {"ip_protocol": "tcp", "from_port": 22, "to_port": 22}
        await self.bad_rule(404, parent_group_id=theirs["id"], **range_)
        await self.bad_rule(404, parent_group_id=mine["id"], group_id=theirs["id"], **range_)


class ViewTests(ComputeCase):
    def test_ports(self) -> None:
        """A rule of the Network API that names no ports is for all of them; one for a group that went has none."""
        for protocol, ports in (("tcp", (1, 65_535)), ("UDP", (1, 65_535)), ("gre", (-1, -1)), (None, (None, None))):
            rule = Rule(id="r", project_id="p", security_group_id="g", direction="ingress", protocol=protocol)
            shown = show_rule(rule, {})
            self.assertEqual((shown["from_port"], shown["to_port"]), ports)
        rule = Rule(id="r", project_id="p", security_group_id="g", direction="ingress", remote_group_id="gone")
        self.assertEqual((show_rule(rule, {})["group"], show_rule(rule, {})["ip_range"]), ({}, {}))
        with self.database.engine.begin() as connection:
            self.assertEqual(network.listed_rules(connection, self.client_access(ALICE), Listing()), [])
