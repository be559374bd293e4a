"""The engine under kills at every moment, and the walk itself, which must find a kind that is wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from .walk import KilledAtEveryMoment, differences, walked


class BuildingTests(KilledAtEveryMoment, SynchronousTestCase):
    scenario = "tests.tasks.walks:BUILDING"

    def look_at(self, calm: dict[str, Any]) -> None:
        self.assertEqual([task[1] for task in calm["tasks"]], ["done", "done"])
        self.assertEqual(calm["effects"], {"files": ["a0", "a1", "a2", "b0", "b1", "b2"], "rows": ["a", "b"]})


class FailingTests(KilledAtEveryMoment, SynchronousTestCase):
    scenario = "tests.tasks.walks:FAILING"

    def look_at(self, calm: dict[str, Any]) -> None:
        self.assertEqual([(task[1], task[4]) for task in calm["tasks"]], [("failed", "it shall fail")] * 2)
        self.assertEqual(calm["effects"], {"files": [], "rows": ["a", "b"]})


class WrongTests(SynchronousTestCase):
    def test_found(self) -> None:
        """A step that does its work twice when it is killed in between is told with the moment of the kill."""
        found = differences(walked("tests.tasks.walks:WRONG", Path(self.mktemp()).absolute()))
        self.assertEqual([text.partition(":")[0] for text in found], ["killed at 3, save"])
        self.assertIn("effects xx, not x", found[0])
