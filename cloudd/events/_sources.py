# -*- test-case-name: tests.events.test_sources -*-
"""Both logs as one: read from a position on, and pruned together."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from operator import attrgetter
from typing import Any

from attrs import frozen
from twisted.internet.defer import Deferred, gatherResults

from cloudd.interfaces.application import Threads, Transactions
from cloudd.objects import account_of
from storage import Change, IObjectStore

from . import _outbox
from ._event import Event, store_event
from ._position import Position

#: A tenant that comes back from far behind must not keep the object store's readers busy: this is some 2 ms.
SEARCHED = 5_000


@frozen
class Page:
    """
    What was read.

    :ivar events: control events in their order and those of the store in theirs, woven by time
    :ivar end: everything that was asked for up to here is in ``events``
    :ivar oldest: everything after here is kept
    :ivar newest: the end of both logs
    """

    events: Sequence[Event]
    end: Position
    oldest: Position
    newest: Position

    def is_lost(self, after: Position) -> bool:
        """Whether something after ``after`` is no longer kept, or ``after`` was never reached (a restored backup)."""
        return not (after.reaches(self.oldest) and self.newest.reaches(after))


@frozen
class Sources:
    """
    The outbox of the control database and the log of the object store.

    :param index: the object store's database, to see by its version whether there is something new
    """

    database: Transactions
    store: IObjectStore
    index: Transactions
    threads: Threads

    def versions(self) -> tuple[int | None, int | None]:
        """They stay the same as long as nothing is committed; costs some microseconds."""
        return self.database.version(), self.index.version()

    async def read(self, after: Position, limit: int, project_id: str | None = None) -> Page:
        """
        At most ``limit`` events of each log after a position.

        :param project_id: only its own events; then one call looks at ``SEARCHED`` changes of the store at most
        """
        account, within = (None, None) if project_id is None else (account_of(project_id), SEARCHED)
        both: list[Deferred[Any]] = [
            self.database.read(_outbox.read, after.control, limit, project_id),
            self.store.changes(after.objects, limit, account, within),
        ]
        control, objects = await gatherResults(both, consumeErrors=True)
        oldest, newest, noted = control
        span, changes = objects
        # In a thread: it is encoding JSON, at some 5 us an event.
        stored = await self.threads.run(_store_events, changes) if changes else []
        return Page(
            events=list(heapq.merge(noted, stored, key=attrgetter("at_us"))),
            end=Position(
                _end(noted, limit, newest),
                _end(stored, limit, span.newest if within is None else min(span.newest, after.objects + within)),
            ),
            oldest=Position(max(oldest - 1, 0), max(span.oldest - 1, 0)),
            newest=Position(newest, span.newest),
        )

    async def prune(self, keep: int, before_us: int, limit: int) -> int:
        """
        Forget the oldest of each log: all but the newest ``keep``, and of these all before a time.

        :param limit: most of each log that one call forgets
        :return: how many were forgotten of the log that gave most
        """
        forgotten = await self.store.prune_changes(keep, before_us, limit)
        if await self.database.read(_outbox.has_old, keep, before_us):
            forgotten = max(forgotten, await self.database.write(_outbox.prune, keep, before_us, limit))
        return forgotten


def _store_events(changes: Sequence[Change]) -> list[Event]:
    return [store_event(change) for change in changes]


def _end(events: Sequence[Event], limit: int, reached: int) -> int:
    """Up to where a read came: a full page ends with its last event."""
    return events[-1].id if len(events) == limit else reached
