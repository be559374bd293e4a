"""Imports: killed at every moment, asked for in the wrong state, and left without their task."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from attrs import evolve
from sqlalchemy import update
from twisted.internet import reactor as installed
from twisted.internet.defer import Deferred, succeed
from twisted.trial.unittest import SynchronousTestCase, TestCase

from cloudd.database.tables import task
from cloudd.image import (
    DIGESTS,
    BadImageValue,
    Fetcher,
    Image,
    ImageConflict,
    Imports,
    SourceRefused,
    _imports,
    _rows,
    import_kinds,
    read_sources,
)
from cloudd.image._import_rows import begin_import
from cloudd.tasks._operators import retry
from storage import Listing, MemoryStore
from tests.protocols.rest.image.cloud import FORMATS, ImageCase
from tests.protocols.swift.face import an_access
from tests.tasks.house import House
from tests.tasks.walk import KilledAtEveryMoment

from .import_walk import DATA
from .origin import RAW, Origin

reactor: Any = installed
ALICE = an_access("alice", "p1", "member")
URL = "http://images.example.org/disk"


def ends(calm: dict[str, Any]) -> dict[str, tuple[str, str]]:
    """Image -> state and cause of its task."""
    return {name: (state, cause) for _kind, state, name, _result, cause in calm["tasks"]}


class GoodTests(KilledAtEveryMoment, SynchronousTestCase):
    scenario = "tests.image.import_walk:GOOD"

    def look_at(self, calm: dict[str, Any]) -> None:
        self.assertEqual(ends(calm), {"direct": ("done", ""), "web": ("done", "")})
        images = {name: facts[:2] + facts[3:] for name, facts in calm["effects"]["images"].items()}
        self.assertEqual(images["direct"], ["active", len(DATA), None])
        self.assertEqual(images["web"], ["active", len(RAW), None])
        self.assertEqual(calm["effects"]["objects"], ["direct", "web"])


class UnfitTests(KilledAtEveryMoment, SynchronousTestCase):
    """Nothing of refused data is left, and the image waits for other data."""

    scenario = "tests.image.import_walk:UNFIT"

    def look_at(self, calm: dict[str, Any]) -> None:
        told = ends(calm)
        self.assertEqual({state for state, _cause in told.values()}, {"failed"})
        self.assertIn("its data is raw", told["direct"][1])
        self.assertIn("backing file", told["web"][1])
        for facts in calm["effects"]["images"].values():
            self.assertEqual(facts, ["queued", None, None, None])
        self.assertEqual((calm["effects"]["objects"], calm["effects"]["files"]), ([], 0))


class DownloadTests(TestCase):
    """A download as a task, from a server of its own."""

    async def setUp(self) -> None:  # type: ignore[override]
        self.house = House.built(self)
        self.origin = Origin(reactor)
        self.addCleanup(self.origin.close)
        self.store: Any = MemoryStore()
        await self.store.create_container(".images", "data", {})
        fetcher = Fetcher(reactor, read_sources([f"127.0.0.1:{self.origin.port}"]), 1_000_000)
        resources = SimpleNamespace(reactor=reactor, database=self.house.database)
        (kind,) = import_kinds(resources, self.store, fetcher)
        self.kind = evolve(kind, retry=evolve(kind.retry, first_s=0.01, longest_s=0.01))

    async def begun(self, path: str) -> Image:
        image = Image(id="i", project_id="p", disk_format="raw", container_format="bare")
        await self.house.database.write(_rows.create, image)
        url = self.origin.url(path)
        payload = {"image": "i", "data": "d", "method": "web-download", "uri": url, "user_id": "u"}
        return await self.house.database.write(lambda c: begin_import(c, image, payload, 1))

    async def stored(self) -> list[str]:
        return [each.name for each in await self.store.objects(".images", "data", Listing())]

    async def test_breaks_off(self) -> None:
        """It is tried again some times, though it gets on each time; nothing of it is left in the store."""
        begun = await self.begun("cut")
        self.house.runner(self.kind)
        row = await self.house.until_state(str(begun.import_task_id), "failed")
        self.assertIn("tried 4 times", row["cause"])
        self.assertEqual(await self.stored(), [])
        image, _ = await self.house.database.read(_rows.get, "i", None)
        self.assertEqual((image.status, image.data_id), ("queued", None))

    async def test_deleted_meanwhile(self) -> None:
        """Nobody wants the data any more: the download ends, and gives its place to others."""
        self.patch(_imports, "SAVE_S", 0.05)
        begun = await self.begun("silent")
        self.house.runner(self.kind)
        await self.house.until(lambda: self.house.row(str(begun.import_task_id))["progress"])
        await self.house.database.write(_rows.remove, "i")
        row = await self.house.until_state(str(begun.import_task_id), "failed")
        self.assertIn("No image found", row["cause"])
        self.assertEqual(await self.stored(), [])

    async def test_tried_again_by_an_operator(self) -> None:
        """An import that had failed takes its image again, which waits for data; under another id."""
        begun = await self.begun("missing")
        task_id = str(begun.import_task_id)
        self.house.runner(self.kind)
        await self.house.until_state(task_id, "failed")
        fresh = self.origin.url("raw")
        self.house.set(task_id, f"payload = replace(payload, '{self.origin.url('missing')}', '{fresh}')")
        await self.house.database.write(retry, task_id)
        await self.house.until_state(task_id, "done")
        image, _ = await self.house.database.read(_rows.get, "i", None)
        self.assertEqual((image.status, image.size), ("active", len(RAW)))
        self.assertNotEqual(image.data_id, "d")
        self.assertEqual(await self.stored(), [image.data_id])

    async def test_too_many(self) -> None:
        """A project cannot fill the queue."""
        await self.begun("raw")
        image = Image(id="j", project_id="p", disk_format="raw", container_format="bare")
        await self.house.database.write(_rows.create, image)
        payload = {"image": "j", "data": "e", "method": "web-download", "uri": "", "user_id": "u"}
        with self.assertRaisesRegex(ImageConflict, "1 imports of the project are not done yet"):
            await self.house.database.write(lambda c: begin_import(c, image, payload, 1))


class ServiceTests(ImageCase):
    sources = ("images.example.org",)

    async def staged(self, data: bytes = b"x") -> Image:
        made = await self.made(**FORMATS)
        image = await self.images.begin_stage(ALICE, made["id"])
        upload = await self.store.receive(DIGESTS)
        upload.write(data)
        return await self.images.keep(image, upload)

    async def refused(  # type: ignore[override]
        self, kind: type[Exception], image_id: str, method: str = "glance-direct", uri: str = ""
    ) -> str:
        beginning: Deferred[Any] = Deferred.fromCoroutine(self.imports.begin(ALICE, image_id, method, uri))
        return str(await self.assertFailure(beginning, kind))

    async def test_states(self) -> None:
        """Staged data is imported once; a download needs an image without data."""
        image = await self.staged()
        self.assertEqual(image.status, "uploading")
        await self.refused(ImageConflict, image.id, "web-download", URL)
        begun = await self.imports.begin(ALICE, image.id, "glance-direct")
        self.assertEqual((begun.status, begun.data_id), ("importing", image.data_id))
        self.assertIn("from importing", await self.refused(ImageConflict, image.id))
        fresh = await self.made(**FORMATS)
        self.assertIn("stage its data first", await self.refused(ImageConflict, fresh["id"]))
        self.assertEqual((await self.imports.begin(ALICE, fresh["id"], "web-download", URL)).status, "importing")

    async def test_while_data_comes(self) -> None:
        """An import does not begin before the last byte."""
        made = await self.made(**FORMATS)
        await self.images.begin_stage(ALICE, made["id"])
        await self.refused(ImageConflict, made["id"])

    async def test_refused(self) -> None:
        """Formats that are not known, other methods, and hosts that are not allowed, before anything is changed."""
        made = await self.made(disk_format="raw")
        self.assertIn("container_format", await self.refused(ImageConflict, made["id"], "web-download", URL))
        made = await self.made(**FORMATS)
        self.assertIn("copy-image", await self.refused(BadImageValue, made["id"], "copy-image"))
        self.assertIn("web_download_hosts", await self.refused(SourceRefused, made["id"], "web-download", "http://x/"))
        nowhere = Fetcher(self.resources.reactor, read_sources([]), 1)
        off = Imports(self.resources, self.images, nowhere, lambda: succeed("n1"), lambda: None)
        self.assertEqual(off.methods, ("glance-direct",))
        self.assertEqual((await self.images.get(ALICE, made["id"])).status, "queued")

    async def test_forgotten(self) -> None:
        """Staged data counts as its project's, and goes when nobody has imported it for long."""
        image = await self.staged(b"x" * 70)
        self.assertEqual((await self.images.usage(ALICE)).bytes, 70)
        await self.images._keep_up()
        self.assertEqual((await self.images.get(ALICE, image.id)).status, "uploading")
        settings = self.resources.settings
        kept = evolve(settings, images=evolve(settings.images, staged_keep_s=-1.0))
        self.images._resources = evolve(self.resources, settings=kept)
        await self.images._keep_up()
        found = await self.images.get(ALICE, image.id)
        self.assertEqual((found.status, found.data_id, found.staged_bytes), ("queued", None, None))
        self.assertEqual((await self.images.usage(ALICE)).bytes, 0)

    async def test_without_its_task(self) -> None:
        """What a node that was removed was to import waits for another try."""
        image = await self.staged()
        begun = await self.imports.begin(ALICE, image.id, "glance-direct")
        await self.images._keep_up()
        self.assertEqual((await self.images.get(ALICE, image.id)).status, "importing")
        failed = update(task).where(task.c.id == begun.import_task_id).values(state="failed", cause="gone")
        await self.database.write(lambda connection: connection.execute(failed))
        await self.images._keep_up()
        found = await self.images.get(ALICE, image.id)
        self.assertEqual((found.status, found.data_id, found.import_task_id), ("queued", None, None))
        (told,) = await self.imports.of_image(ALICE, image.id)
        self.assertEqual((told.state, told.cause), ("failed", "gone"))
