# -*- test-case-name: tests.tasks.test_rows -*-
"""
The rows of tasks: functions for ``Transactions.read`` and ``write`` with a ``sqlalchemy.Connection``.

**A lease** is a token in a running task's row.  Every write of who runs it is an UPDATE of the row with this token; no
row means that the lease went to somebody else, and ``LeaseLost`` undoes whatever the same transaction has written.
When it ends is in ``due_us``, by the database's clock, as is when a queued task may begin.  So the row of whoever was
killed becomes due by itself, and a claim need not tell the two apart.

**A task of one node**, since what it works on lies there, is claimed by nobody else, however long that node is away.

**A claim** is one UPDATE of rows that are due.  On SQLite one transaction writes at a time; on PostgreSQL rows that
another claim has locked are passed over (``SKIP LOCKED``), and the condition is tested again on what was locked.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from attrs import field, frozen
from sqlalchemy import ColumnElement, Connection, Update, and_, case, false, func, insert, or_, select, update

from cloudd.database import now_us, tables

from ._errors import LeaseLost
from ._kind import Fields, Form
from ._pinned import version_for

_table = tables.task
_c = _table.c

MAX_RESOURCE = 512
MAX_CAUSE = 2_000
LATE = "it was not done in its time"
OPEN = ("queued", "running")

Readable = Mapping[str, Sequence[int]]
"""Name of a kind -> versions of rows that can be run here."""


@frozen
class Here:
    """
    Which tasks may be claimed here.

    :param node_id: also those of this node alone; empty: none
    :param shared: those that any node can do
    """

    node_id: str = ""
    shared: bool = True

    def __bool__(self) -> bool:
        """Whether there may be any."""
        return self.shared or bool(self.node_id)

    @property
    def condition(self) -> ColumnElement[bool]:
        """On rows."""
        own = _c.node_id == self.node_id if self.node_id else false()
        return or_(own, _c.node_id.is_(None)) if self.shared else own


ANYWHERE = Here()


@frozen
class Lease:
    """The right to write to a running task."""

    task_id: str
    token: str = field(repr=False)
    lasts_us: int


@frozen(kw_only=True)
class Claimed:
    """A task as it was claimed; ``attempts`` counts this one."""

    id: str
    kind: str
    version: int
    payload: str
    project_id: str | None
    resource: str
    request_id: str
    step: str
    step_version: int | None
    step_state: str | None
    progress: int
    total: int
    attempts: int
    cause: str
    cancel_cause: str | None
    is_late: bool


@frozen
class Standing:
    """What every write asks besides: whether the task shall end before it is done."""

    cancel_cause: str | None
    is_late: bool

    @property
    def end(self) -> str:
        """Why it shall end; empty: it may go on."""
        if self.cancel_cause is not None:
            return self.cancel_cause
        return LATE if self.is_late else ""


def words(cause: str) -> str:
    """A cause as every database keeps it: errors may hold anything, file names of broken bytes too."""
    return cause.encode(errors="replace").decode().replace("\0", "?")[:MAX_CAUSE]


# ---- who wants work to be done


def submit(
    connection: Connection,
    form: Form,
    payload: Fields,
    *,
    project_id: str | None = None,
    node_id: str | None = None,
    resource: str = "",
    request_id: str = "",
    delay_s: float = 0.0,
    limit_s: float | None = None,
    run_s: float | None = None,
    once: bool = False,
) -> str:
    """
    Have a task of that form done, if the transaction is committed; it begins when a runner sees it.

    :param payload: plain data that JSON holds, in the form's ``version``
    :param project_id: whose work it is
    :param node_id: the one node that can do it; None: any can
    :param resource: what it is done to, in words of its kind
    :param request_id: of the request that asked for it
    :param delay_s: begin no earlier than so long from now
    :param limit_s: fail when it is not done so long from now
    :param run_s: fail when it is not done so long from its first claim: its wait for a runner does not count
    :param once: where an open task of this form for this resource and node is there already, give that one's id
    :return: its id
    :raises reload.SnapshotError: the payload is no plain data, or has no form in the version that is written
    """
    if len(resource) > MAX_RESOURCE:
        raise ValueError(f"a resource has at most {MAX_RESOURCE} characters")
    if once and (present := _open_task(connection, form, resource, node_id)) is not None:
        return present
    version, text = form.written(payload, version_for(connection, form))
    task_id = uuid.uuid4().hex
    values = {
        "id": task_id,
        "kind": form.name,
        "version": version,
        "payload": text,
        "project_id": project_id,
        "node_id": node_id,
        "resource": resource,
        "request_id": request_id,
        "state": "queued",
        "due_us": now_us() + int(delay_s * 1e6),
        "deadline_us": None if limit_s is None else now_us() + int(limit_s * 1e6),
        "run_us": None if run_s is None else int(run_s * 1e6),
        "created_us": now_us(),
        "updated_us": now_us(),
    }
    connection.execute(insert(_table).values(**values))
    return task_id


def submit_on_each_node(connection: Connection, form: Form, payload: Fields, **facts: Any) -> list[str]:
    """
    Have the same done on every node that was not removed, by itself; on a machine that is no node yet: there.

    :param facts: as for ``submit``
    :return: an id for each
    """
    nodes = tables.node.c
    ids = connection.execute(select(nodes.id).where(nodes.state != "removed").order_by(nodes.id)).scalars().all()
    return [submit(connection, form, payload, node_id=node_id, **facts) for node_id in ids or [None]]


def _open_task(connection: Connection, form: Form, resource: str, node_id: str | None) -> str | None:
    query = select(_c.id).where(_c.resource == resource, _c.kind == form.name, _c.state.in_(OPEN))
    return connection.execute(query.where(_c.node_id.is_not_distinct_from(node_id)).limit(1)).scalar()


# ---- who looks for work


def next_due_us(connection: Connection, readable: Readable, here: Here = ANYWHERE) -> int | None:
    """Microseconds from now until a task is due that can be run here, 0 or less: one is; None: there is none."""
    due: int | None = connection.execute(
        select(func.min(_c.due_us) - now_us()).where(_c.due_us.is_not(None), _runnable(readable), here.condition)
    ).scalar()
    return due


def longest_due_us(connection: Connection, readable: Readable, here: Here = ANYWHERE) -> int | None:
    """Since when a task is due that waits longest, by the database's clock; None: none is due."""
    query = select(func.min(_c.due_us)).where(_c.due_us <= now_us(), _runnable(readable), here.condition)
    found: int | None = connection.execute(query).scalar()
    return found


