"""Which versions are written while nodes of several releases live."""

from __future__ import annotations

from typing import Any

from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from cloudd.nodes import Pins
from cloudd.nodes._rows import Node

NODE = Node(
    id="a", name="a", roles=("tasks",), address="", state="ready", state_s=0, state_by="", version="1", code_hash="",
    generation=1, payloads={}, load={}, beat_s=5, age_s=1, certificate=0, created=0,
)  # fmt: skip
VERSIONS = st.sets(st.integers(1, 9), min_size=1)


def reading(*versions: int, **facts: Any) -> Node:
    return evolve(NODE, payloads={"work": versions}, **facts)


class PinTests(SynchronousTestCase):
    def emits(self, *nodes: Node, wanted: int = 3, readable: tuple[int, ...] = (2, 3)) -> int:
        return Pins.of(nodes, 60).emits("work", wanted, readable)

    def test_oldest_live_node(self) -> None:
        """The newest that all read, never a newer one than is wanted."""
        self.assertEqual(self.emits(), 3)
        self.assertEqual(self.emits(reading(2, 3), reading(3, 4)), 3)
        self.assertEqual(self.emits(reading(2, 3), reading(1, 2)), 2)
        self.assertEqual(self.emits(reading(2, 3), reading(2, 3), wanted=2), 2)

    def test_who_counts(self) -> None:
        """Silent nodes and drained ones do, lost and removed ones, and those that never said a word, do not."""
        present: list[dict[str, Any]] = [{"age_s": 30}, {"state": "drained"}, {"state": "draining"}]
        for facts in present:
            self.assertEqual(self.emits(reading(2, 3), reading(1, 2, **facts)), 2, facts)
        gone: list[dict[str, Any]] = [{"age_s": 61}, {"state": "removed"}, {"age_s": None}]
        for facts in gone:
            self.assertEqual(self.emits(reading(2, 3), reading(1, 2, **facts)), 3, facts)
        self.assertEqual(self.emits(reading(2, 3), NODE), 3)  # does not know this payload at all

    def test_too_old(self) -> None:
        """A node that reads none of ours cannot hold us at a version that we cannot write."""
        self.assertEqual(self.emits(reading(1)), 2)

    def test_what_can_be_gone_back_to(self) -> None:
        """The code of before an open release counts as one that lives."""
        pins = Pins.of([reading(2, 3)], 60, {"work": [1, 2]})
        self.assertEqual(pins.emits("work", 3, (2, 3)), 2)
        self.assertEqual(Pins.of([reading(2, 3)], 60, {"other": [1]}).emits("work", 3, (2, 3)), 3)

    def test_served(self) -> None:
        """Clients are shown the range of the oldest live node, as long as it lives, and never one of nothing."""

        def served(ours: range, *nodes: Node) -> tuple[int, int]:
            return Pins.of(nodes, 60).served("work", list(ours))

        self.assertEqual(served(range(1, 7)), (1, 6))
        self.assertEqual(served(range(1, 7), reading(*range(1, 6)), reading(*range(1, 7))), (1, 5))
        self.assertEqual(served(range(1, 7), reading(*range(1, 6), age_s=61), reading(*range(1, 7))), (1, 6))
        self.assertEqual(served(range(1, 7), NODE), (1, 6))  # which does not serve that API
        self.assertEqual(served(range(5, 7), reading(1, 2)), (5, 6))

    @given(st.lists(VERSIONS, max_size=4), VERSIONS)
    def test_never_shrinks(self, others: list[set[int]], own: set[int]) -> None:
        """Whoever answers, a client's version that is served by all stays in the range through an upgrade."""
        everybody = [*others, own]
        shown = [Pins.of([reading(*each) for each in everybody], 60).served("work", tuple(each)) for each in everybody]
        if set.intersection(*everybody):
            self.assertEqual(len(set(shown)), 1)
        for low, high in shown:
            self.assertTrue(all(low <= version <= high for version in set.intersection(*everybody)))

    @given(st.lists(VERSIONS, max_size=4), VERSIONS)
    def test_always_readable(self, others: list[set[int]], own: set[int]) -> None:
        """Whatever is written is written by our code, and read by all where anything is."""
        pins = Pins.of([reading(*each) for each in others], 60)
        version = pins.emits("work", max(own), tuple(own))
        self.assertIn(version, own)
        if any(all(each in other for other in others) for each in own):
            self.assertTrue(all(version in other for other in others))
