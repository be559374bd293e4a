"""Availability zones and services."""

from __future__ import annotations

from typing import Any

from cloudd.nodes import _rows

from .cloud import ADMIN, ALICE, ComputeCase
from .server_cloud import HOST, ServerCase, add_host

NODE = "0" * 31 + "1"


class HostTests(ComputeCase):
    def setUp(self) -> None:
        super().setUp()
        with self.database.engine.begin() as connection:
            _rows.enter(connection, NODE, "n1", ["agents"], "ready", "tests")

    async def test_zones(self) -> None:
        """One zone; its hosts are told to administrators, and there is none yet that runs servers."""
        kind = "availability_zone"
        found = await self.fits(kind, "list_availability_zone_list", ALICE, "GET", "/os-availability-zone", "2.1")
        self.assertEqual([each["zoneName"] for each in found["availabilityZoneInfo"]], ["nova"])
        path = "/os-availability-zone/detail"
        await self.refused(403, "forbidden", ALICE, "GET", path)
        found = await self.fits(kind, "list_availability_zone_list_detail", ADMIN, "GET", path, "2.1")
        hosts = {each["zoneName"]: set(each["hosts"]) for each in found["availabilityZoneInfo"]}
        self.assertEqual(hosts, {"internal": {"n1"}, "nova": set()})

    async def test_services(self) -> None:
        """The nodes, as each version shows them."""
        await self.refused(403, "forbidden", ALICE, "GET", "/os-services")
        for version in ("2.1", "2.10", "2.11", "2.52", "2.53", "2.79"):
            found = await self.fits("services", "list_services", ADMIN, "GET", "/os-services", version)
            (node,) = found["services"]
            self.assertEqual((node["host"], node["zone"], node["status"]), ("n1", "internal", "enabled"))
            self.assertEqual((node["state"], node["updated_at"]), ("down", None))  # it has never said anything
        for query, count in (("host=n1", 1), ("host=n2", 0), ("binary=nova-compute", 0), ("binary=cloudd-agent", 1)):
            found = await self.good(200, ADMIN, "GET", f"/os-services?{query}")
            self.assertEqual(len(found["services"]), count, query)
        path = f"/os-services/{node['id']}"
        await self.refused(501, "notImplemented", ADMIN, "DELETE", path, None, "2.53")
        cause = await self.refused(400, "badRequest", ADMIN, "PUT", path, {"status": "disabled"}, "2.53")
        self.assertIn("cloudctl node drain", cause)
        for method, document in (("PUT", {"status": "disabled"}), ("DELETE", None)):
            await self.refused(404, "itemNotFound", ADMIN, method, "/os-services/none", document, "2.53")
            await self.refused(403, "forbidden", ALICE, method, path, document, "2.53")

    async def test_a_node_that_speaks(self) -> None:
        """Is up."""
        with self.database.engine.begin() as connection:
            beat = _rows.Beat(version="1", code_hash="c", generation=1, payloads={}, load={}, beat_s=60.0, address="")
            _rows.beat(connection, NODE, beat)
        (node,) = (await self.good(200, ADMIN, "GET", "/os-services"))["services"]
        self.assertEqual(node["state"], "up")
        self.assertIsNotNone(node["updated_at"])


