"""Quotas of images, over the API."""

from __future__ import annotations

from attrs import evolve
from twisted.internet.defer import Deferred

from cloudd.image import OverQuota, _rows
from cloudd.image._import_rows import begin_import, end_import
from cloudd.image._quota import Quota, room_for
from tests.protocols.rest.image.cloud import ALICE, BOB, FORMATS, ImageCase
from tests.protocols.swift.face import an_access


class QuotaTests(ImageCase):
    async def setUp(self) -> None:  # type: ignore[override]
        await super().setUp()
        settings = self.resources.settings
        images = evolve(settings.images, quota_images=2, quota_bytes=3 << 20)
        self.images._resources = evolve(self.resources, settings=evolve(settings, images=images))

    async def test_count(self) -> None:
        """One more is refused; another project has its own, and room comes back."""
        first = await self.made()
        await self.made()
        self.assertIn("limit of 2 images", await self.refused(413, ALICE, "POST", "/images", {}))
        await self.made(BOB)
        await self.good(204, ALICE, "DELETE", f"/images/{first['id']}")
        await self.made()

    async def test_bytes(self) -> None:
        """Data that would be too much is not kept, and the image waits for less."""
        self.images._resources = evolve(
            self.resources,
            settings=evolve(self.resources.settings, images=evolve(self.resources.settings.images, quota_bytes=1_000)),
        )
        await self.filled(b"x" * 600)
        image = await self.made(**FORMATS)
        self.assertIn("400 are left", await self.upload(413, image["id"], b"y" * 500))
        self.assertEqual((await self.store.account(".images")).object_count, 1)
        await self.upload(204, image["id"], b"y" * 400)

    async def test_staged(self) -> None:
        """Staged data counts, too much of it is not kept, and an import of it does not count it twice."""
        image = await self.made(**FORMATS)
        access = an_access("alice", "p1", "member")
        begun = await Deferred.fromCoroutine(self.images.begin_stage(access, image["id"]))
        assert begun.data_id is not None
        with self.assertRaises(OverQuota):
            await self.database.write(_rows.end_stage, begun.id, begun.data_id, 11, None, Quota(bytes=10))
        staged = await self.database.write(_rows.end_stage, begun.id, begun.data_id, 10, None, Quota(bytes=10))
        self.assertEqual((await self.images.usage(access)).bytes, 10)
        self.assertEqual((staged.status, staged.staged_size), ("uploading", 10))
        other = await self.made(**FORMATS)
        self.assertEqual(await self.database.read(room_for, other["id"], Quota(bytes=15)), 5)
        payload = {"image": begun.id, "data": begun.data_id, "method": "glance-direct", "uri": "", "user_id": "u"}
        await self.database.write(lambda c: begin_import(c, staged, payload))
        facts = {"size": 10}
        kept = await self.database.write(lambda c: end_import(c, begun.id, str(begun.data_id), facts, Quota(bytes=10)))
        self.assertEqual((kept.status, kept.staged_size, kept.size), ("active", None, 10))
        self.assertEqual((await self.images.usage(access)).bytes, 10)

    async def test_import(self) -> None:
        """It counts like an upload."""
        made = await self.made(**FORMATS)
        access = an_access("alice", "p1", "member")
        image = await Deferred.fromCoroutine(self.images.get(access, made["id"]))
        payload = {"image": image.id, "data": "d", "method": "web-download", "uri": "http://x/", "user_id": "u"}
        await self.database.write(lambda c: begin_import(c, image, payload))
        facts = {"size": 11}
        with self.assertRaises(OverQuota):
            await self.database.write(lambda c: end_import(c, image.id, "d", facts, Quota(bytes=10)))
        await self.database.write(lambda c: end_import(c, image.id, "d", facts, Quota(bytes=11)))

    async def test_usage(self) -> None:
        """In images and MiB, begun ones counted."""
        await self.filled(b"x")
        found = (await self.good(200, ALICE, "GET", "/info/usage"))["usage"]
        self.assertEqual(found["image_count_total"], {"limit": 2, "usage": 1})
        self.assertEqual(found["image_size_total"], {"limit": 3, "usage": 1})
