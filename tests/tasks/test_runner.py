"""Runners on a real database: steps in order, retries, poison, undo, cancelling, leases that go, rest."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

from sqlalchemy import text
from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from cloudd.tasks import (
    Fields,
    Form,
    Interrupted,
    Kind,
    LeaseLost,
    Retry,
    Step,
    Task,
    TaskFailed,
    _execution,
    _operators,
    _rows,
    _runner,
)
from reload import Converters

from .house import FORM, House
from .walks import book

QUICK = Retry(attempts=3, first_s=0.002, longest_s=0.01)


class RunnerCase(TestCase):
    def setUp(self) -> None:
        self.house = House.built(self)
        self.calls: list[str] = []

    def step(self, name: str, *answers: Any) -> Step:
        """A step that notes each call and gives, or raises, one answer after the other, the last one for ever."""
        left = list(answers) or [None]

        async def run(task: Task) -> Fields | None:
            self.calls.append(name)
            answer = left.pop(0) if len(left) > 1 else left[0]
            if isinstance(answer, Exception):
                raise answer
            if callable(answer):
                answer = await answer(task)
            found: Fields | None = answer
            return found

        return Step(name, run)

    def kind(self, *steps: Step, undo: Callable[[Task], Any] | None = None, **facts: Any) -> Kind:
        return Kind(form=FORM, steps=steps, **{"retry": QUICK, "undo": undo, **facts})

    def ends(self) -> list[str]:
        return [ended.how for ended in self.house.ends]

    async def until_ends(self, *ends: str) -> None:
        """Wait until executions have ended so: a row tells the end before the runner knows that it was written."""
        await self.house.until(lambda: len(self.ends()) >= len(ends))
        self.assertEqual(self.ends(), list(ends))


class StepTests(RunnerCase):
    async def test_steps_in_order(self) -> None:
        """The state stays from step to step, the last step's answer is the result; what waited is begun at once."""
        seen: list[Any] = []

        async def save(task: Task) -> None:
            await task.save({"a": 1}, progress=2, total=5)

        async def look(task: Task) -> Fields:
            seen.append((task.payload, task.state, task.project_id, task.resource, task.attempt, task.progress))
            return {"b": [2]}

        runner = self.house.runner(self.kind(self.step("one", save), self.step("two", look)))
        began = time.monotonic()
        task_id = await self.house.submit(runner, payload={"x": "y"}, project_id="p", resource="r")
        row = await self.house.until_state(task_id, "done")
        self.assertLess(time.monotonic() - began, 5)
        self.assertEqual(seen, [({"x": "y"}, {"a": 1}, "p", "r", 1, 2)])
        self.assertEqual((row["result"], row["progress"], row["total"], row["due_us"]), ('{"b": [2]}', 2, 5, None))
        self.assertEqual(self.calls, ["one", "two"])
        await self.until_ends("done")

    async def test_another_workers_order_is_seen(self) -> None:
        """Nobody pokes: the commit is seen."""
        self.house.runner(self.kind(self.step("one")))
        await deferLater(reactor, 0.4)  # it has looked, and found nothing
        await self.house.until_state(await self.house.submit(), "done")

    async def test_at_most_so_many(self) -> None:
        """No more run at one time than allowed; the others follow."""
        open_steps: list[Deferred[None]] = []

        async def wait(_task: Task) -> None:
            open_steps.append(Deferred())
            await open_steps[-1]

        runner = self.house.runner(self.kind(self.step("one", wait)), parallel=2)
        for _ in range(5):
            await self.house.submit(runner)
        for count in (2, 3, 4, 5):
            await self.house.until(partial(self.has, open_steps, count))
            await deferLater(reactor, 0.02)
            self.assertEqual((len(open_steps), runner.running), (count, 2))
            open_steps[count - 2].callback(None)
        open_steps[-1].callback(None)
        await self.house.until(lambda: self.ends() == ["done"] * 5)

    @staticmethod
    def has(steps: list[Deferred[None]], count: int) -> bool:
        return len(steps) == count

    async def test_write_holds_the_lease(self) -> None:
        """What a step writes to the database is there once, with what it saved."""

        async def write(task: Task) -> None:
            await task.write(book, task.id, "x", state={"booked": True})

        runner = self.house.runner(self.kind(self.step("one", write)))
        task_id = await self.house.submit(runner)
        row = await self.house.until_state(task_id, "done")
        self.assertEqual(row["step_state"], '{"booked":true}')
        found = await self.house.database.read(lambda c: c.exec_driver_sql("SELECT * FROM test_effects").all())
        self.assertEqual([tuple(each) for each in found], [(task_id, "x")])

    async def test_two_releases(self) -> None:
        """A row of the release before is read, and what is saved can be read there."""
        converters = Converters()
        converters.add(FORM.name, 1, up=lambda old: {"count": old["n"]}, down=lambda new: {"n": new["count"]})
        form = Form(name=FORM.name, version=2, emits=1, converters=converters)

        async def save(task: Task) -> Fields:
            await task.save({"count": task.payload["count"] + 1})
            return task.state

        kind = Kind(form=form, steps=(self.step("one", save),))
        runner = self.house.runner(kind)
        row = await self.house.until_state(await self.house.submit(runner, payload={"n": 4}), "done")
        self.assertEqual((row["step_version"], row["step_state"], row["result"]), (1, '{"n":5}', '{"count": 5}'))


