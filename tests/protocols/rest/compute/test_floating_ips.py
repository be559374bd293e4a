"""Floating IPs by the Compute API where no network has any."""

from __future__ import annotations

from typing import Any

from .cloud import ALICE, BOB, READER
from .servers import ServerCase

NONE = "55555555-5555-4555-8555-555555555555"
ROOT = "/os-floating-ips"


class FloatingIPTests(ServerCase):
    async def test_lists(self) -> None:
        """Empty."""
        found = await self.fits("floating_ips", "list_floating_ips", READER, "GET", ROOT, "2.35")
        self.assertEqual(found, {"floating_ips": []})
        self.assertEqual(await self.good(200, READER, "GET", "/os-floating-ip-pools"), {"floating_ip_pools": []})

    async def test_not_there(self) -> None:
        """There is no pool to take one from, and none to look at."""
        for pool in ("public", None):
            self.assertIn(
                "pool not found", await self.refused(404, "itemNotFound", ALICE, "POST", ROOT, {"pool": pool})
            )
        await self.refused(404, "itemNotFound", ALICE, "POST", ROOT, {})
        for method in ("GET", "DELETE"):
            self.assertIn(NONE, await self.refused(404, "itemNotFound", ALICE, method, f"{ROOT}/{NONE}"))

    async def test_refused(self) -> None:
        """What is no pool, and who may only read."""
        for body in ({"pool": 7}, {"pool": ""}, {"pool": "x" * 256}, {"network": "x"}):
            await self.refused(400, "badRequest", ALICE, "POST", ROOT, body)
        await self.refused(403, "forbidden", READER, "POST", ROOT, {"pool": "public"})
        await self.refused(403, "forbidden", READER, "DELETE", f"{ROOT}/{NONE}")

    async def test_ends(self) -> None:
        """From 2.36 on there are none."""
        for path in (ROOT, f"{ROOT}/{NONE}", "/os-floating-ip-pools"):
            await self.refused(404, "itemNotFound", ALICE, "GET", path, version="2.36")


class ActionTests(ServerCase):
    async def server(self) -> str:
        """Id of one with an address."""
        server_id = await self.boot()
        self.plug(server_id, self.network_id)
        return server_id

    async def refuse(
        self, status: int, server_id: str, name: str, given: Any, who: str = ALICE, version: str = ""
    ) -> str:
        """An action that must be refused; gives why."""
        word = {400: "badRequest", 403: "forbidden", 404: "itemNotFound"}[status]
        path = f"/servers/{server_id}/action"
        return await self.refused(status, word, who, "POST", path, {name: given}, version)

    async def test_unknown(self) -> None:
        """Nobody has that address."""
        server_id = await self.server()
        for name in ("addFloatingIp", "removeFloatingIp"):
            for version in ("2.1", "2.43"):
                message = await self.refuse(404, server_id, name, {"address": "0.0.0.0"}, version=version)
                self.assertIn("oating IP", message.replace("floating", "Floating"))
        port = self.plug(server_id, self.network_id, 1)
        fixed = {"address": "192.0.2.1", "fixed_address": port.fixed_ips[0].ip_address}
        self.assertIn("oating", await self.refuse(404, server_id, "addFloatingIp", fixed))

    async def test_no_place(self) -> None:
        """The server has no address for it, or not that one."""
        given = {"address": "192.0.2.1"}
        self.assertIn("No fixed IPs", await self.refuse(400, await self.boot(), "addFloatingIp", given))
        other = {**given, "fixed_address": "10.9.9.9"}
        self.assertIn("not assigned", await self.refuse(400, await self.server(), "addFloatingIp", other))

    async def test_bad(self) -> None:
        """What is no address."""
        server_id = await self.server()
        for name in ("addFloatingIp", "removeFloatingIp"):
            for given in ({}, None, {"address": ""}, {"address": "x"}, {"address": 7}, {"address": "::1", "x": 1}):
                await self.refuse(400, server_id, name, given)
        await self.refuse(400, server_id, "addFloatingIp", {"address": "192.0.2.1", "fixed_address": "x"})

    async def test_rights(self) -> None:
        """Others know of no such server."""
        server_id = await self.server()
        for name in ("addFloatingIp", "removeFloatingIp"):
            await self.refuse(404, server_id, name, {"address": "192.0.2.1"}, who=BOB)
            await self.refuse(403, server_id, name, {"address": "192.0.2.1"}, who=READER)

    async def test_ends(self) -> None:
        """From 2.44 on there are no such actions."""
        server_id = await self.server()
        for name in ("addFloatingIp", "removeFloatingIp"):
            message = await self.refuse(404, server_id, name, {"address": "192.0.2.1"}, version="2.44")
            self.assertIn("2.44", message)
