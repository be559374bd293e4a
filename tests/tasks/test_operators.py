"""What operators see of tasks and may do with them."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import TestCase

from cloudd.nodes import _rows as node_rows
from cloudd.tasks import Form, LeaseLost, NoSuchTask, WrongState, _operators, _rows, call_off_all

from .house import FORM, House


class OperatorCase(TestCase):
    def setUp(self) -> None:
        self.house = House.built(self)
        self.database = self.house.database

    async def listed(self, **facts: Any) -> tuple[list[str], bool]:
        tasks, more = await self.database.read(_operators.listed, **facts)
        return [task["id"] for task in tasks], more


class LookTests(OperatorCase):
    async def test_listed(self) -> None:
        """Newest first; by state, kind and project; what is left out is said."""
        ids = [await self.house.submit(project_id="p" if number else None) for number in range(3)]
        other = await self.house.submit(form=Form(name="test.other"))
        for number, task_id in enumerate([*ids, other]):
            self.house.set(task_id, f"created_us = {number + 1}")
        self.house.set(ids[1], "state = 'failed', cause = 'why', due_us = NULL")
        self.assertEqual(await self.listed(), ([other, *reversed(ids)], False))
        self.assertEqual(await self.listed(limit=2), ([other, ids[2]], True))
        self.assertEqual(await self.listed(state="failed"), ([ids[1]], False))
        self.assertEqual(await self.listed(kind="test.other"), ([other], False))
        self.assertEqual(await self.listed(project_id="p", state="queued"), ([ids[2]], False))

    async def test_shown(self) -> None:
        """Payload, state and result as data; nothing of a lease but who has it."""
        task_id = await self.house.submit(payload={"a": 1}, resource="r", delay_s=50)
        shown = await self.database.read(_operators.shown, task_id)
        self.assertEqual((shown["payload"], shown["step_state"], shown["result"]), ({"a": 1}, {}, {}))
        self.assertTrue(40 < shown["waits_s"] <= 50)
        self.house.set(task_id, "due_us = 1")
        [(lease, _)] = await self.database.write(_rows.claim, {FORM.name: (1,)}, "me", 30_000_000, 1)
        shown = await self.database.read(_operators.shown, task_id)
        self.assertEqual((shown["owner"], shown["state"]), ("me", "running"))
        self.assertNotIn(lease.token, str(shown))
        await self.assertFailure(self.database.read(_operators.shown, "x"), NoSuchTask)

    async def test_counts(self) -> None:
        """By kind and state, without what is done; how long something has waited for a runner."""
        self.assertEqual(await self.database.read(_operators.counts), [])
        self.assertEqual(await self.database.read(_operators.overdue_s), 0)
        ids = [await self.house.submit() for _ in range(3)]
        self.house.set(ids[0], "state = 'done', due_us = NULL")
        self.house.set(ids[1], "due_us = due_us - 50000000, created_us = created_us - 50000000")
        [count] = await self.database.read(_operators.counts)
        self.assertEqual((count.kind, count.state, count.number), (FORM.name, "queued", 2))
        for waited_s in (count.age_s, await self.database.read(_operators.overdue_s)):
            self.assertTrue(50 <= waited_s < 80)


class NodeTests(OperatorCase):
    async def test_removed(self) -> None:
        """What a node alone could do has failed with it, also what it runs just now, and is never tried again."""
        await self.database.write(node_rows.enter, "n" * 32, "one", (), "ready", "me")
        ids = [await self.house.submit(node_id="n" * 32) for _ in range(2)]
        other = await self.house.submit()
        here = _rows.Here("n" * 32, shared=False)
        [(lease, _)] = await self.database.write(_rows.claim, {FORM.name: (1,)}, "me", 30_000_000, 1, here)
        self.assertEqual((await self.database.read(_operators.shown, ids[0]))["node"], "one")
        self.assertEqual(await self.database.read(_operators.overdue_s, _rows.Here("m", shared=False)), 0)
        await self.database.write(_operators.fail_of_node, "n" * 32, "it was removed")
        for task_id in ids:
            shown = await self.database.read(_operators.shown, task_id)
            self.assertEqual((shown["state"], shown["cause"], shown["owner"]), ("failed", "it was removed", ""))
        self.assertEqual(self.house.row(other)["state"], "queued")
        await self.assertFailure(self.database.write(_rows.finish, lease, None), LeaseLost)
        self.assertEqual((await self.database.write(_operators.retry, ids[0]))["state"], "queued")
        await self.database.write(node_rows.move, "n" * 32, ("ready",), "removed", "me")
        refused = await self.assertFailure(self.database.write(_operators.retry, ids[1]), WrongState)
        self.assertIn("node one alone, which was removed", str(refused))


class ChangeTests(OperatorCase):
    async def cancel(self, task_id: str, *known: str) -> dict[str, Any]:
        found: dict[str, Any] = await self.database.write(_operators.cancel, task_id, "by me", known)
        return found

    async def retry(self, task_id: str) -> dict[str, Any]:
        found: dict[str, Any] = await self.database.write(_operators.retry, task_id)
        return found

    async def test_cancel(self) -> None:
        """One that waits is due at once, for whoever runs it to end it."""
        task_id = await self.house.submit(delay_s=1000)
        found = await self.cancel(task_id, FORM.name)
        self.assertEqual((found["state"], found["cancelled"], found["waits_s"]), ("queued", "by me", 0.0))

    async def test_cancel_of_what_is_called_off(self) -> None:
        """The first cause stays: its undo may go by that."""
        task_id = await self.house.submit(resource="a")
        await self.database.write(call_off_all, [FORM], "a", "why")
        self.assertEqual((await self.cancel(task_id, FORM.name))["cancelled"], "why")

    async def test_cancel_of_what_nobody_runs(self) -> None:
        """A kind that is unknown here cannot be undone: it fails at once."""
        task_id = await self.house.submit()
        found = await self.cancel(task_id, "test.other")
        self.assertEqual((found["state"], found["cause"]), ("failed", "by me"))
        await self.assertFailure(self.database.write(_operators.cancel, task_id, "by me", set()), WrongState)
        await self.assertFailure(self.database.write(_operators.cancel, "x", "by me", set()), NoSuchTask)

    async def test_retry(self) -> None:
        """A failed task goes on where it was, and an undone one from its beginning; one that waits is due now."""
        task_id = await self.house.submit(delay_s=1000)
        self.assertEqual((await self.retry(task_id))["waits_s"], 0.0)
        saved = "step_version = 1, step_state = '{\"a\": 1}', progress = 4"
        for step, left in (("two", ("two", {"a": 1}, 4)), ("undo", ("", {}, 0))):
            self.house.set(
                task_id, f"state = 'failed', due_us = NULL, cancel_cause = 'x', attempts = 9, step = '{step}', {saved}"
            )
            found = await self.retry(task_id)
            self.assertEqual((found["step"], found["step_state"], found["progress"]), left)
            self.assertEqual((found["state"], found["attempts"], found["cancelled"]), ("queued", 0, ""))
        for state in ("running", "done"):
            self.house.set(task_id, f"state = '{state}'")
            await self.assertFailure(self.database.write(_operators.retry, task_id), WrongState)

    async def test_forget(self) -> None:
        """Old ones of one state, so many at a time; never what is open or new."""
        ids = [await self.house.submit() for _ in range(5)]
        for task_id in ids[:3]:
            self.house.set(task_id, "state = 'done', updated_us = updated_us - 100000000")
        self.house.set(ids[3], "state = 'done'")
        self.house.set(ids[4], "updated_us = 0")
        self.assertTrue(await self.database.read(_operators.has_old, "done", 90))
        self.assertEqual([await self.database.write(_operators.forget, "done", 90, 2) for _ in range(3)], [2, 1, 0])
        self.assertFalse(await self.database.read(_operators.has_old, "done", 90))
        self.assertEqual(set((await self.listed())[0]), set(ids[3:]))
