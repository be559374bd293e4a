# -*- test-case-name: tests.network_agent.test_agent -*-
"""What a host says of its ports in their records: functions with a ``sqlalchemy.Connection``."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from sqlalchemy import ColumnElement, Connection, and_, select, update

from cloudd.database import now_us, tables

from ._gather import host_of

ACTIVE, DOWN = "ACTIVE", "DOWN"
_CHUNK = 500
_c = tables.port.c


def write_statuses(connection: Connection, node_id: str, active: Collection[str], down: Collection[str]) -> None:
    """
    Say which ports of this host are plugged; of a port that another host has by now nothing is said.

    :raises UnknownNode:
    """
    host = host_of(connection, node_id)
    for some in _chunks(active):
        _write(connection, and_(_c.id.in_(some), _c.host == host), ACTIVE)
    for some in _chunks(down):
        _write(connection, and_(_c.id.in_(some), _c.host.in_(["", host])), DOWN)


def plug_records(connection: Connection, node_id: str, port_ids: Collection[str]) -> list[str]:
    """
    Say of ports of this host that they are plugged, those that are not turned off.

    :return: those that are not of this host: then nothing was said
    :raises UnknownNode:
    """
    host = host_of(connection, node_id)
    found: set[str] = set()
    for some in _chunks(port_ids):
        query = select(_c.id).where(_c.id.in_(some), _c.host == host, _c.device_id != "")
        found.update(connection.execute(query).scalars())
    if strange := sorted(set(port_ids) - found):
        return strange
    for some in _chunks(port_ids):
        _write(connection, and_(_c.id.in_(some), _c.admin_state_up), ACTIVE)
        _write(connection, and_(_c.id.in_(some), ~_c.admin_state_up), DOWN)
    return []


def _write(connection: Connection, which: ColumnElement[bool], status: str) -> None:
    values = {"status": status, "revision": _c.revision + 1, "updated_us": now_us()}
    connection.execute(update(tables.port).where(which, _c.status != status).values(**values))


def _chunks(ids: Collection[str]) -> Iterator[list[str]]:
    ordered = sorted(ids)
    return (ordered[start : start + _CHUNK] for start in range(0, len(ordered), _CHUNK))
