"""Imports: killed at every moment, asked for in the wrong state, and left without their task."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from attrs import define, field
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
    SourceBroken,
    SourceRefused,
    import_kinds,
    read_sources,
)
from cloudd.tasks import Fields, Task, TaskFailed
from storage import Listing, MemoryStore
from tests.protocols.rest.image.cloud import FORMATS, ImageCase
from tests.protocols.swift.face import an_access
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
        self.assertEqual(images["direct"], ["active", len(DATA), None, "data-direct"])
        self.assertEqual(images["web"], ["active", len(RAW), None, "data-web"])
        self.assertEqual(calm["effects"]["objects"], ["data-direct", "data-web"])


class UnfitTests(KilledAtEveryMoment, SynchronousTestCase):
    """Nothing of refused data is left, and the image waits for other data."""

    scenario = "tests.image.import_walk:UNFIT"

    def look_at(self, calm: dict[str, Any]) -> None:
        told = ends(calm)
        self.assertEqual({state for state, _cause in told.values()}, {"failed"})
        self.assertIn("its data is raw", told["direct"][1])
        self.assertIn("backing file", told["web"][1])
        for facts in calm["effects"]["images"].values():
            self.assertEqual(facts, ["queued", None, None, None, ""])
        self.assertEqual((calm["effects"]["objects"], calm["effects"]["files"]), ([], 0))


@define
class Saving:
    """The part of ``Task`` that a download uses; keeps what is saved."""

    payload: Fields
    state: Fields = field(factory=dict)

    async def save(self, state: Fields, *, progress: int | None = None, total: int | None = None) -> None:
        self.state = state


class DownloadTests(TestCase):
    async def test_breaks_off(self) -> None:
        """It is tried again some times, though it gets on each time; nothing of it is left in the store."""
        origin = Origin(reactor)
        self.addCleanup(origin.close)
        store = MemoryStore()
        await store.create_container(".images", "data", {})
        fetcher = Fetcher(reactor, read_sources([f"127.0.0.1:{origin.port}"]), 1_000_000)
        resources = SimpleNamespace(reactor=reactor, database=None)
        (kind,) = import_kinds(resources, store, fetcher)
        payload = {"image": "i", "data": "d", "method": "web-download", "uri": origin.url("cut"), "user_id": "u"}
        saving = Saving(payload)
        for broken in (1, 2, 3):
            with self.assertRaises(SourceBroken):
                await kind.steps[0].run(cast(Task, saving))
            self.assertEqual(saving.state, {"broken": broken})
        with self.assertRaisesRegex(TaskFailed, "tried 4 times"):
            await kind.steps[0].run(cast(Task, saving))
        self.assertEqual(await store.objects(".images", "data", Listing()), [])


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
