# -*- test-case-name: tests.tasks.test_operators -*-
"""
What operators see of tasks, and what they may do with them: functions for ``Transactions.read`` and ``write``.

All works on rows alone, so it can be asked of any worker, also of kinds that its code does not know.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any

from attrs import frozen
from sqlalchemy import Connection, Row, Select, case, delete, func, select, update

from cloudd.database import now_us, tables

from ._errors import NoSuchTask, WrongState
from ._kind import UNDO
from ._rows import ANYWHERE, OPEN, Here, words

_table = tables.task
_nodes = tables.node
_c = _table.c

LATELY_S = 3_600.0
STATES = ("queued", "running", "done", "failed")


@frozen
class Count:
    """Tasks of one kind in one state; ``age_s`` is the oldest's, since it was submitted."""

    kind: str
    state: str
    number: int
    age_s: float


def counts(connection: Connection) -> list[Count]:
    """Of all states but ``done``."""
    oldest = now_us() - func.min(_c.created_us)
    query = select(_c.kind, _c.state, func.count().label("number"), oldest.label("age_us"))
    rows = connection.execute(query.where(_c.state.in_((*OPEN, "failed"))).group_by(_c.kind, _c.state))
    return [Count(row.kind, row.state, row.number, row.age_us / 1e6) for row in rows]


def overdue_s(connection: Connection, here: Here = ANYWHERE, full: Collection[str] = ()) -> float:
    """
    How long the longest waiting task that may be claimed here has been due without a runner; 0: none is.

    :param full: kinds that wait for their own, and are no trouble
    """
    waiting = select(now_us() - func.min(_c.due_us)).where(here.condition, _c.kind.not_in(full))
    waited_us: int | None = connection.execute(waiting).scalar()
    return max(0.0, (waited_us or 0) / 1e6)


def listed(
    connection: Connection, *, state: str = "", kind: str = "", project_id: str = "", limit: int = 50
) -> tuple[list[dict[str, Any]], bool]:
    """
    The newest tasks as plain data, newest first, and whether there are more.

    :param state: one of ``STATES``; empty, as are the others: any
    """
    query = _select()
    for column, value in ((_c.state, state), (_c.kind, kind), (_c.project_id, project_id)):
        if value:
            query = query.where(column == value)
    rows = connection.execute(query.order_by(_c.created_us.desc(), _c.id).limit(limit + 1)).all()
    return [_plain(row) for row in rows[:limit]], len(rows) > limit


def shown(connection: Connection, task_id: str) -> dict[str, Any]:
    """
    One task, with payload, state and result.

    :raises NoSuchTask:
    """
    row = _row(connection, task_id)
    texts = {"payload": row.payload, "step_state": row.step_state, "result": row.result}
    return {**_plain(row), **{name: json.loads(text) if text else {} for name, text in texts.items()}}


def cancel(connection: Connection, task_id: str, cause: str, known: Collection[str]) -> dict[str, Any]:
    """
    Have a task end as failed: what runs ends when it saves next, or is cut off; then its kind's ``undo`` runs.

    :param cause: who wants that, and why
    :param known: names of kinds; a task of another one, which nobody can undo, fails at once
    :return: the task afterwards
    :raises NoSuchTask:
    :raises WrongState: it has ended
    """
    row = _row(connection, task_id)
    if row.state not in OPEN:
        raise WrongState(f"task {task_id} is {row.state} already: nothing is left to cancel")
    # A service that has called it off before knows by its own cause what the undo is to do.
    first = func.coalesce(_c.cancel_cause, words(cause))
    values: dict[str, Any] = {"cancel_cause": first, "updated_us": now_us()}
    if row.state == "queued":
        values["due_us"] = now_us()  # whoever runs it finds at once that it shall end
    if row.kind not in known and row.state == "queued":
        values |= {"state": "failed", "due_us": None, "cause": words(cause)}
    connection.execute(update(_table).where(_c.id == task_id, _c.state == row.state).values(**values))
    return shown(connection, task_id)


def call_off(connection: Connection, task_id: str, cause: str) -> bool:
    """
    The same, for a service whose subject has gone, in the transaction that removes it.

    :param cause: why it shall end
    :return: whether it was open
    """
    due_us = case((_c.state == "queued", now_us()), else_=_c.due_us)
    ended = update(_table).where(_c.id == task_id, _c.state.in_(OPEN))
    values = {"cancel_cause": words(cause), "due_us": due_us, "updated_us": now_us()}
    return connection.execute(ended.values(**values)).rowcount == 1


