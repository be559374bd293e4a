# -*- test-case-name: tests.events.test_position -*-
"""
How far somebody has read: one number for each of the two logs.

The control database and the object store count for themselves, and no transaction spans both, so there is no one order
of all events; there is one for each log.  A position is therefore a vector, ``c12.o3456``: every control event up to 12
and every change of the store up to 3456 has been seen.  Whoever resumes from it misses nothing and sees nothing twice.
"""

from __future__ import annotations

import re

from attrs import frozen

_TEXT = re.compile(r"c(0|[1-9][0-9]{0,17})\.o(0|[1-9][0-9]{0,17})")


class BadPosition(ValueError):
    """Not a position that cloudd has given."""


@frozen
class Position:
    """The last event seen of each log; 0: none yet."""

    control: int
    objects: int

    @classmethod
    def parse(cls, text: str) -> Position:
        """
        From the text of an event's id.

        :raises BadPosition: it is none
        """
        found = _TEXT.fullmatch(text)
        if found is None:
            raise BadPosition("an event id looks like c12.o3456")
        return cls(int(found[1]), int(found[2]))

    def __str__(self) -> str:
        return f"c{self.control}.o{self.objects}"

    def reaches(self, other: Position) -> bool:
        """Whether everything up to ``other`` lies behind."""
        return self.control >= other.control and self.objects >= other.objects

    def joined(self, other: Position) -> Position:
        """Everything up to either."""
        return Position(max(self.control, other.control), max(self.objects, other.objects))
