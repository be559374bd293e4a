"""Positions: what their text is, and how two of them compare."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from cloudd.events import BadPosition, Position

numbers = st.integers(0, 10**18 - 1)
positions = st.builds(Position, numbers, numbers)


class PositionTests(SynchronousTestCase):
    @given(positions)
    def test_text(self, position: Position) -> None:
        """What is written is read back."""
        self.assertEqual(Position.parse(str(position)), position)

    @given(st.text())
    def test_any_text(self, text: str) -> None:
        """Whatever is read is written the same; all else is refused."""
        try:
            found = Position.parse(text)
        except BadPosition:
            return
        self.assertEqual(str(found), text)

    def test_refused(self) -> None:
        """Near misses."""
        for text in (
            "",
            "c1",
            "o1.c1",
            "c1.o-1",
            "c01.o1",
            "c1.o1 ",
            "c1.o1\n",
            "C1.o1",
            "c\u0661.o1",
            "c1.o" + "9" * 19,
        ):
            self.assertRaises(BadPosition, Position.parse, text)

    @given(positions, positions)
    def test_join(self, one: Position, other: Position) -> None:
        """Both lie behind their join, and one alone only when it reaches the other."""
        joined = one.joined(other)
        self.assertTrue(joined.reaches(one))
        self.assertTrue(joined.reaches(other))
        self.assertEqual(joined == one, one.reaches(other))
