"""Bulk deletions: what they delete, what they leave, and that they go on whatever is killed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase, TestCase

from cloudd.interfaces.application import Resources
from cloudd.interfaces.settings import Settings
from cloudd.objects import Objects, _bulk
from cloudd.objects._bulk import Deleted, Listed, Unsaved, as_fields, delete_listed
from cloudd.tasks import TaskFailed
from storage import MemoryStore
from tests.protocols.swift.face import NoMetrics, ThreadsAtOnce
from tests.tasks.house import FORM, House
from tests.tasks.walk import KilledAtEveryMoment

from .purge_walk import fill

ACCOUNT = "AUTH_a"


def listed(objects: dict[str, list[str]], containers: tuple[str, ...] = (), **facts: Any) -> Listed:
    facts = {"until_us": None, "most_conflicts": 10, **facts}
    return Listed(account=ACCOUNT, objects=objects, containers=containers, **facts)


class KilledTests(KilledAtEveryMoment, SynchronousTestCase):
    scenario = "tests.objects.bulk_walk:BULK_DELETING"

    def look_at(self, calm: dict[str, Any]) -> None:
        (task,) = calm["tasks"]
        self.assertEqual(task[1], "done")
        self.assertEqual(json.loads(task[3]), {"deleted": 7, "not_found": 4, "conflicts": ["new/o0", "some"]})
        self.assertEqual(calm["effects"], {"found": {"new": ["o0"], "some": ["o1", "o3"]}, "files": 3})


class PageTests(TestCase):
    async def setUp(self) -> None:  # type: ignore[override]
        self.store = MemoryStore()
        self.patch(_bulk, "PAGE", 2)
        await fill(self.store, ACCOUNT, "c", 5)

    async def test_each_once(self) -> None:
        """Who goes on after a kill counts the page that was being deleted as it was before."""
        saving = Unsaved()
        wanted = listed({"c": ["o0", "o1", "o2", "none"]})
        first = {"page": 0, "so_far": {}, "counted": {"deleted": 2, "not_found": 0, "conflicts": []}}
        await self.store.delete_objects(ACCOUNT, "c", ["o0"])
        saving.state = first
        self.assertEqual(await delete_listed(self.store, wanted, saving), Deleted(3, 1))

    async def test_written_after_the_order(self) -> None:
        """An object and a container that are younger than the order stay."""
        (facts,) = await self.store.objects_named(ACCOUNT, "c", ["o4"])
        wanted = listed({"c": ["o4", "later"]}, ("young",), until_us=facts.modified_us)
        await fill(self.store, ACCOUNT, "c", 0)
        upload = await self.store.receive({})
        await self.store.put_object(ACCOUNT, "c", "later", upload, etag="e", content_type="t", metadata={})
        await self.store.create_container(ACCOUNT, "young", {})
        self.assertEqual(await delete_listed(self.store, wanted, Unsaved()), Deleted(1, 0, ["c/later", "young"]))

    async def test_too_many_conflicts(self) -> None:
        """It ends where Swift would."""
        await fill(self.store, ACCOUNT, "d", 1)
        wanted = listed({}, ("c", "d", "none"), most_conflicts=1)
        self.assertEqual(await delete_listed(self.store, wanted, Unsaved()), Deleted(conflicts=["c"]))


class OrderTests(TestCase):
    """What is longer than a page is a task."""

    async def setUp(self) -> None:  # type: ignore[override]
        self.patch(_bulk, "PAGE", 2)
        self.house = House.built(self)
        self.store = MemoryStore(reactor.seconds)
        await fill(self.store, ACCOUNT, "c", 5)
        nothing: Any = None
        resources = Resources(
            reactor=reactor,
            settings=Settings(state=Path("state")),
            threads=ThreadsAtOnce(),
            database=self.house.database,
            object_index=nothing,
            metrics=NoMetrics(),
            host=nothing,
            role="front",
            generation=1,
            urls={},
            secrets=Path("secrets"),
        )

        async def own_node() -> str | None:
            return None

        self.objects = Objects(resources, self.store, own_node)

    async def delete(self, *names: str) -> Deleted:
        return await self.objects.delete_listed(ACCOUNT, {"c": list(names)}, [], 10, "req-1")

    async def test_short(self) -> None:
        """A page is deleted at once."""
        self.assertEqual(await self.delete("o0", "o1"), Deleted(2))
        self.assertEqual(self.house.database_ids(), [])

    async def test_long(self) -> None:
        self.house.runner(*self.objects.task_kinds())
        self.assertEqual(await self.delete("o0", "o1", "o2", "none"), Deleted(3, 1))
        (task_id,) = self.house.database_ids()
        row = self.house.row(task_id)
        self.assertEqual((row["state"], row["project_id"], row["request_id"]), ("done", "a", "req-1"))

    async def test_longer_than_a_row(self) -> None:
        """It is several tasks; containers go when all their objects have gone, and every conflict fits into a row."""
        self.house.runner(*self.objects.task_kinds())
        box = "b" * 256
        names = [f"{number:04d}" + "ö" * 480 for number in range(2_500)]
        await self.store.create_container(ACCOUNT, box, {})
        for name in names[-2:]:
            upload = await self.store.receive({})
            await self.store.put_object(ACCOUNT, box, name, upload, etag="e", content_type="t", metadata={})
        found = await self.objects.delete_listed(
            ACCOUNT, {box: names, "c": [f"o{n}" for n in range(5)]}, [box, "c"], 10
        )
        self.assertEqual(found, Deleted(9, 2_498))
        self.assertEqual(len(self.house.database_ids()), 4)

    def test_conflicts_fit(self) -> None:
        """However a name is written in JSON."""
        names = [f"{number:04d}" + '"' * 1_000 for number in range(3_000)]
        rounds = list(listed({"c" * 256: names}, ("c" * 256,)).rounds())
        self.assertEqual([len(some) for some in rounds], [9, 1])
        for each in rounds[0]:
            ((container, some),) = each.objects.items()
            kept = Deleted(conflicts=[f"{container}/{name}" for name in some])
            FORM.written(each.payload())
            FORM.written({"page": 1, "so_far": as_fields(kept)})

    async def test_not_done_in_time(self) -> None:
        """Nobody runs it: who waits is told why it failed."""
        self.patch(_bulk, "PAGE", 1)
        waiting = self.delete("o0", "o1")

        async def fail() -> None:
            (task_id,) = await self.house.until(self.house.database_ids)
            self.house.set(task_id, "state = 'failed', due_us = NULL, cause = 'it was not done in its time'")

        failing = Deferred.fromCoroutine(fail())
        with self.assertRaisesRegex(TaskFailed, "not done in its time"):
            await waiting
        await failing
