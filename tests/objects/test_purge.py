"""Purges: what they delete and what they leave, also when they are killed at any moment."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, cast

from attrs import define, field
from twisted.trial.unittest import SynchronousTestCase, TestCase

from cloudd.objects import _purge
from cloudd.tasks import Fields, Task
from storage import ContainerNotEmpty, Listing, MemoryStore, NoSuchContainer
from tests.tasks.walk import KilledAtEveryMoment

from .purge_walk import fill


class KilledTests(KilledAtEveryMoment, SynchronousTestCase):
    scenario = "tests.objects.purge_walk:PURGING"

    def look_at(self, calm: dict[str, Any]) -> None:
        self.assertEqual([(task[1], task[3]) for task in calm["tasks"]], [("done", '{"deleted": 5}')] * 2)
        self.assertEqual(calm["effects"], {"found": {"AUTH_a/stays": ["o0"]}, "counted": [1, 0], "files": 1})


@define
class Saving:
    """The part of ``Task`` that a purge uses; keeps what is saved."""

    payload: Fields
    state: Fields = field(factory=dict)
    saved: list[Fields] = field(factory=list)
    total: int = 0
    before_save: Callable[[], Awaitable[object]] | None = None

    async def save(self, state: Fields, *, progress: int | None = None, total: int | None = None) -> None:
        if self.before_save is not None:
            await self.before_save()
        self.state = state
        self.total = total or self.total
        self.saved.append(state)


class StepTests(TestCase):
    async def setUp(self) -> None:  # type: ignore[override]
        self.store = MemoryStore()
        self.patch(_purge, "PAGE", 3)
        self.container_kind, self.account_kind = _purge.purge_kinds(self.store)
        await fill(self.store, "AUTH_a", "c", 7)

    async def run_all(self, saving: Saving) -> Fields | None:
        """Both steps of the purge of a container."""
        result = None
        for step in self.container_kind.steps:
            result = await step.run(cast(Task, saving))
        return result

    async def test_pages(self) -> None:
        """Each page is saved before it is deleted and counted afterwards."""
        saving = Saving({"account": "AUTH_a", "container": "c"})
        self.assertEqual((await self.run_all(saving), saving.total), ({"deleted": 7}, 7))
        self.assertEqual([state.get("last") for state in saving.saved], ["o2", None, "o5", None, "o6", None])
        self.assertEqual([state["deleted"] for state in saving.saved], [0, 3, 3, 6, 6, 7])
        await self.assertFailure(self.store.container("AUTH_a", "c"), NoSuchContainer)

    async def test_another_container_of_that_name(self) -> None:
        """One that was made after the order stays, with its objects."""
        facts = await self.store.container("AUTH_a", "c")
        payload = {"account": "AUTH_a", "container": "c", "created_us": facts.created_us - 1}
        self.assertEqual(await self.run_all(Saving(payload)), {"deleted": 0})
        self.assertEqual(len(await self.store.objects("AUTH_a", "c", Listing())), 7)

    async def test_nothing_there(self) -> None:
        """A container that has gone already is purged."""
        self.assertEqual(await self.run_all(Saving({"account": "AUTH_a", "container": "x"})), {"deleted": 0})

    async def test_filled_for_ever(self) -> None:
        """Who writes faster than we delete does not keep a step busy without end."""
        await self.store.create_container("AUTH_a", "d", {})

        def never_empty(*_: object) -> None:
            raise ContainerNotEmpty("d")

        self.patch(self.store, "delete_container", never_empty)
        with self.assertRaises(_purge.StillFilled):
            await self.run_all(Saving({"account": "AUTH_a", "container": "d"}))

    async def test_account(self) -> None:
        """All containers of the account go, and nobody else's."""
        await fill(self.store, "AUTH_a", "d", 2)
        await fill(self.store, "AUTH_b", "c", 1)
        saving = Saving({"account": "AUTH_a"})
        self.assertEqual(await self.account_kind.steps[0].run(cast(Task, saving)), {"deleted": 9})
        self.assertEqual(await self.store.containers("AUTH_a", Listing()), [])
        self.assertEqual(len(await self.store.containers("AUTH_b", Listing())), 1)
