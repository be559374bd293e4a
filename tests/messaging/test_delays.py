"""How long messages were under way, whatever the clocks say."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from cloudd.messaging._delays import MOST_SENDERS, WINDOW_S, Delays


class DelaysTests(SynchronousTestCase):
    @given(st.floats(-1e6, 1e6), st.lists(st.floats(0.001, 2.0), min_size=1, max_size=20))
    def test_clocks_differ(self, difference_s: float, waits: list[float]) -> None:
        """By whatever: a wait is told against the shortest one before, and never too long."""
        delays, now = Delays(), 1e9
        shortest = waits[0]
        for wait_s in waits:
            now += 0.5
            told = delays.waited_s("a", now - wait_s + difference_s, 5.0, now)
            shortest = min(shortest, wait_s)
            self.assertAlmostEqual(told, wait_s - shortest, places=3)

    def test_clock_set_back(self) -> None:
        """A sender's clock that is set back by minutes makes nothing late: what is impossible begins anew."""
        delays = Delays()
        self.assertEqual(delays.waited_s("a", 1000.0, 5.0, 1000.01), 0.0)
        self.assertEqual(delays.waited_s("a", 701.0, 5.0, 1001.01), 0.0)
        self.assertAlmostEqual(delays.waited_s("a", 702.0, 5.0, 1002.51), 0.5, places=3)

    def test_clock_set_forward(self) -> None:
        """Waits are told against the new difference."""
        delays = Delays()
        delays.waited_s("a", 1000.0, 5.0, 1000.01)
        self.assertEqual(delays.waited_s("a", 1301.0, 5.0, 1001.01), 0.0)
        self.assertAlmostEqual(delays.waited_s("a", 1302.0, 5.0, 1002.26), 0.25, places=3)

    def test_drift(self) -> None:
        """An old difference is forgotten after two windows."""
        delays, now = Delays(), 0.0
        delays.waited_s("a", 0.0, 100.0, now)
        for _ in range(3):
            now += WINDOW_S
            told = delays.waited_s("a", now - 2.0, 100.0, now)
        self.assertEqual(told, 0.0)

    def test_senders_apart(self) -> None:
        """Each has a difference of its own, and there are not too many of them."""
        delays = Delays()
        delays.waited_s("a", 0.0, 5.0, 1000.0)
        self.assertEqual(delays.waited_s("b", 999.0, 5.0, 1000.0), 0.0)
        for number in range(MOST_SENDERS + 10):
            delays.waited_s(f"s{number}", 0.0, 5.0, 1000.0)
        self.assertEqual(len(delays._senders), MOST_SENDERS)
