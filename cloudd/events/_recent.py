# -*- test-case-name: tests.events.test_recent -*-
"""The newest events of both logs, in memory: who comes back after a short while is served from here."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from heapq import merge
from operator import attrgetter

from ._event import Event
from ._position import Position

_by_id = attrgetter("id")


class Recent:
    """
    What was read between two positions, without a gap.

    :param start: where it begins; nothing is held yet
    :param limit: most events held of each log
    :ivar start: everything after here is held
    :ivar end: up to here
    """

    def __init__(self, start: Position, limit: int) -> None:
        self.start = self.end = start
        self._limit = limit
        self._control: list[Event] = []
        self._stored: list[Event] = []

    def extend(self, events: Sequence[Event], end: Position) -> None:
        """Add what comes next, up to ``end``; the oldest go when there are too many."""
        self._control += (event for event in events if not event.in_store)
        self._stored += (event for event in events if event.in_store)
        self.end = end
        self.start = Position(
            _trim(self._control, self._limit, self.start.control), _trim(self._stored, self._limit, self.start.objects)
        )

    def holds(self, position: Position) -> bool:
        """Whether everything after ``position``, up to ``end``, is held."""
        return position.reaches(self.start)

    def after(self, position: Position) -> Iterator[Event]:
        """The events after ``position``; each log's in its order, both woven by time."""
        control = self._control[bisect_right(self._control, position.control, key=_by_id) :]
        stored = self._stored[bisect_right(self._stored, position.objects, key=_by_id) :]
        return merge(control, stored, key=attrgetter("at_us")) if control and stored else iter(control or stored)


def _trim(events: list[Event], limit: int, start: int) -> int:
    """Drop the oldest, in one go for many; the id of the newest that was dropped."""
    if len(events) > limit + limit // 4:
        dropped = len(events) - limit
        start = events[dropped - 1].id
        del events[:dropped]
    return start