class FailureTests(RunnerCase):
    async def test_tried_again(self) -> None:
        """An error is no end: the step begins again later; the cause is shown meanwhile and gone in the end."""
        runner = self.house.runner(self.kind(self.step("one", ValueError("not yet"), {"ok": True})))
        task_id = await self.house.submit(runner)
        row = await self.house.until_state(task_id, "done")
        self.assertEqual(row["cause"], "")
        await self.until_ends("again", "done")

    async def test_waits_between_attempts(self) -> None:
        """A task that has failed is due later by the kind's rule, with its cause, and holds no lease."""
        retry = Retry(attempts=3, first_s=50.0, longest_s=100.0)
        runner = self.house.runner(self.kind(self.step("one", ValueError("not yet")), retry=retry))
        task_id = await self.house.submit(runner)
        row = await self.house.until_state(task_id, "queued") if await self.ended_once() else {}
        now_us = time.time() * 1e6
        self.assertTrue(20e6 < row["due_us"] - now_us < 51e6)
        self.assertEqual((row["cause"], row["lease_token"], row["attempts"]), ("ValueError: not yet", None, 1))

    async def ended_once(self) -> bool:
        return bool(await self.house.until(lambda: self.ends() == ["again"]))

    async def test_poison(self) -> None:
        """After so many attempts in a row it has failed, with the cause."""
        runner = self.house.runner(self.kind(self.step("one", ValueError("never"))))
        row = await self.house.until_state(await self.house.submit(runner), "failed")
        self.assertEqual((row["cause"], row["due_us"]), ("given up after 3 attempts: ValueError: never", None))
        await self.until_ends("again", "again", "failed")

    async def test_poison_that_kills(self) -> None:
        """A task whose process dies each time stops as well, without being begun again."""
        task_id = await self.house.submit()
        self.house.set(task_id, "attempts = 3")
        self.house.runner(self.kind(self.step("one")))
        row = await self.house.until_state(task_id, "failed")
        self.assertEqual(row["cause"], "given up after 3 attempts: its process ended each time")
        self.assertEqual(self.calls, [])

    async def test_progress_is_no_poison(self) -> None:
        """Attempts are counted since something was saved; what repeats itself is no progress."""

        async def get_on(task: Task) -> Fields | None:
            count = task.state.get("count", 0) + 1
            if count > 6:
                return {"count": count}
            await task.save({"count": count})
            raise ValueError("again")

        async def repeat(task: Task) -> None:
            await task.save({"same": True})
            raise ValueError("again")

        runner = self.house.runner(self.kind(self.step("one", get_on)))
        await self.house.until_state(await self.house.submit(runner), "done")
        await runner.rest()
        runner = self.house.runner(self.kind(self.step("one", repeat)))
        await self.house.until_state(await self.house.submit(runner), "failed")

    async def test_any_words(self) -> None:
        """What an error says is kept, whatever it holds."""
        runner = self.house.runner(self.kind(self.step("one", TaskFailed("a\0b \udcff ü")), undo=None))
        row = await self.house.until_state(await self.house.submit(runner), "failed")
        self.assertEqual(row["cause"], "a?b ? ü")

    async def test_permanent(self) -> None:
        """Errors that the kind names, and TaskFailed, end it at once; so does what is no plain data."""
        kind = self.kind(
            self.step("one", KeyError("k"), TaskFailed("it is gone"), {"a": b"x"}, {"a": "\udcff"}),
            permanent=(KeyError,),
        )
        runner = self.house.runner(kind)
        for cause in ("KeyError: 'k'", "it is gone", "its result is no plain data", "its result is no plain data"):
            row = await self.house.until_state(await self.house.submit(runner), "failed")
            self.assertIn(cause, row["cause"])

    async def test_undo(self) -> None:
        """It runs before a task has failed, sees what was saved, and is tried again itself."""
        seen: list[Any] = []

        async def save(task: Task) -> None:
            await task.save({"made": "x"})
            raise TaskFailed("no")

        async def undo(task: Task) -> None:
            seen.append(task.state)
            if len(seen) == 1:
                raise ValueError("not yet")

        runner = self.house.runner(self.kind(self.step("one", save), undo=undo))
        row = await self.house.until_state(await self.house.submit(runner), "failed")
        self.assertEqual((row["cause"], row["step"], seen), ("no", "undo", [{"made": "x"}] * 2))

    async def test_undo_that_fails(self) -> None:
        """Both causes are told."""

        async def undo(_task: Task) -> None:
            raise ValueError("stuck")

        runner = self.house.runner(self.kind(self.step("one", TaskFailed("no")), undo=undo))
        row = await self.house.until_state(await self.house.submit(runner), "failed")
        self.assertEqual(row["cause"], "no; and it could not be undone: given up after 3 attempts: ValueError: stuck")

    async def test_deadline(self) -> None:
        """A task that is not done in its time fails: before it begins, or where it saves."""
        saved: list[bool] = []

        async def slow(task: Task) -> None:
            self.house.set(task.id, "deadline_us = 1")
            await task.save({"a": 1})
            saved.append(True)

        runner = self.house.runner(self.kind(self.step("one", slow)))
        first = await self.house.submit(runner, limit_s=0.0)
        second = await self.house.submit(runner, limit_s=100.0)
        for task_id in (first, second):
            row = await self.house.until_state(task_id, "failed")
            self.assertEqual(row["cause"], "it was not done in its time")
        self.assertEqual((self.calls, saved), (["one"], []))

    async def test_time_from_its_first_claim(self) -> None:
        """Its wait for a runner does not count, and another claim does not begin it anew."""

        async def look(task: Task) -> Fields:
            row = self.house.row(task.id)
            if len(self.calls) == 1:
                raise OSError("once more")
            return {"deadline_us": row["deadline_us"]}

        task_id = await self.house.submit(run_s=100.0)
        self.assertIsNone(self.house.row(task_id)["deadline_us"])
        self.house.set(task_id, "created_us = 1, due_us = 1")
        before_us = time.time() * 1e6
        self.house.runner(self.kind(self.step("one", look)))
        deadline_us = (await self.house.until_state(task_id, "done"))["deadline_us"]
        self.assertTrue(90e6 < deadline_us - before_us < 130e6, deadline_us - before_us)
        self.assertIn(f'"deadline_us": {deadline_us}', self.house.row(task_id)["result"])

    async def test_that_hangs(self) -> None:
        """A step that gives no sign of life is cut off and tried again; what is slow, and saves, goes on."""

        async def hang(_task: Task) -> None:
            await Deferred()

        async def slow(task: Task) -> None:
            for number in range(8):
                await deferLater(reactor, 0.1)
                await task.save({"number": number})

        kind = self.kind(self.step("one", slow), self.step("two", hang, hang, {"a": 1}), silence_s=0.5)
        runner = self.house.runner(kind)
        await self.house.until_state(await self.house.submit(runner), "done")
        self.assertEqual(self.calls, ["one", "two", "two", "two"])
        await self.until_ends("again", "again", "done")

    async def test_row_that_cannot_be_read(self) -> None:
        """It fails in words and does not stop the others."""
        runner = self.house.runner(self.kind(self.step("one")))
        task_id = await self.house.submit()
        self.house.set(task_id, "payload = '{'")
        runner.poke()
        self.assertIn("its row cannot be read", (await self.house.until_state(task_id, "failed"))["cause"])

    async def test_step_that_is_missing(self) -> None:
        """The code before does not know a step of the code after it: it waits for that a while."""
        retry = Retry(attempts=3, first_s=50.0)
        task_id = await self.house.submit()
        self.house.set(task_id, "step = 'new'")
        self.house.runner(self.kind(self.step("one"), retry=retry))
        await self.ended_once()
        row = self.house.row(task_id)
        self.assertEqual((row["state"], row["cause"]), ("queued", "the code that runs has no step 'new'"))


