# -*- test-case-name: tests.protocols.rest.network.test_records -*-
"""
Rows as values and values as rows, for all kinds: what differs between them is which columns are JSON.

Functions with a ``sqlalchemy.Connection``; rights are checked by who calls them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from attrs import fields_dict, frozen
from sqlalchemy import Connection, Table, delete, insert, select, update

from cloudd.database import now_us, tables

from ._allocation import addresses_of
from ._errors import NetworkConflict, NoSuchResource
from ._facts import AddressPair, HostRoute, Network, Pool, Port, Record, Rule, SecurityGroup, Subnet
from ._tags import set_tags, tags_of

R = TypeVar("R", bound=Record)
_CHUNK = 500


@frozen
class Form:
    """
    How one kind is kept.

    :param kind: as in Neutron's errors
    :param packed: attributes that are JSON in their columns -> how they are read
    :param apart: attributes that are kept in other tables
    """

    kind: str
    table: Table
    make: Callable[..., Any]
    packed: Mapping[str, Callable[[Any], Any]] = {}
    apart: frozenset[str] = frozenset({"tags"})


def _tuples(make: Callable[..., Any]) -> Callable[[Any], tuple[Any, ...]]:
    return lambda values: tuple(make(*each) for each in values)


NETWORK = Form("Network", tables.network, Network, apart=frozenset({"tags", "subnet_ids"}))
SUBNET = Form(
    "Subnet",
    tables.subnet,
    Subnet,
    {"allocation_pools": _tuples(Pool), "dns_nameservers": tuple, "host_routes": _tuples(HostRoute)},
)
PORT = Form(
    "Port",
    tables.port,
    Port,
    {"profile": dict, "address_pairs": _tuples(AddressPair)},
    frozenset({"tags", "fixed_ips", "security_group_ids"}),
)
GROUP = Form("SecurityGroup", tables.security_group, SecurityGroup, apart=frozenset({"tags", "rules", "is_default"}))


def values_of(form: Form, record: Any) -> dict[str, Any]:
    """The columns of a value."""
    values = {}
    for name in fields_dict(type(record)):
        if name in form.apart:
            continue
        value = getattr(record, name)
        values[name] = json.dumps(value, default=_plain) if name in form.packed else value
    if isinstance(record, SecurityGroup):
        values["default_of"] = record.project_id if record.is_default else None
    return values


def _plain(value: Any) -> Any:
    """An item of a JSON column: its attributes in order."""
    return [getattr(value, name) for name in fields_dict(type(value))]


def add(connection: Connection, form: Form, record: Any) -> None:
    """A new row, with its tags."""
    values = values_of(form, record) | {"created_us": now_us(), "updated_us": now_us(), "revision": 0}
    connection.execute(insert(form.table).values(**values))
    if record.tags:
        set_tags(connection, record.id, record.tags)


def get(connection: Connection, form: Form, record_id: str) -> Any:
    """
    :raises NoSuchResource:
    """
    row = connection.execute(select(form.table).where(form.table.c.id == record_id)).first()
    if row is None:
        raise NoSuchResource(form.kind, record_id)
    return complete(connection, form, [row])[0]


def change(connection: Connection, form: Form, before: Any, after: Any) -> Any:
    """
    :return: with its new revision
    :raises NetworkConflict: it was changed meanwhile
    """
    columns = form.table.c
    written = {**values_of(form, after), "revision": before.revision + 1, "updated_us": now_us()}
    for fixed in ("id", "created_us"):
        del written[fixed]
    same = update(form.table).where(columns.id == before.id, columns.revision == before.revision)
    if connection.execute(same.values(**written)).rowcount != 1:
        raise NetworkConflict(
            "RevisionNumberConstraintFailed", f"{form.kind} {before.id} was changed by somebody else: try again."
        )
    if after.tags != before.tags:
        set_tags(connection, before.id, after.tags)
    return get(connection, form, before.id)


def remove(connection: Connection, form: Form, record_id: str) -> None:
    """With its tags."""
    set_tags(connection, record_id, ())
    connection.execute(delete(form.table).where(form.table.c.id == record_id))


def complete(connection: Connection, form: Form, rows: Sequence[Any]) -> list[Any]:
    """Values, in the order of the rows, with what is kept in other tables."""
    ids = [row.id for row in rows]
    more: dict[str, Mapping[str, Any]] = {"tags": tags_of(connection, ids)}
    if form is NETWORK:
        more["subnet_ids"] = _subnets_of(connection, ids)
    elif form is PORT:
        more["fixed_ips"] = addresses_of(connection, ids)
        more["security_group_ids"] = groups_of(connection, ids)
    elif form is GROUP:
        more["rules"] = rules_of(connection, ids)
    return [_value(form, row, {name: by_id[row.id] for name, by_id in more.items()}) for row in rows]


def _value(form: Form, row: Any, more: Mapping[str, Any]) -> Any:
    given = dict(row._mapping)
    for name, read in form.packed.items():
        given[name] = read(json.loads(given[name]))
    if form is GROUP:
        given["is_default"] = given.pop("default_of") is not None
    return form.make(**given, **more)


def _subnets_of(connection: Connection, ids: Sequence[str]) -> dict[str, tuple[str, ...]]:
    columns = tables.subnet.c
    return _grouped(connection, ids, columns.network_id, columns.id, [columns.created_us, columns.id])


def groups_of(connection: Connection, ids: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Of each of these ports, its security groups."""
    columns = tables.port_group.c
    return _grouped(connection, ids, columns.port_id, columns.security_group_id, [columns.security_group_id])


def _grouped(
    connection: Connection, ids: Sequence[str], key: Any, value: Any, order: Any
) -> dict[str, tuple[str, ...]]:
    found: dict[str, list[str]] = {each: [] for each in ids}
    for start in range(0, len(ids), _CHUNK):
        query = select(key, value).where(key.in_(ids[start : start + _CHUNK])).order_by(*order)
        for owner, each in connection.execute(query):
            found[owner].append(each)
    return {each: tuple(values) for each, values in found.items()}


def rules_of(connection: Connection, ids: Sequence[str]) -> dict[str, tuple[Rule, ...]]:
    """Of each of these groups, oldest first."""
    table, found = tables.security_rule, {each: list[Rule]() for each in ids}
    for start in range(0, len(ids), _CHUNK):
        query = select(table).where(table.c.security_group_id.in_(ids[start : start + _CHUNK]))
        for row in connection.execute(query.order_by(table.c.created_us, table.c.id)):
            found[row.security_group_id].append(Rule(**row._mapping))
    return {each: tuple(rules) for each, rules in found.items()}


def set_groups(connection: Connection, port_id: str, group_ids: Sequence[str]) -> None:
    """The security groups of a port: these, and no others."""
    table = tables.port_group
    connection.execute(delete(table).where(table.c.port_id == port_id))
    if group_ids:
        rows = [{"port_id": port_id, "security_group_id": each} for each in sorted(set(group_ids))]
        connection.execute(insert(table), rows)
