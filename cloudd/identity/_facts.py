# -*- test-case-name: tests.identity -*-
"""
From the tables to an ``Access``: who a user is, which scope is meant, which roles are held there.

Plain functions of a connection; all that one answer needs is read on one snapshot.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from sqlalchemy import Connection, Row, select

from cloudd.database import tables

from . import _revocation
from ._tokens import TokenFacts
from ._values import Access, DomainScope, ProjectScope, RoleRef, UserRef

_users, _projects, _domains, _roles = tables.user, tables.project, tables.domain, tables.role
_domain_columns = (_domains.c.name.label("domain_name"), _domains.c.enabled.label("domain_enabled"))
_USERS = select(_users, *_domain_columns).join_from(_users, _domains)
_PROJECTS = select(_projects, *_domain_columns).join_from(_projects, _domains)


class Denied(Exception):
    """No access; the reason is for the log."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Verified(NamedTuple):
    """An access, the subjects under which it can be revoked, and the newest event that was considered."""

    access: Access
    subjects: frozenset[str]
    position: int


def find_user(connection: Connection, ref: UserRef) -> Row[Any] | None:
    """The user's row, with ``domain_name`` and ``domain_enabled``."""
    if ref.id is not None:
        return connection.execute(_USERS.where(_users.c.id == ref.id)).first()
    if ref.domain_id is not None:
        return connection.execute(_USERS.where(_users.c.name == ref.name, _domains.c.id == ref.domain_id)).first()
    return connection.execute(_USERS.where(_users.c.name == ref.name, _domains.c.name == ref.domain_name)).first()


def find_project(connection: Connection, scope: ProjectScope) -> Row[Any] | None:
    """The project's row, with ``domain_name`` and ``domain_enabled``."""
    if scope.id is not None:
        return connection.execute(_PROJECTS.where(_projects.c.id == scope.id)).first()
    named = _PROJECTS.where(_projects.c.name == scope.name)
    if scope.domain_id is not None:
        return connection.execute(named.where(_domains.c.id == scope.domain_id)).first()
    return connection.execute(named.where(_domains.c.name == scope.domain_name)).first()


def find_domain(connection: Connection, scope: DomainScope) -> Row[Any] | None:
    which = _domains.c.id == scope.id if scope.id is not None else _domains.c.name == scope.name
    return connection.execute(select(_domains).where(which)).first()


def with_implied(connection: Connection, role_ids: set[str]) -> tuple[RoleRef, ...]:
    """These roles and all that they imply, in the order of their names."""
    implied: dict[str, list[str]] = {}
    for row in connection.execute(select(tables.implied_role)):
        implied.setdefault(row.prior_id, []).append(row.implied_id)
    known, ahead = set(role_ids), list(role_ids)
    while ahead:
        fresh = [role_id for role_id in implied.get(ahead.pop(), ()) if role_id not in known]
        known.update(fresh)
        ahead.extend(fresh)
    rows = connection.execute(select(_roles.c.id, _roles.c.name).where(_roles.c.id.in_(known)).order_by(_roles.c.name))
    return tuple(RoleRef(row.id, row.name) for row in rows)


def roles_in_scope(
    connection: Connection, user_id: str, *, project_id: str | None = None, domain_id: str | None = None
) -> tuple[RoleRef, ...]:
    """The user's roles on a project or domain, implied ones included."""
    if project_id is not None:
        table, target = tables.project_role, tables.project_role.c.project_id == project_id
    else:
        table, target = tables.domain_role, tables.domain_role.c.domain_id == domain_id
    held = set(connection.execute(select(table.c.role_id).where(table.c.user_id == user_id, target)).scalars())
    return with_implied(connection, held) if held else ()


def verify(connection: Connection, facts: TokenFacts) -> Verified:
    """
    The access that a token with these facts gives now.

    :raises Denied: revoked, or something it names is gone, disabled or expired, or no role is left
    """
    user = find_user(connection, UserRef(id=facts.user_id))
    if user is None or not user.enabled or not user.domain_enabled:
        raise Denied("the user is gone or disabled, or its domain is")
    domain_ids = {user.domain_id}
    scope = _scope_of(connection, facts)
    domain_ids.update(scope[key] for key in ("project_domain_id", "domain_id") if scope.get(key))
    subjects = _revocation.subjects_of(facts, domain_ids)
    if _revocation.is_refused(connection, subjects, facts):
        raise Denied("it was revoked")
    roles: tuple[RoleRef, ...] = ()
    if scope:
        roles = roles_in_scope(connection, user.id, project_id=facts.project_id, domain_id=facts.domain_id)
    unrestricted = True
    if facts.application_credential_id:
        unrestricted, chosen = _credential_of(connection, facts)
        roles = tuple(role for role in roles if role in chosen)
    if facts.ec2_access:
        _require_ec2(connection, facts)
        unrestricted = False
    if scope and not roles:
        raise Denied("the user has no role in this scope")
    access = Access(
        user_id=user.id,
        user_name=user.name,
        user_domain_id=user.domain_id,
        user_domain_name=user.domain_name,
        roles=roles,
        methods=facts.methods,
        audit_ids=facts.audit_ids,
        issued_at=facts.issued_at,
        expires_at=facts.expires_at,
        application_credential_id=facts.application_credential_id,
        unrestricted=unrestricted,
        **scope,
    )
    return Verified(access, subjects, _revocation.position(connection))


def _scope_of(connection: Connection, facts: TokenFacts) -> dict[str, str]:
    """The members of ``Access`` that describe the scope; empty when unscoped."""
    if facts.project_id:
        project = find_project(connection, ProjectScope(id=facts.project_id))
        if project is None or not project.enabled or not project.domain_enabled:
            raise Denied("the project is gone or disabled, or its domain is")
        return {
            "project_id": project.id,
            "project_name": project.name,
            "project_domain_id": project.domain_id,
            "project_domain_name": project.domain_name,
        }
    if facts.domain_id:
        domain = find_domain(connection, DomainScope(id=facts.domain_id))
        if domain is None or not domain.enabled:
            raise Denied("the domain is gone or disabled")
        return {"domain_id": domain.id, "domain_name": domain.name}
    return {}


def _credential_of(connection: Connection, facts: TokenFacts) -> tuple[bool, tuple[RoleRef, ...]]:
    """Whether the application credential is unrestricted, and its roles with what they imply."""
    table, link = tables.application_credential, tables.application_credential_role
    row = connection.execute(
        select(table).where(
            table.c.id == facts.application_credential_id,
            table.c.user_id == facts.user_id,
            table.c.project_id == facts.project_id,
        )
    ).first()
    # Its expiry is in the token's own: nothing issued with it lives longer.
    if row is None:
        raise Denied("the application credential is gone")
    chosen = connection.execute(select(link.c.role_id).where(link.c.credential_id == row.id)).scalars()
    return row.unrestricted, with_implied(connection, set(chosen))


def _require_ec2(connection: Connection, facts: TokenFacts) -> None:
    table = tables.ec2_credential
    row = connection.execute(
        select(table.c.access).where(
            table.c.access == facts.ec2_access,
            table.c.user_id == facts.user_id,
            table.c.project_id == facts.project_id,
        )
    ).first()
    if row is None:
        raise Denied("the EC2 credential is gone")
