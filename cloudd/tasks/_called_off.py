# -*- test-case-name: tests.tasks.test_called_off -*-
"""
What a service has called off: functions with a ``sqlalchemy.Connection``, for its transactions.

Whoever runs such a task hears of it when its lease is renewed, and may be in the middle of a write.  So a write that
must not follow asks ``called_off`` in its own transaction; and what is ordered afterwards begins when nothing of
it is left (``called_off_before``), since an undo may still be going on.
"""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import Connection, case, select, update

from cloudd.database import now_us, tables

from ._kind import Form
from ._rows import OPEN, words

_table = tables.task
_c = _table.c


def call_off_all(connection: Connection, forms: Collection[Form], resource: str, cause: str) -> int:
    """
    What has not ended of these forms is to end as failed, each after its undo.

    :param resource: as ``submit`` had it
    :param cause: why, which ``called_off`` tells from then on
    :return: how many
    """
    names = sorted(form.name for form in forms)
    ended = update(_table).where(_c.resource == resource, _c.kind.in_(names), _c.state.in_(OPEN))
    due_us = case((_c.state == "queued", now_us()), else_=_c.due_us)
    values = {"cancel_cause": words(cause), "due_us": due_us, "updated_us": now_us()}
    return connection.execute(ended.values(**values)).rowcount


def called_off(connection: Connection, task_id: str) -> str:
    """Why this task is to end; empty: nobody wants it to."""
    cause: str | None = connection.execute(select(_c.cancel_cause).where(_c.id == task_id)).scalar()
    return cause or ""


def called_off_before(connection: Connection, task_id: str, cause: str) -> str | None:
    """
    Id of a task for the same resource that was called off for that cause and has not ended; None: there is none.
    """
    resource = select(_c.resource).where(_c.id == task_id).scalar_subquery()
    query = select(_c.id).where(_c.resource == resource, _c.state.in_(OPEN), _c.cancel_cause == words(cause))
    found: str | None = connection.execute(query.where(_c.id != task_id).limit(1)).scalar()
    return found