def retry(connection: Connection, task_id: str) -> dict[str, Any]:
    """
    Have a failed task tried again: from where it was, or, where it was undone, from its beginning.

    :return: the task afterwards
    :raises NoSuchTask:
    :raises WrongState: it has not failed, or nobody is left who could do it; one that is queued is due at once all the
        same
    """
    row = _row(connection, task_id)
    if row.node_id is not None and row.node_state in {None, "removed"}:
        raise WrongState(
            f"task {task_id} could be done by node {row.node_name or row.node_id} alone, which was removed"
        )
    if row.state in {"running", "done"}:
        raise WrongState(f"task {task_id} is {row.state}: only one that has failed, or waits, can be tried again")
    values: dict[str, Any] = {"state": "queued", "due_us": now_us(), "attempts": 0, "updated_us": now_us()}
    if row.state == "failed":
        values |= {"cancel_cause": None, "deadline_us": None}
        if row.step == UNDO:
            values |= {"step": "", "step_version": None, "step_state": None, "progress": 0}
    connection.execute(update(_table).where(_c.id == task_id, _c.state == row.state).values(**values))
    return shown(connection, task_id)


def fail_of_node(connection: Connection, node_id: str, cause: str) -> None:
    """Everything that this node alone could do has failed; if it still runs any, it loses the lease."""
    lost = {"state": "failed", "due_us": None, "lease_owner": None, "lease_token": None, "cause": words(cause)}
    open_ones = update(_table).where(_c.node_id == node_id, _c.state.in_(OPEN))
    connection.execute(open_ones.values(**lost, updated_us=now_us()))


def forget(connection: Connection, state: str, keep_s: float, limit: int, kind: str = "") -> int:
    """
    Delete the oldest tasks in a final state that have been in it for longer than ``keep_s``.

    :param kind: of that one alone, and of the last hour; empty: of all
    :return: how many
    """
    ids = list(connection.execute(_old(state, keep_s, kind).order_by(_c.updated_us).limit(limit)).scalars())
    if ids:
        connection.execute(delete(_table).where(_c.id.in_(ids), _c.state == state))
    return len(ids)


def has_old(connection: Connection, state: str, keep_s: float, kind: str = "") -> bool:
    """Whether ``forget`` would delete any: asked first, since a write waits for its turn."""
    return connection.execute(_old(state, keep_s, kind).limit(1)).first() is not None


def _old(state: str, keep_s: float, kind: str) -> Select[Any]:
    old = select(_c.id).where(_c.state == state, _c.updated_us < now_us() - int(keep_s * 1e6))
    if not kind:
        return old
    # Others' rows are read for it: so only those that have just become old.
    return old.where(_c.kind == kind, _c.updated_us > now_us() - int((keep_s + LATELY_S) * 1e6))


def _select() -> Select[Any]:
    """Rows with what ``_plain`` needs."""
    facts = (now_us().label("now_us"), _nodes.c.name.label("node_name"), _nodes.c.state.label("node_state"))
    return select(_table, *facts).outerjoin(_nodes, _nodes.c.id == _c.node_id)


def _row(connection: Connection, task_id: str) -> Row[Any]:
    row = connection.execute(_select().where(_c.id == task_id)).first()
    if row is None:
        raise NoSuchTask(f"there is no task {task_id[:64]}: it was never there, or it has been forgotten")
    return row


def _plain(row: Row[Any]) -> dict[str, Any]:
    """What is told of a task in a list: times in seconds since the epoch."""
    waits_s = (row.due_us - row.now_us) / 1e6 if row.due_us is not None else 0.0
    return {
        "id": row.id,
        "kind": row.kind,
        "state": row.state,
        "step": row.step,
        "project_id": row.project_id or "",
        "resource": row.resource,
        "request_id": row.request_id,
        "node": row.node_name or row.node_id or "",
        "attempts": row.attempts,
        "progress": row.progress,
        "total": row.total,
        "owner": row.lease_owner or "",
        "waits_s": max(0.0, waits_s),
        "cause": row.cause,
        "cancelled": row.cancel_cause or "",
        "created": row.created_us / 1e6,
        "updated": row.updated_us / 1e6,
    }
