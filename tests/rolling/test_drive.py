"""One node, bit by bit: each outcome of an order, silence, loss, and the way back."""

from __future__ import annotations

from typing import Any

from attrs import evolve
from twisted.trial.unittest import TestCase

from cloudd.rolling._drive import BUSY_S, SILENT_S, Drive, Wanted
from cloudd.rolling._gate import PATIENCE_S
from cloudd.rolling._progress import (
    AWAY,
    BACK,
    DONE,
    FAILED,
    GONE,
    ORDERED,
    RETURNING,
    SETTLING,
    STUCK,
    WAITING,
    NodeProgress,
)

from .small_cloud import NEW, OLD, SmallCloud

MOST_BITS = 2_000
ENDS = (AWAY, GONE, DONE, FAILED, BACK, STUCK)


class DriveCase(TestCase):
    def setUp(self) -> None:
        self.cloud = SmallCloud(["a"])
        self.node = NodeProgress(id="a", name="A", before=OLD)
        self.drive = self.new_drive()
        self.seen: list[str] = []

    def new_drive(self) -> Drive:
        """Of a controller that has just taken over."""
        wanted = Wanted(
            prefix="rolling-1", tree="/new", target_hash=NEW, how="", canary=None, settle_s=5, who="ann"
        )  # fmt: skip
        return Drive(self.cloud, wanted)

    @property
    def facts(self) -> dict[str, Any]:
        return self.cloud.facts["a"]

    async def go(self, way: str = "forward", until: tuple[str, ...] = ENDS) -> None:
        for _ in range(MOST_BITS):
            if self.node.state in until:
                return
            rows = {row.id: row for row in await self.cloud.nodes()}
            await getattr(self.drive, way)(self.node, rows)
            if self.seen[-1:] != [self.node.state]:
                self.seen.append(self.node.state)
            self.cloud.now += 1
        raise AssertionError(f"it does not end: {self.node}")

    def assertNode(self, state: str, changed: bool, words: str = "") -> None:
        self.assertEqual((self.node.state, self.node.changed), (state, changed), self.node)
        self.assertIn(words, self.node.cause)


class ForwardTests(DriveCase):
    async def test_good(self) -> None:
        await self.go()
        self.assertEqual(self.seen, [ORDERED, SETTLING, DONE])
        self.assertNode(DONE, changed=True)
        self.assertEqual(self.facts["hash"], NEW)

    async def test_has_it_already(self) -> None:
        """Nothing to do is as good, and nothing is to be taken back."""
        self.facts["hash"] = NEW
        await self.go()
        self.assertNode(DONE, changed=False)

    async def test_away_and_gone(self) -> None:
        self.facts["lost"] = True
        await self.go()
        self.assertNode(AWAY, changed=False, words="left out")
        self.node.enter(WAITING)
        self.facts["removed"] = True
        await self.go()
        self.assertNode(GONE, changed=False)
        self.assertEqual(self.cloud.log, [])

    async def test_refused_by_the_outcome(self) -> None:
        for result in ("failed", "refused"):
            self.facts.update(results=[result], orders={})
            self.node.enter(WAITING)
            await self.go()
            self.assertNode(FAILED, changed=False, words=f"{result} on purpose")

    async def test_busy(self) -> None:
        """Another order follows one that came when the node was at another change."""
        self.facts["results"] = ["busy", "busy"]
        await self.go()
        self.assertNode(DONE, changed=True)
        self.assertEqual(len(self.facts["orders"]), 3)

    async def test_busy_for_ever(self) -> None:
        cases: tuple[dict[str, Any], ...] = (
            {"results": ["busy"] * MOST_BITS},
            {"refuses": "another change is under way"},
        )
        for facts in cases:
            self.facts.update(facts)
            self.node.enter(WAITING)
            began = self.cloud.now
            await self.go()
            self.assertNode(FAILED, changed=False)
            self.assertGreater(self.cloud.now - began, BUSY_S)
            self.drive = self.new_drive()

    async def test_silent_for_a_while(self) -> None:
        """Its agent is just replaced, or the broker is away: that it still writes to the registry is enough."""
        self.facts["silent"] = 100
        await self.go()
        self.assertNode(DONE, changed=True)

    async def test_silent_for_ever(self) -> None:
        self.facts["silent"] = True
        await self.go()
        self.assertNode(FAILED, changed=True, words="does not answer")
        self.assertGreater(self.cloud.now, SILENT_S)

    async def test_lost_while_it_changes(self) -> None:
        """That is no node that may be left out: the new code may have done it."""
        self.facts["polls"] = 1000
        await self.go(until=(ORDERED,))
        self.facts["lost"] = True
        await self.go()
        self.assertNode(FAILED, changed=True, words="lost meanwhile")

    async def test_removed_while_it_changes(self) -> None:
        """Whatever it is at: the others go on without it."""
        for state in (ORDERED, SETTLING):
            self.setUp()
            self.facts["polls"] = 2
            await self.go(until=(state,))
            self.facts["removed"] = True
            await self.go()
            self.assertEqual(self.node.state, GONE)

    async def test_not_well(self) -> None:
        self.facts["trouble"] = "objects: the store does not answer"
        await self.go()
        self.assertNode(FAILED, changed=True, words="not well with the new code: objects: the store")
        self.assertGreater(self.cloud.now, PATIENCE_S)

    async def test_cannot_do_what_waits(self) -> None:
        """New code that reads not all open tasks is found out on the first node."""
        self.cloud.bad_tasks = "it cannot do tasks that are open: x in version 1"
        await self.go()
        self.assertNode(FAILED, changed=True, words="tasks that are open")

    async def test_goes_back_by_itself(self) -> None:
        """A node whose own supervision hands back after the commit does not run the target: the gate sees it."""
        await self.go(until=(SETTLING,))
        self.facts["hash"] = OLD
        await self.go()
        self.assertNode(FAILED, changed=True, words="has not said yet that it runs")

    async def test_taken_over_at_each_bit(self) -> None:
        """A controller that knows only what was saved goes on, and nothing is ordered twice."""
        while self.node.state not in ENDS:
            self.drive = self.drive if self.node.state == SETTLING else self.new_drive()
            rows = {row.id: row for row in await self.cloud.nodes()}
            await self.drive.forward(self.node, rows)
            self.cloud.now += 1
        self.assertNode(DONE, changed=True)
        self.assertEqual(self.cloud.log, ["a upgrade"])


