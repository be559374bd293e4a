"""Tasks that a service calls off, and what asks for them afterwards."""

from __future__ import annotations

from twisted.trial.unittest import TestCase

from cloudd.tasks import Form, Kind, Step, Task, call_off_all, called_off, called_off_before

from .house import FORM, House

OTHER = Form(name="test.other")


class CalledOffTests(TestCase):
    async def test_all_of_a_resource(self) -> None:
        """Those of these forms that have not ended; others, and those of other resources, go on."""
        house = House.built(self)
        mine = await house.submit(resource="a", delay_s=1000)
        others = [await house.submit(resource="b"), await house.submit(form=OTHER, resource="a")]
        ended = await house.submit(resource="a")
        house.set(ended, "state = 'done'")
        self.assertEqual(await house.database.write(call_off_all, [FORM], "a", "why"), 1)
        found = [await house.database.read(called_off, each) for each in (mine, *others, ended)]
        self.assertEqual(found, ["why", "", "", ""])
        self.assertEqual(await house.database.read(called_off_before, others[1], "why"), mine)
        for task_id, cause in ((mine, "why"), (others[0], "why"), (others[1], "another")):
            self.assertIsNone(await house.database.read(called_off_before, task_id, cause))

    async def test_undone(self) -> None:
        """One that waits is due at once, and ends after its undo; until then it is before others."""
        house, undone = House.built(self), list[str]()

        async def step(task: Task) -> None:
            raise AssertionError("it was called off")

        async def undo(task: Task) -> None:
            undone.append(task.id)

        task_id = await house.submit(resource="a", delay_s=1000)
        later = await house.submit(resource="a", form=OTHER)
        await house.database.write(call_off_all, [FORM], "a", "why")
        house.runner(Kind(form=FORM, steps=(Step("one", step),), undo=undo))
        row = await house.until_state(task_id, "failed")
        self.assertEqual((undone, row["cause"]), ([task_id], "why"))
        self.assertIsNone(await house.database.read(called_off_before, later, "why"))
