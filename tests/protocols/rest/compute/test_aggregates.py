"""Host aggregates: how they are shown and changed, who may, and what hosts have of them."""

from __future__ import annotations

from typing import Any

from cloudd.compute import HostReport, is_reported, report_host
from cloudd.scheduling import read_hosts

from .server_cloud import ADMIN, ALICE, HOST, NODE, ServerCase, add_host

PATH = "/os-aggregates"
OTHER, OTHER_HOST = "0" * 31 + "8", "n8"


class AggregateCase(ServerCase):
    def setUp(self) -> None:
        super().setUp()
        with self.database.engine.begin() as connection:
            add_host(connection, OTHER, OTHER_HOST)

    async def made(self, name: str = "a", **members: Any) -> str:
        """Path of a new one."""
        found = await self.good(200, ADMIN, "POST", PATH, {"aggregate": {"name": name, **members}})
        return f"{PATH}/{found['aggregate']['id']}"

    async def do(self, path: str, name: str, body: Any) -> dict[str, Any]:
        """An action that is carried out; gives what the aggregate is then."""
        found = await self.good(200, ADMIN, "POST", f"{path}/action", {name: body})
        return dict(found["aggregate"])

    async def refused_action(self, status: int, name: str, path: str, action: str, body: Any) -> str:
        """An action that is refused; gives why."""
        return await self.refused(status, name, ADMIN, "POST", f"{path}/action", {action: body})

    def places(self) -> dict[str, tuple[str, list[str]]]:
        """Name of a host -> its zone and projects, as the scheduler has them."""
        with self.database.engine.begin() as connection:
            return {each.name: (each.zone, sorted(each.projects)) for each in read_hosts(connection)}


