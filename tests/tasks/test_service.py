"""Tasks as a part of a generation: who runs, what health and metrics say, what operators may ask."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from cloudd.daemon._metrics import WorkerMetrics
from cloudd.interfaces.application import Host, Resources, SelfCheckFailed, WorkForm, WorkReport
from cloudd.interfaces.settings import Settings, TaskSettings
from cloudd.tasks import Fields, Form, Kind, Step, Task, TaskError, TaskFailed, Tasks, _operators, _service
from reload import Converters

from .house import FORM, House


class ServiceCase(TestCase):
    def setUp(self) -> None:
        self.house = House.built(self)
        self.metrics = WorkerMetrics()
        self.answer: Any = {"a": 1}
        self.patch(_service, "COUNT_EVERY_S", 0.05)

    async def work(self, _task: Task) -> Fields | None:
        if isinstance(self.answer, Exception):
            raise self.answer
        if isinstance(self.answer, Deferred):
            await self.answer
            return None
        found: Fields | None = self.answer
        return found

    def tasks(
        self,
        role: str = "agent",
        form: Form = FORM,
        *,
        leads: bool = True,
        kind_keeps_s: float | None = None,
        **settings: Any,
    ) -> Tasks:
        resources = Resources(
            reactor=reactor,
            settings=Settings(state=Path(self.mktemp()), tasks=TaskSettings(**settings)),
            threads=cast(Any, None),
            database=self.house.database,
            object_index=self.house.database,
            metrics=self.metrics,
            host=cast(Host, None),
            role=role,
            generation=3,
            urls={},
            secrets=Path("/nowhere"),
        )
        tasks = Tasks(resources, [Kind(form=form, steps=(Step("one", self.work),), keep_s=kind_keeps_s)])
        tasks.start({})
        if leads:
            tasks.lead()
        self.addCleanup(tasks.rest)
        self.addCleanup(tasks.retire)
        return tasks

    def metric(self, name: str, **labels: str) -> float | None:
        return self.metrics.registry.get_sample_value(name, labels)


class RunTests(ServiceCase):
    async def test_only_the_agent_runs(self) -> None:
        """A front worker submits; the agent's worker sees it."""
        front = self.tasks("front")
        task_id = await front.submit(FORM, {})
        self.assertEqual((front.health(), self.house.row(task_id)["state"]), ([], "queued"))
        self.successResultOf(front.rest())
        self.tasks("agent")
        await self.house.until_state(task_id, "done")

    async def test_code_that_does_not_lead(self) -> None:
        """Nothing is run before it is its turn; what never ran anything has nothing to give back."""
        tasks = self.tasks(leads=False)
        task_id = await tasks.submit(FORM, {})
        await deferLater(reactor, 0.4)
        self.assertEqual(self.house.row(task_id)["state"], "queued")
        tasks.retire()
        self.successResultOf(tasks.rest())

    async def test_code_on_trial(self) -> None:
        """It runs the kinds that have gone over and spares them; when it is decided for it does all there is to do."""
        front = self.tasks("front")
        self.assertEqual((front.work(), front.work_reports()), ({}, {}))
        old, new = self.tasks(), self.tasks(leads=False)
        self.assertEqual((old.work(), new.work_reports()), ({FORM.name: WorkForm((1,), 1)}, {FORM.name: WorkReport()}))
        old.lead([])
        new.lead([FORM.name], on_trial=True)
        self.answer = TaskFailed("no")
        task_id = await old.submit(FORM, {})
        new.poke()
        await self.house.until(lambda: new.work_reports()[FORM.name].troubles)
        self.assertEqual(new.work_reports()[FORM.name], WorkReport(1, 1, 0, "no"))
        self.assertEqual((old.work_reports()[FORM.name], self.house.row(task_id)["state"]), (WorkReport(), "queued"))
        old.retire()
        new.lead()
        await self.house.until_state(task_id, "failed")
        await self.house.until(lambda: self.metric("cloudd_tasks", kind=FORM.name, state="failed"))
        self.assertEqual(new.work_reports()[FORM.name].cause, "no")

    async def test_retire(self) -> None:
        """What runs gives its lease back, and the timers end with it."""
        self.answer = Deferred()
        tasks = self.tasks()
        task_id = await tasks.submit(FORM, {})
        row = await self.house.until_state(task_id, "running")
        self.assertIn("generation 3", row["lease_owner"])
        tasks.retire()
        resting = tasks.rest()
        self.assertNoResult(resting)
        self.answer.callback(None)
        await resting
        self.assertEqual(tasks.snapshot(), {})

    async def test_self_check(self) -> None:
        """A form that writes what it cannot read, or a table that is not there, is found before the first task."""
        await self.tasks("front").self_check()
        bad = Form(name=FORM.name, version=2, emits=1, converters=self.only_down())
        with self.assertRaises(SelfCheckFailed) as caught:
            await self.tasks("front", form=bad).self_check()
        self.assertIn("writes version 1 and cannot read it", str(caught.exception))

        def broken(_connection: Any) -> float:
            raise OSError("no such table")

        self.patch(_operators, "overdue_s", broken)
        with self.assertRaises(SelfCheckFailed):
            await self.tasks("front").self_check()

    @staticmethod
    def only_down() -> Converters:
        converters = Converters()
        converters.add(FORM.name, 1, down=dict)
        return converters

    async def test_forgets_a_kind_sooner(self) -> None:
        """Where its results are large, or nobody else's business."""
        self.patch(_service, "FORGET_EVERY_S", 0.05)
        ids = [await self.house.submit() for _ in range(3)]
        self.house.set(ids[0], "state = 'done', due_us = NULL, updated_us = updated_us - 70000000")
        self.house.set(ids[1], "state = 'done', due_us = NULL, updated_us = updated_us - 70000000, kind = 'another'")
        self.house.set(ids[2], "state = 'done', due_us = NULL")
        self.tasks(kind_keeps_s=60.0)
        await self.house.until(lambda: ids[0] not in self.house.database_ids())
        self.assertEqual(set(self.house.database_ids()), set(ids[1:]))

    async def test_old_tasks_are_forgotten(self) -> None:
        """Those that are done sooner than those that failed."""
        self.patch(_service, "FORGET_EVERY_S", 0.05)
        ids = [await self.house.submit(delay_s=1e6) for _ in range(2)]
        for task_id, state in zip(ids, ("done", "failed"), strict=True):
            self.house.set(task_id, f"state = '{state}', due_us = NULL, updated_us = updated_us - 100000000")
        tasks = self.tasks(keep_s=90, keep_failed_s=1000)
        await self.house.until(lambda: len(self.house.database_ids()) == 1)
        self.assertEqual(self.house.database_ids(), [ids[1]])
        tasks.retire()


