"""Hosts by their names, up to 2.42."""

from __future__ import annotations

from typing import Any

from .server_cloud import ADMIN, ALICE, BOB, HOST, ServerCase

PATH = "/os-hosts"
VERSIONS = ("2.1", "2.42")


class MachineTests(ServerCase):
    async def test_list(self) -> None:
        """What each node does, of one zone or of all."""
        for version in VERSIONS:
            found = (await self.fits("hosts", "list_hosts", ADMIN, "GET", PATH, version))["hosts"]
            self.assertEqual(
                [(each["host_name"], each["service"], each["zone"]) for each in found],
                [(HOST, "cloudd-agent", "internal"), (HOST, "compute", "nova")],
            )
        for query, count in (("?zone=nova", 1), ("?zone=", 2), ("?zone=none", 0)):
            self.assertEqual(len((await self.good(200, ADMIN, "GET", PATH + query))["hosts"]), count, query)

    async def test_show(self) -> None:
        """What there is, what was promised of it, and who has it."""
        self.add()
        self.add(who=BOB, flavor="2")
        one, two = self.flavor("1"), self.flavor("2")
        for version in VERSIONS:
            found = (await self.fits("hosts", "get_host_detail", ADMIN, "GET", f"{PATH}/{HOST}", version))["host"]
            rows = {each["resource"]["project"]: each["resource"] for each in found}
            self.assertEqual(list(rows), ["(total)", "(used_now)", "(used_max)", "p1", "p2"])
            self.assertEqual({each["host"] for each in rows.values()}, {HOST})
            self.assertEqual((rows["(total)"]["cpu"], rows["(total)"]["memory_mb"]), (8, 16_384))
            self.assertEqual(rows["(used_now)"]["memory_mb"], one.ram_mib + two.ram_mib)
            self.assertEqual(rows["(used_max)"]["disk_gb"], one.disk_gib + two.disk_gib)
            self.assertEqual((rows["p2"]["cpu"], rows["p2"]["memory_mb"]), (two.vcpus, two.ram_mib))
        cause = await self.refused(404, "itemNotFound", ADMIN, "GET", f"{PATH}/none")
        self.assertEqual(cause, "Compute host none could not be found.")

    async def test_actions(self) -> None:
        """None is carried out; what is wrong with them is said before."""
        good: tuple[dict[str, Any], ...] = (
            {"status": "enable"}, {"status": "Disable", "maintenance_mode": "enable"}, {"maintenance_mode": "DISABLE"},
        )  # fmt: skip
        for body in good:
            cause = await self.refused(501, "notImplemented", ADMIN, "PUT", f"{PATH}/{HOST}", body)
            self.assertIn("os-services", cause)
            await self.refused(404, "itemNotFound", ADMIN, "PUT", f"{PATH}/none", body)
        bad: tuple[dict[str, Any], ...] = (
            {}, {"status": "invalid"}, {"status": "enable", "maintenance_mode": "invalid"}, {"status": 1}, {"x": 1},
        )  # fmt: skip
        for body in bad:
            await self.refused(400, "badRequest", ADMIN, "PUT", f"{PATH}/{HOST}", body)
        for verb in ("startup", "shutdown", "reboot"):
            await self.refused(501, "notImplemented", ADMIN, "GET", f"{PATH}/{HOST}/{verb}")
            await self.refused(404, "itemNotFound", ADMIN, "GET", f"{PATH}/none/{verb}")
        await self.refused(404, "itemNotFound", ADMIN, "GET", f"{PATH}/{HOST}/dance")

    async def test_rights_and_versions(self) -> None:
        """For administrators, and gone from 2.43 on."""
        body = {"status": "enable"}
        for method, path, document in (
            ("GET", PATH, None), ("GET", f"{PATH}/{HOST}", None), ("PUT", f"{PATH}/{HOST}", body),
            ("GET", f"{PATH}/{HOST}/reboot", None),
        ):  # fmt: skip
            await self.refused(403, "forbidden", ALICE, method, path, document)
            await self.refused(404, "itemNotFound", ADMIN, method, path, document, "2.43")
