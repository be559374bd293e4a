# -*- test-case-name: tests.protocols.rest.network.test_records -*-
"""
Lists as Neutron has them: any attribute is a filter, several values of one mean any of them; tags; order; pages.

The same for all kinds: a kind says which columns its API names mean.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from attrs import frozen
from sqlalchemy import ColumnElement, Connection, Select, Table, and_, exists, false, func, or_, select

from cloudd.database import tables

from ._errors import BadNetworkValue

_tags = tables.network_tag


@frozen(kw_only=True)
class Listing:
    """
    What is asked for.

    :param filters: column -> values, of which it has one
    :param tags: all of them; ``any_tag``: one of them; ``not_tags``: not all of them; ``no_tag``: none of them
    :param order: column and whether descending
    :param marker: id of the row beside which the page lies; empty: it is the first
    :param limit: rows of a page; None: all
    :param backwards: the page lies before the marker
    """

    filters: Mapping[str, Sequence[Any]] = {}
    tags: tuple[str, ...] = ()
    any_tag: tuple[str, ...] = ()
    not_tags: tuple[str, ...] = ()
    no_tag: tuple[str, ...] = ()
    order: tuple[tuple[str, bool], ...] = ()
    marker: str = ""
    limit: int | None = None
    backwards: bool = False


def page(connection: Connection, table: Table, seen: ColumnElement[bool], listing: Listing) -> list[Any]:
    """
    Rows of one page, in order.

    :param seen: which rows who asks may know of
    :raises BadNetworkValue: the marker is none of them
    """
    found = select(table).where(seen, *_filters(table, listing))
    order = [*listing.order, ("id", False)] if ("id", False) not in listing.order else list(listing.order)
    if listing.backwards:
        order = [(name, not descending) for name, descending in order]
    if listing.marker:
        found = found.where(_beyond(connection, table, seen, listing.marker, order))
    keys = [_key(table, name) for name, _ in order]
    found = found.order_by(*(key.desc() if down else key.asc() for key, (_, down) in zip(keys, order, strict=True)))
    if listing.limit is not None:
        found = found.limit(listing.limit)
    rows = list(connection.execute(found))
    return rows[::-1] if listing.backwards else rows


def _filters(table: Table, listing: Listing) -> list[ColumnElement[bool]]:
    held = [_one_of(table.c[name], values) for name, values in listing.filters.items()]
    has = lambda tag: exists().where(_tags.c.resource_id == table.c.id, _tags.c.tag == tag)  # noqa: E731
    held += [has(tag) for tag in listing.tags]
    if listing.any_tag:
        held.append(or_(*(has(tag) for tag in listing.any_tag)))
    if listing.not_tags:
        held.append(~and_(*(has(tag) for tag in listing.not_tags)))
    held += [~has(tag) for tag in listing.no_tag]
    return held


def _one_of(column: ColumnElement[Any], values: Sequence[Any]) -> ColumnElement[bool]:
    present = [value for value in values if value is not None]
    found = column.in_(present) if present else false()
    return or_(found, column.is_(None)) if len(present) < len(values) else found


def _key(table: Table, name: str) -> ColumnElement[Any]:
    column = table.c[name]
    if not column.nullable:
        return column
    return func.coalesce(column, "" if column.type.python_type is str else -1)


def _beyond(
    connection: Connection, table: Table, seen: ColumnElement[bool], marker: str, order: Sequence[tuple[str, bool]]
) -> ColumnElement[bool]:
    keys = [_key(table, name) for name, _ in order]
    at: Select[Any] = select(*keys).where(seen, table.c.id == marker)
    row = connection.execute(at).first()
    if row is None:
        raise BadNetworkValue(f"The marker {marker[:64]} is not in the list.", "InvalidInput")
    beyond = []
    for place, (_, descending) in enumerate(order):
        equal = [key == value for key, value in zip(keys[:place], row, strict=False)]
        key, value = keys[place], row[place]
        beyond.append(and_(*equal, key < value if descending else key > value))
    return or_(*beyond)
