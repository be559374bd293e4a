"""Passwords of guests, of which there are none, and what Nova has taken out of its API."""

from __future__ import annotations

from .server_cloud import ADMIN, ALICE, BOB, READER, ServerCase


class PasswordTests(ServerCase):
    async def test_none(self) -> None:
        """Nothing to show or to delete, of a server that is there."""
        server_id = self.add()
        path = f"/servers/{server_id}/os-server-password"
        for version in ("2.1", "2.79"):
            found = await self.fits("servers", "show_password", READER, "GET", path, version)
            self.assertEqual(found, {"password": ""})
            await self.fits("servers", "server_actions_delete_password", ALICE, "DELETE", path, version)
        for method in ("GET", "DELETE"):
            await self.refused(404, "itemNotFound", BOB, method, path)
        await self.refused(403, "forbidden", READER, "DELETE", path)


class RemovedTests(ServerCase):
    async def test_agents(self) -> None:
        """410, whatever is asked."""
        for method, path in (("GET", ""), ("POST", ""), ("PUT", "/1"), ("DELETE", "/1")):
            answer = await self.call(ADMIN, method, f"/os-agents{path}", {} if method in ("POST", "PUT") else None)
            self.assertEqual(answer.status, 410, answer.text)
