# -*- test-case-name: tests.protocols.rest.compute.test_aggregates -*-
"""
Host aggregates: functions with a ``sqlalchemy.Connection``, rights included; all of it is for administrators.

An aggregate's zone is the zone of its hosts, so a host is in one such aggregate at most; and it is not changed while
there are servers on them, since these were asked for in the zone of then.
"""

from __future__ import annotations

import json
import secrets
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, Final

from attrs import frozen
from sqlalchemy import Connection, Row, delete, insert, select, update

from cloudd.database import now_us, tables
from cloudd.identity import Access
from cloudd.nodes import node_rows

from .. import _policy
from .._errors import BadComputeValue, ComputeConflict, NoSuchRecord
from ._aggregate_hosts import follow_aggregates

_table, _members, _hosts = tables.aggregate, tables.aggregate_host, tables.compute_host
_c = _table.c
_CHUNK: Final = 500
_MAX_NUMBER: Final = 2**31 - 1
_RULE: Final = "os-aggregates"


@frozen(kw_only=True)
class Aggregate:
    """
    Hosts that an operator has put together.

    :ivar number: the API's "id"
    :ivar zone: of its hosts; empty: they keep theirs
    :ivar items: its metadata but the zone
    :ivar hosts: names, in order
    :ivar updated_us: None: it never was changed
    """

    id: str
    number: int
    name: str
    zone: str
    items: Mapping[str, str]
    hosts: tuple[str, ...]
    created_us: int
    updated_us: int | None


@frozen
class _Nodes:
    """Hosts that there are: id of the node -> name, and the other way round."""

    names: Mapping[str, str]
    ids: Mapping[str, str]


def aggregates(connection: Connection, access: Access) -> list[Aggregate]:
    """
    Oldest first.

    :raises ComputeForbidden: it is for administrators
    """
    _policy.enforce_admin(access, f"{_RULE}:index")
    return _complete(connection, connection.execute(select(_table).order_by(_c.created_us, _c.number)).all())


def one_aggregate(connection: Connection, access: Access, number: str, rule: str = "show") -> Aggregate:
    """
    :param number: as text
    :raises NoSuchRecord:
    """
    _policy.enforce_admin(access, f"{_RULE}:{rule}")
    fits = number.isascii() and number.isdigit() and len(number) <= len(str(_MAX_NUMBER))
    row = connection.execute(select(_table).where(_c.number == int(number))).first() if fits else None
    if row is None:
        raise NoSuchRecord(f"Aggregate {number[:64]} could not be found.")
    return _complete(connection, [row])[0]


def create_aggregate(connection: Connection, access: Access, name: str, zone: str = "") -> Aggregate:
    """
    :param zone: empty: its hosts keep theirs
    :raises ComputeConflict: another one has the name
    """
    _policy.enforce_admin(access, f"{_RULE}:create")
    _check_name(connection, name)
    values: dict[str, Any] = {"id": str(uuid.uuid4()), "number": _free_number(connection), "name": name, "zone": zone}
    connection.execute(insert(_table).values(**values, items="{}", created_us=now_us(), updated_us=None))
    return one_aggregate(connection, access, str(values["number"]), "create")


def update_aggregate(
    connection: Connection, access: Access, number: str, name: str | None = None, zone: str | None = None
) -> Aggregate:
    """
    :param name: another one; None: it keeps its own, likewise for ``zone``
    :raises NoSuchRecord:
    :raises ComputeConflict: another one has the name
    :raises BadComputeValue: its hosts are in another zone, or have servers
    """
    before = one_aggregate(connection, access, number, "update")
    values: dict[str, Any] = {}
    if name is not None and name != before.name:
        _check_name(connection, name)
        values["name"] = name
    if zone is not None:
        _check_zone(connection, before, zone, f"Cannot update aggregate {before.number}.")
        values["zone"] = zone
    return _written(connection, access, before, values)


def set_aggregate_items(
    connection: Connection, access: Access, number: str, items: Mapping[str, str | None]
) -> Aggregate:
    """
    Change its metadata; what is not named stays.

    :param items: None for a key that is to go; ``availability_zone`` is the zone
    :raises NoSuchRecord:
    :raises BadComputeValue: its hosts are in another zone, or have servers
    """
    before = one_aggregate(connection, access, number, "set_metadata")
    values: dict[str, Any] = {}
    if "availability_zone" in items:
        values["zone"] = items["availability_zone"] or ""
        refused = f"Cannot update metadata of aggregate {before.number}."
        _check_zone(connection, before, values["zone"], refused)
    after = {**before.items, **{key: value for key, value in items.items() if key != "availability_zone"}}
    values["items"] = json.dumps({key: value for key, value in after.items() if value is not None})
    return _written(connection, access, before, values)


def drop_aggregate(connection: Connection, access: Access, number: str) -> None:
    """
    :raises NoSuchRecord:
    :raises BadComputeValue: it has hosts
    """
    before = one_aggregate(connection, access, number, "delete")
    if before.hosts:
        raise BadComputeValue(f"Cannot delete aggregate {before.number}. Reason: Host aggregate is not empty.")
    connection.execute(delete(_table).where(_c.id == before.id))


def add_aggregate_host(connection: Connection, access: Access, number: str, host: str) -> Aggregate:
    """
    :param host: its name
    :raises NoSuchRecord: there is no such aggregate or host
    :raises ComputeConflict: it is in this one, or in one of another zone
    """
    before = one_aggregate(connection, access, number, "add_host")
    node_id = _known(connection, host)
    if host in before.hosts:
        raise ComputeConflict(f"Aggregate {before.number} already has host {host}.")
    others = _other_zones(connection, before, [node_id], before.zone) if before.zone else []
    if others:
        raise ComputeConflict(
            f"Cannot add host to aggregate {before.number}. "
            f"Reason: One or more hosts already in availability zone(s) {others}."
        )
    connection.execute(insert(_members).values(aggregate_id=before.id, node_id=node_id))
    return _written(connection, access, before, {}, [node_id])


