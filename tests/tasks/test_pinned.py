"""Rows are written so that every node reads them that may come to run them."""

from __future__ import annotations

import json
import time
from typing import Any

from twisted.trial.unittest import TestCase

from cloudd.tasks import Fields, Form, Kind, Step, Task
from reload import Converters

from .database import ask
from .house import House

DAY_US = 86_400_000_000


def up(fields: Fields) -> Fields:
    return {**fields, "more": 1}


def down(fields: Fields) -> Fields:
    return {name: value for name, value in fields.items() if name != "more"}


def form() -> Form:
    """Of version 2, which it would write."""
    converters = Converters()
    converters.add("test.work", 1, up=up, down=down)
    return Form(name="test.work", version=2, converters=converters)


class PinnedTests(TestCase):
    def setUp(self) -> None:
        self.house = House.built(self)

    def node(self, name: str, reads: list[int], age_us: int = 0, state: str = "ready") -> None:
        payloads = json.dumps({"test.work": reads})
        contact_us = time.time_ns() // 1000 - age_us  # the database's clock is this machine's
        ask(
            self.house.folder,
            "INSERT INTO nodes (id, name, state, state_us, payloads, contact_us, created_us) "
            f"VALUES ('{name}', '{name}', '{state}', 0, '{payloads}', {contact_us}, 0)",
        )

    async def version(self) -> int:
        """In which a task is written now."""
        task_id = await self.house.submit(form=form(), payload={"name": "x", "more": 1})
        row = self.house.row(task_id)
        self.assertEqual("more" in json.loads(row["payload"]), row["version"] == 2)
        return int(row["version"])

    async def test_oldest_node(self) -> None:
        self.assertEqual(await self.version(), 2)
        self.node("new", [1, 2])
        self.assertEqual(await self.version(), 2)
        self.node("old", [1])
        self.assertEqual(await self.version(), 1)

    async def test_who_does_not_count(self) -> None:
        """Who was removed, or away for more than a day; who is only lost comes back, and will read it."""
        self.node("removed", [1], state="removed")
        self.node("forgotten", [1], age_us=DAY_US + 60_000_000)
        self.assertEqual(await self.version(), 2)
        self.node("lost", [1], age_us=3_600_000_000)
        self.assertEqual(await self.version(), 1)

    async def test_the_way_back(self) -> None:
        """Code that an open release leads back to counts, though no node runs it."""
        ask(
            self.house.folder,
            "INSERT INTO releases (id, new_hash, tree, payloads, nodes, state, state_us, created_us) "
            "VALUES ('r', 'h', '', '{\"test.work\": [1]}', '{}', 'open', 0, 0)",
        )
        self.assertEqual(await self.version(), 1)
        ask(self.house.folder, "UPDATE releases SET state = 'final'")
        self.assertEqual(await self.version(), 2)

    async def test_steps_too(self) -> None:
        """What a step saves is pinned as well, and read by this code all the same."""
        self.node("old", [1])
        seen: list[Any] = []

        async def work(task: Task) -> Fields | None:
            if not task.state:
                await task.save({"name": "x", "more": 1})
                seen.append(self.house.row(task.id)["step_version"])
                raise ValueError("once more, from the row")
            seen.append(task.state)
            return None

        runner = self.house.runner(Kind(form=form(), steps=(Step("work", work),)))
        await self.house.until_state(await self.house.submit(runner, form=form()), "done")
        self.assertEqual(seen, [1, {"name": "x", "more": 1}])
