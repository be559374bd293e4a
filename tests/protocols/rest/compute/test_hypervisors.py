"""Hypervisors: the hosts that run servers, with what is used of them, as each version shows them."""

from __future__ import annotations

import json
import uuid
from typing import Any

from attrs import evolve

from cloudd.compute import Doing
from cloudd.database import tables
from cloudd.nodes import _rows as node_rows

from .server_cloud import ADMIN, ALICE, HOST, NODE, ServerCase, add_host, claim

KIND = "hypervisors"
VERSIONS = ("2.1", "2.27", "2.28", "2.33", "2.52", "2.53", "2.79")
OTHER = "0" * 31 + "8"


class HypervisorTests(ServerCase):
    async def one(self, version: str) -> dict[str, Any]:
        """The one of detail, in a version."""
        found = await self.fits(KIND, "list_hypervisors_detail", ADMIN, "GET", "/os-hypervisors/detail", version)
        return next(each for each in found["hypervisors"] if each["hypervisor_hostname"] == HOST)

    async def test_each_version(self) -> None:
        """Listed, shown, searched, with what servers hold; the id is a UUID from 2.53 on."""
        size = self.flavor()
        server_id = self.add()
        self.add(doing=Doing.REBOOTING)
        for version in VERSIONS:
            minor = int(version[2:])
            found = await self.one(version)
            self.assertEqual((found["vcpus"], found["vcpus_used"], found["running_vms"]), (8, 2, 2))
            self.assertEqual((found["free_ram_mb"], found["local_gb_used"]), (16_384 - 2 * size.ram_mib, 2))
            self.assertEqual((found["current_workload"], found["host_ip"]), (1, "10.1.2.3"))
            self.assertEqual((found["state"], found["status"]), ("up", "enabled"))
            cpu = found["cpu_info"] if minor >= 28 else json.loads(found["cpu_info"])
            self.assertEqual((cpu["arch"], cpu["model"]), ("x86_64", "qemu64"))
            if minor >= 53:
                self.assertEqual(found["id"], str(uuid.UUID(NODE)))
            else:
                self.assertIsInstance(found["id"], int)
            path = f"/os-hypervisors/{found['id']}"
            shown = await self.fits(KIND, "get_hypervisor", ADMIN, "GET", path, version)
            self.assertEqual(shown["hypervisor"], found)
            listed = await self.fits(KIND, "list_search_hypervisors", ADMIN, "GET", "/os-hypervisors", version)
            self.assertEqual(set(listed["hypervisors"][0]), {"id", "hypervisor_hostname", "state", "status"})
            service = (await self.good(200, ADMIN, "GET", "/os-services?binary=nova-compute", None, version))[
                "services"
            ]
            self.assertEqual(found["service"], {"id": service[0]["id"], "host": HOST, "disabled_reason": None})
            up = await self.fits(KIND, "get_hypervisor_uptime", ADMIN, "GET", f"{path}/uptime", version)
            self.assertEqual(up["hypervisor"]["uptime"], "up 3 days,  2:05, load average: 0.50")
            if minor < 53:
                found = await self.fits(KIND, "list_search_hypervisors", ADMIN, "GET",
                                        "/os-hypervisors/n/search", version)  # fmt: skip
                self.assertEqual(len(found["hypervisors"]), 1)
                found = await self.fits(KIND, "get_hypervisors_servers", ADMIN, "GET",
                                        "/os-hypervisors/n7/servers", version)  # fmt: skip
                self.assertIn({"uuid": server_id, "name": "s"}, found["hypervisors"][0]["servers"])

    async def test_resized(self) -> None:
        """What is held for a server that can get its size of before is the larger of both."""
        server_id = self.add()
        with self.database.engine.begin() as connection:
            claim(connection, server_id, evolve(self.flavor(), vcpus=3, ram_mib=1), "resize")
        found = await self.one("2.53")
        self.assertEqual((found["vcpus_used"], found["memory_mb_used"]), (3, self.flavor().ram_mib))

    async def test_chosen(self) -> None:
        """From 2.53 on by a part of the name, with servers."""
        server_id = self.add()
        path = "/os-hypervisors/detail?with_servers=true&hypervisor_hostname_pattern=7"
        found = await self.fits(KIND, "list_hypervisors_detail", ADMIN, "GET", path, "2.53")
        self.assertEqual(found["hypervisors"][0]["servers"], [{"uuid": server_id, "name": "s"}])
        own = f"/os-hypervisors/{found['hypervisors'][0]['id']}?with_servers=1"
        found = await self.fits(KIND, "get_hypervisor", ADMIN, "GET", own, "2.53")
        self.assertEqual(found["hypervisor"]["servers"], [{"uuid": server_id, "name": "s"}])
        for path in ("?hypervisor_hostname_pattern=x", "/detail?hypervisor_hostname_pattern=x"):
            await self.refused(404, "itemNotFound", ADMIN, "GET", f"/os-hypervisors{path}", None, "2.53")
        for path in ("?hypervisor_hostname_pattern=n&limit=1", "?limit=x", "?with_servers=x", "?marker=x"):
            await self.refused(400, "badRequest", ADMIN, "GET", f"/os-hypervisors{path}", None, "2.53")
        await self.refused(400, "badRequest", ADMIN, "GET", "/os-hypervisors?x=1", None, "2.75")
        cause = await self.refused(404, "itemNotFound", ADMIN, "GET", "/os-hypervisors/n/search", None, "2.53")
        self.assertEqual(cause, "API version 2.53 is not supported on this method.")

    async def test_pages(self) -> None:
        """From 2.33 on, each host once."""
        with self.database.engine.begin() as connection:
            add_host(connection, OTHER, "n8")
        for version in ("2.33", "2.53"):
            seen, path = [], "/os-hypervisors?limit=1"
            while path:
                found = await self.fits(KIND, "list_search_hypervisors", ADMIN, "GET", path, version)
                seen += [each["hypervisor_hostname"] for each in found["hypervisors"]]
                links = found.get("hypervisors_links", [])
                path = links[0]["href"].partition("/v2.1")[2] if links else ""
            self.assertEqual(sorted(seen), [HOST, "n8"])

    async def test_statistics(self) -> None:
        """Sums over those that are enabled."""
        with self.database.engine.begin() as connection:
            add_host(connection, OTHER, "n8")
            add_host(connection, "0" * 31 + "9", "n9", is_enabled=False)
        self.add()
        path = "/os-hypervisors/statistics"
        for version in ("2.1", "2.79"):
            found = await self.fits(KIND, "get_hypervisor_statistics", ADMIN, "GET", path, version)
            sums = found["hypervisor_statistics"]
            self.assertEqual((sums["count"], sums["vcpus"], sums["vcpus_used"], sums["running_vms"]), (2, 16, 1, 1))

    async def test_that_cannot_work(self) -> None:
        """Down while it has trouble; not there when its node was removed."""
        with self.database.engine.begin() as connection:
            add_host(connection, OTHER, "n8", trouble="libvirt is away", is_enabled=False, disabled_reason="mend")
        found = await self.good(200, ADMIN, "GET", "/os-hypervisors/detail", None, "2.79")
        (broken,) = (each for each in found["hypervisors"] if each["hypervisor_hostname"] == "n8")
        self.assertEqual((broken["state"], broken["status"]), ("down", "disabled"))
        self.assertEqual(broken["service"]["disabled_reason"], "mend")
        with self.database.engine.begin() as connection:
            node_rows.move(connection, OTHER, ["ready"], "removed", "tests")
        found = await self.good(200, ADMIN, "GET", "/os-hypervisors")
        self.assertEqual([each["hypervisor_hostname"] for each in found["hypervisors"]], [HOST])

    async def test_no_uptime(self) -> None:
        """400 where the machine did not tell."""
        with self.database.engine.begin() as connection:
            connection.execute(tables.node.update().values(load="{}"))
        found = await self.one("2.53")
        cause = await self.refused(
            400, "badRequest", ADMIN, "GET", f"/os-hypervisors/{found['id']}/uptime", None, "2.53"
        )
        self.assertEqual(cause, "Virt driver does not implement uptime function.")

    async def test_rights(self) -> None:
        """For administrators; 404 for those that are none."""
        for path in ("", "/detail", "/statistics", "/1", "/1/uptime", "/n/search", "/n/servers"):
            await self.refused(403, "forbidden", ALICE, "GET", f"/os-hypervisors{path}")
        for path in ("/1", "/x/uptime", "/x/search", "/x/servers"):
            await self.refused(404, "itemNotFound", ADMIN, "GET", f"/os-hypervisors{path}")
        await self.refused(404, "itemNotFound", ADMIN, "GET", f"/os-hypervisors/{uuid.uuid4()}", None, "2.53")
        await self.refused(400, "badRequest", ADMIN, "GET", "/os-hypervisors/1", None, "2.53")