def claim(
    connection: Connection, readable: Readable, owner: str, lasts_us: int, limit: int, here: Here = ANYWHERE
) -> list[tuple[Lease, Claimed]]:
    """
    Take a lease on tasks that are due, the longest waiting first.  No two claims get the same, wherever they are made.

    :param owner: who claims, for operators
    :param lasts_us: how long the lease lasts when it is not renewed
    :param limit: most tasks
    """
    token = uuid.uuid4().hex
    is_due = and_(_c.due_us <= now_us(), _runnable(readable), here.condition)
    connection.execute(_claiming(is_due, owner, token, lasts_us, limit))
    facts = [_c[name] for name in _CLAIMED]
    query = select(*facts, _is_late().label("is_late"))
    rows = connection.execute(query.where(_c.lease_token == token, _c.state == "running"))
    return [(Lease(row.id, token, lasts_us), Claimed(**{**row._mapping, "is_late": bool(row.is_late)})) for row in rows]


def _claiming(is_due: ColumnElement[bool], owner: str, token: str, lasts_us: int, limit: int) -> Update:
    """
    The one UPDATE.

    As a common table expression the choice is made once; as a subquery PostgreSQL might make it for each row again.
    """
    due = select(_c.id).where(is_due).order_by(_c.due_us).limit(limit).with_for_update(skip_locked=True).cte("due")
    return (
        update(_table)
        .where(_c.id.in_(select(due.c.id)), is_due)
        .values(
            state="running",
            due_us=now_us() + lasts_us,
            attempts=_c.attempts + 1,
            deadline_us=func.coalesce(_c.deadline_us, now_us() + _c.run_us),
            lease_owner=owner,
            lease_token=token,
            updated_us=now_us(),
        )
    )


_CLAIMED = (
    "id", "kind", "version", "payload", "project_id", "resource", "request_id", "step", "step_version", "step_state",
    "progress", "total", "attempts", "cause", "cancel_cause",
)  # fmt: skip


def _runnable(readable: Readable) -> ColumnElement[bool]:
    kinds = [
        and_(
            _c.kind == name,
            _c.version.in_(list(versions)),
            or_(_c.step_version.is_(None), _c.step_version.in_(list(versions))),
        )
        for name, versions in readable.items()
    ]
    return or_(*kinds) if kinds else false()


def _is_late() -> ColumnElement[bool]:
    return and_(_c.deadline_us.is_not(None), _c.deadline_us <= now_us())


# ---- who holds a lease


