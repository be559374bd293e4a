# -*- test-case-name: tests.identity -*-
"""Domains: the outermost owners of users and projects."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import frozen
from sqlalchemy import Connection, Row, delete, insert, select, update

from cloudd.database import tables

from . import _checks, _revocation
from ._bootstrap import DEFAULT_DOMAIN
from ._desk import Desk, ProjectDeleted, UserDeleted, filtered, new_id, page, require_in, unique
from ._errors import Forbidden
from ._policy import Target, enforce
from ._values import Access, Domain, Page

_table = tables.domain
_FIELDS = _checks.Fields(
    "domain",
    {
        "name": _checks.name(),
        "description": _checks.text(_checks.DESCRIPTION_LIMIT, null=""),
        "enabled": _checks.boolean,
    },
    required=("name",),
)


@frozen
class Domains:
    """``identity.domains``."""

    _desk: Desk

    async def create(self, access: Access, values: Mapping[str, Any]) -> Domain:
        """
        :param values: ``name``; ``description``, ``enabled``
        :raises Conflict: the name is taken
        """
        enforce(access, "create_domain", Target())
        return await self._desk.write(_create, _FIELDS.for_create(values), self._desk.now_us())

    async def get(self, access: Access, domain_id: str) -> Domain:
        return await self._desk.store.read(_get, access, domain_id)

    async def list(
        self,
        access: Access,
        *,
        name: str | None = None,
        enabled: bool | None = None,
        marker: str | None = None,
        limit: int | None = None,
    ) -> Page[Domain]:
        """All domains for an administrator, its own for a domain's reader."""
        enforce(access, "list_domains", Target(domain_id=access.domain_id))
        own = None if access.is_admin else access.domain_id
        query = filtered(select(_table), _table, {"id": own, "name": name, "enabled": enabled})
        return await self._desk.store.read(page, query, _table.c.id, _record, marker, _checks.limit(limit))

    async def update(self, access: Access, domain_id: str, values: Mapping[str, Any]) -> Domain:
        """
        Disabling refuses all tokens of its users and projects.

        :raises Conflict: the name is taken
        """
        return await self._desk.write(_update, access, domain_id, values, self._desk.now_us())

    async def delete(self, access: Access, domain_id: str) -> None:
        """
        Delete a disabled domain with its users and projects.

        :raises Forbidden: it is enabled, or the default domain
        """
        desk = self._desk
        await desk.write(_delete, access, domain_id, desk.now_us(), desk.project_deleted, desk.user_deleted)


def _record(row: Row[Any]) -> Domain:
    return Domain(id=row.id, name=row.name, description=row.description, enabled=row.enabled)


def _create(connection: Connection, values: dict[str, Any], now_us: int) -> Domain:
    row = {"id": new_id(), "description": "", "enabled": True, **values}
    with unique("domain", values["name"]):
        connection.execute(insert(_table).values(**row, created_us=now_us))
    return Domain(**row)


def _get(connection: Connection, access: Access, domain_id: str) -> Domain:
    row = require_in(connection, _table, access, "get_domain", "domain", domain_id)
    enforce(access, "get_domain", Target(domain_id=domain_id))
    return _record(row)


def _update(connection: Connection, access: Access, domain_id: str, values: Mapping[str, Any], now_us: int) -> Domain:
    row = require_in(connection, _table, access, "update_domain", "domain", domain_id)
    enforce(access, "update_domain", Target(domain_id=domain_id))
    checked = _FIELDS.for_update(values, row)
    if domain_id == DEFAULT_DOMAIN and checked.get("enabled") is False:
        raise Forbidden("update_domain", "The default domain cannot be disabled: the first administrator is in it.")
    if checked:
        with unique("domain", checked.get("name")):
            connection.execute(update(_table).where(_table.c.id == domain_id).values(**checked))
    changed = [_revocation.domain(domain_id)]
    disabled = checked.get("enabled") is False
    _revocation.record(connection, now_us, refuse=changed if disabled else (), forget=() if disabled else changed)
    return _record(require_in(connection, _table, access, "update_domain", "domain", domain_id))


def _delete(
    connection: Connection,
    access: Access,
    domain_id: str,
    now_us: int,
    project_deleted: ProjectDeleted,
    user_deleted: UserDeleted,
) -> None:
    row = require_in(connection, _table, access, "delete_domain", "domain", domain_id)
    enforce(access, "delete_domain", Target(domain_id=domain_id))
    if row.enabled or domain_id == DEFAULT_DOMAIN:
        raise Forbidden("delete_domain", "Cannot delete a domain that is enabled, please disable it first.")
    _revocation.record(connection, now_us, refuse=[_revocation.domain(domain_id)])
    users = _ids_in(connection, tables.user, domain_id)
    connection.execute(delete(tables.user).where(tables.user.c.domain_id == domain_id))
    for user_id in users:
        user_deleted(connection, user_id)
    # Children first: a project's parent is in the same domain.
    projects = tables.project
    connection.execute(update(projects).where(projects.c.domain_id == domain_id).values(parent_id=None))
    gone = _ids_in(connection, projects, domain_id)
    connection.execute(delete(projects).where(projects.c.domain_id == domain_id))
    for project_id in gone:
        project_deleted(connection, project_id)
    connection.execute(delete(_table).where(_table.c.id == domain_id))


def _ids_in(connection: Connection, table: Any, domain_id: str) -> list[str]:
    """Of the users or projects of a domain."""
    return list(connection.execute(select(table.c.id).where(table.c.domain_id == domain_id)).scalars())
