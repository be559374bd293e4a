"""Metadata of servers."""

from __future__ import annotations

from typing import Any

from .cloud import ADMIN, ALICE, READER
from .servers import ServerCase

KIND = "servers"


class MetadataTests(ServerCase):
    async def test_life(self) -> None:
        """Added, replaced, one by one, and gone."""
        server_id = await self.boot(metadata={"a": "1"})
        self.place(server_id)
        own = f"/servers/{server_id}/metadata"
        steps: list[tuple[str, str, str, Any, dict[str, str]]] = [
            ("update_server_metadata", "POST", own, {"metadata": {"b": "2"}}, {"a": "1", "b": "2"}),
            ("set_show_server_metadata_item", "PUT", f"{own}/b", {"meta": {"b": "3"}}, {"a": "1", "b": "3"}),
            ("delete_server_metadata_item", "DELETE", f"{own}/a", None, {"b": "3"}),
            ("set_server_metadata", "PUT", own, {"metadata": {"c d": ""}}, {"c d": ""}),
        ]
        for name, method, path, body, after in steps:
            await self.fits(KIND, name, ALICE, method, path, "2.1", body)
            found = await self.fits(KIND, "list_server_metadata", READER, "GET", own, "2.1")
            self.assertEqual(found, {"metadata": after})
        found = await self.fits(KIND, "set_show_server_metadata_item", ALICE, "GET", f"{own}/c%20d", "2.1")
        self.assertEqual(found, {"meta": {"c d": ""}})
        for method in ("GET", "DELETE"):
            message = await self.refused(404, "itemNotFound", ALICE, method, f"{own}/none")
            self.assertEqual(message, "Metadata item was not found")

    async def test_bad(self) -> None:
        """Each is refused, and nothing is changed."""
        server_id = await self.boot(metadata={"a": "1"})
        self.place(server_id)
        own = f"/servers/{server_id}/metadata"
        wholes: list[Any] = [
            {}, {"metadata": []}, {"metadata": {"a": None}}, {"metadata": {"": "x"}}, {"metadata": {"a": "x" * 256}},
            {"metadata": {"x" * 256: ""}}, {"metadata": {}, "other": 1}, {"meta": {}},
            {"metadata": {str(number): "" for number in range(1_001)}},
        ]  # fmt: skip
        for body in wholes:
            for method in ("POST", "PUT"):
                await self.refused(400, "badRequest", ALICE, method, own, body)
        ones: list[Any] = [{}, {"meta": {}}, {"meta": {"b": "x"}}, {"meta": {"a": "1", "b": "2"}}, {"meta": {"a": 1}}]
        for body in ones:
            await self.refused(400, "badRequest", ALICE, "PUT", f"{own}/a", body)
        self.assertEqual(await self.good(200, ALICE, "GET", own), {"metadata": {"a": "1"}})

    async def test_quota(self) -> None:
        """Never more than a server may have."""
        server_id = await self.boot(metadata={"a": "1"})
        self.place(server_id)
        own = f"/servers/{server_id}/metadata"
        await self.good(200, ADMIN, "PUT", "/os-quota-sets/p1", {"quota_set": {"metadata_items": 2}})
        await self.good(200, ALICE, "POST", own, {"metadata": {"b": "1"}})
        for method, path, body in (
            ("POST", own, {"metadata": {"c": "1"}}), ("PUT", f"{own}/c", {"meta": {"c": "1"}}),
            ("PUT", own, {"metadata": {"x": "", "y": "", "z": ""}}),
        ):  # fmt: skip
            await self.refused(403, "forbidden", ALICE, method, path, body)
        await self.good(200, ALICE, "POST", own, {"metadata": {"b": "2"}})

    async def test_building(self) -> None:
        """409 with the state, as long as it is built."""
        server_id = await self.boot()
        message = await self.refused(
            409, "conflictingRequest", ALICE, "POST", f"/servers/{server_id}/metadata", {"metadata": {"a": "b"}}
        )
        self.assertIn("vm_state building", message)
