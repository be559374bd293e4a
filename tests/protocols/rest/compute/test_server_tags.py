"""Tags of servers."""

from __future__ import annotations

from typing import Any

from .cloud import ALICE, READER
from .servers import ServerCase

KIND = "servers"


class TagTests(ServerCase):
    async def test_life(self) -> None:
        """From 2.26 on: set, added, looked for, and gone."""
        server_id = await self.boot()
        self.place(server_id)
        own = f"/servers/{server_id}/tags"
        await self.refused(404, "itemNotFound", ALICE, "GET", own, None, "2.25")
        for version in ("2.26", "2.79"):
            found = await self.fits(KIND, "update_all_tags", ALICE, "PUT", own, version, {"tags": ["b", "a", "b"]})
            self.assertEqual(found, {"tags": ["a", "b"]})
            answer = await self.call(ALICE, "PUT", f"{own}/c", None, version)
            self.assertEqual((answer.status, answer.body), (201, b""))
            self.assertTrue(answer.headers["location"].endswith(f"/servers/{server_id}/tags/c"))
            await self.good(204, ALICE, "PUT", f"{own}/c", None, version)
            await self.fits(KIND, "check_tag_existence", READER, "GET", f"{own}/c", version)
            await self.fits(KIND, "delete_tag", ALICE, "DELETE", f"{own}/a", version)
            for method in ("GET", "DELETE"):
                await self.refused(404, "itemNotFound", ALICE, method, f"{own}/a", None, version)
            found = await self.fits(KIND, "list_tags", READER, "GET", own, version)
            self.assertEqual(found, {"tags": ["b", "c"]})
            await self.fits(KIND, "delete_all_tags", ALICE, "DELETE", own, version)
            self.assertEqual(await self.good(200, ALICE, "GET", own, None, version), {"tags": []})

    async def test_bad(self) -> None:
        """Form, number, and a server that is built."""
        server_id = await self.boot()
        own = f"/servers/{server_id}/tags"
        message = await self.refused(409, "conflictingRequest", ALICE, "PUT", own, {"tags": []}, "2.26")
        self.assertIn("vm_state building", message)
        self.place(server_id)
        bodies: list[Any] = [
            {}, {"tags": "a"}, {"tags": [1]}, {"tags": [""]}, {"tags": ["x" * 61]}, {"tags": ["a,b"]},
            {"tags": ["a/b"]}, {"tags": [str(number) for number in range(51)]}, {"tags": [], "other": 1},
        ]  # fmt: skip
        for body in bodies:
            await self.refused(400, "badRequest", ALICE, "PUT", own, body, "2.26")
        for tag in ("x" * 61, "a,b"):
            await self.refused(400, "badRequest", ALICE, "PUT", f"{own}/{tag}", None, "2.26")
        await self.good(200, ALICE, "PUT", own, {"tags": [str(number) for number in range(50)]}, "2.26")
        await self.refused(400, "badRequest", ALICE, "PUT", f"{own}/one-more", None, "2.26")
        await self.good(204, ALICE, "PUT", f"{own}/7", None, "2.26")
