# -*- test-case-name: tests.nodes.test_releases -*-
"""
What the nodes ran before a rolling upgrade: functions for ``Transactions.read`` and ``write``.

As long as a release is **open**, one command goes back to that code.  So what is written must be readable by it, also
when no node runs it any more: it counts among those who live (``Pins``).  That ends when it is **final**, or the cloud
has gone **back**.  One is open at a time.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from attrs import frozen
from sqlalchemy import Connection, Row, delete, insert, select, update

from cloudd.database import now_us, tables
from cloudd.interfaces.payloads import Readable

from ._errors import WrongNodeState

_table = tables.release
_c = _table.c


@frozen(kw_only=True)
class Release:
    """
    One row.

    :ivar id: of the task that began it
    :ivar tree: where the new code was taken from, on each node; empty: from where it was started
    :ivar payloads: what the code before reads
    :ivar before: node id -> hash of the code that it had
    :ivar state: ``open``, ``final`` or ``back``, for ``state_s`` by ``state_by``
    """

    id: str
    new_hash: str
    tree: str
    payloads: Readable
    before: Mapping[str, str]
    state: str
    state_s: float
    state_by: str


def begin(connection: Connection, release: Release) -> Release:
    """
    The code of nodes will change; to the same code as an open release: more nodes of that one.

    :param release: with an id of its own, or that of one which was gone back from and begins again; its state is not
        looked at
    :return: the release that is open now, with all its nodes
    :raises WrongNodeState: there is an open one of other code
    """
    present = opened(connection)
    if present is None:
        connection.execute(delete(_table).where(_c.id == release.id))
        facts = {"payloads": json.dumps(dict(release.payloads)), "nodes": json.dumps(dict(release.before))}
        values = {"id": release.id, "new_hash": release.new_hash, "tree": release.tree, "state_by": release.state_by}
        connection.execute(
            insert(_table).values(**values, **facts, state="open", state_us=now_us(), created_us=now_us())
        )
    elif present.new_hash != release.new_hash:
        raise WrongNodeState(f"the upgrade to {present.new_hash[:12]} is not final: {NEXT}")
    else:
        before = json.dumps({**release.before, **present.before})  # what a node had first counts
        payloads = json.dumps(_read_by_both(present.payloads, release.payloads))
        connection.execute(update(_table).where(_c.id == present.id).values(nodes=before, payloads=payloads))
    found = opened(connection)
    assert found is not None
    return found


NEXT = "`cloudctl finalize`, or `cloudctl rollback --rolling`, first"


def _read_by_both(one: Readable, other: Readable) -> dict[str, list[int]]:
    """Versions of each payload that the code of either reads, where it knows the payload."""
    found = {name: set(versions) for name, versions in one.items()}
    for name, versions in other.items():
        found[name] = found.get(name, set(versions)) & set(versions)
    return {name: sorted(versions) for name, versions in found.items()}


def opened(connection: Connection) -> Release | None:
    """The one that can be gone back from."""
    return _first(connection, "open")


def latest(connection: Connection) -> Release | None:
    """The newest, whatever its state."""
    return _first(connection, "")


def end(connection: Connection, release_id: str, state: str, by: str) -> bool:
    """
    An open release is one no more.

    :param state: ``final`` or ``back``
    :return: whether it was open
    """
    values = {"state": state, "state_us": now_us(), "state_by": by[:255]}
    changed = connection.execute(update(_table).where(_c.id == release_id, _c.state == "open").values(**values))
    return bool(changed.rowcount)


def _first(connection: Connection, state: str) -> Release | None:
    query = select(_table, now_us().label("now_us")).order_by(_c.created_us.desc(), _c.id).limit(1)
    row = connection.execute(query.where(_c.state == state) if state else query).first()
    return None if row is None else _release(row)


def _release(row: Row[Any]) -> Release:
    return Release(
        id=row.id,
        new_hash=row.new_hash,
        tree=row.tree,
        payloads=json.loads(row.payloads),
        before=json.loads(row.nodes),
        state=row.state,
        state_s=max(0.0, (row.now_us - row.state_us) / 1e6),
        state_by=row.state_by,
    )
