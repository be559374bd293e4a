"""A request that waits for the end of a task."""

from __future__ import annotations

from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from cloudd.tasks import Fields, Kind, NoSuchTask, Step, Task, TaskFailed, wait_for_end

from .house import FORM, House


class WaitingTests(TestCase):
    def setUp(self) -> None:
        self.house = House.built(self)

    def wait(self, task_id: str) -> Deferred[Any]:
        return Deferred.fromCoroutine(wait_for_end(reactor, self.house.database, task_id))

    async def test_done(self) -> None:
        """Its result, when it has ended and no earlier."""
        gate: Deferred[None] = Deferred()

        async def work(task: Task) -> Fields | None:
            await gate
            return {"deleted": 3}

        waiting = self.wait(await self.house.submit())
        runner = self.house.runner(Kind(form=FORM, steps=(Step("work", work),)))
        await self.house.until(lambda: runner.running)
        self.assertNoResult(waiting)
        gate.callback(None)
        self.assertEqual(await waiting, {"deleted": 3})

    async def test_failed(self) -> None:
        """Its cause."""

        async def work(_task: Task) -> Fields | None:
            raise TaskFailed("it is broken")

        task_id = await self.house.submit()
        self.house.runner(Kind(form=FORM, steps=(Step("work", work),)))
        with self.assertRaisesRegex(TaskFailed, "it is broken"):
            await self.wait(task_id)

    async def test_unknown(self) -> None:
        with self.assertRaises(NoSuchTask):
            await self.wait("none")