class BackTests(DriveCase):
    async def test_removed(self) -> None:
        for state in (ORDERED, RETURNING):
            self.facts.pop("removed", None)
            self.node.enter(state)
            self.facts["removed"] = True
            await self.go("back")
            self.assertEqual(self.node.state, GONE)

    async def changed(self) -> None:
        await self.go()
        self.node.enter(RETURNING)
        self.seen.clear()

    async def test_good(self) -> None:
        await self.changed()
        await self.go("back")
        self.assertNode(BACK, changed=False)
        self.assertEqual(self.facts["hash"], OLD)

    async def test_waits_for_its_order(self) -> None:
        """One whose upgrade runs is waited for first, whatever becomes of it."""
        for result, steps in (("committed", [ORDERED, RETURNING, BACK]), ("failed", [ORDERED, BACK])):
            self.setUp()
            self.facts.update(polls=3, results=[result])
            await self.go(until=(ORDERED,))
            await self.drive.forward(self.node, {"a": self.cloud.row("a")})
            await self.go("back")
            self.assertEqual(self.seen, steps)
            self.assertEqual(self.facts["hash"], OLD)

    async def test_never_sent(self) -> None:
        """An order that was saved and not sent is not begun on the way back."""
        await self.go(until=(ORDERED,))
        await self.go("back")
        self.assertNode(BACK, changed=False)
        self.assertEqual(self.cloud.log, [])

    async def test_sent_too_late(self) -> None:
        """Nor afterwards, by who was stopped in between and does not know of the way back."""
        await self.go(until=(ORDERED,))
        stopped, node = self.new_drive(), evolve(self.node)
        await self.go("back")
        await stopped.forward(node, {"a": self.cloud.row("a")})
        self.assertEqual((node.state, self.cloud.log, self.facts["hash"]), (FAILED, [], OLD))

    async def test_is_there_already(self) -> None:
        """It may have gone back by itself; then a rollback would lead elsewhere, and is refused."""
        await self.changed()
        self.facts.update(hash=OLD, previous=NEW)
        await self.go("back")
        self.assertNode(BACK, changed=False)

    async def test_stuck(self) -> None:
        """One that cannot is told of with its cause: it was lost, its rollback failed, something else ran before."""
        cases: dict[str, dict[str, Any]] = {
            "lost meanwhile": {"lost": True},
            "does not answer": {"silent": True},
            "failed on purpose": {"results": ["failed"]},
            "would load 2222": {"previous": "2" * 64},
        }
        for words, facts in cases.items():
            self.setUp()
            await self.changed()
            self.facts.update(facts)
            await self.go("back")
            self.assertNode(STUCK, changed=True, words=words)

    async def test_busy(self) -> None:
        await self.changed()
        self.facts["results"] = ["busy"]
        await self.go("back")
        self.assertNode(BACK, changed=False)
