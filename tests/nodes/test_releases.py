"""What ran before a rolling upgrade, as rows; on both databases."""

from __future__ import annotations

from typing import Any

from attrs import evolve
from twisted.trial.unittest import TestCase

from cloudd.nodes import Release, WrongNodeState, begin_release, end_release, latest_release, open_release
from cloudd.nodes._watch import PinWatch

from .house import House

RELEASE = Release(
    id="r1", new_hash="1" * 64, tree="/new", payloads={"work": [1]}, before={"a": "0" * 64}, state="open", state_s=0.0,
    state_by="ann",
)  # fmt: skip


class Rules:
    kind: str

    def setUp(self: Any) -> None:
        self.house = House.built(self, self.kind)
        self.write, self.read = self.house.database.write, self.house.database.read

    async def test_life(self: Any) -> None:
        """Open until it is final or taken back; the next one may follow then."""
        self.assertIsNone(await self.read(open_release))
        await self.write(begin_release, RELEASE)
        found = await self.read(open_release)
        self.assertEqual(evolve(found, state_s=0.0), RELEASE)
        self.assertTrue(await self.write(end_release, "r1", "final", "bob"))
        self.assertFalse(await self.write(end_release, "r1", "back", "bob"))
        self.assertIsNone(await self.read(open_release))
        last = await self.read(latest_release)
        self.assertEqual((last.state, last.state_by), ("final", "bob"))
        await self.write(begin_release, evolve(RELEASE, id="r2", new_hash="2" * 64))

    async def test_one_at_a_time(self: Any) -> None:
        await self.write(begin_release, RELEASE)
        with self.assertRaises(WrongNodeState):
            await self.write(begin_release, evolve(RELEASE, id="r2", new_hash="2" * 64))

    async def test_more_nodes_of_the_same(self: Any) -> None:
        """A later run to the same code adds nodes; what each had first stays, and all of that reads what is written."""
        await self.write(begin_release, RELEASE)
        more = evolve(RELEASE, id="r2", before={"a": "9" * 64, "b": "8" * 64}, payloads={"work": [1, 2], "play": [3]})
        found = await self.write(begin_release, more)
        self.assertEqual((found.id, found.payloads), ("r1", {"work": [1], "play": [3]}))
        found = await self.write(begin_release, evolve(more, payloads={"play": [2]}))
        self.assertEqual(found.payloads, {"work": [1], "play": []})
        self.assertEqual(found.before, {"a": "0" * 64, "b": "8" * 64})

    async def test_pinned(self: Any) -> None:
        """What the code before reads is written as long as there is a way back."""
        watch = PinWatch(self.house.database, 60)
        await self.write(begin_release, RELEASE)
        await watch.look()
        self.assertEqual(watch.pins.emits("work", 2, (1, 2)), 1)
        await self.write(end_release, "r1", "final", "bob")
        self.assertEqual((await watch.read()).emits("work", 2, (1, 2)), 2)


class SqliteTests(Rules, TestCase):
    kind = "sqlite"


class PostgresTests(Rules, TestCase):
    kind = "postgresql"
