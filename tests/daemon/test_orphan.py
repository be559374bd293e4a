"""What a worker does without its anchor, in every standing of a hand-over."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from cloudd.daemon._orphan import Standing, act_of


class ActTests(SynchronousTestCase):
    def test_old_worker_before_the_decision(self) -> None:
        """It gives if the record says the new code; in any other case it goes on."""
        standing = Standing(state="serving", generation=3, is_undecided=True, gives_to=5)
        self.assertEqual([act_of(standing, decided) for decided in (5, 3, 4, 0)], ["decide", *["abort"] * 3])

    def test_old_worker_after_it(self) -> None:
        """Nobody supervises: it ends; but it takes back where the host had gone back."""
        standing = Standing(state="leaving", generation=3, is_leaving=True, gives_to=5)
        acts = [act_of(standing, decided) for decided in (5, 6, 0, 3)]
        self.assertEqual(acts, ["end_window", "end_window", "end_window", "take_back"])

    def test_new_worker_that_waits(self) -> None:
        """It serves if the record says so, and else was forked in vain."""
        standing = Standing(state="standby", generation=5, is_new=True)
        acts = [act_of(standing, decided) for decided in (5, 3, 0)]
        self.assertEqual(acts, ["take_over", "end_at_once", "end_at_once"])

    def test_new_worker_that_serves(self) -> None:
        """It ends where the host has gone back, unless its old worker takes everything back; else it goes on."""
        serving = Standing(state="serving", generation=5, is_new=True)
        self.assertEqual([act_of(serving, decided) for decided in (5, 6, 0, 3)], ["wait", "wait", "wait", "end"])
        taking = Standing(state="serving", generation=5, is_new=True, is_taking=True)
        self.assertEqual(act_of(taking, 3), "wait")

    def test_no_hand_over(self) -> None:
        """A worker of the start serves on, whatever swaps it has seen."""
        standing = Standing(state="serving", generation=3)
        self.assertEqual({act_of(standing, decided) for decided in (0, 1, 3, 9)}, {"wait"})
