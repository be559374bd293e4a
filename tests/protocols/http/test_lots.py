"""Lots are spread evenly, also where they are few, and are of chance."""

from __future__ import annotations

from random import Random

from twisted.trial.unittest import SynchronousTestCase

from cloudd.protocols.http._lots import STRATA, Lots


class LotsTests(SynchronousTestCase):
    def test_one_in_each_twentieth(self) -> None:
        """Of 20 one after the other exactly one is below 5 %, wherever one begins to count in twenties."""
        lots = Lots(Random(1))
        for _ in range(50):
            block = [lots.draw() for _ in range(STRATA)]
            self.assertEqual(sorted(int(lot * STRATA) for lot in block), list(range(STRATA)))

    def test_chance(self) -> None:
        """Which one it is differs, and within a twentieth they are spread too."""
        lots = Lots(Random(2))
        blocks = [[lots.draw() for _ in range(STRATA)] for _ in range(400)]
        places = {min(range(STRATA), key=block.__getitem__) for block in blocks}
        self.assertEqual(places, set(range(STRATA)))
        below = sum(lot < 0.01 for block in blocks for lot in block)
        self.assertTrue(50 < below < 110, below)  # 80 of 8,000, 3.8 standard deviations on both sides
