# -*- test-case-name: tests.protocols.rest.network.test_discovery -*-
"""Tags of networks, subnets, ports and security groups: functions with a ``sqlalchemy.Connection``."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from sqlalchemy import Connection, delete, insert, select

from cloudd.database import tables

_table = tables.network_tag
_CHUNK = 500


def tags_of(connection: Connection, ids: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Of each of these, in order."""
    found: dict[str, list[str]] = {each: [] for each in ids}
    for start in range(0, len(ids), _CHUNK):
        some = ids[start : start + _CHUNK]
        for row in connection.execute(select(_table).where(_table.c.resource_id.in_(some)).order_by(_table.c.tag)):
            found[row.resource_id].append(row.tag)
    return {each: tuple(tags) for each, tags in found.items()}


def set_tags(connection: Connection, resource_id: str, tags: Collection[str]) -> None:
    """These, and no others."""
    connection.execute(delete(_table).where(_table.c.resource_id == resource_id))
    if tags:
        connection.execute(insert(_table), [{"resource_id": resource_id, "tag": tag} for tag in sorted(set(tags))])