class StatusTests(ServiceCase):
    async def test_health_and_metrics(self) -> None:
        """What is open and what has failed is told, and neither makes the host ill; outcomes are counted."""
        tasks = self.tasks()
        self.assertEqual([(part.ok, part.cause) for part in tasks.health()], [(True, "")])
        await self.house.until_state(await tasks.submit(FORM, {}), "done")
        self.answer = TaskFailed("no")
        await self.house.until_state(await tasks.submit(FORM, {}), "failed")
        await tasks.submit(FORM, {}, delay_s=1000)
        await self.house.until(lambda: "1 queued, 0 running, 1 failed" in tasks.health()[0].cause)
        [part] = tasks.health()
        self.assertTrue(part.ok)
        self.assertIn("1 queued, 0 running, 1 failed; the oldest that is not done was ordered", part.cause)
        self.assertIn("cloudctl task list", part.cause)
        self.assertEqual(self.metric("cloudd_tasks", kind=FORM.name, state="failed"), 1)
        await self.house.until(lambda: self.metric("cloudd_task_seconds_count", kind=FORM.name) == 2)
        for how in ("done", "failed"):
            self.assertEqual(self.metric("cloudd_task_ends_total", kind=FORM.name, how=how), 1)
        self.answer = None
        for task in (await tasks.calls()["tasks.list"]())["tasks"]:
            if task["state"] != "done":
                await tasks.calls()["tasks.retry"](task_id=task["id"], who="me")
        await self.house.until(lambda: not self.metric("cloudd_tasks", kind=FORM.name, state="failed"))

    async def test_stuck(self) -> None:
        """A task that nobody takes up makes the part fail, with what to do."""
        self.patch(_service, "STUCK_S", 0.2)
        tasks = self.tasks()
        await self.house.submit(form=Form(name="test.unknown"))
        await self.house.until(lambda: not tasks.health()[0].ok)
        self.assertIn("this code has no kind of its name", tasks.health()[0].cause)

    async def test_busy_is_not_stuck(self) -> None:
        """While all places are taken, others wait for them."""
        self.patch(_service, "STUCK_S", 0.1)
        self.answer = Deferred()
        tasks = self.tasks(parallel=1)
        for _ in range(2):
            await tasks.submit(FORM, {})
        await self.house.until(lambda: tasks._overdue_s > 0.2)
        self.assertTrue(tasks.health()[0].ok)
        self.answer.callback(None)


class CallTests(ServiceCase):
    async def test_calls(self) -> None:
        """List, show, cancel and retry, with refusals in words."""
        tasks = self.tasks()
        calls = tasks.calls()
        self.answer = TaskFailed("no")
        task_id = await tasks.submit(FORM, {"x": 1})
        await self.house.until_state(task_id, "failed")
        self.assertEqual((await calls["tasks.show"](task_id=task_id))["payload"], {"x": 1})
        self.answer = {"a": 1}
        self.assertEqual((await calls["tasks.retry"](task_id=task_id, who="me"))["state"], "queued")
        await self.house.until_state(task_id, "done")
        found = await calls["tasks.list"](state="done")
        self.assertEqual(([task["id"] for task in found["tasks"]], found["more"]), ([task_id], False))
        waiting = await tasks.submit(FORM, {}, delay_s=1000)
        await calls["tasks.cancel"](task_id=waiting, who="me (process 1)")
        self.assertEqual((await self.house.until_state(waiting, "failed"))["cause"], "cancelled by me (process 1)")
        for wrong in ({"state": "odd"}, {"limit": 0}, {"limit": 1_001}):
            with self.assertRaises(TaskError):
                await calls["tasks.list"](**wrong)
