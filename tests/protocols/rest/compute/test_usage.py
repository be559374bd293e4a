"""Usage of projects."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection

from cloudd import compute as service
from cloudd.compute import Share
from cloudd.database.tables import server_share

from .cloud import ADMIN, ALICE, BOB, READER, ComputeCase

PATH, KIND = "/os-simple-tenant-usage", "tenant_usages"
NOON = 1_800_014_400_000_000  # 2027-01-15T12:00:00
HOUR = 3_600_000_000
DAY = "start=2027-01-15T00:00:00&end=2027-01-16T00:00:00.000000"


class UsageTests(ComputeCase):
    async def ran(self, server: str, project: str, began: int, ended: int | None) -> None:
        """A server that was there between these hours of that day."""
        share = Share(server, 2, 512, 10, f"name of {server}", "m1.tiny")

        def note(connection: Connection) -> None:
            service.reserve(connection, project, "alice-id", [share])
            if ended is not None:
                service.release(connection, server)
            times = {"taken_us": NOON + began * HOUR, "released_us": None if ended is None else NOON + ended * HOUR}
            connection.execute(server_share.update().where(server_share.c.server_id == server).values(**times))

        await self.database.write(note)

    async def test_each_version(self) -> None:
        """What a project's servers had, with and without each of them."""
        await self.ran("a", "p1", 0, 3)
        await self.ran("b", "p1", 1, 2)
        await self.ran("c", "p2", 0, 1)
        for version in ("2.1", "2.39", "2.40", "2.79"):
            found = await self.fits(KIND, "get_tenant_usage", READER, "GET", f"{PATH}/p1?{DAY}", version)
            usage = found["tenant_usage"]
            self.assertEqual((usage["total_hours"], usage["total_vcpus_usage"]), (4.0, 8.0))
            self.assertEqual((usage["total_memory_mb_usage"], usage["total_local_gb_usage"]), (2048.0, 40.0))
            expected = {
                "instance_id": "a", "name": "name of a", "hours": 3.0, "flavor": "m1.tiny", "memory_mb": 512,
                "local_gb": 10, "vcpus": 2, "tenant_id": "p1", "started_at": "2027-01-15T12:00:00.000000",
                "ended_at": "2027-01-15T15:00:00.000000", "state": "terminated", "uptime": 10_800,
            }  # fmt: skip
            self.assertEqual(usage["server_usages"][0], expected)
            listed = await self.fits(KIND, "list_tenant_usage", ADMIN, "GET", f"{PATH}?{DAY}", version)
            hours = {each["tenant_id"]: each["total_hours"] for each in listed["tenant_usages"]}
            self.assertEqual(hours, {"p1": 4.0, "p2": 1.0})
            self.assertNotIn("server_usages", listed["tenant_usages"][0])
            listed = await self.fits(KIND, "list_tenant_usage", ADMIN, "GET", f"{PATH}?{DAY}&detailed=1", version)
            self.assertEqual(listed["tenant_usages"][0], usage)

    async def test_part_of_the_time(self) -> None:
        """Only what lies within it counts; what went before or came behind is not told."""
        await self.ran("a", "p1", -20, 30)
        await self.ran("b", "p1", -40, -30)
        await self.ran("c", "p1", 20, 30)
        usage = (await self.good(200, ALICE, "GET", f"{PATH}/p1?{DAY}"))["tenant_usage"]
        self.assertEqual([each["instance_id"] for each in usage["server_usages"]], ["a"])
        self.assertEqual(usage["total_hours"], 24.0)

    async def test_goes_on(self) -> None:
        """A server that is there has no end, and takes of quotas; one that is gone takes nothing."""
        await self.database.write(service.reserve, "p1", "alice-id", [Share("a", 1, 64), Share("b", 1, 64)])
        await self.database.write(service.release, "b")
        path = f"{PATH}/p1?start=2026-01-01T00:00:00&end=2100-01-01T00:00:00"
        usage = (await self.good(200, ALICE, "GET", path))["tenant_usage"]
        self.assertEqual([each["ended_at"] is None for each in usage["server_usages"]], [True, False])
        self.assertEqual([each["state"] for each in usage["server_usages"]], ["active", "terminated"])
        self.assertLess(usage["total_hours"], 1.0)
        self.assertEqual((await self.database.read(service.used_by, "p1"))["instances"], 1)

    async def test_pages(self) -> None:
        """From 2.40 on, by servers."""
        for server, project in (("a", "p1"), ("b", "p2"), ("c", "p1"), ("d", "p2"), ("e", "p1")):
            await self.ran(server, project, 0, 1)
        for first, order in ((PATH, "acebd"), (f"{PATH}/p1", "ace")):
            path, found = f"{first}?{DAY}&detailed=1&limit=2", ""
            while path:
                page = await self.good(200, ADMIN, "GET", path, None, "2.40")
                usages: list[dict[str, Any]] = page.get("tenant_usages") or [page["tenant_usage"]]
                found += "".join(each["instance_id"] for usage in usages for each in usage["server_usages"])
                links = page.get("tenant_usages_links", page.get("tenant_usage_links", []))
                path = links[0]["href"].partition("/compute/v2.1")[2] if links else ""
            self.assertEqual(found, order)
        await self.refused(400, "badRequest", ADMIN, "GET", f"{PATH}?marker=none", None, "2.40")

    async def test_marker_of_another_project(self) -> None:
        """It is none, so that nobody learns which servers others have."""
        await self.ran("a", "p1", 0, 1)
        await self.ran("b", "p2", 0, 1)
        for marker in ("b", "none"):
            message = await self.refused(
                400, "badRequest", ALICE, "GET", f"{PATH}/p1?{DAY}&marker={marker}", None, "2.40"
            )
            self.assertEqual(message, f"Marker {marker} could not be found.")
        await self.good(200, ADMIN, "GET", f"{PATH}?{DAY}&marker=b", None, "2.40")

    async def test_many(self) -> None:
        """Up to 2.39 a thousand servers are told, and all are counted."""

        def lift(connection: Connection) -> None:
            limits = dict.fromkeys(("instances", "cores", "ram"), -1)
            service.set_quota(connection, self.client_access(ADMIN), "p1", "", limits, force=True)
            service.reserve(connection, "p1", "u", [Share(f"s{number}", 1, 64, 1) for number in range(1_001)])
            connection.execute(server_share.update().values(taken_us=NOON, released_us=NOON + HOUR))

        await self.database.write(lift)
        usage = (await self.good(200, ALICE, "GET", f"{PATH}/p1?{DAY}"))["tenant_usage"]
        self.assertEqual((len(usage["server_usages"]), usage["total_hours"]), (1_000, 1_001.0))
        self.assertEqual((usage["total_memory_mb_usage"], usage["total_local_gb_usage"]), (64 * 1_001.0, 1_001.0))
        (listed,) = (await self.good(200, ADMIN, "GET", f"{PATH}?{DAY}&detailed=1"))["tenant_usages"]
        self.assertEqual(listed, usage)

    async def test_refused(self) -> None:
        """Times that are none, and other projects; no servers are noughts."""
        for query in ("start=x", "start=2027-01-16&end=2027-01-15", "end=1969-01-01T00:00:00"):
            await self.refused(400, "badRequest", ALICE, "GET", f"{PATH}/p1?{query}")
        await self.refused(403, "forbidden", ALICE, "GET", PATH)
        await self.refused(403, "forbidden", BOB, "GET", f"{PATH}/p1")
        found = await self.fits(KIND, "get_tenant_usage", ALICE, "GET", f"{PATH}/p1?{DAY}", "2.79")
        self.assertEqual((found["tenant_usage"]["total_hours"], found["tenant_usage"]["server_usages"]), (0.0, []))
        self.assertEqual(await self.good(200, ADMIN, "GET", PATH), {"tenant_usages": []})
