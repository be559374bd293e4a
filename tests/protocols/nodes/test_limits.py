"""How much one address may ask."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from cloudd.protocols.nodes._limits import FAILURES, MOST, MOST_ADDRESSES, MOST_OF_ONE, WITHIN_S, Limits


class LimitTests(SynchronousTestCase):
    def test_connections(self) -> None:
        """So many of one address, so many of all; who leaves makes room."""
        limits = Limits()
        self.assertEqual([limits.enter("a") for _ in range(MOST_OF_ONE + 1)], [True] * MOST_OF_ONE + [False])
        limits.leave("a")
        self.assertTrue(limits.enter("a"))
        others = [limits.enter(f"b{number}") for number in range(MOST)]
        self.assertEqual(sum(others), MOST - MOST_OF_ONE)

    def test_failures(self) -> None:
        """After so many an address waits for the rest of a minute, and others do not."""
        limits = Limits()
        for number in range(FAILURES):
            self.assertEqual(limits.waits_s("a", 5.0 + number), 0)
            limits.failed("a", 5.0 + number)
        self.assertEqual(limits.waits_s("a", 20.0), WITHIN_S - 15.0)
        self.assertEqual(limits.waits_s("b", 20.0), 0)
        self.assertEqual(limits.waits_s("a", 5.0 + WITHIN_S), 0)
        limits.failed("a", 5.0 + WITHIN_S)
        self.assertEqual(limits.waits_s("a", 6.0 + WITHIN_S), 0)

    def test_memory(self) -> None:
        """Those that were seen last are remembered, no more than so many."""
        limits = Limits()
        for number in range(3 * MOST_ADDRESSES):
            for _ in range(FAILURES):
                limits.failed(str(number), 1.0)
        self.assertEqual(len(limits._failed), MOST_ADDRESSES)
        self.assertEqual(limits.waits_s("0", 1.0), 0)
        self.assertGreater(limits.waits_s(str(3 * MOST_ADDRESSES - 1), 1.0), 0)
