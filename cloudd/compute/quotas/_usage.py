# -*- test-case-name: tests.protocols.rest.compute.test_usage -*-
"""
What servers have used in a time: the shares that they had in it, be they gone or not.  Rights included.

Size and flavor are those that a server has now, or had when it went, as in Nova.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Connection, Float, Row, case, cast, func, or_, select

from cloudd.database import now_us, tables
from cloudd.identity import Access

from .. import _policy
from .._errors import BadComputeValue
from .._facts import Share, Usage, UsageTotal

_table = tables.server_share
_c = _table.c
_HOUR_US = 3_600_000_000


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
    query = select(_table).where(*_within(access, since_us, until_us, project_id))
    if marker:
        query = query.where(_beyond(connection, marker, project_id))
    rows = connection.execute(query.order_by(_c.project_id, _c.server_id).limit(limit))
    return [_usage(row) for row in rows]


def usage_totals(
    connection: Connection, access: Access, since_us: int, until_us: int, now: int, project_id: str = ""
) -> list[UsageTotal]:
    """
    By project; of those alone that had a server in that time.

    :param now: until when a server counts that goes on, by the database's clock
    :param project_id: empty: of all projects, for administrators
    """
    ended = func.coalesce(_c.released_us, now)
    last = case((ended < until_us, ended), else_=until_us)
    first = case((_c.taken_us > since_us, _c.taken_us), else_=since_us)
    # As floating point: a project's MiB times microseconds do not fit into 64 bits.
    hours = cast(case((last > first, last - first), else_=0), Float) / _HOUR_US
    sums = [func.sum(hours), *(func.sum(hours * size) for size in (_c.vcpus, _c.ram_mib, _c.disk_gib))]
    query = select(_c.project_id, *sums).where(*_within(access, since_us, until_us, project_id))
    return [UsageTotal(*row) for row in connection.execute(query.group_by(_c.project_id).order_by(_c.project_id))]


def _within(access: Access, since_us: int, until_us: int, project_id: str) -> list[ColumnElement[bool]]:
    rule = "os-simple-tenant-usage"
    within = [_c.taken_us < until_us, or_(_c.released_us.is_(None), _c.released_us > since_us)]
    if not project_id:
        _policy.enforce_admin(access, f"{rule}:list")
        return within
    _policy.enforce_read(access, f"{rule}:show", project_id)
    return [*within, _c.project_id == project_id]


def _beyond(connection: Connection, marker: str, project_id: str) -> ColumnElement[bool]:
    """:param project_id: whose server it must be, since nobody is told of others'; empty: anybody's"""
    query = select(_c.project_id).where(_c.server_id == marker)
    at = connection.execute(query.where(_c.project_id == project_id) if project_id else query).scalar()
    if at is None:
        raise BadComputeValue(f"Marker {marker[:64]} could not be found.")
    return or_(_c.project_id > at, (_c.project_id == at) & (_c.server_id > marker))


def _usage(row: Row[Any]) -> Usage:
    share = Share(row.server_id, row.vcpus, row.ram_mib, row.disk_gib, row.name, row.flavor)
    return Usage(share, row.project_id, row.taken_us, row.released_us)
