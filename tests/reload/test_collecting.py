"""While code loads, nothing is collected by itself."""

from __future__ import annotations

import gc
import sys

from reload import QuietLoading
from reload._collecting import YOUNG_OBJECTS

from .trees import TreeCase


class QuietTests(TreeCase):
    def setUp(self) -> None:
        super().setUp()
        self.addCleanup(gc.unfreeze)
        self.usual = sys.getswitchinterval()

    def assertUsual(self) -> None:
        self.assertEqual((gc.isenabled(), sys.getswitchinterval()), (True, self.usual))

    def test_it_is_quiet_inside_alone(self) -> None:
        """Nothing is collected by itself until the last one has ended; then all is as before."""
        first, second = QuietLoading(), QuietLoading()
        with first:
            self.assertFalse(gc.isenabled())
            self.assertLess(sys.getswitchinterval(), self.usual)
            with second:
                pass
            self.assertFalse(gc.isenabled())
        self.assertUsual()

    def test_a_collector_that_was_off_stays_off(self) -> None:
        """As in a process that forks others."""
        gc.disable()
        self.addCleanup(gc.enable)
        with QuietLoading():
            pass
        self.assertFalse(gc.isenabled())

    def test_giving_up(self) -> None:
        """Another thread may end the quiet; its own end does nothing then."""
        quiet = QuietLoading()
        with quiet:
            self.assertTrue(quiet.give_up())
            self.assertUsual()
            self.assertFalse(quiet.give_up())
        self.assertUsual()

    def test_an_error_inside(self) -> None:
        """It comes out, and the quiet is over."""

        def fail() -> None:
            with QuietLoading():
                raise ValueError

        self.assertRaises(ValueError, fail)
        self.assertUsual()

    def test_little_at_a_time(self) -> None:
        """What loading leaves over is collected between two modules, once it is much."""
        left_over = f"""
            import weakref
            class Knot:
                def __init__(self):
                    self.me = self
            first = weakref.ref(Knot())
            kept = [[] for _ in range({YOUNG_OBJECTS})]
        """
        generation = self.generation(
            {"shopx/a.py": left_over, "shopx/b.py": "from shopx.a import first\nGONE = first() is None"}
        )
        with QuietLoading():
            self.assertTrue(generation.load("shopx.b").GONE)
        generation.release()
