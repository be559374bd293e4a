# -*- test-case-name: tests.nodes.test_leases -*-
"""
Duties: what one node of the cloud does for all, and which one.  Functions for ``Transactions.read`` and ``write``.

A duty is a row with a token and the time at which it ends, by the database's clock alone: no host's clock is asked, so
hosts whose clocks differ agree.  Who takes it gets a new token and the next **term**.  Whatever its holder writes goes
through ``hold`` in the same transaction: an UPDATE of the row with the token, and no row means that somebody else has
it, so that nothing at all is written.

The row is taken by one UPDATE of what has ended or was given back.  Both databases let one transaction write at a
time, and the condition is tested on the row as it is then.
"""

from __future__ import annotations

import uuid
from typing import Any

from attrs import field, frozen
from sqlalchemy import Connection, and_, insert, or_, select, update

from cloudd.database import now_us, tables

from ._errors import DutyLost

_table = tables.duty
_c = _table.c
_FREE: dict[str, Any] = {"token": None, "until_us": None, "owner": None, "node_id": None}


@frozen
class Lease:
    """
    The right to do a duty.

    :ivar term: how often the duty was taken, this time included: of two holders the later one has the higher
    """

    name: str
    token: str = field(repr=False)
    term: int


@frozen
class Held:
    """What is told of a duty: ``owner`` is empty when nobody has it, ``ends_s`` counts from now."""

    name: str
    owner: str
    node_id: str
    term: int
    ends_s: float


def ends_in_s(connection: Connection, name: str) -> float | None:
    """Seconds until somebody may take it; at most 0: now.  None: nobody ever had it.  A read, asked before ``take``."""
    row = connection.execute(select(_c.token, (_c.until_us - now_us()).label("left_us")).where(_c.name == name)).first()
    if row is None:
        return None
    return 0.0 if row.token is None or row.left_us is None else row.left_us / 1e6


def take(connection: Connection, name: str, owner: str, node_id: str, lasts_us: int) -> Lease | None:
    """
    Take a duty that nobody has, for so long; None: somebody has it.

    :param owner: what operators read of who has it
    """
    if connection.execute(select(_c.name).where(_c.name == name)).first() is None:
        connection.execute(insert(_table).values(name=name))
    token = uuid.uuid4().hex
    free = and_(_c.name == name, or_(_c.token.is_(None), _c.until_us <= now_us()))
    values: dict[str, Any] = {
        "owner": owner,
        "node_id": node_id,
        "token": token,
        "until_us": now_us() + lasts_us,
        "term": _c.term + 1,
        "since_us": now_us(),
    }
    if connection.execute(update(_table).where(free).values(**values)).rowcount != 1:
        return None
    term: int = connection.execute(select(_c.term).where(_c.name == name)).scalar_one()
    return Lease(name, token, term)


def renew(connection: Connection, lease: Lease, lasts_us: int) -> None:
    """
    Keep it for so long from now.  One that has ended is kept, too, as long as nobody else took it.

    :raises DutyLost:
    """
    _write(connection, lease, until_us=now_us() + lasts_us)


def hold(connection: Connection, lease: Lease) -> None:
    """
    Have what else this transaction writes count only if the duty is still this holder's when it commits.

    :raises DutyLost: it was taken by somebody else, or has ended
    """
    found = connection.execute(update(_table).where(_mine(lease), _c.until_us > now_us()).values(term=_c.term))
    if found.rowcount != 1:
        raise DutyLost(f"the duty {lease.name} has ended here, and somebody else may have it")


def release(connection: Connection, lease: Lease) -> None:
    """Give it back, if it is still ours: another may take it at once."""
    connection.execute(update(_table).where(_mine(lease)).values(**_FREE))


def release_all(connection: Connection, node_id: str) -> None:
    """Take all duties from a node that does nothing any more."""
    connection.execute(update(_table).where(_c.node_id == node_id).values(**_FREE))


def duties(connection: Connection) -> list[Held]:
    """All duties, by name."""
    left_us = (_c.until_us - now_us()).label("left_us")
    rows = connection.execute(select(_c.name, _c.owner, _c.node_id, _c.token, _c.term, left_us).order_by(_c.name))
    return [_held(row) for row in rows]


def _held(row: Any) -> Held:
    left_s = (row.left_us or 0) / 1e6
    if row.token is None or left_s <= 0:
        return Held(row.name, "", "", row.term, 0.0)
    return Held(row.name, row.owner or "", row.node_id or "", row.term, left_s)


def _mine(lease: Lease) -> Any:
    return and_(_c.name == lease.name, _c.token == lease.token)


def _write(connection: Connection, lease: Lease, **values: Any) -> None:
    if connection.execute(update(_table).where(_mine(lease)).values(**values)).rowcount != 1:
        raise DutyLost(f"the duty {lease.name} has ended here, and somebody else may have it")