class CancelTests(RunnerCase):
    async def cancel(self, task_id: str) -> None:
        await self.house.database.write(_operators.cancel, task_id, "cancelled by me", {FORM.name})

    async def test_where_it_saves(self) -> None:
        """A running task ends with its next save, is undone, and has failed."""
        undone: list[str] = []

        async def work(task: Task) -> None:
            await self.cancel(task.id)
            await task.save({"a": 1})
            self.calls.append("too far")

        async def undo(task: Task) -> None:
            await task.save({"undone": True})
            undone.append(task.id)

        runner = self.house.runner(self.kind(self.step("one", work), undo=undo))
        task_id = await self.house.submit(runner)
        row = await self.house.until_state(task_id, "failed")
        self.assertEqual((row["cause"], self.calls, undone), ("cancelled by me", ["one"], [task_id]))

    async def test_that_waits(self) -> None:
        """A queued one is never begun."""
        runner = self.house.runner(self.kind(self.step("one")))
        task_id = await self.house.submit(delay_s=1000)
        await self.cancel(task_id)
        runner.poke()
        self.assertEqual((await self.house.until_state(task_id, "failed"))["cause"], "cancelled by me")
        self.assertEqual(self.calls, [])

    async def test_that_hangs(self) -> None:
        """What does not save is cut off when its lease is renewed."""

        async def hang(_task: Task) -> None:
            await Deferred()

        runner = self.house.runner(self.kind(self.step("one", hang)), lease_s=0.9)
        task_id = await self.house.submit(runner)
        await self.house.until(lambda: self.calls == ["one"])
        await self.cancel(task_id)
        self.assertEqual((await self.house.until_state(task_id, "failed"))["cause"], "cancelled by me")


