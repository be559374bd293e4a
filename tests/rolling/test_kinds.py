"""
Rolling changes as tasks: whatever the moment at which the controller is killed, the cloud ends in one state.

Each walk runs in a process of its own.
"""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.tasks.walk import KilledAtEveryMoment

from .small_cloud import NEW, OLD


class UpgradeWalk(KilledAtEveryMoment, SynchronousTestCase):
    scenario = "tests.rolling.walks:UPGRADING"

    def look_at(self, calm: dict[str, Any]) -> None:
        """Two have the new code, one was away and is left out, and there is a way back."""
        self.assertEqual(calm["effects"]["hashes"], {"a": NEW, "b": NEW, "c": OLD})
        self.assertEqual(calm["effects"]["release"], [NEW, "open"])
        self.assertEqual([row[1] for row in calm["tasks"]], ["done"])


class FailingWalk(KilledAtEveryMoment, SynchronousTestCase):
    scenario = "tests.rolling.walks:FAILING"

    def look_at(self, calm: dict[str, Any]) -> None:
        """All have the old code again, and the cause names the node."""
        self.assertEqual(set(calm["effects"]["hashes"].values()), {OLD})
        self.assertEqual(calm["effects"]["release"], [NEW, "back"])
        self.assertEqual([row[1] for row in calm["tasks"]], ["failed"])
        self.assertIn("node A: failed on purpose", calm["tasks"][0][4])


class ReturningWalk(KilledAtEveryMoment, SynchronousTestCase):
    scenario = "tests.rolling.walks:RETURNING"

    def look_at(self, calm: dict[str, Any]) -> None:
        """All have the code that they had."""
        self.assertEqual(set(calm["effects"]["hashes"].values()), {OLD})
        self.assertEqual(calm["effects"]["release"], [NEW, "back"])
        self.assertEqual([row[1] for row in calm["tasks"]], ["done"])
