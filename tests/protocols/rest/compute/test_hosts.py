"""Availability zones, services, hypervisors and aggregates."""

from __future__ import annotations

from cloudd.nodes import _rows

from .cloud import ADMIN, ALICE, ComputeCase

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
        for method, document in (("PUT", {"status": "disabled"}), ("DELETE", None)):
            path = f"/os-services/{node['id']}"
            await self.refused(501, "notImplemented", ADMIN, method, path, document, "2.53")
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

    async def test_hypervisors(self) -> None:
        """None yet."""
        kind = "hypervisors"
        for version in ("2.1", "2.28", "2.33", "2.53", "2.79"):
            found = await self.fits(kind, "list_search_hypervisors", ADMIN, "GET", "/os-hypervisors", version)
            self.assertEqual(found, {"hypervisors": []})
            await self.fits(kind, "list_hypervisors_detail", ADMIN, "GET", "/os-hypervisors/detail", version)
            await self.fits(kind, "get_hypervisor_statistics", ADMIN, "GET", "/os-hypervisors/statistics", version)
        for path in ("1", "1/uptime", "x/search", "x/servers"):
            await self.refused(404, "itemNotFound", ADMIN, "GET", f"/os-hypervisors/{path}")
            await self.refused(403, "forbidden", ALICE, "GET", f"/os-hypervisors/{path}")
        message = await self.refused(404, "itemNotFound", ADMIN, "GET", "/os-hypervisors/x/search", None, "2.53")
        self.assertEqual(message, "API version 2.53 is not supported on this method.")
        await self.refused(404, "itemNotFound", ADMIN, "GET", "/os-hypervisors?hypervisor_hostname_pattern=x")
        for path in ("/os-hypervisors", "/os-hypervisors/detail", "/os-hypervisors/1", "/os-hypervisors/statistics"):
            await self.refused(403, "forbidden", ALICE, "GET", path)

    async def test_aggregates(self) -> None:
        """None, and none can be made."""
        await self.fits("aggregates", "list_aggregates", ADMIN, "GET", "/os-aggregates", "2.1")
        for method in ("GET", "PUT", "DELETE"):
            await self.refused(404, "itemNotFound", ADMIN, method, "/os-aggregates/1")
        await self.refused(404, "itemNotFound", ADMIN, "POST", "/os-aggregates/1/action", {"add_host": {"host": "n1"}})
        body = {"aggregate": {"name": "a"}}
        await self.refused(501, "notImplemented", ADMIN, "POST", "/os-aggregates", body)
        await self.refused(403, "forbidden", ALICE, "POST", "/os-aggregates", body)
        await self.refused(403, "forbidden", ALICE, "GET", "/os-aggregates")
