"""The task of a backup: whatever the moment at which its process is killed, there is one whole file more."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.tasks.walk import KilledAtEveryMoment


class KilledTests(KilledAtEveryMoment, SynchronousTestCase):
    scenario = "tests.backups.walks:BACKING_UP"

    def look_at(self, calm: dict[str, Any]) -> None:
        """It can be read, has the keys, and the oldest has gone."""
        self.assertEqual([task[1] for task in calm["tasks"]], ["done"])
        old = [f"control-19700101T0000{seconds}Z"[:17] for seconds in ("20", "30")]
        self.assertEqual(calm["effects"], {"old": old, "keys": ["key"], "tasks": 1})
