"""The newest events in memory: no gap, and bounded."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from cloudd.events import Position
from cloudd.events._recent import Recent

from .logs import event


class RecentTests(SynchronousTestCase):
    def test_after(self) -> None:
        """Each log is asked by its own number; together they come in the order of their times."""
        recent = Recent(Position(0, 10), 100)
        both = [event(number, in_store=True) for number in (11, 12)] + [event(13, in_store=False)]
        recent.extend(both, Position(13, 12))
        self.assertEqual(recent.end, Position(13, 12))
        self.assertEqual([each.id for each in recent.after(Position(0, 11))], [12, 13])
        self.assertEqual([each.id for each in recent.after(Position(13, 10))], [11, 12])
        self.assertEqual([each.id for each in recent.after(Position(13, 99))], [])

    def test_bound(self) -> None:
        """The oldest go, and then nobody is served who has not seen them."""
        recent = Recent(Position(0, 0), 100)
        for number in range(1, 1000):
            recent.extend([event(number)], Position(0, number))
            held = [each.id for each in recent.after(recent.start)]
            self.assertEqual(held, list(range(recent.start.objects + 1, number + 1)))
            self.assertTrue(min(number, 100) <= len(held) <= 125)
        self.assertFalse(recent.holds(Position(0, recent.start.objects - 1)))
        self.assertTrue(recent.holds(recent.start))