class ComputeHostTests(ServerCase):
    """Hosts that run servers, as ``nova-compute``."""

    async def service(self, version: str) -> dict[str, Any]:
        """The one there is."""
        path = "/os-services?binary=nova-compute"
        (found,) = (await self.fits("services", "list_services", ADMIN, "GET", path, version))["services"]
        return dict(found)

    async def test_shown(self) -> None:
        """Beside the node's own, with an id of its own and the zone that servers are in."""
        for version in ("2.1", "2.53", "2.79"):
            found = await self.good(200, ADMIN, "GET", "/os-services", None, version)
            self.assertEqual([each["binary"] for each in found["services"]], ["cloudd-agent", "nova-compute"])
            self.assertEqual(len({each["id"] for each in found["services"]}), 2)
            shown = await self.service(version)
            self.assertEqual((shown["host"], shown["zone"], shown["status"], shown["state"]),
                             (HOST, "nova", "enabled", "up"))  # fmt: skip

    async def test_by_id(self) -> None:
        """From 2.53 on: disabled with a reason, and enabled again."""
        path = f"/os-services/{(await self.service('2.53'))['id']}"
        body = {"status": "disabled", "disabled_reason": "mend"}
        changed = await self.fits("services", "update_service", ADMIN, "PUT", path, "2.53", body)
        self.assertEqual((changed["service"]["status"], changed["service"]["disabled_reason"]), ("disabled", "mend"))
        self.assertEqual((await self.service("2.53"))["disabled_reason"], "mend")
        changed = await self.fits("services", "update_service", ADMIN, "PUT", path, "2.79", {"status": "enabled"})
        self.assertEqual((changed["service"]["status"], changed["service"]["disabled_reason"]), ("enabled", None))
        for bad in ({}, {"status": "x"}, {"status": "enabled", "disabled_reason": "x"}, {"x": 1}, {"status": 1},
                    {"status": "disabled", "disabled_reason": ""}):  # fmt: skip
            await self.refused(400, "badRequest", ADMIN, "PUT", path, bad, "2.53")
        await self.refused(501, "notImplemented", ADMIN, "PUT", path, {"forced_down": True}, "2.53")

    async def test_as_before(self) -> None:
        """Up to 2.52 by host and binary."""
        body = {"host": HOST, "binary": "nova-compute"}
        for verb, kind, more, status in (
            ("disable", "enable_disable_service", {}, "disabled"),
            ("disable-log-reason", "disable_log_reason", {"disabled_reason": "mend"}, "disabled"),
            ("enable", "enable_disable_service", {}, "enabled"),
        ):  # fmt: skip
            changed = await self.fits("services", kind, ADMIN, "PUT", f"/os-services/{verb}", "2.1", body | more)
            self.assertEqual((changed["service"]["status"], (await self.service("2.1"))["status"]), (status, status))
        for verb, document in (
            ("enable", {"host": HOST}), ("enable", body | {"disabled_reason": "x"}), ("disable-log-reason", body),
            ("enable", body | {"binary": "cloudd-agent"}),
        ):  # fmt: skip
            await self.refused(400, "badRequest", ADMIN, "PUT", f"/os-services/{verb}", document)
        await self.refused(404, "itemNotFound", ADMIN, "PUT", "/os-services/enable", body | {"host": "none"})
        await self.refused(404, "itemNotFound", ADMIN, "PUT", "/os-services/dance", body)
        await self.refused(404, "itemNotFound", ADMIN, "PUT", "/os-services/force-down", body, "2.10")
        forced = body | {"forced_down": True}
        await self.refused(501, "notImplemented", ADMIN, "PUT", "/os-services/force-down", forced, "2.11")
        await self.refused(403, "forbidden", ALICE, "PUT", "/os-services/enable", body)

    async def test_zones(self) -> None:
        """Those of the hosts; one is available while a host in it takes servers."""
        with self.database.engine.begin() as connection:
            add_host(connection, "0" * 31 + "8", "n8", zone="z1")
            add_host(connection, "0" * 31 + "9", "n9", zone="z2", is_enabled=False)
        kind = "availability_zone"
        path = "/os-availability-zone"
        found = await self.fits(kind, "list_availability_zone_list", ALICE, "GET", path, "2.1")
        shown = {each["zoneName"]: each["zoneState"]["available"] for each in found["availabilityZoneInfo"]}
        self.assertEqual(shown, {"nova": True, "z1": True, "z2": False})
        found = await self.fits(kind, "list_availability_zone_list_detail", ADMIN, "GET", f"{path}/detail", "2.1")
        hosts = {each["zoneName"]: each["hosts"] for each in found["availabilityZoneInfo"]}
        self.assertEqual({name: sorted(each) for name, each in hosts.items()},
                         {"internal": [HOST, "n8", "n9"], "nova": [HOST], "z1": ["n8"], "z2": ["n9"]})  # fmt: skip
        self.assertFalse(hosts["z2"]["n9"]["nova-compute"]["active"])
        await self.good(200, ADMIN, "PUT", "/os-services/disable", {"host": HOST, "binary": "nova-compute"})
        found = await self.good(200, ALICE, "GET", path)
        shown = {each["zoneName"]: each["zoneState"]["available"] for each in found["availabilityZoneInfo"]}
        self.assertEqual(shown, {"nova": False, "z1": True, "z2": False})