class LeaseTests(RunnerCase):
    async def test_renewed(self) -> None:
        """A step may take longer than a lease lasts: nobody else gets it."""

        async def slow(_task: Task) -> None:
            await deferLater(reactor, 1.6)

        runner = self.house.runner(self.kind(self.step("one", slow)), lease_s=0.6)
        other = self.house.runner(self.kind(self.step("other", slow)), lease_s=0.6)
        task_id = await self.house.submit(runner)
        await self.house.until(lambda: self.calls)
        other.poke()
        await self.house.until_state(task_id, "done")
        self.assertEqual(len(self.calls), 1)

    async def test_taken_over(self) -> None:
        """Whoever lost its lease is cut off and changes nothing any more, even if it does not notice."""
        errors: list[Exception] = []

        async def stubborn(task: Task) -> Fields:
            try:
                await Deferred()
            except CancelledError as error:
                errors.append(error)
            try:
                await task.save({"a": 1})
            except LeaseLost as error:
                errors.append(error)
            return {"by": "first"}

        first = self.house.runner(self.kind(self.step("one", stubborn)), lease_s=0.9)
        task_id = await self.house.submit(first)
        await self.house.until(lambda: self.calls)
        [(lease, _)] = await self.house.database.write(self.steal, task_id)
        await self.until_ends("lost")
        self.assertEqual([type(error) for error in errors], [CancelledError, LeaseLost])
        await self.house.database.write(_rows.finish, lease, {"by": "second"})
        self.assertEqual(self.house.row(task_id)["result"], '{"by": "second"}')

    @staticmethod
    def steal(connection: Any, task_id: str) -> Any:
        connection.execute(text("UPDATE tasks SET due_us = 1 WHERE id = :id"), {"id": task_id})
        return _rows.claim(connection, {FORM.name: (1,)}, "thief", 30_000_000, 1)

    async def test_fence(self) -> None:
        """Who cannot renew takes its lease for lost before anybody else can have it."""
        cut: list[float] = []

        async def hang(_task: Task) -> None:
            try:
                await Deferred()
            except CancelledError:
                cut.append(reactor.seconds())
                raise

        runner = self.house.runner(self.kind(self.step("one", hang)), lease_s=1.0)
        began = reactor.seconds()
        task_id = await self.house.submit(runner)
        await self.house.until(lambda: self.calls)

        def broken(*_: object) -> None:
            raise OSError("no disk")

        self.patch(_rows, "renew", broken)
        await self.until_ends("lost")
        self.assertLess(cut[0] - began, 1.5)
        self.assertEqual(self.house.row(task_id)["state"], "running")

    async def test_database_that_fails(self) -> None:
        """A look that fails is told and tried again."""

        def broken(*_: object) -> None:
            raise OSError("no disk")

        self.patch(_runner, "LONGEST_LOOK_S", 0.3)
        patched = self.patch(_rows, "next_due_us", broken)
        runner = self.house.runner(self.kind(self.step("one")))
        await self.house.until(lambda: "no disk" in runner.cause)
        patched.restore()
        await self.house.until_state(await self.house.submit(), "done")
        self.assertEqual(runner.cause, "")


