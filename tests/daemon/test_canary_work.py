"""Which kind of tasks goes over next, and when new code does worse with them."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from cloudd.daemon._canary_work import REPEAT_S, Report, WorkMeasure, WorkTurns, is_worse


class TurnTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.turns = WorkTurns(10.0)
        self.turns.add(["a", "b"])

    def tell(self, kind: str, attempts: int = 0, troubles: int = 0, running: int = 0, old_running: int = 0) -> None:
        self.turns.note({kind: WorkMeasure(Report(attempts, troubles, running), Report(running=old_running))})

    def test_equal_parts(self) -> None:
        """One after the other, each for its part of the period, and then it is through."""
        self.assertEqual(self.turns.following(100.0), "a")
        self.tell("a", attempts=1)
        self.assertIsNone(self.turns.following(104.9))
        self.assertEqual(self.turns.following(105.0), "b")
        self.tell("b", running=1)
        self.assertIsNone(self.turns.following(109.9))
        self.assertFalse(self.turns.is_through)
        self.assertIsNone(self.turns.following(110.0))
        self.assertTrue(self.turns.is_through)

    def test_nothing_to_be_done(self) -> None:
        """A turn without tasks ends with the second look; not before anything was told of it."""
        self.assertEqual(self.turns.following(0.0), "a")
        for now in (0.25, 0.5, 0.75):
            self.assertIsNone(self.turns.following(now))
        self.tell("a")
        self.assertEqual(self.turns.following(1.0), "b")
        self.tell("b")
        self.assertIsNone(self.turns.following(1.25))
        self.assertFalse(self.turns.is_through)
        self.assertIsNone(self.turns.following(1.5))
        self.assertTrue(self.turns.is_through)

    def test_what_the_old_code_still_does(self) -> None:
        """As long as it has not saved, there is something to be done: no turn ends early, and it may be longer."""
        self.turns.following(0.0)
        self.tell("a", old_running=1)
        for now in (1.0, 4.0, 5.0 + REPEAT_S - 0.1):
            self.assertIsNone(self.turns.following(now))
        self.tell("a")
        self.assertEqual(self.turns.following(5.0 + REPEAT_S), "b")
        self.tell("b", old_running=1)
        self.assertIsNone(self.turns.following(9.0))
        self.tell("b")
        self.assertIsNone(self.turns.following(9.25))
        self.assertIsNone(self.turns.following(9.5 - 0.01))
        self.assertTrue(self.turns.is_through)

    def test_a_failure_is_repeated(self) -> None:
        """A turn is longer while it is open whether failures are the rule."""
        self.turns.following(0.0)
        self.tell("a", attempts=2, troubles=1)
        self.assertIsNone(self.turns.following(5.0 + REPEAT_S - 0.1))
        self.assertEqual(self.turns.following(5.0 + REPEAT_S), "b")
        self.tell("b", attempts=9, troubles=1)
        self.assertIsNone(self.turns.following(5.0 + REPEAT_S + 5.0))
        self.assertTrue(self.turns.is_through)

    def test_no_work(self) -> None:
        """Where there is none, nothing is said of it."""
        turns = WorkTurns(10.0)
        self.assertIsNone(turns.following(0.0))
        self.assertEqual((turns.is_through, turns.progress(), turns.result(), turns.worse()), (True, "", "", ""))
        self.assertEqual((turns.slack_s, self.turns.slack_s), (0.0, REPEAT_S))


class RuleTests(SynchronousTestCase):
    def worse(self, troubles: int, attempts: int, old_troubles: int, old_attempts: int) -> bool:
        return is_worse(WorkMeasure(Report(attempts, troubles), Report(old_attempts, old_troubles)))

    def test_three(self) -> None:
        """Fewer than three failures say nothing, three of three do, also where the old code had no such tasks."""
        self.assertFalse(self.worse(2, 2, 0, 100))
        self.assertTrue(self.worse(3, 3, 0, 100))
        self.assertTrue(self.worse(3, 3, 0, 0))
        self.assertTrue(self.worse(3, 6, 1, 100))

    def test_as_before(self) -> None:
        """Tasks that fail with the old code too are not the new code's fault."""
        self.assertFalse(self.worse(3, 3, 60, 100))
        self.assertFalse(self.worse(30, 100, 20, 100))

    def test_a_small_part(self) -> None:
        """Of many attempts a few failures count when chance does not explain them."""
        self.assertFalse(self.worse(3, 100, 0, 100))
        self.assertTrue(self.worse(10, 100, 0, 100))
