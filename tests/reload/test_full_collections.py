"""Full collections come when a process has grown, and never by themselves."""

from __future__ import annotations

import gc
import weakref

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from reload import FullCollections, QuietLoading, _full_collections, old_objects
from reload._full_collections import LOOK_S


class Knot:
    """Something in a cycle."""

    def __init__(self) -> None:
        self.me = self


class FullCollectionsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.usual = gc.get_threshold()
        self.addCleanup(gc.set_threshold, *self.usual)
        self.clock = Clock()
        self.is_changing = False
        self.connections = 1
        self.generations = 1
        self.collections = FullCollections(
            self.clock, lambda: self.is_changing, lambda: self.connections, lambda: self.generations
        )
        self.collections.start()
        gc.collect()
        self.patch(_full_collections, "USUAL_OBJECTS", old_objects() + 1000)
        self.patch(_full_collections, "FEW_OBJECTS", 0)

    def old_knot(self) -> weakref.ref[Knot]:
        """A knot of garbage that only a full collection finds."""
        knot = Knot()
        for _ in range(_full_collections._FEW_MIDDLE_COLLECTIONS + 1):
            gc.collect(1)
        return weakref.ref(knot)

    def grow(self, count: int) -> list[list[object]]:
        grown: list[list[object]] = [[[]] for _ in range(count)]
        gc.collect(1)
        return grown

    def look(self) -> None:
        self.clock.advance(LOOK_S)

    def counted(self) -> list[int]:
        """What each count of the old objects gives from now on."""
        counts: list[int] = []

        def count() -> int:
            counts.append(old_objects())
            return counts[-1]

        self.patch(_full_collections, "old_objects", count)
        return counts

    def test_when_it_has_grown(self) -> None:
        """There is one when there are many more old objects than the last one left, and not before."""
        knot = self.old_knot()
        self.look()
        self.assertIsNotNone(knot())
        kept = self.grow(2000)
        self.look()
        self.assertIsNone(knot())
        knot = self.old_knot()
        kept += self.grow(2000)
        self.look()
        self.assertIsNotNone(knot())
        kept += self.grow(old_objects() // 2)
        self.look()
        self.assertIsNone(knot())

    def test_connections_are_no_garbage(self) -> None:
        """They explain some of the objects."""
        knot = self.old_knot()
        kept = self.grow(2000)
        self.connections = 1000
        self.look()
        self.assertIsNotNone(knot())
        self.connections = 10
        self.look()
        self.assertIsNone(knot())
        self.assertEqual(len(kept), 2000)

    def test_few_objects(self) -> None:
        """Then it takes no time: there is one at once, and when a tenth has come."""
        self.patch(_full_collections, "FEW_OBJECTS", 10 * old_objects())
        knot = self.old_knot()
        self.look()
        self.assertIsNone(knot())
        knot = self.old_knot()
        kept = self.grow(old_objects() // 40)
        self.look()
        self.assertIsNotNone(knot())
        kept += self.grow(old_objects() // 20)
        self.look()
        self.assertIsNone(knot())
        self.assertGreater(len(kept), 1)

    def test_the_first_comes_before_clients(self) -> None:
        """Then it is known what is there for good, and the first look brings about none."""
        self.patch(_full_collections, "FEW_OBJECTS", 10 * old_objects())
        knot = self.old_knot()
        self.collections.first()
        self.assertIsNone(knot())
        knot = self.old_knot()
        self.look()
        self.assertIsNotNone(knot())

    def test_what_explains_objects(self) -> None:
        """Connections and generations that have come since the last one; with one that goes, what it had."""
        self.patch(_full_collections, "FEW_OBJECTS", 10 * old_objects())
        self.collections.first()
        objects = old_objects()
        knot = self.old_knot()
        kept = self.grow(objects // 4)
        self.patch(_full_collections, "OBJECTS_OF_GENERATION", objects // 2)
        for self.connections, self.generations in ((objects // 40, 1), (1, 2)):
            self.look()
            self.assertIsNotNone(knot())
        self.connections, self.generations = 1, 1
        self.look()
        self.assertIsNone(knot())
        self.generations = 2
        self.collections.first()
        self.generations = 1
        knot = self.old_knot()
        self.look()
        self.assertIsNone(knot())
        self.assertGreater(len(kept), 1)

    def test_nobody_waits(self) -> None:
        """Without connections a tenth is enough, whatever explains it and however many there are."""
        self.collections.first()
        self.connections = 0
        self.generations = 2
        knot = self.old_knot()
        self.look()
        self.assertIsNotNone(knot())
        kept = self.grow(old_objects() // 8)
        self.look()
        self.assertIsNone(knot())
        self.assertGreater(len(kept), 1)

    def test_counted_seldom(self) -> None:
        """Objects are counted when there may be enough of them, as blocks of memory tell at once."""
        self.old_knot()
        self.look()
        counts = self.counted()
        for _ in range(10):
            self.old_knot()
            self.look()
        self.assertEqual(counts, [])
        kept = self.grow(2000)
        self.old_knot()
        self.look()
        self.assertEqual(len(counts), 1)
        self.assertEqual(len(kept), 2000)

    def test_many_are_not_counted_to_see_whether_they_are_few(self) -> None:
        """With many connections that would stop the reactor for 20 ms at each look; unless as many blocks have gone."""
        kept = self.grow(20_000)
        self.patch(_full_collections, "FEW_OBJECTS", old_objects() - 10_000)
        self.patch(_full_collections, "USUAL_OBJECTS", 2 * old_objects())
        counts = self.counted()
        for _ in range(5):
            self.old_knot()
            self.look()
        self.assertEqual(len(counts), 1)
        kept.clear()
        self.old_knot()
        self.look()
        self.assertGreater(len(counts), 1)

    def test_it_never_begins_by_itself(self) -> None:
        """However much gets old between two looks; afterwards it may again."""
        knot = self.old_knot()
        kept = [self.grow(30_000) for _ in range(15)]
        self.assertIsNotNone(knot())
        self.assertEqual(len(kept), 15)
        self.collections.stop()
        self.assertEqual(gc.get_threshold(), self.usual)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_it_waits_for_what_is_freed_in_steps(self) -> None:
        """As long as a generation is being freed there is none."""
        knot = self.old_knot()
        kept = self.grow(2000)
        self.is_changing = True
        self.look()
        self.assertIsNotNone(knot())
        self.is_changing = False
        self.look()
        self.assertIsNone(knot())
        self.assertEqual(len(kept), 2000)

    def test_it_does_not_wait_for_ever(self) -> None:
        """Where one change follows the other, there is one after a minute."""
        knot = self.old_knot()
        kept = self.grow(2000)
        self.is_changing = True
        for _ in range(_full_collections.MOST_POSTPONED):
            self.look()
            self.assertIsNotNone(knot())
        self.look()
        self.assertIsNone(knot())
        self.assertEqual(len(kept), 2000)

    def test_it_waits_for_a_load(self) -> None:
        """As long as the collector rests there is none."""
        knot = self.old_knot()
        kept = self.grow(2000)
        with QuietLoading():
            self.look()
            self.assertIsNotNone(knot())
        for _ in range(_full_collections._FEW_MIDDLE_COLLECTIONS + 1):
            gc.collect(1)
        self.look()
        self.assertIsNone(knot())
        self.assertEqual(len(kept), 2000)
