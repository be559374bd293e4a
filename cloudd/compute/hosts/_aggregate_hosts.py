# -*- test-case-name: tests.protocols.rest.compute.test_aggregates -*-
"""
What aggregates make of their hosts: the zone they are in, and the projects that alone may have servers on them.

Both stand in the hosts' own rows, so whoever reads a host need not know of aggregates; whoever changes an aggregate, or
what a host says of itself, calls ``follow_aggregates`` in the same transaction.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from sqlalchemy import Connection, select, update

from cloudd.database import tables

_aggregates, _members, _hosts = tables.aggregate, tables.aggregate_host, tables.compute_host
_CHUNK: Final = 500
#: Keys of an aggregate's metadata that begin so name projects, as Nova's ``AggregateMultiTenancyIsolation`` has it.
PROJECTS_KEY: Final = "filter_tenant_id"

Items = Mapping[str, str]


def follow_aggregates(connection: Connection, node_ids: Sequence[str]) -> None:
    """Write zone and projects of these hosts as their aggregates have it now; safe to call again."""
    for start in range(0, len(node_ids), _CHUNK):
        _follow(connection, node_ids[start : start + _CHUNK])


def _follow(connection: Connection, node_ids: Sequence[str]) -> None:
    zones: dict[str, str] = {}
    items: dict[str, list[Items]] = {}
    query = select(_members.c.node_id, _aggregates.c.zone, _aggregates.c["items"])
    query = query.join(_aggregates, _aggregates.c.id == _members.c.aggregate_id)
    query = query.where(_members.c.node_id.in_(node_ids)).order_by(_aggregates.c.number)
    for node_id, zone, text in connection.execute(query):
        if zone:
            zones[node_id] = zone
        items.setdefault(node_id, []).append(json.loads(text))
    columns = _hosts.c
    known = select(columns.node_id, columns.own_zone, columns.zone, columns.projects)
    for row in connection.execute(known.where(columns.node_id.in_(node_ids))).all():
        zone = zones.get(row.node_id, row.own_zone)
        projects = json.dumps(projects_in(items.get(row.node_id, ())))
        if (row.zone, row.projects) != (zone, projects):
            mine = update(_hosts).where(columns.node_id == row.node_id)
            connection.execute(mine.values(zone=zone, projects=projects))


def projects_in(items: Iterable[Items]) -> list[str]:
    """Ids that the metadata of a host's aggregates names; none: all may use the host."""
    values = (value for each in items for key, value in each.items() if key.startswith(PROJECTS_KEY))
    return sorted({project for value in values for project in value.replace(" ", "").split(",") if project})
