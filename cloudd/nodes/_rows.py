# -*- test-case-name: tests.nodes.test_rows -*-
"""
The registry: functions for ``Transactions.read`` and ``write`` with a ``sqlalchemy.Connection``.

A node writes its own row; operators write its state.  What an operator wants is a write of ``state`` under a condition
on the state it has, and the node follows at its next beat, so neither overwrites the other.  Whether a node is silent
or lost is no state of the row but its age: the time since ``contact_us``, both by the database's clock.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from attrs import frozen
from sqlalchemy import Connection, Row, bindparam, insert, or_, select, update

from cloudd.database import now_us, tables

from . import _leases
from ._errors import NoSuchNode, WrongNodeState

_table = tables.node
_c = _table.c

STATES = ("joining", "ready", "draining", "drained", "removed")
SILENT_BEATS = 4
MAX_NAME = 255


@frozen(kw_only=True)
class Node:
    """
    One row as it was read, with ages in seconds.

    :ivar payloads: kind -> versions that its code reads
    :ivar age_s: since it last said something; None: it never did
    :ivar beat_s: how often it says something
    """

    id: str
    name: str
    roles: tuple[str, ...]
    address: str
    state: str
    state_s: float
    state_by: str
    version: str
    code_hash: str
    generation: int
    payloads: Mapping[str, Sequence[int]]
    load: Mapping[str, Any]
    beat_s: float
    age_s: float | None
    certificate: float
    created: float

    @property
    def health_url(self) -> str:
        """Where others ask for its ``/health``; empty: it said nothing of that."""
        return str(self.load.get("health", ""))

    @property
    def is_silent(self) -> bool:
        """Whether it should have said something by now."""
        return self.age_s is None or self.age_s > SILENT_BEATS * max(self.beat_s, 1.0)

    def is_lost(self, lost_s: float) -> bool:
        """Whether it has been silent for so long that it is taken for gone."""
        return self.is_silent and (self.age_s is None or self.age_s > max(lost_s, SILENT_BEATS * self.beat_s))

    def shown_state(self, lost_s: float) -> str:
        """What operators see: ``lost`` takes the place of ``ready``, ``draining`` and ``drained``."""
        return "lost" if self.state not in {"joining", "removed"} and self.is_lost(lost_s) else self.state


@frozen(kw_only=True)
class Beat:
    """What a node says of itself."""

    version: str
    code_hash: str
    generation: int
    payloads: Mapping[str, Sequence[int]]
    load: Mapping[str, Any]
    beat_s: float
    address: str


def enter(
    connection: Connection, node_id: str, name: str, roles: Collection[str], state: str, by: str, address: str = ""
) -> None:
    """
    A new node's row.

    :raises WrongNodeState: another node that is not removed has the name, or the id is there already
    """
    taken = select(_c.id).where(_c.name == name, _c.state != "removed")
    if connection.execute(taken).first() is not None:
        raise WrongNodeState(f"there is a node {name} already: choose another --name, or remove that one first")
    if connection.execute(select(_c.id).where(_c.id == node_id)).first() is not None:
        raise WrongNodeState(f"node {node_id} is there already")
    connection.execute(
        insert(_table).values(
            id=node_id,
            name=name,
            roles=json.dumps(sorted(roles)),
            address=address,
            state=state,
            state_us=now_us(),
            state_by=by[:255],
            created_us=now_us(),
        )
    )
    note(connection, "node.joined", node_id, name, by)


def beat(connection: Connection, node_id: str, said: Beat) -> str | None:
    """
    What a node says of itself now; one that was joining is ready from now on.

    :return: the state that it is in; None: there is no such node
    """
    row = connection.execute(select(_c.state).where(_c.id == node_id)).first()
    if row is None:
        return None
    values: dict[str, Any] = {
        "version": said.version[:64],
        "code_hash": said.code_hash,
        "generation": said.generation,
        "payloads": json.dumps(said.payloads),
        "load": json.dumps(said.load),
        "beat_us": int(said.beat_s * 1e6),
        "address": said.address,
        "contact_us": now_us(),
    }
    state: str = row.state
    if state == "joining":
        state = values["state"] = "ready"
        values["state_us"] = now_us()
    connection.execute(update(_table).where(_c.id == node_id).values(**values))
    return state


def move(connection: Connection, node_id: str, before: Collection[str], after: str, by: str) -> bool:
    """Give a node that is in one of these states another one; whether it was in one."""
    changed = update(_table).where(_c.id == node_id, _c.state.in_(before))
    values = {"state": after, "state_us": now_us(), "state_by": by[:255]}
    if connection.execute(changed.values(**values)).rowcount != 1:
        return False
    name: str = connection.execute(select(_c.name).where(_c.id == node_id)).scalar_one()
    note(connection, f"node.{after}", node_id, name, by)
    return True


def drain(connection: Connection, named: str, by: str) -> Node:
    """
    Have a node take up nothing new; it is drained when it says that nothing runs on it.

    :raises NoSuchNode:
    :raises WrongNodeState: it is joining or removed
    """
    node = find(connection, named)
    if node.state not in {"draining", "drained"} and not move(connection, node.id, ("ready",), "draining", by):
        raise WrongNodeState(f"node {node.name} is {node.state}: only one that is ready can be drained")
    return find(connection, node.id)


def give_back(connection: Connection, named: str, by: str) -> Node:
    """
    Have a node that was drained work again.

    :raises NoSuchNode:
    :raises WrongNodeState: it is joining or removed
    """
    node = find(connection, named)
    if node.state != "ready" and not move(connection, node.id, ("draining", "drained"), "ready", by):
        raise WrongNodeState(f"node {node.name} is {node.state}: only one that is draining or drained can return")
    return find(connection, node.id)


Removed = Callable[[Connection, str, str], None]
"""Called with a node's id and name in the transaction that removes it."""


