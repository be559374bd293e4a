"""kill -9 of the whole daemon: what was acknowledged is there, and nothing else is."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from bench.durability import arguments, measure


class KillsUnderLoad(SynchronousTestCase):
    def test_acknowledged_objects_outlive_kills(self) -> None:
        """1,000 objects written while the daemon is killed 20 times: none lost, corrupt or orphaned."""
        found = measure(arguments([]))
        self.assertGreaterEqual(found["acknowledged"], 1000)
        self.assertEqual(found["kills"], 20)
        self.assertEqual((found["lost"], found["corrupt"], found["orphans"], found["refused"]), (0, 0, 0, []))
