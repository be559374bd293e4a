# -*- test-case-name: tests.protocols.rest.image.test_metadef_namespaces -*-
"""
Namespaces of metadata definitions: functions with a ``sqlalchemy.Connection``, rights included.

Rights are those of Glance's own policies: administrators see and change all; a project with the role ``reader`` sees
public namespaces and its own.  What who asks may not see is not there (404); what is protected is not deleted (403).
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence

from attrs import asdict, evolve
from sqlalchemy import ColumnElement, Connection, delete, exists, func, insert, literal, or_, select, update

from cloudd.database import now_us, tables
from cloudd.identity import Access

from ._errors import BadImageValue, ImageConflict, ImageForbidden, NoSuchDefinition
from ._metadef_facts import MAX_NAMESPACES, NAMESPACE_SORT_KEYS, DefinitionKind, Namespace, NamespaceListing
from ._pages import behind

_table, _definitions = tables.metadef_namespace, tables.metadef
_c = _table.c
_GIVEN = ("name", "project_id", "visibility", "protected", "display_name", "description")


def enforce_definer(access: Access) -> None:
    """
    :raises ImageForbidden: it is for administrators
    """
    if not access.is_admin:
        raise ImageForbidden("Metadata definitions are made and changed by administrators.")


def enforce_looker(access: Access) -> None:
    """
    :raises ImageForbidden: the token has no role in a project
    """
    if not access.is_admin and (access.project_id is None or "reader" not in access.role_names):
        raise ImageForbidden("You need a role in a project to look at metadata definitions.")


def create_namespace(connection: Connection, access: Access, wanted: Namespace) -> Namespace:
    """
    :param wanted: without a ``project_id`` it is of the project that asks
    :raises ImageForbidden: who asks is no administrator
    :raises ImageConflict: another one has the name, or there are too many
    """
    enforce_definer(access)
    _enforce_free(connection, wanted.name)
    if connection.execute(select(func.count()).select_from(_table)).scalar_one() >= MAX_NAMESPACES:
        raise ImageConflict(f"There are {MAX_NAMESPACES} metadata namespaces, which is the most: delete one first.")
    fresh = evolve(wanted, id=uuid.uuid4().hex, project_id=wanted.project_id or access.project_id or "")
    connection.execute(insert(_table).values({**asdict(fresh), "created_us": now_us(), "updated_us": now_us()}))
    return one_namespace(connection, access, fresh.name)


def one_namespace(connection: Connection, access: Access, name: str) -> Namespace:
    """
    :raises NoSuchDefinition: also where who asks may not see it
    """
    row = connection.execute(select(_table).where(_c.name == name, visible(access))).first()
    if row is None:
        raise NoSuchDefinition(f"Metadata definition namespace={name[:80]} was not found.")
    return Namespace(**row._mapping)


def own_namespace(connection: Connection, access: Access, name: str) -> Namespace:
    """
    One that who asks may change.

    :raises NoSuchDefinition: also where who asks may not see it
    :raises ImageForbidden: who asks is no administrator
    """
    found = one_namespace(connection, access, name)
    enforce_definer(access)
    return found


def unprotected_namespace(connection: Connection, access: Access, name: str) -> Namespace:
    """
    One that may be deleted, it or what stands in it.

    :raises NoSuchDefinition: also where who asks may not see it
    :raises ImageForbidden: who asks is no administrator, or it is protected
    """
    found = own_namespace(connection, access, name)
    if found.protected:
        raise ImageForbidden(
            f"Metadata definition namespace {name} is protected: neither it nor what it holds can be deleted."
        )
    return found


def change_namespace(connection: Connection, access: Access, name: str, wanted: Namespace) -> Namespace:
    """
    All that a client has given of it; what it holds stays.

    :param wanted: without a ``project_id`` it is of the project that asks
    :raises NoSuchDefinition: also where who asks may not see it
    :raises ImageForbidden: who asks is no administrator
    :raises ImageConflict: another one has its new name
    """
    found = own_namespace(connection, access, name)
    if wanted.name != name:
        _enforce_free(connection, wanted.name)
    after = evolve(wanted, project_id=wanted.project_id or access.project_id or "")
    given = {member: getattr(after, member) for member in _GIVEN}
    connection.execute(update(_table).where(_c.id == found.id).values(**given, updated_us=now_us()))
    return one_namespace(connection, access, wanted.name)


def delete_namespace(connection: Connection, access: Access, name: str) -> None:
    """
    With all that it holds.

    :raises NoSuchDefinition: also where who asks may not see it
    :raises ImageForbidden: who asks is no administrator, or it is protected
    """
    found = unprotected_namespace(connection, access, name)
    connection.execute(delete(_table).where(_c.id == found.id))


def listed_namespaces(connection: Connection, access: Access, listing: NamespaceListing) -> list[Namespace]:
    """
    One page of those that who asks may see.

    :raises ImageForbidden: the token has no role in a project
    :raises BadImageValue: the sort key is none
    :raises NoSuchDefinition: the marker is none
    """
    enforce_looker(access)
    query = select(_table).where(visible(access))
    if listing.visibility:
        query = query.where(_c.visibility == listing.visibility)
    if listing.resource_types is not None:
        query = query.where(_is_for(listing.resource_types))
    if listing.sort_key not in NAMESPACE_SORT_KEYS:
        raise BadImageValue(f"Invalid sort key: {listing.sort_key[:40]}: one of {', '.join(NAMESPACE_SORT_KEYS)}.")
    key = _c[NAMESPACE_SORT_KEYS[listing.sort_key]]
    order = (func.coalesce(key, "") if key.nullable else key, _c.name)
    if listing.marker:
        marker = one_namespace(connection, access, listing.marker)
        at = connection.execute(select(*order).where(_c.id == marker.id)).one()
        query = query.where(behind(order, at, descending=listing.descending))
    query = query.order_by(*(each.desc() if listing.descending else each.asc() for each in order))
    return [Namespace(**row._mapping) for row in connection.execute(query.limit(listing.limit))]


def visible(access: Access) -> ColumnElement[bool]:
    """Of namespaces: whether who asks may see it."""
    if access.is_admin:
        return literal(True)
    if access.project_id is None or "reader" not in access.role_names:
        return literal(False)
    return or_(_c.visibility == "public", _c.project_id == access.project_id)


def _is_for(resource_types: Sequence[str]) -> ColumnElement[bool]:
    d = _definitions.c
    return exists().where(
        d.namespace_id == _c.id, d.kind == DefinitionKind.RESOURCE_TYPE.value, d.name.in_(resource_types)
    )


def _enforce_free(connection: Connection, name: str) -> None:
    if connection.execute(select(_c.id).where(_c.name == name)).first() is not None:
        raise ImageConflict(f"The metadata definition namespace={name} already exists.")