class LeadTests(RunnerCase):
    """Two generations share the kinds among them."""

    def setUp(self) -> None:
        super().setUp()
        self.other = Form(name="test.other")

    async def test_goes_over(self) -> None:
        """What runs of a kind ends where it saves, and the other runner goes on with it; of other kinds it stays."""
        go: Deferred[None] = Deferred()

        async def work(task: Task) -> Fields:
            if not task.state:
                await go
                await task.save({"half": True})
                self.calls.append("too far")
            return {"by": "first"}

        async def go_on(task: Task) -> Fields:
            return {"by": "second", **task.state}

        kinds = [Kind(form=form, steps=(self.step("one", work),), retry=QUICK) for form in (FORM, self.other)]
        first = self.house.runner(*kinds)
        second = self.house.runner(Kind(form=FORM, steps=(self.step("one", go_on),)), starts=False)
        moved, stays = [await self.house.submit(first, form) for form in (FORM, self.other)]
        await self.house.until(lambda: len(self.calls) == 2)
        self.assertEqual((first.running_of(FORM.name), first.running_of(self.other.name)), (1, 1))
        first.lead([self.other.name], on_trial=False)
        second.lead([FORM.name], on_trial=True)
        second.start()
        go.callback(None)
        row = await self.house.until_state(moved, "done")
        self.assertEqual(row["result"], '{"by": "second", "half": true}')
        row = await self.house.until_state(stays, "done")
        self.assertEqual((row["result"], self.calls.count("too far")), ('{"by": "first"}', 1))
        await second.rest()
        first.lead(first.kinds, on_trial=False)
        last = await self.house.submit(first)
        await self.house.until_state(last, "done")

    async def test_code_on_trial_gives_nothing_up(self) -> None:
        """Whatever goes wrong in it, the task waits for other code, as it was, and nothing counts as an attempt."""
        self.patch(_execution, "TRIAL_WAIT_S", 0.01)
        kind = self.kind(self.step("one", TaskFailed("never"), KeyError("bug")), permanent=(KeyError,))
        first = self.house.runner(kind, starts=False)
        first.lead([FORM.name], on_trial=True)
        first.start()
        task_id = await self.house.submit(first)
        await self.house.until(lambda: len(self.calls) > 8)
        await first.rest()
        row = self.house.row(task_id)
        self.assertEqual((row["state"], row["attempts"], row["cause"]), ("queued", 0, "KeyError: 'bug'"))
        self.assertEqual({(ended.how, ended.cause) for ended in self.house.ends[1:-1]}, {("again", "KeyError: 'bug'")})
        self.house.runner(self.kind(self.step("one")))
        await self.house.until_state(task_id, "done")

    async def test_rows_that_code_on_trial_cannot_use(self) -> None:
        """One that it cannot read, that killed its process too often, or whose step it does not have."""
        self.patch(_execution, "TRIAL_WAIT_S", 30.0)
        for change, cause in (
            ("payload = 'x'", "its row cannot be read"),
            ("attempts = 3", "given up after 3 attempts: its process ended each time"),
            ("step = 'of other code'", "the code that runs has no step 'of other code'"),
        ):
            task_id = await self.house.submit()
            self.house.set(task_id, change)
            runner = self.house.runner(self.kind(self.step("one")), starts=False)
            runner.lead([FORM.name], on_trial=True)
            runner.start()
            await self.house.until(partial(self.cause_of, task_id))
            await runner.rest()
            row = self.house.row(task_id)
            self.assertEqual(row["state"], "queued")
            self.assertIn(cause, row["cause"])
        self.assertEqual(self.calls, [])

    def cause_of(self, task_id: str) -> str:
        cause: str = self.house.row(task_id)["cause"]
        return cause

    async def test_decided_for(self) -> None:
        """When the trial ends well the tasks that run are no longer spared."""
        go: Deferred[None] = Deferred()

        async def fail(_task: Task) -> None:
            await go
            raise TaskFailed("never")

        runner = self.house.runner(self.kind(self.step("one", fail)), starts=False)
        runner.lead([FORM.name], on_trial=True)
        runner.start()
        task_id = await self.house.submit(runner)
        await self.house.until(lambda: self.calls)
        runner.lead(runner.kinds, on_trial=False)
        go.callback(None)
        await self.house.until_state(task_id, "failed")

    async def test_cancelled_on_trial(self) -> None:
        """What somebody wants to end does end."""
        runner = self.house.runner(self.kind(self.step("one")), starts=False)
        runner.lead([FORM.name], on_trial=True)
        task_id = await self.house.submit()
        self.house.set(task_id, "cancel_cause = 'not wanted'")
        runner.start()
        await self.house.until_state(task_id, "failed")
        await self.until_ends("failed")
        self.assertEqual(self.house.ends[0].cause, "")


