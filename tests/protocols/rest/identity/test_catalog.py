"""Services, endpoints and regions."""

from __future__ import annotations

from .cloud import CloudTests


class CatalogTests(CloudTests):
    """``/v3/services``, ``/v3/endpoints``, ``/v3/regions``."""

    async def setUp(self) -> None:  # type: ignore[override]
        await super().setUp()
        self.admin = await self.log_in("admin")

    async def test_services(self) -> None:
        """All of the catalog's, by type and by name, and each by its id."""
        services = (await self.good(200, self.admin, "GET", "/services"))["services"]
        self.assertLessEqual({"identity", "object-store"}, {one["type"] for one in services})
        [swift] = (await self.good(200, self.admin, "GET", "/services?type=object-store"))["services"]
        self.assertEqual(set(swift), {"id", "type", "name", "enabled", "description", "links"})
        path = f"/services/{swift['id']}"
        self.assertEqual(swift["links"], {"self": f"http://cloud:5000/identity/v3{path}"})
        self.assertEqual((await self.good(200, self.admin, "GET", path))["service"], swift)
        self.assertEqual((await self.good(200, self.admin, "GET", "/services?name=ironic"))["services"], [])
        await self.refused(404, self.admin, "GET", "/services/swift")

    async def test_endpoints(self) -> None:
        """Three for each service, by service, interface and region, and each by its id."""
        endpoints = (await self.good(200, self.admin, "GET", "/endpoints"))["endpoints"]
        [swift] = (await self.good(200, self.admin, "GET", "/services?type=object-store"))["services"]
        query = f"service_id={swift['id']}&interface=public&region_id=RegionOne"
        [one] = (await self.good(200, self.admin, "GET", f"/endpoints?{query}"))["endpoints"]
        self.assertIn(one, endpoints)
        members = {"id", "interface", "region", "region_id", "service_id", "url", "enabled", "links"}
        self.assertEqual(set(one), members)
        self.assertEqual((await self.good(200, self.admin, "GET", f"/endpoints/{one['id']}"))["endpoint"], one)
        self.assertEqual((await self.good(200, self.admin, "GET", "/endpoints?region_id=x"))["endpoints"], [])

    async def test_regions(self) -> None:
        """One, without a parent."""
        [region] = (await self.good(200, self.admin, "GET", "/regions"))["regions"]
        self.assertEqual((region["id"], region["parent_region_id"]), ("RegionOne", None))
        self.assertEqual((await self.good(200, self.admin, "GET", "/regions/RegionOne"))["region"], region)
        self.assertEqual((await self.good(200, self.admin, "GET", "/regions?parent_region_id=x"))["regions"], [])
        await self.refused(404, self.admin, "GET", "/regions/RegionTwo")

    async def test_read_only(self) -> None:
        """Changes answer 501 and say where the catalog comes from."""
        for kind in ("services", "endpoints", "regions"):
            message = await self.refused(501, self.admin, "POST", f"/{kind}", {})
            self.assertIn("settings", message)
            await self.refused(501, self.admin, "PATCH", f"/{kind}/x", {})
            await self.refused(501, self.admin, "DELETE", f"/{kind}/x")
