"""How often a guest may ask."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from cloudd.metadata._rate import Rate


class RateTests(SynchronousTestCase):
    def test_burst(self) -> None:
        """So many at once, then as many as time brings, and the wait that is told is the true one."""
        rate = Rate(burst=3, per_s=2.0)
        self.assertEqual([rate.wait_s("a", 10.0) for _ in range(4)], [0.0, 0.0, 0.0, 0.5])
        self.assertEqual([rate.wait_s("a", 10.5) for _ in range(2)], [0.0, 0.5])

    def test_each_its_own(self) -> None:
        """One that asks too often takes nothing from others."""
        rate = Rate(burst=1, per_s=1.0)
        self.assertEqual([rate.wait_s("a", 0.0), rate.wait_s("a", 0.0), rate.wait_s("b", 0.0)], [0.0, 1.0, 0.0])

    def test_full(self) -> None:
        """However long it was silent, it gets one burst."""
        rate = Rate(burst=2, per_s=1.0)
        rate.wait_s("a", 0.0)
        self.assertEqual([rate.wait_s("a", 1e6) for _ in range(3)], [0.0, 0.0, 1.0])

    def test_clock_set_back(self) -> None:
        """Time that goes back gives and takes nothing."""
        rate = Rate(burst=1, per_s=1.0)
        rate.wait_s("a", 10.0)
        self.assertEqual(rate.wait_s("a", 5.0), 1.0)

    def test_bounded(self) -> None:
        """The one that has been silent longest is forgotten first."""
        rate = Rate(burst=1, per_s=1.0, limit=2)
        for address in ("a", "b", "a", "c"):
            rate.wait_s(address, 0.0)
        self.assertEqual(rate.wait_s("a", 0.0), 1.0)
        self.assertEqual(rate.wait_s("b", 0.0), 0.0)
