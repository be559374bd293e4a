"""Images and their metadata by the Compute API, up to 2.35 and 2.38."""

from __future__ import annotations

from typing import Any

from sqlalchemy import update

from cloudd.database import tables
from cloudd.protocols.rest._times import whole_zulu
from tests.protocols.rest.identity.cloud import URLS

from .cloud import ADMIN, ALICE, BOB, READER
from .servers import IMAGE, ServerCase

OTHER = "22222222-2222-4222-8222-222222222222"
THIRD = "33333333-3333-4333-8333-333333333333"
SERVER = "44444444-4444-4444-8444-444444444444"
NONE = "55555555-5555-4555-8555-555555555555"


class ImageCase(ServerCase):
    def set_image(self, image_id: str, **values: Any) -> None:
        """Other facts in its row."""
        self.write(lambda connection: connection.execute(
            update(tables.image).where(tables.image.c.id == image_id).values(**values)
        ))  # fmt: skip

    async def ids(self, query: str, who: str = ALICE) -> list[str]:
        """Of a list."""
        found = await self.good(200, who, "GET", f"/images?{query}")
        return [each["id"] for each in found["images"]]

    async def mark(self, image_id: str, **items: str) -> None:
        """Further properties."""
        await self.good(200, ALICE, "POST", f"/images/{image_id}/metadata", {"metadata": items})


