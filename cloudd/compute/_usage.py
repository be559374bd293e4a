# -*- test-case-name: tests.protocols.rest.compute.test_usage -*-
"""
What servers have used in a time: the shares that they had in it, be they gone or not.  Rights included.

Size and flavor are those that a server has now, or had when it went, as in Nova.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, or_, select

from cloudd.database import now_us, tables
from cloudd.identity import Access

from . import _policy
from ._errors import BadComputeValue
from ._facts import Share, Usage

_table = tables.server_share
_c = _table.c


def time_us(connection: Connection) -> int:
    """The database's clock, by which usage is counted."""
    found: int = connection.execute(select(now_us())).scalar_one()
    return found


def usages(
    connection: Connection,
    access: Access,
    since_us: int,
    until_us: int,
    project_id: str = "",
    marker: str = "",
    limit: int | None = None,
) -> list[Usage]:
    """
    By project, then by server.

    :param project_id: empty: of all projects, for administrators
    :param marker: id of the server before the first of the page; empty: it is the first page
    :raises BadComputeValue: there is no such server
    """
    rule = "os-simple-tenant-usage"
    if project_id:
        _policy.enforce_read(access, f"{rule}:show", project_id)
    else:
        _policy.enforce_admin(access, f"{rule}:list")
    query = select(_table).where(_c.taken_us < until_us, or_(_c.released_us.is_(None), _c.released_us > since_us))
    if project_id:
        query = query.where(_c.project_id == project_id)
    if marker:
        query = query.where(_beyond(connection, marker))
    rows = connection.execute(query.order_by(_c.project_id, _c.server_id).limit(limit))
    return [_usage(row) for row in rows]


def _beyond(connection: Connection, marker: str) -> ColumnElement[bool]:
    at = connection.execute(select(_c.project_id).where(_c.server_id == marker)).scalar()
    if at is None:
        raise BadComputeValue(f"Marker {marker[:64]} could not be found.")
    return or_(_c.project_id > at, (_c.project_id == at) & (_c.server_id > marker))


def _usage(row: Row[Any]) -> Usage:
    share = Share(row.server_id, row.vcpus, row.ram_mib, row.disk_gib, row.name, row.flavor)
    return Usage(share, row.project_id, row.taken_us, row.released_us)
