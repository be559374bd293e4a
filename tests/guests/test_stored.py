"""Data of images as files of a host, and disks of guests as data of images, on the real image service."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.trial.unittest import TestCase

from cloudd.compute import Server
from cloudd.daemon._metrics import WorkerMetrics
from cloudd.guests._means import as_operator
from cloudd.guests._stored import StoredImages, StoredSnapshots
from cloudd.image import Image, ImageConflict, Images, NoSuchImage, read_operations
from cloudd.interfaces.application import Host, Resources
from cloudd.interfaces.settings import Settings
from storage import MemoryStore
from tests.tasks.house import House
from tests.tasks.world import Threads

ACCESS = as_operator(Server(id="", project_id="p", user_id="u", name="", host_name="", flavor=""))
DATA = b"a disk" * 300_000


class StoredCase(TestCase):
    async def setUp(self) -> None:  # type: ignore[override]
        self.house = House.built(self)
        self.threads = Threads(reactor)
        self.threads.pool.start()
        self.addCleanup(self.threads.pool.stop)
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()
        self.file = self.folder / "disk"
        self.file.write_bytes(DATA)
        self.images = Images(self.resources(), MemoryStore())
        self.snapshots = StoredSnapshots(self.images, self.threads)
        self.files = StoredImages(self.images.store, self.threads, self.folder / "images")
        image = Image(id="", project_id="p", name="i", disk_format="raw", container_format="bare")
        self.image_id = (await self.images.create(ACCESS, image)).id

    def resources(self) -> Resources:
        return Resources(
            reactor=reactor,
            settings=Settings(state=self.folder),
            threads=self.threads,
            database=self.house.database,
            object_index=self.house.database,
            metrics=WorkerMetrics(),
            host=cast(Host, None),
            role="agent",
            generation=3,
            urls={},
            secrets=Path("/nowhere"),
        )

    async def image(self) -> Image:
        return await self.images.get(ACCESS, self.image_id)

    async def test_there_and_back(self) -> None:
        """A disk becomes an image's data, once, and then a file of its own."""
        for _ in range(2):
            await self.snapshots.keep(self.image_id, self.file)
        image = await self.image()
        self.assertEqual((image.status, image.size), ("active", len(DATA)))
        first, second = await gatherResults([Deferred.fromCoroutine(self.files.get(image)) for _ in range(2)])
        self.assertEqual((first, first.format, first.path.read_bytes() == DATA), (second, "raw", True))
        self.assertEqual(len(list((self.folder / "images").iterdir())), 1)

    async def test_goes_on(self) -> None:
        """An upload whose process was killed does not keep the image from its data."""
        await self.images.begin_upload(ACCESS, self.image_id)
        await self.snapshots.keep(self.image_id, self.file)
        self.assertEqual((await self.image()).status, "active")

    async def test_image_is_gone(self) -> None:
        """Whoever has deleted it wants nothing."""
        await self.images.delete(ACCESS, self.image_id)
        await self.snapshots.keep(self.image_id, self.file)
        await self.snapshots.drop(self.image_id)

    async def test_dropped(self) -> None:
        """One that gets no data goes; one that has it stays."""
        await self.snapshots.drop(self.image_id)
        with self.assertRaises(NoSuchImage):
            await self.image()

    async def test_deleted(self) -> None:
        """With its data, unless it is protected; one that is gone is no error."""
        await self.snapshots.keep(self.image_id, self.file)
        protect = read_operations([{"op": "replace", "path": "/protected", "value": True}])
        await self.images.update(ACCESS, self.image_id, protect)
        await self.snapshots.delete(self.image_id)
        self.assertEqual((await self.image()).status, "active")
        free = read_operations([{"op": "replace", "path": "/protected", "value": False}])
        await self.images.update(ACCESS, self.image_id, free)
        for _ in range(2):
            await self.snapshots.delete(self.image_id)
        with self.assertRaises(NoSuchImage):
            await self.image()

    async def test_no_data(self) -> None:
        """Nobody boots from an image without data, or of a format that nothing here boots."""
        for image in (
            await self.image(),
            Image(id="i", project_id="p", status="active", data_id="d", disk_format="vmdk"),
        ):
            with self.assertRaises(ImageConflict):
                await self.files.get(image)

    async def test_data_elsewhere(self) -> None:
        """What this host's store has not is told as such."""
        image = Image(id="i", project_id="p", status="active", data_id="d", disk_format="raw")
        with self.assertRaises(ImageConflict) as caught:
            await self.files.get(image)
        self.assertIn("is not on this host", cast(Any, caught.exception).cause)