class ImageTests(ImageCase):
    async def test_fits(self) -> None:
        """All members, in the first version and in the last that has images."""
        await self.mark(IMAGE, instance_uuid=SERVER, auto_disk_config="true", os_distro="debian")
        for version in ("2.1", "2.35"):
            listed = await self.fits("images", "list_images", READER, "GET", "/images", version)
            self.assertEqual([set(each) for each in listed["images"]], [{"id", "name", "links"}])
            found = await self.fits("images", "list_images_details", READER, "GET", "/images/detail", version)
            one = await self.fits("images", "get_image", READER, "GET", f"/images/{IMAGE}", version)
            self.assertEqual(found["images"], [one["image"]])
        image = one["image"]
        links = {each["rel"]: each["href"] for each in image["links"]}
        self.assertEqual(links["self"], f"{URLS['api']}/compute/v2.1/images/{IMAGE}")
        self.assertEqual(links["alternate"], f"{URLS['api']}/image/v2/images/{IMAGE}")
        self.assertEqual((image["status"], image["progress"], image["OS-EXT-IMG-SIZE:size"]), ("ACTIVE", 100, 1024))
        self.assertEqual((image["minDisk"], image["minRam"], image["OS-DCF:diskConfig"]), (0, 0, "AUTO"))
        self.assertEqual(image["server"]["id"], SERVER)
        self.assertEqual(image["metadata"]["os_distro"], "debian")

    async def test_words(self) -> None:
        """What the Image API calls its states otherwise; what it has no word for is unknown."""
        for status, word, progress in (("queued", "SAVING", 25), ("saving", "SAVING", 50), ("importing", "UNKNOWN", 0)):
            self.set_image(IMAGE, status=status)
            image = (await self.good(200, ALICE, "GET", f"/images/{IMAGE}"))["image"]
            self.assertEqual((image["status"], image["progress"]), (word, progress))
            self.assertEqual(await self.ids(f"status={word.lower()}"), [IMAGE])
            self.assertEqual(await self.ids("status=ACTIVE"), [])
        self.assertEqual(await self.ids("status=DELETED"), [])
        self.assertIn("status", await self.refused(400, "badRequest", ALICE, "GET", "/images?status=lost"))

    async def test_rights(self) -> None:
        """As the Image API has them: private ones are their project's, and others delete none."""
        self.add_image(OTHER, visibility="private", project_id="p2")
        self.assertEqual(await self.ids(""), [IMAGE])
        self.assertEqual(await self.ids("", BOB), [OTHER, IMAGE])
        await self.refused(404, "itemNotFound", ALICE, "GET", f"/images/{OTHER}")
        await self.refused(404, "itemNotFound", ALICE, "DELETE", f"/images/{OTHER}")
        await self.refused(403, "forbidden", BOB, "DELETE", f"/images/{IMAGE}")
        await self.refused(403, "forbidden", READER, "DELETE", f"/images/{IMAGE}")
        await self.good(200, ADMIN, "GET", f"/images/{OTHER}")

    async def test_delete(self) -> None:
        """It is gone for both APIs, unless it is protected."""
        self.set_image(IMAGE, protected=True)
        self.assertIn("protected", await self.refused(403, "forbidden", ALICE, "DELETE", f"/images/{IMAGE}"))
        self.set_image(IMAGE, protected=False)
        await self.fits("images", "delete", ALICE, "DELETE", f"/images/{IMAGE}", "2.1")
        self.assertEqual(self.rows(tables.image), [])
        message = await self.refused(404, "itemNotFound", ALICE, "DELETE", f"/images/{IMAGE}")
        self.assertEqual(message, "Image not found.")
        await self.refused(404, "itemNotFound", ALICE, "DELETE", "/images/")

    async def test_filters(self) -> None:
        """By name, sizes, properties, and the server of a snapshot, by its id or a link of it."""
        self.add_image(OTHER, name="snap", min_ram=64, min_disk=2)
        await self.mark(OTHER, instance_uuid=SERVER, image_type="snapshot")
        for query in (
            "name=snap", f"server={SERVER}", f"server=http://cloud/compute/v2.1/servers/{SERVER}", "type=snapshot",
            "property-image_type=snapshot", "minRam=64&minDisk=2",
        ):  # fmt: skip
            self.assertEqual(await self.ids(query), [OTHER], query)
        for query in ("name=sna", "server=", "minRam=65", "property-x=y"):
            self.assertEqual(await self.ids(query), [], query)
        await self.refused(400, "badRequest", ALICE, "GET", "/images?minRam=much")

    async def test_changes_since(self) -> None:
        """From that second on."""
        self.add_image(OTHER)
        self.set_image(IMAGE, updated_us=1_000_000_000)
        self.set_image(OTHER, updated_us=2_000_500_000)
        self.assertEqual(await self.ids(f"changes-since={whole_zulu(2_001_000_000)}"), [])
        self.assertEqual(await self.ids(f"changes-since={whole_zulu(2_000_500_000)}"), [OTHER])
        self.assertEqual(len(await self.ids(f"changes-since={whole_zulu(1_000_000_000)}")), 2)
        await self.refused(400, "badRequest", ALICE, "GET", "/images?changes-since=soon")

    async def test_pages(self) -> None:
        """Each page leads to the next, with what was asked for; the newest come first."""
        for place, image_id in enumerate((OTHER, THIRD)):
            self.add_image(image_id)
            self.set_image(image_id, created_us=2_000_000_000_000_000 + place)
        seen: list[str] = []
        path = "/images/detail?limit=1&status=ACTIVE"
        for _ in range(3):
            page = await self.fits("images", "list_images_details", ALICE, "GET", path, "2.1")
            seen += [each["id"] for each in page["images"]]
            if "images_links" in page:
                path = page["images_links"][0]["href"].removeprefix(f"{URLS['api']}/compute/v2.1")
        self.assertEqual(seen, [THIRD, OTHER, IMAGE])
        self.assertNotIn("images_links", page)
        self.assertIn(NONE, await self.refused(400, "badRequest", ALICE, "GET", f"/images?marker={NONE}"))

    async def test_ends(self) -> None:
        """From 2.36 on there are none."""
        for method, path in (("GET", ""), ("GET", "/detail"), ("GET", f"/{IMAGE}"), ("DELETE", f"/{IMAGE}")):
            await self.refused(404, "itemNotFound", ALICE, method, f"/images{path}", version="2.36")
        self.assertEqual(len(self.rows(tables.image)), 1)