class RestTests(RunnerCase):
    async def test_ends_where_it_saves(self) -> None:
        """The step ends with its next save, which is kept; another runner goes on from there, at once."""
        go: Deferred[None] = Deferred()

        async def work(task: Task) -> Fields:
            if not task.state:
                await go
                await task.save({"half": True})
                self.calls.append("too far")
            return task.state

        kind = self.kind(self.step("one", work))
        first = self.house.runner(kind)
        task_id = await self.house.submit(first)
        await self.house.until(lambda: self.calls)
        resting = first.rest()
        self.assertNoResult(resting)
        second = self.house.runner(kind)
        go.callback(None)
        await resting
        self.assertEqual(self.ends()[0], "released")
        row = await self.house.until_state(task_id, "done")
        self.assertEqual((self.calls, row["result"]), (["one", "one"], '{"half": true}'))
        await second.rest()

    async def test_between_steps(self) -> None:
        """A step that ends meanwhile has ended: the next one is another runner's."""
        go: Deferred[None] = Deferred()

        async def wait(_task: Task) -> None:
            await go

        kind = self.kind(self.step("one", wait), self.step("two"))
        runner = self.house.runner(kind)
        task_id = await self.house.submit(runner)
        await self.house.until(lambda: self.calls)
        resting = runner.rest()
        go.callback(None)
        await resting
        row = self.house.row(task_id)
        self.assertEqual((row["state"], row["step"], row["attempts"], self.calls), ("queued", "two", 0, ["one"]))

    async def test_what_hangs(self) -> None:
        """After a while it is cut off, and its lease given back; it was no attempt."""

        async def hang(_task: Task) -> None:
            await Deferred()

        self.patch(_runner, "REST_S", 0.1)
        runner = self.house.runner(self.kind(self.step("one", hang)))
        task_id = await self.house.submit(runner)
        await self.house.until(lambda: self.calls)
        await runner.rest()
        row = self.house.row(task_id)
        self.assertEqual((row["state"], row["attempts"], self.ends()), ("queued", 0, ["released"]))

    async def test_swallowed(self) -> None:
        """A step that catches the interruption and goes on does not undo it."""
        go: Deferred[None] = Deferred()

        async def work(task: Task) -> Fields:
            await go
            try:
                await task.save({"a": 1})
            except Interrupted:
                self.calls.append("swallowed")
            return {"done": "nevertheless"}

        runner = self.house.runner(self.kind(self.step("one", work)))
        task_id = await self.house.submit(runner)
        await self.house.until(lambda: self.calls)
        resting = runner.rest()
        go.callback(None)
        await resting
        self.assertEqual((self.house.row(task_id)["state"], self.calls), ("queued", ["one", "swallowed"]))

    async def test_nothing_runs(self) -> None:
        """At once, again too; and nothing is claimed afterwards."""
        runner = self.house.runner(self.kind(self.step("one")))
        await self.house.until(lambda: not runner._looks)
        self.successResultOf(runner.rest())
        self.successResultOf(runner.rest())
        task_id = await self.house.submit(runner)
        await deferLater(reactor, 0.4)
        self.assertEqual(self.house.row(task_id)["state"], "queued")