class AggregateTests(AggregateCase):
    async def test_fits(self) -> None:
        """As tempest has it, in each version: UUIDs from 2.41 on."""
        for version in ("2.1", "2.40", "2.41", "2.79"):
            body: dict[str, Any] = {"aggregate": {"name": f"a {version}", "availability_zone": f"z{version}"}}
            made = await self.fits("aggregates", "create_aggregate", ADMIN, "POST", PATH, version, body)
            own = f"{PATH}/{made['aggregate']['id']}"
            self.assertEqual("uuid" in made["aggregate"], version in ("2.41", "2.79"))
            shown = (await self.fits("aggregates", "get_aggregate", ADMIN, "GET", own, version))["aggregate"]
            self.assertEqual((shown["hosts"], shown["metadata"]), ([], {"availability_zone": f"z{version}"}))
            body = {"aggregate": {"name": f"b {version}"}}
            changed = await self.fits("aggregates", "update_aggregate", ADMIN, "PUT", own, version, body)
            self.assertEqual(changed["aggregate"]["name"], f"b {version}")
            for name, given in (("add_host", {"host": HOST}), ("remove_host", {"host": HOST})):
                kind = "aggregate_add_remove_host"
                await self.fits("aggregates", kind, ADMIN, "POST", f"{own}/action", version, {name: given})
            body = {"set_metadata": {"metadata": {"k": "v"}}}
            await self.fits("aggregates", "aggregate_set_metadata", ADMIN, "POST", f"{own}/action", version, body)
            found = await self.fits("aggregates", "list_aggregates", ADMIN, "GET", PATH, version)
            self.assertIn(made["aggregate"]["id"], [each["id"] for each in found["aggregates"]])
            await self.fits("aggregates", "delete_aggregate", ADMIN, "DELETE", own, version)
            await self.refused(404, "itemNotFound", ADMIN, "GET", own)

    async def test_rights(self) -> None:
        """All of it is for administrators."""
        own = await self.made()
        body = {"aggregate": {"name": "b"}}
        for method, path, document in (
            ("GET", PATH, None), ("POST", PATH, body), ("GET", own, None), ("PUT", own, body), ("DELETE", own, None),
            ("POST", f"{own}/action", {"add_host": {"host": HOST}}),
        ):  # fmt: skip
            cause = await self.refused(403, "forbidden", ALICE, method, path, document)
            self.assertIn("os_compute_api:os-aggregates", cause)

    async def test_names(self) -> None:
        """One of a name; of one that there is not all is 404."""
        own, _ = await self.made("a"), await self.made("b")
        body = {"aggregate": {"name": "b"}}
        cause = await self.refused(409, "conflictingRequest", ADMIN, "POST", PATH, body)
        self.assertEqual(cause, "Aggregate b already exists.")
        await self.refused(409, "conflictingRequest", ADMIN, "PUT", own, body)
        await self.good(200, ADMIN, "PUT", own, {"aggregate": {"name": "a"}})
        for number in ("0", "-1", "x", "9" * 400, "%D9%A3"):
            for method, document in (("GET", None), ("PUT", body), ("DELETE", None)):
                await self.refused(404, "itemNotFound", ADMIN, method, f"{PATH}/{number}", document)
            await self.refused_action(404, "itemNotFound", f"{PATH}/{number}", "add_host", {"host": HOST})

    async def test_bad(self) -> None:
        """400 with what is wrong."""
        own = await self.made()
        news: tuple[Any, ...] = (
            {}, {"name": ""}, {"name": "x" * 256}, {"name": " x"}, {"name": "a\n"}, {"name": 1}, {"name": None},
            {"name": "x", "availability_zone": ""}, {"name": "x", "availability_zone": "a:b"}, {"name": "x", "y": 1},
            {"name": "x", "availability_zone": "z" * 256}, None, [],
        )  # fmt: skip
        for bad in news:
            await self.refused(400, "badRequest", ADMIN, "POST", PATH, {"aggregate": bad})
            await self.refused(400, "badRequest", ADMIN, "PUT", own, {"aggregate": bad})
        await self.refused(400, "badRequest", ADMIN, "PUT", own, {"aggregate": {"availability_zone": None}})
        actions: tuple[Any, ...] = (
            {}, {"dance": {}}, {"add_host": {}}, {"add_host": None}, {"add_host": {"host": ""}},
            {"add_host": {"host": 1}}, {"add_host": {"host": HOST}, "remove_host": {"host": HOST}},
            {"set_metadata": {}}, {"set_metadata": {"metadata": None}}, {"set_metadata": {"metadata": {"a": 1}}},
            {"set_metadata": {"metadata": {"a": "x" * 256}}}, {"set_metadata": {"metadata": {"": "x"}}},
            {"set_metadata": {"metadata": {"availability_zone": None}}},
            {"set_metadata": {"metadata": {"availability_zone": "a:b"}}},
        )  # fmt: skip
        for bad in actions:
            await self.refused(400, "badRequest", ADMIN, "POST", f"{own}/action", bad)
        await self.refused(400, "badRequest", ADMIN, "GET", f"{PATH}?x=1", None, "2.75")

    async def test_metadata(self) -> None:
        """What is not named stays; null takes a key away; the zone is one of them."""
        own = await self.made()
        shown = await self.do(own, "set_metadata", {"metadata": {"a": "1", "b": "2", "availability_zone": "z"}})
        self.assertEqual(shown["metadata"], {"a": "1", "b": "2", "availability_zone": "z"})
        self.assertEqual(shown["availability_zone"], "z")
        shown = await self.do(own, "set_metadata", {"metadata": {"a": None, "c": ""}})
        self.assertEqual(shown["metadata"], {"b": "2", "c": "", "availability_zone": "z"})
        self.assertIsNotNone(shown["updated_at"])


