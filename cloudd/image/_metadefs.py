# -*- test-case-name: tests.protocols.rest.image.test_metadefs -*-
"""
What stands in namespaces of metadata definitions: objects, properties, tags, and the resource types that a namespace
is for.  Functions with a ``sqlalchemy.Connection``, rights included: those of the namespace.

All kinds have the same life, so they are rows of one table.  A namespace holds at most ``MAX_DEFINITIONS`` of a kind
and ``MAX_CONTENT`` characters, so that its page has an end.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from attrs import evolve
from sqlalchemy import ColumnElement, Connection, Row, delete, func, insert, select, update

from cloudd.database import now_us, tables
from cloudd.identity import Access

from ._errors import BadImageValue, ImageConflict, NoSuchDefinition
from ._metadef_facts import (
    DEFINITION_SORT_KEYS,
    MAX_CONTENT,
    MAX_DEFINITIONS,
    RESOURCE_TYPES,
    Definition,
    DefinitionKind,
    DefinitionListing,
    Namespace,
)
from ._metadef_namespaces import (
    create_namespace,
    enforce_looker,
    one_namespace,
    own_namespace,
    unprotected_namespace,
    visible,
)
from ._pages import behind

_table, _namespaces = tables.metadef, tables.metadef_namespace
_c = _table.c
_CHUNK = 500

#: What Glance calls each kind in a refusal.
_WORDS: Final = {
    DefinitionKind.OBJECT: "metadata definition object",
    DefinitionKind.PROPERTY: "metadata definition property",
    DefinitionKind.TAG: "metadata definition tag",
    DefinitionKind.RESOURCE_TYPE: "resource-type association",
}

Definitions = Mapping[DefinitionKind, Sequence[Definition]]
IN_ORDER: Final = DefinitionListing()


def create_filled(
    connection: Connection, access: Access, wanted: Namespace, content: Definitions
) -> tuple[Namespace, Definitions]:
    """
    A namespace with all that it holds at first; gives both.

    :raises ImageForbidden: who asks is no administrator
    :raises ImageConflict: another one has the name, two definitions have one, or it is too much
    """
    made = create_namespace(connection, access, wanted)
    for kind, definitions in content.items():
        _insert(connection, made, kind, definitions)
    return all_definitions(connection, access, wanted.name)


def add_definitions(
    connection: Connection, access: Access, namespace: str, kind: DefinitionKind, wanted: Sequence[Definition]
) -> list[Definition]:
    """
    All or none; gives them as they are now.

    :param namespace: its name
    :raises NoSuchDefinition: the namespace is none, or who asks may not see it
    :raises ImageForbidden: who asks is no administrator
    :raises ImageConflict: one of that name is there, or it would be too much
    """
    return _insert(connection, own_namespace(connection, access, namespace), kind, wanted)


def replace_definitions(
    connection: Connection, access: Access, namespace: str, kind: DefinitionKind, wanted: Sequence[Definition]
) -> list[Definition]:
    """
    The same in the place of all of that kind.

    :raises ImageForbidden: also where the namespace is protected and some would go
    """
    found = own_namespace(connection, access, namespace)
    if _names(connection, found, kind):
        drop_definitions(connection, access, namespace, kind)
    return _insert(connection, found, kind, wanted)


def one_definition(
    connection: Connection, access: Access, namespace: str, kind: DefinitionKind, name: str
) -> Definition:
    """
    :raises NoSuchDefinition: there is none, or who asks may not see the namespace
    """
    return _one(connection, one_namespace(connection, access, namespace), kind, name)


def definitions_of(
    connection: Connection, access: Access, namespace: str, kind: DefinitionKind, listing: DefinitionListing = IN_ORDER
) -> list[Definition]:
    """
    One page.

    :raises BadImageValue: the sort key is none
    :raises NoSuchDefinition: the namespace or the marker is none, or who asks may not see it
    """
    found = one_namespace(connection, access, namespace)
    if listing.sort_key not in DEFINITION_SORT_KEYS:
        raise BadImageValue(f"Invalid sort key: {listing.sort_key[:40]}: one of {', '.join(DEFINITION_SORT_KEYS)}.")
    order = (_c[DEFINITION_SORT_KEYS[listing.sort_key]], _c.name)
    query = select(_table).where(_its(found, kind))
    if listing.marker:
        _one(connection, found, kind, listing.marker)
        at = connection.execute(select(*order).where(_its(found, kind), _c.name == listing.marker)).one()
        query = query.where(behind(order, at, descending=listing.descending))
    query = query.order_by(*(each.desc() if listing.descending else each.asc() for each in order))
    return [_read(row) for row in connection.execute(query.limit(listing.limit))]


def all_definitions(connection: Connection, access: Access, namespace: str) -> tuple[Namespace, Definitions]:
    """
    A namespace with all that it holds, each kind by name.

    :raises NoSuchDefinition: there is none, or who asks may not see it
    """
    found = one_namespace(connection, access, namespace)
    content: dict[DefinitionKind, list[Definition]] = {kind: [] for kind in DefinitionKind}
    for row in connection.execute(select(_table).where(_c.namespace_id == found.id).order_by(_c.name)):
        content[DefinitionKind(row.kind)].append(_read(row))
    return found, content


def resource_types_of(connection: Connection, namespaces: Sequence[Namespace]) -> dict[str, list[Definition]]:
    """For which resource types namespaces are, by id of the namespace; without rights: who asks has these already."""
    found: dict[str, list[Definition]] = {each.id: [] for each in namespaces}
    ids = list(found)
    for start in range(0, len(ids), _CHUNK):
        query = select(_table).where(_c.namespace_id.in_(ids[start : start + _CHUNK]))
        for row in connection.execute(query.where(_c.kind == DefinitionKind.RESOURCE_TYPE.value).order_by(_c.name)):
            found[row.namespace_id].append(_read(row))
    return found


def change_definition(
    connection: Connection, access: Access, namespace: str, kind: DefinitionKind, name: str, wanted: Definition
) -> Definition:
    """
    Another content, and another name where ``wanted`` has one.

    :raises NoSuchDefinition: there is none, or who asks may not see the namespace
    :raises ImageForbidden: who asks is no administrator
    :raises ImageConflict: another one has its new name, or it would be too much
    """
    found = own_namespace(connection, access, namespace)
    _one(connection, found, kind, name)
    if wanted.name != name:
        _enforce_free(connection, found, kind, [wanted.name])
    changed = update(_table).where(_its(found, kind), _c.name == name)
    content = _written(wanted)
    connection.execute(changed.values(name=wanted.name, content=content, updated_us=now_us()))
    _enforce_room(connection, found)
    return _one(connection, found, kind, wanted.name)


def drop_definition(connection: Connection, access: Access, namespace: str, kind: DefinitionKind, name: str) -> None:
    """
    :raises NoSuchDefinition: there is none, or who asks may not see the namespace
    :raises ImageForbidden: who asks is no administrator, or the namespace is protected
    """
    found = unprotected_namespace(connection, access, namespace)
    _one(connection, found, kind, name)
    connection.execute(delete(_table).where(_its(found, kind), _c.name == name))


def drop_definitions(connection: Connection, access: Access, namespace: str, kind: DefinitionKind) -> None:
    """
    All of that kind.

    :raises NoSuchDefinition: the namespace is none, or who asks may not see it
    :raises ImageForbidden: who asks is no administrator, or the namespace is protected
    """
    found = unprotected_namespace(connection, access, namespace)
    connection.execute(delete(_table).where(_its(found, kind)))


def known_resource_types(connection: Connection, access: Access) -> dict[str, int | None]:
    """
    Name -> since when, in microseconds; None: from the beginning.  Those of ``RESOURCE_TYPES``, and those for which a
    namespace is that who asks may see.

    :raises ImageForbidden: the token has no role in a project
    """
    enforce_looker(access)
    joined = _table.join(_namespaces, _namespaces.c.id == _c.namespace_id)
    query = select(_c.name, func.min(_c.created_us)).select_from(joined)
    query = query.where(_c.kind == DefinitionKind.RESOURCE_TYPE.value, visible(access)).group_by(_c.name)
    others: dict[str, int | None] = dict(connection.execute(query).tuples().all())
    return dict(sorted({**others, **dict.fromkeys(RESOURCE_TYPES)}.items()))


# ---- rows


def _its(namespace: Namespace, kind: DefinitionKind) -> ColumnElement[bool]:
    return (_c.namespace_id == namespace.id) & (_c.kind == kind.value)


def _one(connection: Connection, namespace: Namespace, kind: DefinitionKind, name: str) -> Definition:
    row = connection.execute(select(_table).where(_its(namespace, kind), _c.name == name)).first()
    if row is None:
        raise NoSuchDefinition(f"The {_WORDS[kind]} with name={name[:80]} was not found in namespace={namespace.name}.")
    return _read(row)


def _insert(
    connection: Connection, namespace: Namespace, kind: DefinitionKind, wanted: Sequence[Definition]
) -> list[Definition]:
    _enforce_free(connection, namespace, kind, [each.name for each in wanted])
    now = connection.execute(select(now_us())).scalar_one()
    rows = [
        {"namespace_id": namespace.id, "kind": kind.value, "name": each.name, "content": _written(each)}
        for each in wanted
    ]
    if rows:
        connection.execute(insert(_table).values(created_us=now, updated_us=now), rows)
    if len(_names(connection, namespace, kind)) > MAX_DEFINITIONS:
        raise ImageConflict(f"Namespace {namespace.name} would hold more than {MAX_DEFINITIONS} of this kind.")
    _enforce_room(connection, namespace)
    return [evolve(each, created_us=now, updated_us=now) for each in wanted]


def _enforce_free(connection: Connection, namespace: Namespace, kind: DefinitionKind, names: Sequence[str]) -> None:
    taken = _names(connection, namespace, kind)
    for name in names:
        if name in taken:
            raise ImageConflict(f"A {_WORDS[kind]} with name={name} already exists in namespace={namespace.name}.")
        taken.add(name)


def _names(connection: Connection, namespace: Namespace, kind: DefinitionKind) -> set[str]:
    return set(connection.execute(select(_c.name).where(_its(namespace, kind))).scalars())


def _enforce_room(connection: Connection, namespace: Namespace) -> None:
    used = select(func.coalesce(func.sum(func.length(_c.content)), 0)).where(_c.namespace_id == namespace.id)
    if connection.execute(used).scalar_one() > MAX_CONTENT:
        raise ImageConflict(f"Namespace {namespace.name} would hold more than {MAX_CONTENT} characters.")


def _written(definition: Definition) -> str:
    return msgspec.json.encode(definition.content).decode()


def _read(row: Row[Any]) -> Definition:
    content = msgspec.json.decode(row.content)
    return Definition(name=row.name, content=content, created_us=row.created_us, updated_us=row.updated_us)