class MetadataTests(ImageCase):
    async def test_all(self) -> None:
        """Added, replaced and told; each answer has what there is now."""
        path = f"/images/{IMAGE}/metadata"
        for version in ("2.1", "2.38"):
            for method, given, after in (
                ("PUT", {"a": "1", "b": "2"}, {"a": "1", "b": "2"}),
                ("POST", {"b": "3", "c": "4"}, {"a": "1", "b": "3", "c": "4"}),
                ("PUT", {"d": ""}, {"d": ""}),
            ):
                made = await self.fits("images", "image_metadata", ALICE, method, path, version, {"metadata": given})
                self.assertEqual(made, {"metadata": after})
                self.assertEqual(await self.fits("images", "image_metadata", READER, "GET", path, version), made)

    async def test_one(self) -> None:
        """Set, shown and deleted by its key."""
        path = f"/images/{IMAGE}/metadata"
        made = await self.fits("images", "image_meta_item", ALICE, "PUT", f"{path}/a", "2.1", {"meta": {"a": "1"}})
        self.assertEqual(await self.fits("images", "image_meta_item", READER, "GET", f"{path}/a", "2.1"), made)
        await self.fits("images", "delete", ALICE, "DELETE", f"{path}/a", "2.1")
        for method in ("GET", "DELETE"):
            await self.refused(404, "itemNotFound", ALICE, method, f"{path}/a")
        self.assertEqual(self.rows(tables.image_property), [])

    async def test_refused(self) -> None:
        """What is no item, what is a member of the image, another key than the path's; nothing is changed."""
        path = f"/images/{IMAGE}/metadata"
        bodies: tuple[dict[str, Any], ...] = (
            {"metadata": {"a/b": "1"}}, {"metadata": {"a": "x" * 256}}, {"metadata": {"a": 1}}, {"metadata": 1},
            {"metadata": {"name": "x"}}, {"metadata": {"visibility": "public"}}, {"meta": {}},
        )  # fmt: skip
        for body in bodies:
            for method in ("POST", "PUT"):
                await self.refused(400, "badRequest", ALICE, method, path, body)
        for one in ({"b": "1"}, {"a": "1", "b": "2"}, {}, {"a": None}):
            await self.refused(400, "badRequest", ALICE, "PUT", f"{path}/a", {"meta": one})
        await self.refused(400, "badRequest", ALICE, "PUT", f"{path}/owner", {"meta": {"owner": "p2"}})
        await self.refused(403, "forbidden", ALICE, "POST", path, {"metadata": {"checksum": "x"}})
        self.assertEqual(self.rows(tables.image_property), [])
        (row,) = self.rows(tables.image)
        self.assertEqual((row.name, row.project_id, row.checksum), ("i", "p1", None))

    async def test_quota(self) -> None:
        """As many as a server may have, with those that are there already."""
        path = f"/images/{IMAGE}/metadata"
        await self.good(200, ALICE, "POST", path, {"metadata": {f"k{n}": "" for n in range(128)}})
        await self.refused(403, "forbidden", ALICE, "POST", path, {"metadata": {"more": ""}})
        await self.good(200, ALICE, "POST", path, {"metadata": {"k1": "x"}})
        self.assertEqual(len(self.rows(tables.image_property)), 128)

    async def test_rights(self) -> None:
        """Its project changes it, and others that see it only look."""
        path = f"/images/{IMAGE}/metadata"
        for who in (BOB, READER):
            await self.good(200, who, "GET", path)
            await self.refused(403, "forbidden", who, "POST", path, {"metadata": {"a": "1"}})
        for method, body in (("GET", None), ("POST", {"metadata": {}}), ("PUT", {"metadata": {}})):
            await self.refused(404, "itemNotFound", ALICE, method, f"/images/{NONE}/metadata", body)

    async def test_ends(self) -> None:
        """From 2.39 on there is none."""
        for path in ("metadata", "metadata/a"):
            await self.refused(404, "itemNotFound", ALICE, "GET", f"/images/{IMAGE}/{path}", version="2.39")
