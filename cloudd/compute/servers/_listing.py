# -*- test-case-name: tests.protocols.rest.compute.test_server_list -*-
"""Lists of servers: which ones, in which order, from where on.  Rights included."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from attrs import field, frozen
from sqlalchemy import ColumnElement, Connection, Integer, Select, and_, cast, exists, func, or_, select

from cloudd.database import tables
from cloudd.identity import Access
from cloudd.network import addresses_of

from .. import _policy
from .._errors import BadComputeValue
from ._facts import Server
from ._patterns import checked_pattern
from ._rows import complete
from ._status import has_status

_table, _tags = tables.server, tables.server_tag
_c = _table.c
_CHUNK = 500

#: Of Nova's names -> our column.
SERVER_SORT_KEYS: Final[Mapping[str, str]] = {
    "access_ip_v4": "access_ip_v4",
    "access_ip_v6": "access_ip_v6",
    "auto_disk_config": "disk_config",
    "availability_zone": "zone",
    "config_drive": "config_drive",
    "created_at": "created_us",
    "display_description": "description",
    "display_name": "name",
    "host": "host",
    "hostname": "host_name",
    "image_ref": "image_id",
    "instance_type_id": "flavor",
    "key_name": "key_name",
    "launch_index": "launch_index",
    "launched_at": "launched_us",
    "locked": "locked_by",
    "locked_by": "locked_by",
    "node": "host",
    "power_state": "power",
    "progress": "progress",
    "project_id": "project_id",
    "task_state": "task_state",
    "terminated_at": "deleted_us",
    "updated_at": "updated_us",
    "user_id": "user_id",
    "uuid": "id",
    "vm_state": "state",
}
_ADMINS_SORT = frozenset({"host", "node"})


@frozen(kw_only=True)
class ServerListing:
    """
    What is asked for.

    :ivar everyone: of all projects; for administrators
    :ivar project_id: of this one, where it is of all; empty: of the one that asks
    :ivar gone: only those that are gone; False: only those that live; None: both
    :ivar equal: column -> values, of which it has one
    :ivar patterns: column -> pattern that is found in it
    :ivar statuses: words, of which it has one
    :ivar flavor_id: as in the API; also one that was deleted
    :ivar address: pattern of an address by IP version
    :ivar tags: all of them; ``any_tag``: one of them; ``not_tags``: not all of them; ``no_tag``: none of them
    :ivar since_us: changed then or later; ``until_us``: then or earlier
    :ivar order: Nova's name of a key, and whether descending
    :ivar marker: id of the one before the page; empty: it is the first
    """

    everyone: bool = False
    project_id: str = ""
    gone: bool | None = False
    equal: Mapping[str, Sequence[Any]] = field(factory=dict)
    patterns: Mapping[str, str] = field(factory=dict)
    statuses: tuple[str, ...] = ()
    flavor_id: str = ""
    address: Mapping[int, str] = field(factory=dict)
    locked: bool | None = None
    tags: tuple[str, ...] = ()
    any_tag: tuple[str, ...] = ()
    not_tags: tuple[str, ...] = ()
    no_tag: tuple[str, ...] = ()
    since_us: int | None = None
    until_us: int | None = None
    order: tuple[tuple[str, bool], ...] = ()
    marker: str = ""
    limit: int | None = None


def listed_servers(connection: Connection, access: Access, listing: ServerListing) -> list[Server]:
    """
    One page, with tags and interfaces.

    :raises BadComputeValue: the marker, a pattern or a sort key is none
    :raises ComputeForbidden: it is for administrators
    """
    rule = "servers:index"
    _policy.enforce_read(access, rule)
    if listing.everyone:
        _policy.enforce_admin(access, f"{rule}:get_all_tenants")
    scope = _scope(access, listing)
    within = _within(listing)
    if within is None:
        return []
    query = select(_table).where(*scope, *within)
    if listing.address:
        found = _with_address(connection, query, listing.address)
        query = query.where(_c.id.in_(found))
    return complete(connection, connection.execute(_paged(connection, access, query, scope, listing)).all())


def _scope(access: Access, listing: ServerListing) -> list[ColumnElement[bool]]:
    if listing.everyone:
        return [_c.project_id == listing.project_id] if listing.project_id else []
    return [_c.project_id == (access.project_id or "")]


def _within(listing: ServerListing) -> list[ColumnElement[bool]] | None:
    """None: no server is."""
    held: list[ColumnElement[bool]] = []
    if listing.gone is not None:
        held.append(_c.deleted_us.is_not(None) if listing.gone else _c.deleted_us.is_(None))
    if listing.statuses:
        ways = [way for each in listing.statuses if (way := has_status(each)) is not None]
        if not ways:
            return None
        held.append(or_(*ways))
    held += [_c[name].in_(values) for name, values in listing.equal.items()]
    held += [_c[name].regexp_match(checked_pattern(name, each)) for name, each in listing.patterns.items()]
    if listing.flavor_id:
        flavors = tables.flavor.c
        held.append(_c.flavor.in_(select(flavors.id).where(flavors.flavor_id == listing.flavor_id)))
    if listing.locked is not None:
        held.append(_c.locked_by.is_not(None) if listing.locked else _c.locked_by.is_(None))
    if listing.since_us is not None:
        held.append(_c.updated_us >= listing.since_us)
    if listing.until_us is not None:
        held.append(_c.updated_us <= listing.until_us)
    return [*held, *_tagged(listing)]


def _tagged(listing: ServerListing) -> list[ColumnElement[bool]]:
    def has(tag: str) -> ColumnElement[bool]:
        return exists().where(_tags.c.server_id == _c.id, _tags.c.tag == tag)

    held = [has(tag) for tag in listing.tags]
    if listing.any_tag:
        held.append(or_(*(has(tag) for tag in listing.any_tag)))
    if listing.not_tags:
        held.append(~and_(*(has(tag) for tag in listing.not_tags)))
    if listing.no_tag:
        held.append(~or_(*(has(tag) for tag in listing.no_tag)))
    return held


def _with_address(connection: Connection, query: Select[Any], wanted: Mapping[int, str]) -> list[str]:
    """Ids of those that have, of each IP version, an address that its pattern is found in."""
    patterns = {
        version: re.compile(checked_pattern("ip" if version == 4 else "ip6", each)) for version, each in wanted.items()
    }
    interfaces = tables.server_interface.c
    ports: dict[str, set[str]] = {}
    owned = select(interfaces.server_id, interfaces.port_id).where(
        interfaces.server_id.in_(query.with_only_columns(_c.id))
    )
    for server_id, port_id in connection.execute(owned):
        ports.setdefault(server_id, set()).add(port_id)
    found = []
    for server_id, addresses in addresses_of(connection, list(ports)).items():
        mine = [each for each in addresses if each.port_id in ports[server_id]]
        if all(
            any(each.version == version and pattern.search(each.address) for each in mine)
            for version, pattern in patterns.items()
        ):
            found.append(server_id)
    return found


# ---- order and pages


def _paged(
    connection: Connection, access: Access, query: Select[Any], scope: Sequence[Any], listing: ServerListing
) -> Select[Any]:
    order = [(_key(access, name), descending) for name, descending in listing.order or (("created_at", True),)]
    order.append((_c.id, order[-1][1]))
    if listing.marker:
        query = query.where(_beyond(connection, scope, listing, order))
    query = query.order_by(*(key.desc() if descending else key.asc() for key, descending in order))
    return query.limit(listing.limit)


def _key(access: Access, name: str) -> ColumnElement[Any]:
    if name not in SERVER_SORT_KEYS:
        raise BadComputeValue(f"Sort key {name[:60]} is none of {', '.join(sorted(SERVER_SORT_KEYS))}.")
    if name in _ADMINS_SORT:
        _policy.enforce_admin(access, f"servers:sort_by_{name}")
    column: ColumnElement[Any] = _c[SERVER_SORT_KEYS[name]]
    if column.type.python_type is bool:
        return cast(column, Integer)
    if not _c[SERVER_SORT_KEYS[name]].nullable:
        return column
    return func.coalesce(column, "" if column.type.python_type is str else 0)


def _beyond(
    connection: Connection,
    scope: Sequence[Any],
    listing: ServerListing,
    order: Sequence[tuple[ColumnElement[Any], bool]],
) -> ColumnElement[bool]:
    keys = [key for key, _ in order]
    row = connection.execute(select(*keys).where(*scope, _c.id == listing.marker)).first()
    if row is None:
        raise BadComputeValue(f"marker [{listing.marker[:255]}] not found")
    ways = []
    for place, (key, descending) in enumerate(order):
        same = [before == value for before, value in zip(keys[:place], row, strict=False)]
        ways.append(and_(*same, key < row[place] if descending else key > row[place]))
    return or_(*ways)
