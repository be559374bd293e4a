"""Imports: killed at every moment, asked for in the wrong state, and left without their task."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any, cast

from attrs import define, evolve, field
from sqlalchemy import select, update
from twisted.internet import reactor as installed
from twisted.internet.defer import Deferred, succeed
from twisted.trial.unittest import SynchronousTestCase

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
    _rows,
    import_kinds,
    read_sources,
)
from cloudd.image._import_rows import begin_import, give_up_import
from cloudd.image._quota import Quota
from cloudd.tasks import Fields, Task, TaskFailed
from storage import Listing
from tests.protocols.rest.image.cloud import BOB, FORMATS, ImageCase
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
        self.assertEqual(images["direct"], ["active", len(DATA), *[None] * 4, True])
        self.assertEqual(images["web"], ["active", len(RAW), *[None] * 4, True])
        self.assertEqual((calm["effects"]["objects"], calm["effects"]["strays"]), (2, 0))


class UnfitTests(KilledAtEveryMoment, SynchronousTestCase):
    """Nothing of refused data is left, and the image waits for other data."""

    scenario = "tests.image.import_walk:UNFIT"

    def look_at(self, calm: dict[str, Any]) -> None:
        told = ends(calm)
        self.assertEqual({state for state, _cause in told.values()}, {"failed"})
        self.assertIn("its data is raw", told["direct"][1])
        self.assertIn("backing file", told["web"][1])
        for facts in calm["effects"]["images"].values():
            self.assertEqual(facts, ["queued", *[None] * 6, False])
        self.assertEqual((calm["effects"]["objects"], calm["effects"]["files"]), (0, 0))


@define
class Saving:
    """The part of ``Task`` that a download uses; keeps what is saved."""

    payload: Fields
    database: Any
    id: str = "t1"
    state: Fields = field(factory=dict)
    progress: int = 0

    async def save(self, state: Fields, *, progress: int | None = None, total: int | None = None) -> None:
        self.state = state

    async def write(self, function: Any, /, *args: Any, state: Fields, progress: int | None = None) -> None:
        await self.database.write(function, *args)
        self.state = state


class DownloadTests(ImageCase):
    async def setUp(self) -> None:  # type: ignore[override]
        await super().setUp()
        self.origin = Origin(reactor)
        self.addCleanup(self.origin.close)
        await self.images.make_container()
        fetcher = Fetcher(reactor, read_sources([f"127.0.0.1:{self.origin.port}"]), 1_000_000)
        resources = SimpleNamespace(reactor=reactor, database=self.database)
        (kind,) = import_kinds(resources, self.store, fetcher, Quota(bytes=len(RAW)))
        self.step, self.undo = kind.steps[0].run, kind.undo

    async def importing(self, name: str) -> Saving:
        made = await self.made(**FORMATS)
        image = (await self.database.read(_rows.get, made["id"], None))[0]
        payload = {"image": image.id, "data": "d", "method": "web-download", "uri": self.origin.url(name)}
        await self.database.write(lambda c: begin_import(c, image, {**payload, "user_id": "u"}))
        return Saving(payload, self.database)

    async def image_of(self, saving: Saving) -> Image:
        found: Image = (await self.database.read(_rows.get, saving.payload["image"], None))[0]
        return found

    async def stored(self) -> list[str]:
        return [each.name for each in await self.store.objects(".images", "data", Listing())]

    async def run_step(self, saving: Saving) -> None:
        await self.step(cast(Task, saving))

    async def test_breaks_off(self) -> None:
        """It is tried again some times, though it gets on each time; nothing of it is left in the store."""
        saving = await self.importing("cut")
        for broken in (1, 2, 3):
            with self.assertRaises(SourceBroken):
                await self.run_step(saving)
            self.assertEqual(saving.state["broken"], broken)
            self.assertIn("broken off", saving.state["told"])
        with self.assertRaisesRegex(TaskFailed, "tried 4 times"):
            await self.run_step(saving)
        self.assertEqual(await self.stored(), [])

    async def test_attempts_that_meet(self) -> None:
        """One that wakes after another has made the image active leaves that one's data alone."""
        early, late = await self.importing("raw"), None
        put = self.store.put_object

        async def stopped(*place: Any, **facts: Any) -> None:
            """The first is stopped just before its object is written; the second runs to its end meanwhile."""
            nonlocal late
            self.store.put_object = put
            late = Saving(early.payload, self.database, state=dict(early.state))
            await self.run_step(late)
            await put(*place, **facts)

        self.store.put_object = stopped
        await self.run_step(early)
        assert late is not None
        image = await self.image_of(early)
        self.assertEqual(image.data_id, late.state["data"])
        self.assertNotEqual(early.state["data"], late.state["data"])
        self.assertEqual(set(await self.stored()), {early.state["data"], late.state["data"]})

    async def test_deleted(self) -> None:
        """The download of an image that is deleted does not go on to its end."""
        saving = await self.importing("silent")
        running = Deferred.fromCoroutine(self.run_step(saving))
        await self.database.write(_rows.remove, saving.payload["image"])
        await self.assertFailure(running, TaskFailed)
        self.assertEqual(await self.stored(), [])

    async def test_tried_again_by_an_operator(self) -> None:
        """After its undo the image imports again, if it waits for data still; else nothing is downloaded."""
        saving = await self.importing("raw")
        assert self.undo is not None
        await self.database.write(give_up_import, saving.payload["image"], "d")
        self.assertEqual((await self.image_of(saving)).status, "queued")
        await self.run_step(saving)
        image = await self.image_of(saving)
        self.assertEqual(
            (image.status, image.import_task_id, [image.data_id]), ("importing", "t1", await self.stored())
        )
        other = await self.importing("raw")
        await self.database.write(give_up_import, other.payload["image"], "d")
        await self.images.begin_upload(ALICE, other.payload["image"])
        asked = len(self.origin.asked)
        with self.assertRaisesRegex(TaskFailed, "does not wait"):
            await self.run_step(other)
        self.assertEqual(len(self.origin.asked), asked)

    async def test_room(self) -> None:
        """No more is taken than the quota leaves, and that is what its project reads."""
        other = await self.begun_stage(1)
        saving = await self.importing("chunked")
        with self.assertRaisesRegex(TaskFailed, "limit of bytes"):
            await self.run_step(saving)
        self.assertIn(f"{len(RAW) - 1} are left", saving.state["told"])
        await self.database.write(_rows.remove, other)
        await self.run_step(await self.importing("chunked"))

    async def begun_stage(self, size: int) -> str:
        made = await self.made(**FORMATS)
        image = await self.images.begin_stage(ALICE, made["id"])
        await self.database.write(_rows.end_stage, image.id, image.data_id, size)
        return image.id


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
        await self.images.upkeep.keep_up()
        self.assertEqual((await self.images.get(ALICE, image.id)).status, "importing")
        failed = update(task).where(task.c.id == begun.import_task_id).values(state="failed", cause="gone")
        await self.database.write(lambda connection: connection.execute(failed))
        await self.images.upkeep.keep_up()
        found = await self.images.get(ALICE, image.id)
        self.assertEqual((found.status, found.data_id, found.import_task_id), ("queued", None, None))
        (told,) = await self.imports.of_image(ALICE, image.id)
        self.assertEqual((told.state, told.cause), ("failed", f"It failed; the log has it as {told.id}."))

    async def test_causes(self) -> None:
        """A project reads what steps have left for it, and nothing else of what went wrong."""
        image = await self.staged()
        begun = await self.imports.begin(ALICE, image.id, "glance-direct", request_id="req-1")
        for cause, told, shown in (
            ("It is cut.", "It is cut.", "It is cut."),
            ("given up after 5 attempts: SourceBroken: It is cut.", "It is cut.", "It is cut."),
            ("OSError: /secret/place", "It is cut.", "It failed; the log has it as req-1."),
            ("OSError: /secret/place", "", "It failed; the log has it as req-1."),
            ("it was not done in its time", "", "it was not done in its time"),
            ("", "It is cut.", ""),
        ):
            values = {"state": "failed", "cause": cause, "step_state": json.dumps({"told": told} if told else {})}
            await self.write(update(task).where(task.c.id == begun.import_task_id).values(**values))
            (found,) = await self.imports.of_image(ALICE, image.id)
            self.assertEqual(found.cause, shown)

    async def write(self, statement: Any) -> None:
        await self.database.write(lambda connection: connection.execute(statement))

    async def task_of(self, task_id: str) -> Any:
        found: Any = await self.database.read(lambda c: c.execute(select(task).where(task.c.id == task_id)).one())
        return found

    async def test_secret_url(self) -> None:
        """It is not in what may be logged."""
        made = await self.made(**FORMATS)
        await self.imports.begin(ALICE, made["id"], "web-download", URL + "?signature=xyz")
        self.assertNotIn("xyz", repr(await self.imports.of_image(ALICE, made["id"])))

    async def test_deleted(self) -> None:
        """The import of an image that is deleted ends."""
        image = await self.staged()
        begun = await self.imports.begin(ALICE, image.id, "glance-direct")
        await self.images.delete(ALICE, image.id)
        self.assertEqual((await self.task_of(str(begun.import_task_id))).cancel_cause, "the image was deleted")

    async def test_many(self) -> None:
        """A project may not have more open imports than that; another one has its own, and room comes back."""
        limited = evolve(self.resources.settings, images=evolve(self.resources.settings.images, open_imports=1))
        self.imports._resources = evolve(self.resources, settings=limited)
        begun = await self.imports.begin(ALICE, (await self.staged()).id, "glance-direct")
        second = await self.staged()
        self.assertIn("may have 1", await self.refused(ImageConflict, second.id))
        self.assertEqual((await self.images.get(ALICE, second.id)).status, "uploading")
        bob = an_access("bob", "p2", "member")
        other = (await self.made(BOB, **FORMATS))["id"]
        self.assertEqual((await self.imports.begin(bob, other, "web-download", URL)).status, "importing")
        await self.write(update(task).where(task.c.id == begun.import_task_id).values(state="done"))
        self.assertEqual((await self.imports.begin(ALICE, second.id, "glance-direct")).status, "importing")

    async def test_time(self) -> None:
        """It is counted from when the import begins to run: one that waits behind others loses nothing."""
        begun = await self.imports.begin(ALICE, (await self.staged()).id, "glance-direct")
        row = await self.task_of(str(begun.import_task_id))
        self.assertEqual((row.deadline_us, row.run_us), (None, 3_600_000_000))

    async def test_where_it_was_staged(self) -> None:
        """The task is that node's, whichever was asked for the import."""
        self.images._own_node = lambda: succeed("n2")
        image = await self.staged()
        self.images._own_node = lambda: succeed("n1")
        begun = await self.imports.begin(ALICE, image.id, "glance-direct")
        self.assertEqual((await self.task_of(str(begun.import_task_id))).node_id, "n2")
        made = await self.made(**FORMATS)
        begun = await self.imports.begin(ALICE, made["id"], "web-download", URL)
        self.assertEqual((await self.task_of(str(begun.import_task_id))).node_id, "n1")
