"""Swaps under load: no client sees one."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from bench.swap import arguments, measure


class SwapUnderLoad(SynchronousTestCase):
    def test_no_client_sees_a_swap(self) -> None:
        """200 busy connections, 20 slow uploads and 20 slow downloads of 50 MB live through 20 swaps."""
        found = measure(arguments(["--seconds", "45"]))
        self.assertEqual(found["errors"], 0, found["first_errors"])
        self.assertEqual((found["swaps"], found["uploads"], found["downloads"]), (20, 20, 20))
        self.assertTrue(found["both_versions"])
        self.assertGreater(found["connections_with_both_versions"], 100)