def remove(connection: Connection, named: str, by: str, lost_s: float, removed: Removed, *, force: bool) -> Node:
    """
    Have a node be one no more: its certificate is not renewed, its duties go to others at once.

    :param removed: called when it is
    :param force: also one that is at work
    :raises NoSuchNode:
    :raises WrongNodeState: it is at work, or removed already
    """
    node = find(connection, named)
    state = node.shown_state(lost_s)
    if state == "removed":
        raise WrongNodeState(f"node {node.name} is removed already")
    if state in {"ready", "draining"} and not force:
        raise WrongNodeState(
            f"node {node.name} is {state} and at work: `cloudctl node drain {node.name}` first, or remove it by --force"
        )
    move(connection, node.id, STATES, "removed", by)
    _leases.release_all(connection, node.id)
    removed(connection, node.id, node.name)
    return find(connection, node.id)


def is_node(connection: Connection, node_id: str) -> bool:
    """Whether there is one of that id that was not removed."""
    query = select(_c.id).where(_c.id == node_id, _c.state != "removed")
    return connection.execute(query).first() is not None


def certified(connection: Connection, node_id: str, ends_us: int) -> None:
    """A node got a certificate that ends then."""
    connection.execute(update(_table).where(_c.id == node_id).values(certificate_us=ends_us))


def find(connection: Connection, named: str) -> Node:
    """
    The node of that id or name; of several of one name the one that is not removed.

    :raises NoSuchNode:
    """
    query = select(_table, now_us().label("now_us")).where(or_(_c.id == named, _c.name == named))
    rows = [_node(row) for row in connection.execute(query.order_by(_c.created_us.desc()))]
    if not rows:
        raise NoSuchNode(f"there is no node {named[:64]}: see `cloudctl node list`")
    return next((node for node in rows if node.state != "removed" or node.id == named), rows[0])


def nodes(connection: Connection, *, removed: bool = True) -> list[Node]:
    """All, by name."""
    query = select(_table, now_us().label("now_us")).order_by(_c.name, _c.created_us)
    if not removed:
        query = query.where(_c.state != "removed")
    return [_node(row) for row in connection.execute(query)]


_STANDINGS = select(_c.id, _c.state, _c.beat_us, _c.contact_us, now_us().label("now_us")).where(_c.state != "removed")
_STANDINGS_OF = _STANDINGS.where(_c.id.in_(bindparam("ids", expanding=True)))


def standings(connection: Connection, node_ids: Collection[str] | None = None) -> dict[str, str]:
    """
    Ids of nodes that are not removed -> why a node cannot take up work now, in words; empty: it can.

    :param node_ids: of these alone; None: of all
    """
    some = None if node_ids is None else {"ids": list(node_ids)}
    rows = connection.execute(_STANDINGS if some is None else _STANDINGS_OF, some)
    return {row.id: _standing(row) for row in rows}


def _standing(row: Row[Any]) -> str:
    if row.state != "ready":
        return f"its node is {row.state}"
    if row.contact_us is None or row.now_us - row.contact_us > SILENT_BEATS * max(row.beat_us, 1_000_000):
        return "its node is silent"
    return ""


def time_us(connection: Connection) -> int:
    """The database's clock."""
    found: int = connection.execute(select(now_us())).scalar_one()
    return found


def note(connection: Connection, kind: str, node_id: str, name: str, by: str) -> None:
    """Tell who follows the cloud's events, and the log of what was done, in the transaction that does it."""
    data = json.dumps({"node_id": node_id, "name": name, "by": by})
    connection.execute(insert(tables.outbox).values(created_us=now_us(), type=kind, data=data))


def _node(row: Row[Any]) -> Node:
    return Node(
        id=row.id,
        name=row.name,
        roles=tuple(json.loads(row.roles)),
        address=row.address,
        state=row.state,
        state_s=max(0.0, (row.now_us - row.state_us) / 1e6),
        state_by=row.state_by,
        version=row.version,
        code_hash=row.code_hash,
        generation=row.generation,
        payloads=json.loads(row.payloads),
        load=json.loads(row.load),
        beat_s=row.beat_us / 1e6,
        age_s=None if row.contact_us is None else max(0.0, (row.now_us - row.contact_us) / 1e6),
        certificate=(row.certificate_us or 0) / 1e6,
        created=row.created_us / 1e6,
    )
