"""What stands against a rolling upgrade, and in which order nodes are changed."""

from __future__ import annotations

from typing import Any

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from cloudd.nodes import Release
from cloudd.rolling._plan import NodeView, RollingPlan, Survey, examine

from .small_cloud import NEW, OLD, ROW

SWAP = {"kind": "swap", "target_hash": NEW, "warnings": []}
RELEASE = Release(
    id="r", new_hash=NEW, tree="", payloads={}, before={}, state="open", state_s=0, state_by="ann"
)  # fmt: skip


def view(name: str, plan: Any = SWAP, trouble: str = "", **facts: Any) -> NodeView:
    return NodeView(row=evolve(ROW, id=name, name=name, **facts), plan=plan, trouble=trouble)


class PlanTests(SynchronousTestCase):
    def plan(self, *views: NodeView, **facts: Any) -> RollingPlan:
        return examine(Survey(**{"own_id": "b", "nodes": views, "lost_s": 60, **facts}))

    def refused(self, words: str, *views: NodeView, may_pass: bool = False, **facts: Any) -> None:
        plan = self.plan(*views, **facts)
        self.assertEqual(len(plan.causes), 1, plan.causes)
        self.assertIn(words, plan.causes[0])
        self.assertEqual(plan.may_pass, may_pass, words)

    def test_good(self) -> None:
        """By name, and who leads comes last."""
        plan = self.plan(view("c"), view("b"), view("a"))
        self.assertEqual((plan.causes, plan.warnings, plan.target_hash), ([], [], NEW))
        self.assertEqual([node.name for node in plan.progress()], ["a", "c", "b"])
        self.assertEqual({node.before for node in plan.progress()}, {OLD})

    def test_one_may_be_away(self) -> None:
        plan = self.plan(view("a", None, age_s=100), view("b"))
        self.assertEqual(plan.causes, [])
        self.assertIn("a is away", plan.warnings[0])
        self.refused("a, c are away", view("a", None, age_s=100), view("b"), view("c", None, age_s=None))

    def test_nodes_that_are_not_ready_for_it(self) -> None:
        for words, bad in {
            "is draining": view("a", state="draining"),
            "refuses: not allowed": view("a", {"kind": "refused", "cause": "not allowed", "target_hash": NEW}),
        }.items():
            self.refused(words, bad, view("b"))
        for words, bad in {
            "said nothing": view("a", age_s=30),
            "not well: disk: full": view("a", trouble="disk: full"),
            "cannot be asked": view("a", None),
        }.items():
            self.refused(words, bad, view("b"), may_pass=True)
        both = self.plan(view("a", trouble="disk: full"), view("b", state="draining"))
        self.assertEqual((len(both.causes), both.may_pass), (2, False))
        self.assertEqual(self.plan(view("a", state="drained"), view("b")).causes, [])

    def test_other_code_elsewhere(self) -> None:
        """Trees are not copied between nodes: the same must lie on each."""
        other = {**SWAP, "target_hash": "2" * 64}
        words = f"not the same on all nodes (a {'2' * 12}, b {NEW[:12]})"
        self.refused(words, view("a", other), view("b"))

    def test_nothing_to_do(self) -> None:
        has = {**SWAP, "kind": "nothing"}
        self.refused("run 111111111111 already", view("a", has), view("b", has))
        self.assertEqual(self.plan(view("a", has), view("b")).causes, [])

    def test_under_way(self) -> None:
        self.refused("task t-1", view("b"), open_task="t-1")

    def test_the_last_one_is_not_final(self) -> None:
        """More nodes of the same code are welcome, other code is not."""
        self.assertEqual(self.plan(view("b"), release=RELEASE).causes, [])
        self.refused("cloudctl finalize", view("b"), release=evolve(RELEASE, new_hash="2" * 64))

    def test_tables_that_were_closed(self) -> None:
        self.refused("closed to releases before 0007", view("b"), code_revision="0006", oldest_revision="0007")
        for revision in ("0007", "0008", ""):
            self.assertEqual(self.plan(view("b"), code_revision=revision, oldest_revision="0007").causes, [])

    def test_what_runs_now(self) -> None:
        """A node's row may be some seconds old: what it says itself counts, for the way back."""
        plan = self.plan(view("a", {**SWAP, "running_hash": "3" * 64}, code_hash=NEW), view("b"))
        self.assertEqual([node.before for node in plan.progress()], ["3" * 64, OLD])

    def test_what_the_code_before_reads(self) -> None:
        """Versions that all of it reads; who has the new code already has no say."""
        plan = self.plan(
            view("a", payloads={"x": [1, 2], "y": [1]}),
            view("b", payloads={"x": [2, 3]}),
            view("c", payloads={"x": [9]}, code_hash=NEW),
        )
        self.assertEqual(plan.payloads(), {"x": [2], "y": [1]})
