# -*- test-case-name: tests.database.test_outbox -*-
"""
The outbox in the control database: functions for ``Transactions.read`` and ``write``.

Triggers of the identity tables fill it, and ``note``.  **Order**: ids are in the order of commits, so who has read up
to one misses nothing.  On SQLite one transaction writes at a time, and what is undone gives its ids back: there are no
holes.  On PostgreSQL, too, one writes at a time in the whole cloud (``cloudd.database._postgres``); what is undone may
leave a hole, which is never filled.
"""

from __future__ import annotations

from typing import Any

import msgspec
from sqlalchemy import Connection, delete, func, insert, select

from cloudd.database.tables import outbox

from ._event import Event, control_event

_c = outbox.c


def read(connection: Connection, after: int, limit: int, project_id: str | None) -> tuple[int, int, list[Event]]:
    """
    Ids of the oldest and of the newest event that are kept (0: none), and the first events after ``after``.

    :param project_id: only this one's
    """
    query = select(_c.id, _c.created_us, _c.type, _c.project_id, _c.user_id, _c.data).where(_c.id > after)
    if project_id is not None:
        query = query.where(_c.project_id == project_id)
    rows = connection.execute(query.order_by(_c.id).limit(limit)).all()
    return *_span(connection), [control_event(*row) for row in rows]


def note(connection: Connection, kind: str, at_us: int, data: dict[str, Any]) -> None:
    """Write an event that belongs to no project."""
    values = {"created_us": at_us, "type": kind, "data": msgspec.json.encode(data).decode()}
    connection.execute(insert(outbox).values(**values))


def has_old(connection: Connection, keep: int, before_us: int) -> bool:
    """Whether ``prune`` would forget any: asked first, since a write would wait for its turn."""
    return bool(_old(connection, keep, before_us, 1))


def prune(connection: Connection, keep: int, before_us: int, limit: int) -> int:
    """
    Forget the oldest events: all but the newest ``keep``, and of these all before a time.  The newest stays.

    :param limit: most events that one call forgets
    :return: how many were forgotten
    """
    old = _old(connection, keep, before_us, limit)
    if old:
        connection.execute(delete(outbox).where(_c.id <= old[-1]))
    return len(old)


def _old(connection: Connection, keep: int, before_us: int, limit: int) -> list[int]:
    _oldest, newest = _span(connection)
    old = []
    for number, created_us in connection.execute(select(_c.id, _c.created_us).order_by(_c.id).limit(limit)):
        if number >= newest or (number > newest - keep and created_us >= before_us):
            break
        old.append(number)
    return old


def _span(connection: Connection) -> tuple[int, int]:
    oldest = select(func.min(_c.id)).scalar_subquery()
    newest = select(func.max(_c.id)).scalar_subquery()
    row = connection.execute(select(oldest, newest)).one()
    return row[0] or 0, row[1] or 0