def renew(connection: Connection, leases: Iterable[Lease], lasts_us: int) -> dict[Lease, Standing]:
    """
    Have leases last from now on.

    :return: those that are still held; the others are lost
    """
    by_key = {(lease.task_id, lease.token): lease for lease in leases}
    mine = and_(_c.lease_token.in_({token for _id, token in by_key}), _c.state == "running")
    connection.execute(update(_table).where(mine).values(due_us=now_us() + lasts_us))
    rows = connection.execute(select(_c.id, _c.lease_token, _c.cancel_cause, _is_late().label("is_late")).where(mine))
    return {
        by_key[row.id, row.lease_token]: Standing(row.cancel_cause, bool(row.is_late))
        for row in rows
        if (row.id, row.lease_token) in by_key
    }


def check(connection: Connection, lease: Lease) -> Standing:
    """
    Hold the lease for the rest of the transaction: nobody else can take it before it ends.

    :raises LeaseLost:
    """
    _write(connection, lease)
    return _standing(connection, lease)


def save(
    connection: Connection,
    lease: Lease,
    form: Form,
    state: Fields,
    progress: int | None = None,
    total: int | None = None,
) -> None:
    """
    Keep how far a step is: it begins from there when it begins again.  Attempts are counted anew.

    :raises LeaseLost:
    """
    version, text = form.written(state, version_for(connection, form))
    values: dict[str, Any] = {"step_version": version, "step_state": text, "attempts": 0}
    figures = {"progress": progress, "total": total}
    _write(connection, lease, **values, **{name: figure for name, figure in figures.items() if figure is not None})


def enter(connection: Connection, lease: Lease, step: str, cause: str | None = None) -> Standing:
    """
    A step has ended, and that one follows; the state stays.

    :param cause: why the task will fail, where ``step`` is ``undo``
    :raises LeaseLost:
    """
    _write(connection, lease, step=step, attempts=0, **({} if cause is None else {"cause": words(cause)}))
    return _standing(connection, lease)


def finish(connection: Connection, lease: Lease, result: Fields | None) -> int:
    """
    The task is done.

    :return: its age in microseconds
    :raises LeaseLost:
    """
    text = None if result is None else json.dumps(result, ensure_ascii=False)
    _write(connection, lease, state="done", result=text, cause="", **_NO_LEASE, due_us=None)
    return _age_us(connection, lease)


def fail(connection: Connection, lease: Lease, cause: str) -> int:
    """
    The task has failed, for good unless an operator has it tried again.

    :return: its age in microseconds
    :raises LeaseLost:
    """
    _write(connection, lease, state="failed", cause=words(cause), **_NO_LEASE, due_us=None)
    return _age_us(connection, lease)


def put_back(connection: Connection, lease: Lease, delay_s: float, cause: str, counts: bool = True) -> None:
    """
    Have the step tried again later.

    :param cause: why it failed, for operators
    :param counts: as an attempt
    :raises LeaseLost:
    """
    attempts = {} if counts else {"attempts": _one_less()}
    due = now_us() + int(delay_s * 1e6)
    _write(connection, lease, state="queued", cause=words(cause), **_NO_LEASE, due_us=due, **attempts)


def release(connection: Connection, lease: Lease) -> None:
    """
    Let another runner go on at once; this was no attempt.

    :raises LeaseLost:
    """
    _write(connection, lease, state="queued", **_NO_LEASE, due_us=now_us(), attempts=_one_less())


def _one_less() -> ColumnElement[int]:
    return case((_c.attempts > 0, _c.attempts - 1), else_=0)


_NO_LEASE: dict[str, None] = {"lease_owner": None, "lease_token": None}


def _write(connection: Connection, lease: Lease, **values: Any) -> None:
    mine = and_(_c.id == lease.task_id, _c.lease_token == lease.token, _c.state == "running")
    values = {"due_us": now_us() + lease.lasts_us, **values, "updated_us": now_us()}
    if connection.execute(update(_table).where(mine).values(**values)).rowcount != 1:
        raise LeaseLost(f"the lease of task {lease.task_id} has ended, and somebody else may run it")


def _standing(connection: Connection, lease: Lease) -> Standing:
    row = connection.execute(select(_c.cancel_cause, _is_late().label("is_late")).where(_c.id == lease.task_id)).one()
    return Standing(row.cancel_cause, bool(row.is_late))


def _age_us(connection: Connection, lease: Lease) -> int:
    age: int | None = connection.execute(select(_c.updated_us - _c.created_us).where(_c.id == lease.task_id)).scalar()
    return age or 0
