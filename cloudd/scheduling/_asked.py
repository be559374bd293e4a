# -*- test-case-name: tests.scheduling.test_placing -*-
"""What servers ask of their hosts, from their records."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from attrs import evolve
from sqlalchemy import Connection, bindparam, func, select

from cloudd.compute import Flavor, Server, flavor_record, need_of
from cloudd.database import tables
from cloudd.image import Image, image_by_id
from cloudd.interfaces.scheduling import Group, Placement

SAME, DIFFERENT = "same_host", "different_host"
_NOWHERE = ""
_MAX_NAMED = 100

_servers, _claims, _groups, _members = (
    tables.server.c, tables.server_claim.c, tables.server_group, tables.server_group_member,
)  # fmt: skip
_GROUPS_OF = select(_members.c.server_id, _members.c.group_id).where(
    _members.c.server_id.in_(bindparam("ids", expanding=True))
)


def placements(
    connection: Connection, servers: Iterable[Server], avoid: Iterable[str]
) -> Iterator[tuple[Placement, list[Server]]]:
    """
    Servers that ask for the same, together, in order: those of one request mostly do.  What is asked for is looked up
    when its turn has come, after those before were placed.

    :param servers: at most some hundreds
    """
    avoided = frozenset(avoid)
    several, by_key = list(servers), dict[Any, list[Server]]()
    groups = _groups_of(connection, [each.id for each in several])
    for server in several:
        by_key.setdefault(_key(server, groups.get(server.id)), []).append(server)
    for alike in by_key.values():
        first = alike[0]
        yield _placement_of(connection, first, groups.get(first.id), avoided), alike


def _key(server: Server, group_id: str | None) -> Any:
    hints = repr(sorted(server.hints.items(), key=str))
    return (server.flavor, server.image_id, server.project_id, server.zone, server.wanted_host, group_id, hints)


def _placement_of(connection: Connection, server: Server, group_id: str | None, avoid: frozenset[str]) -> Placement:
    flavor = flavor_record(connection, server.flavor)
    image = image_by_id(connection, server.image_id) if server.image_id else None
    return evolve(
        placement(connection, flavor, image, server.hints, group_id, server.project_id),
        zone=server.zone,
        wanted_host=server.wanted_host,
        avoid=avoid,
    )


def placement(
    connection: Connection,
    flavor: Flavor,
    image: Image | None,
    hints: Mapping[str, object],
    group_id: str | None,
    project_id: str,
) -> Placement:
    """
    What follows from flavor, image, group and hints.

    :param project_id: hints tell of servers of this project alone; empty: of all
    """
    image_bytes = 0 if image is None else (image.virtual_size or image.size or 0)
    near, apart = _named(hints.get(SAME)), _named(hints.get(DIFFERENT))
    hosts = _hosts_of(connection, [*near, *apart], project_id)
    return Placement(
        project_id=project_id,
        need=need_of(flavor, image_bytes),
        group=None if group_id is None else _group(connection, group_id),
        # One that is on no host, or not there at all, is on none that could be shared.
        same_hosts=frozenset(hosts.get(each, _NOWHERE) for each in near) if near else None,
        different_hosts=frozenset(hosts[each] for each in apart if each in hosts),
        specs=flavor.extra_specs,
        properties={} if image is None else image.properties,
        hints=hints,
    )


def _named(value: object) -> list[str]:
    """Ids in a hint: one, or several; what is none names nobody."""
    several = value if isinstance(value, list | tuple) else [value]
    return [each for each in several if isinstance(each, str)][:_MAX_NAMED]


def _hosts_of(connection: Connection, server_ids: Sequence[str], project_id: str) -> dict[str, str]:
    """Id of a server -> that of the node that has it."""
    if not server_ids:
        return {}
    query = select(_servers.id, _servers.node_id).where(
        _servers.id.in_(server_ids), _servers.node_id.is_not(None), _servers.deleted_us.is_(None)
    )
    own = query.where(_servers.project_id == project_id) if project_id else query
    return {row.id: row.node_id for row in connection.execute(own)}


def _groups_of(connection: Connection, server_ids: Sequence[str]) -> dict[str, str]:
    """Id of a server -> that of its group; those that have none are left out."""
    rows = connection.execute(_GROUPS_OF, {"ids": list(server_ids)})
    return {row.server_id: row.group_id for row in rows}


def _group(connection: Connection, group_id: str) -> Group | None:
    row = connection.execute(select(_groups).where(_groups.c.id == group_id)).first()
    if row is None:  # it was deleted; its servers stay
        return None
    query = select(_claims.node_id, func.count(_claims.server_id.distinct()).label("servers")).where(
        _members.c.group_id == group_id, _members.c.server_id == _claims.server_id
    )
    on = {row.node_id: row.servers for row in connection.execute(query.group_by(_claims.node_id))}
    return Group(id=group_id, policy=row.policy, most=row.max_per_host or 1, on=on)