def remove_aggregate_host(connection: Connection, access: Access, number: str, host: str) -> Aggregate:
    """
    :param host: its name
    :raises NoSuchRecord: there is no such aggregate or host, or it is not in it
    """
    before = one_aggregate(connection, access, number, "remove_host")
    node_id = _known(connection, host)
    if host not in before.hosts:
        raise NoSuchRecord(f"Aggregate {before.number} has no host {host}.")
    mine = _members.c.aggregate_id == before.id, _members.c.node_id == node_id
    connection.execute(delete(_members).where(*mine))
    return _written(connection, access, before, {}, [node_id])


# ---- checks


def _check_name(connection: Connection, name: str) -> None:
    if connection.execute(select(_c.id).where(_c.name == name)).first() is not None:
        raise ComputeConflict(f"Aggregate {name} already exists.")


def _check_zone(connection: Connection, before: Aggregate, zone: str, refused: str) -> None:
    """
    :raises BadComputeValue: its hosts cannot be in that zone
    """
    if not zone:
        cause = f"Aggregate {before.name} does not support empty named availability zone"
        raise BadComputeValue(f"{refused} Reason: {cause}.")
    node_ids = _node_ids(connection, before.id)
    if others := _other_zones(connection, before, node_ids, zone):
        raise BadComputeValue(f"{refused} Reason: One or more hosts already in availability zone(s) {others}.")
    if zone != before.zone and _have_servers(connection, node_ids):
        raise BadComputeValue(f"{refused} Reason: One or more hosts contain instances in this zone.")


def _other_zones(connection: Connection, mine: Aggregate, node_ids: Sequence[str], zone: str) -> list[str]:
    """Those that other aggregates give to these hosts."""
    found: set[str] = set()
    for start in range(0, len(node_ids), _CHUNK):
        query = select(_c.zone).join(_members, _members.c.aggregate_id == _c.id)
        query = query.where(_members.c.node_id.in_(node_ids[start : start + _CHUNK]))
        query = query.where(_c.id != mine.id, _c.zone.not_in(("", zone)))
        found |= set(connection.execute(query).scalars())
    return sorted(found)


def _have_servers(connection: Connection, node_ids: Sequence[str]) -> bool:
    servers = tables.server.c
    for start in range(0, len(node_ids), _CHUNK):
        some = servers.node_id.in_(node_ids[start : start + _CHUNK])
        query = select(servers.id).where(some, servers.deleted_us.is_(None)).limit(1)
        if connection.execute(query).first() is not None:
            return True
    return False


def _known(connection: Connection, host: str) -> str:
    """
    Id of the node of that name.

    :raises NoSuchRecord: there is none that runs servers
    """
    found = _nodes(connection).ids.get(host)
    if found is None:
        raise NoSuchRecord(f"Compute host {host[:255]} could not be found.")
    return found


# ---- rows


def _free_number(connection: Connection) -> int:
    """One that no aggregate has; by chance, so that the number of one that is gone does not come back."""
    while True:
        number = 1 + secrets.randbelow(_MAX_NUMBER)
        if connection.execute(select(_c.id).where(_c.number == number)).first() is None:
            return number


def _written(
    connection: Connection,
    access: Access,
    before: Aggregate,
    values: Mapping[str, Any],
    node_ids: Sequence[str] | None = None,
) -> Aggregate:
    """
    The aggregate after a change, which its hosts follow.

    :param node_ids: those alone that the change is about; None: all that it has
    """
    connection.execute(update(_table).where(_c.id == before.id).values(**values, updated_us=now_us()))
    follow_aggregates(connection, _node_ids(connection, before.id) if node_ids is None else node_ids)
    return one_aggregate(connection, access, str(before.number))


def _node_ids(connection: Connection, aggregate_id: str) -> list[str]:
    query = select(_members.c.node_id).where(_members.c.aggregate_id == aggregate_id)
    return list(connection.execute(query.order_by(_members.c.node_id)).scalars())


def _nodes(connection: Connection) -> _Nodes:
    """Those that run servers and were not removed."""
    living = {node.id for node in node_rows(connection, removed=False)}
    rows = connection.execute(select(_hosts.c.node_id, _hosts.c.name)).all()
    names = {node_id: name for node_id, name in rows if node_id in living}
    return _Nodes(names, {name: node_id for node_id, name in names.items()})


def _complete(connection: Connection, rows: Sequence[Row[Any]]) -> list[Aggregate]:
    names = _nodes(connection).names if rows else {}
    hosts: dict[str, list[str]] = {row.id: [] for row in rows}
    query = select(_members.c.aggregate_id, _members.c.node_id)
    if len(rows) == 1:
        query = query.where(_members.c.aggregate_id == rows[0].id)
    for aggregate_id, node_id in connection.execute(query):
        if aggregate_id in hosts and node_id in names:  # a node that was removed is in none
            hosts[aggregate_id].append(names[node_id])
    return [
        Aggregate(
            id=row.id,
            number=row.number,
            name=row.name,
            zone=row.zone,
            items=json.loads(row.items),
            hosts=tuple(sorted(hosts[row.id])),
            created_us=row.created_us,
            updated_us=row.updated_us,
        )
        for row in rows
    ]
