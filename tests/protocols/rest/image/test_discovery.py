"""Versions, schemas and what is not there."""

from __future__ import annotations

from cloudd.protocols.rest.image import ABSENT

from .cloud import ALICE, ImageCase


class DiscoveryTests(ImageCase):
    async def test_versions(self) -> None:
        """Without a token; 300 where Glance says so."""
        for path, status in (("/image", 300), ("/image/", 300), ("/image/versions", 200), ("/image/v2/", 300)):
            answer = await self.client.json("GET", path, None)
            self.assertEqual(answer.status, status, path)
            newest, *others = answer.json()["versions"]
            self.assertEqual((newest["id"], newest["status"]), ("v2.9", "CURRENT"))
            self.assertEqual({each["status"] for each in others}, {"SUPPORTED"})
            self.assertEqual(newest["links"][0]["href"], "http://cloud:5000/image/v2/")

    async def test_schemas(self) -> None:
        """What an image looks like has all the members that one has."""
        schema = await self.good(200, ALICE, "GET", "/schemas/image")
        self.assertLessEqual(set(await self.made()), set(schema["properties"]))
        for name in ("images", "member", "members"):
            self.assertEqual((await self.good(200, ALICE, "GET", f"/schemas/{name}"))["name"], name)
        await self.refused(404, ALICE, "GET", "/schemas/x")

    async def test_absent(self) -> None:
        """Refused by name."""
        for template in ABSENT:
            await self.refused(501, ALICE, "GET", template.removeprefix("/v2").format(image_id="x"))
        await self.refused(404, ALICE, "GET", "/info/stores")
        await self.refused(404, ALICE, "GET", "/nothing")
        await self.refused(405, ALICE, "DELETE", "/images")
