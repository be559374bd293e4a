# -*- test-case-name: tests.identity -*-
"""Projects: the owners of everything else in the cloud."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import frozen
from sqlalchemy import Connection, Row, delete, insert, select, update

from cloudd.database import tables

from . import _checks, _revocation
from ._desk import Desk, ProjectDeleted, filtered, listed_domain, new_id, page, require_in, unique
from ._errors import BadValue, Forbidden, NotFound
from ._policy import Target, enforce
from ._values import Access, Page, Project

_table = tables.project
_FIELDS = _checks.Fields(
    "project",
    {
        "name": _checks.name(_checks.PROJECT_NAME_LIMIT),
        "domain_id": _checks.identifier,
        "parent_id": _checks.optional(_checks.identifier),
        "description": _checks.text(_checks.DESCRIPTION_LIMIT, null=""),
        "enabled": _checks.boolean,
    },
    required=("name", "domain_id"),
    fixed=("domain_id", "parent_id"),
)


@frozen
class Projects:
    """``identity.projects``."""

    _desk: Desk

    async def create(self, access: Access, values: Mapping[str, Any]) -> Project:
        """
        :param values: ``name``, ``domain_id``; ``parent_id`` (a project of the same domain, or the domain),
            ``description``, ``enabled``
        :raises NotFound: there is no such domain or parent
        :raises Conflict: the name is taken in this domain
        """
        checked = _FIELDS.for_create(values)
        enforce(access, "create_project", Target(domain_id=checked["domain_id"]))
        return await self._desk.write(_create, checked, self._desk.now_us())

    async def get(self, access: Access, project_id: str) -> Project:
        return await self._desk.store.read(_get, access, project_id)

    async def list(
        self,
        access: Access,
        *,
        name: str | None = None,
        domain_id: str | None = None,
        parent_id: str | None = None,
        enabled: bool | None = None,
        marker: str | None = None,
        limit: int | None = None,
    ) -> Page[Project]:
        """All projects for an administrator, those of its domain for a domain's reader."""
        domain_id = listed_domain(access, "list_projects", domain_id)
        filters = {"name": name, "domain_id": domain_id, "enabled": enabled}
        query = filtered(select(_table), _table, filters)
        if parent_id is not None:
            top = (_table.c.parent_id.is_(None)) & (_table.c.domain_id == parent_id)
            query = query.where((_table.c.parent_id == parent_id) | top)
        return await self._desk.store.read(page, query, _table.c.id, record, marker, _checks.limit(limit))

    async def update(self, access: Access, project_id: str, values: Mapping[str, Any]) -> Project:
        """
        Disabling refuses all tokens of the project.

        :raises Conflict: the name is taken in this domain
        """
        return await self._desk.write(_update, access, project_id, values, self._desk.now_us())

    async def delete(self, access: Access, project_id: str) -> None:
        """
        Delete a project with its assignments and credentials; its tokens are refused.  What other services keep for
        it is told to go in the same transaction (``Identity``'s ``project_deleted``).

        :raises Forbidden: other projects are below it
        """
        await self._desk.write(_delete, access, project_id, self._desk.now_us(), self._desk.project_deleted)


def record(row: Row[Any]) -> Project:
    return Project(
        id=row.id,
        domain_id=row.domain_id,
        parent_id=row.parent_id or row.domain_id,
        name=row.name,
        description=row.description,
        enabled=row.enabled,
    )


def _create(connection: Connection, values: dict[str, Any], now_us: int) -> Project:
    domain_id = values["domain_id"]
    if connection.execute(select(tables.domain.c.id).where(tables.domain.c.id == domain_id)).first() is None:
        raise NotFound("domain", domain_id)
    parent_id = values.get("parent_id")
    if parent_id == domain_id:
        parent_id = None
    if parent_id is not None:
        parent = connection.execute(select(_table).where(_table.c.id == parent_id)).first()
        if parent is None or parent.domain_id != domain_id:
            raise BadValue("project.parent_id", "there is no such project in this domain")
    row = {"description": "", "enabled": True, **values, "id": new_id(), "parent_id": parent_id}
    with unique("project", values["name"]):
        connection.execute(insert(_table).values(**row, created_us=now_us))
    return Project(**{**row, "parent_id": parent_id or domain_id})


def _get(connection: Connection, access: Access, project_id: str) -> Project:
    row = require_in(connection, _table, access, "get_project", "project", project_id)
    enforce(access, "get_project", Target(project_id=project_id, domain_id=row.domain_id))
    return record(row)


def _update(connection: Connection, access: Access, project_id: str, values: Mapping[str, Any], now_us: int) -> Project:
    row = require_in(connection, _table, access, "update_project", "project", project_id)
    enforce(access, "update_project", Target(project_id=project_id, domain_id=row.domain_id))
    checked = _FIELDS.for_update(values, record(row))
    if checked:
        with unique("project", checked.get("name")):
            connection.execute(update(_table).where(_table.c.id == project_id).values(**checked))
    changed = [_revocation.project(project_id)]
    disabled = checked.get("enabled") is False
    _revocation.record(connection, now_us, refuse=changed if disabled else (), forget=() if disabled else changed)
    return record(require_in(connection, _table, access, "update_project", "project", project_id))


def _delete(connection: Connection, access: Access, project_id: str, now_us: int, deleted: ProjectDeleted) -> None:
    row = require_in(connection, _table, access, "delete_project", "project", project_id)
    enforce(access, "delete_project", Target(project_id=project_id, domain_id=row.domain_id))
    if connection.execute(select(_table.c.id).where(_table.c.parent_id == project_id).limit(1)).first():
        raise Forbidden("delete_project", "Cannot delete a project that has projects below it; delete those first.")
    _revocation.record(connection, now_us, refuse=[_revocation.project(project_id)])
    connection.execute(delete(_table).where(_table.c.id == project_id))
    deleted(connection, project_id)
