# -*- test-case-name: tests.identity -*-
"""What a user could ask a token for."""

from __future__ import annotations

from attrs import frozen
from sqlalchemy import Connection, select

from cloudd.database import tables

from . import _checks, _projects
from ._store import Store
from ._values import Access, Domain, Project


@frozen
class Own:
    """``identity.own``."""

    _store: Store

    async def projects(self, access: Access) -> list[Project]:
        """Enabled projects on which the caller has a role; with a credential that is bound to one, that one."""
        bound = access.application_credential_id is not None or not access.unrestricted
        only = access.project_id if bound else None
        return list(await self._store.read_kept(_own_projects, access.user_id, only))

    async def domains(self, access: Access) -> list[Domain]:
        """Enabled domains on which the caller has a role."""
        if access.application_credential_id is not None or not access.unrestricted:
            return []
        return list(await self._store.read_kept(_own_domains, access.user_id))


def _own_projects(connection: Connection, user_id: str, only: str | None) -> tuple[Project, ...]:
    project, domain, given = tables.project, tables.domain, tables.project_role
    held = select(given.c.project_id).where(given.c.user_id == user_id)
    query = (
        select(project).join_from(project, domain).where(project.c.id.in_(held), project.c.enabled, domain.c.enabled)
    )
    if only is not None:
        query = query.where(project.c.id == only)
    rows = connection.execute(query.order_by(project.c.id).limit(_checks.LIST_LIMIT))
    return tuple(_projects.record(row) for row in rows)


def _own_domains(connection: Connection, user_id: str) -> tuple[Domain, ...]:
    domain, given = tables.domain, tables.domain_role
    held = select(given.c.domain_id).where(given.c.user_id == user_id)
    query = select(domain).where(domain.c.id.in_(held), domain.c.enabled)
    rows = connection.execute(query.order_by(domain.c.id).limit(_checks.LIST_LIMIT))
    return tuple(Domain(id=row.id, name=row.name, description=row.description, enabled=row.enabled) for row in rows)
