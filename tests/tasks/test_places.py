"""Kinds that may not have all places of a host."""

from __future__ import annotations

from functools import partial
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from cloudd.tasks import Fields, Form, Kind, Step, Task, _operators
from cloudd.tasks._places import claim_within, with_room

from .house import FORM, House

GREEDY = Form(name="test.greedy")
READABLE = {FORM.name: (1,), GREEDY.name: (1,)}


class ClaimTests(TestCase):
    def setUp(self) -> None:
        self.house = House.built(self)

    async def claim(self, limit: int, **room: int) -> list[str]:
        limits = {f"test.{name}": most for name, most in room.items()}
        found = await self.house.database.write(claim_within, READABLE, "me", 30_000_000, limit, room=limits)
        return sorted(claimed.kind for _lease, claimed in found)

    async def test_room(self) -> None:
        """No more of a kind than it has room, however many wait; the others get what is left."""
        for _ in range(5):
            await self.house.submit(form=GREEDY)
        for _ in range(2):
            await self.house.submit()
        self.assertEqual(await self.claim(4, greedy=2), ["test.greedy"] * 2 + ["test.work"] * 2)
        self.assertEqual(await self.claim(4, greedy=0), [])
        self.assertEqual(await self.claim(4, greedy=1), ["test.greedy"])
        self.assertEqual(await self.claim(4), ["test.greedy"] * 2)

    async def test_turns(self) -> None:
        """With one place whoever has waited longest gets it, of either."""
        for form in (GREEDY, FORM, GREEDY):
            await self.house.submit(form=form)
        self.assertEqual([await self.claim(1, greedy=1) for _ in range(3)], [[GREEDY.name], [FORM.name], [GREEDY.name]])

    def test_with_room(self) -> None:
        self.assertEqual(with_room(READABLE, {GREEDY.name: 0}), {FORM.name: (1,)})
        self.assertEqual(with_room(READABLE, {GREEDY.name: 1}), READABLE)


class RunnerTests(TestCase):
    async def test_leaves_room(self) -> None:
        """While a kind has all that it may have, and more of it wait, others begin and the wait is no trouble."""
        house = House.built(self)
        held: list[Deferred[None]] = []

        async def wait(_task: Task) -> Fields | None:
            held.append(Deferred())
            await held[-1]
            return None

        async def work(_task: Task) -> Fields | None:
            return None

        greedy = Kind(form=GREEDY, steps=(Step("wait", wait),), share=0.5)
        runner = house.runner(greedy, Kind(form=FORM, steps=(Step("work", work),)))
        for _ in range(6):
            await house.submit(runner, GREEDY)
        await house.until(lambda: len(held) == 2)
        await house.until_state(await house.submit(runner), "done")
        self.assertEqual((len(held), runner.running_of(GREEDY.name), runner.full), (2, 2, [GREEDY.name]))
        self.assertGreater(await house.database.read(_operators.overdue_s), 0)
        self.assertEqual(await house.database.read(_operators.overdue_s, runner.here, runner.full), 0)
        for number in range(6):
            await house.until(partial(self.has_begun, held, number))
            held[number].callback(None)
        await house.until(lambda: [ended.how for ended in house.ends] == ["done"] * 7)
        await deferLater(reactor, 0)

    @staticmethod
    def has_begun(held: list[Any], number: int) -> bool:
        return len(held) > number