class HostTests(AggregateCase):
    async def test_hosts(self) -> None:
        """Added once, taken away once; one that has some stays."""
        own = await self.made()
        for host in (OTHER_HOST, HOST):
            await self.do(own, "add_host", {"host": host})
        cause = await self.refused_action(409, "conflictingRequest", own, "add_host", {"host": HOST})
        self.assertIn(f"already has host {HOST}.", cause)
        for name in ("add_host", "remove_host"):
            cause = await self.refused_action(404, "itemNotFound", own, name, {"host": "none"})
            self.assertEqual(cause, "Compute host none could not be found.")
        found = (await self.good(200, ADMIN, "GET", own))["aggregate"]
        self.assertEqual(found["hosts"], [HOST, OTHER_HOST])
        cause = await self.refused(400, "badRequest", ADMIN, "DELETE", own)
        self.assertIn("Host aggregate is not empty.", cause)
        await self.do(own, "remove_host", {"host": HOST})
        await self.refused_action(404, "itemNotFound", own, "remove_host", {"host": HOST})
        self.assertEqual((await self.do(own, "remove_host", {"host": OTHER_HOST}))["hosts"], [])
        await self.good(200, ADMIN, "DELETE", own)

    async def test_zone(self) -> None:
        """It is that of the hosts, for the scheduler and for tenants, until they are taken out."""
        own = await self.made("a", availability_zone="z1")
        await self.do(own, "add_host", {"host": HOST})
        self.assertEqual(self.places(), {HOST: ("z1", []), OTHER_HOST: ("nova", [])})
        found = await self.good(200, ALICE, "GET", "/os-availability-zone")
        self.assertEqual([each["zoneName"] for each in found["availabilityZoneInfo"]], ["nova", "z1"])
        await self.good(200, ADMIN, "PUT", own, {"aggregate": {"availability_zone": "z2"}})
        self.assertEqual(self.places()[HOST], ("z2", []))
        await self.do(own, "remove_host", {"host": HOST})
        self.assertEqual(self.places()[HOST], ("nova", []))

    async def test_one_zone(self) -> None:
        """A host is in one alone, and with servers on it that one stays."""
        one, other = await self.made("a", availability_zone="z1"), await self.made("b", availability_zone="z2")
        plain = await self.made("c")
        await self.do(one, "add_host", {"host": HOST})
        await self.do(plain, "add_host", {"host": HOST})
        cause = await self.refused_action(409, "conflictingRequest", other, "add_host", {"host": HOST})
        self.assertIn("One or more hosts already in availability zone(s) ['z1'].", cause)
        body = {"aggregate": {"availability_zone": "z2"}}
        await self.refused(400, "badRequest", ADMIN, "PUT", plain, body)
        await self.refused_action(400, "badRequest", plain, "set_metadata", {"metadata": {"availability_zone": "z2"}})
        await self.do(plain, "set_metadata", {"metadata": {"availability_zone": "z1"}})
        await self.do(plain, "remove_host", {"host": HOST})
        self.add()
        await self.good(200, ADMIN, "PUT", one, {"aggregate": {"availability_zone": "z1"}})
        cause = await self.refused(400, "badRequest", ADMIN, "PUT", one, {"aggregate": {"availability_zone": "z3"}})
        self.assertIn("One or more hosts contain instances in this zone.", cause)

    async def test_report(self) -> None:
        """What a host says of its own zone counts once it is in no aggregate that has one."""
        own = await self.made("a", availability_zone="z1")
        await self.do(own, "add_host", {"host": HOST})
        report = HostReport(
            node_id=NODE, name=HOST, driver="simulated", kind="simulated", hypervisor_version=1, vcpus=8,
            memory_mib=1024, disk_gib=10, vcpu_ratio=1.0, memory_ratio=1.0, disk_ratio=1.0, architecture="x86_64",
            cpu_model="qemu64", real=False, zone="own",
        )  # fmt: skip
        with self.database.engine.begin() as connection:
            self.assertFalse(is_reported(connection, report))
            report_host(connection, report)
            self.assertTrue(is_reported(connection, report))
        self.assertEqual(self.places()[HOST], ("z1", []))
        await self.do(own, "remove_host", {"host": HOST})
        self.assertEqual(self.places()[HOST], ("own", []))

    async def test_projects(self) -> None:
        """Those that its metadata names alone may have servers on its hosts."""
        one, other = await self.made("a"), await self.made("b")
        await self.do(one, "add_host", {"host": HOST})
        await self.do(one, "set_metadata", {"metadata": {"filter_tenant_id": "p1, p2"}})
        self.assertEqual(self.places(), {HOST: ("nova", ["p1", "p2"]), OTHER_HOST: ("nova", [])})
        await self.do(other, "set_metadata", {"metadata": {"filter_tenant_id_2": "p3", "x": "p4"}})
        await self.do(other, "add_host", {"host": HOST})
        self.assertEqual(self.places()[HOST], ("nova", ["p1", "p2", "p3"]))
        await self.do(one, "set_metadata", {"metadata": {"filter_tenant_id": None}})
        await self.do(other, "remove_host", {"host": HOST})
        self.assertEqual(self.places()[HOST], ("nova", []))
