"""When a node is well enough for the next one's turn."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from cloudd.rolling._gate import PATIENCE_S, Gate


class GateTests(SynchronousTestCase):
    def test_passes(self) -> None:
        gate = Gate(10)
        self.assertEqual([gate.note(now, "") for now in (100, 105, 109.9, 110)], ["open", "open", "open", "passed"])

    def test_no_time_at_all(self) -> None:
        self.assertEqual(Gate(0).note(7, ""), "passed")
        self.assertEqual(Gate(0).note(7, "x"), "open")

    def test_trouble_begins_anew(self) -> None:
        gate = Gate(10)
        gate.note(0, "")
        self.assertEqual(gate.note(9, "a part fails"), "open")
        self.assertEqual(gate.well_for_s(9), 0)
        self.assertEqual(gate.note(10, ""), "open")
        self.assertEqual(gate.note(19.9, ""), "open")
        self.assertEqual(gate.note(20, ""), "passed")

    def test_fails_in_time(self) -> None:
        """Neither a node that is never well nor one that is so now and then keeps the others waiting for ever."""
        for troubles in (["x"], ["x", ""]):
            gate, now, verdict = Gate(10), 0.0, "open"
            while verdict == "open":
                verdict = gate.note(now, troubles[int(now) % len(troubles)])
                now += 1
                self.assertLess(now, PATIENCE_S + 20)
            self.assertEqual(verdict, "failed")

    @given(st.lists(st.tuples(st.floats(0.1, 5), st.booleans())), st.floats(0, 20))
    def test_never_passes_what_was_ill(self, looks: list[tuple[float, bool]], settle_s: float) -> None:
        """Whoever passes was well at each look of the last ``settle_s``."""
        gate, now = Gate(settle_s), 0.0
        seen = []
        for pause_s, well in looks:
            now += pause_s
            seen.append((now, well))
            if gate.note(now, "" if well else "x") == "passed":
                self.assertTrue(all(good for at, good in seen if at >= now - settle_s))
                self.assertLessEqual(seen[0][0], now - settle_s)
