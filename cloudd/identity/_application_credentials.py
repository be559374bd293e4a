# -*- test-case-name: tests.identity -*-
"""Application credentials: what a program logs in with, on one project and with some of its user's roles."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

from attrs import evolve, frozen
from sqlalchemy import Connection, Row, delete, insert, select

from cloudd.database import tables

from . import _checks, _revocation
from ._desk import Desk, filtered, new_id, page, require, unique
from ._errors import BadValue, Forbidden
from ._policy import Target, enforce
from ._values import Access, ApplicationCredential, Page, RoleRef

_table, _link = tables.application_credential, tables.application_credential_role
_KIND = "application_credential"
_SECRET_BYTES = 64


def _expiry(field: str, value: Any) -> int | None:
    """Microseconds since the epoch, or a time as text; null: never."""
    if value is None or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    return _checks.moment(field, value)


def _references(field: str, value: Any) -> list[dict[str, str]]:
    """``[{"id": ...}, {"name": ...}]``."""
    if not isinstance(value, list):
        raise BadValue(field, "must be a list of roles")
    for role in value:
        if not isinstance(role, Mapping) or not ({"id", "name"} & role.keys()):
            raise BadValue(field, "each role needs an id or a name")
    return value


_FIELDS = _checks.Fields(
    _KIND,
    {
        "name": _checks.name(),
        "description": _checks.text(_checks.DESCRIPTION_LIMIT, null=""),
        "secret": _checks.optional(_checks.text(_checks.NAME_LIMIT, empty=False)),
        "expires_at": _expiry,
        "unrestricted": _checks.boolean,
        "roles": _references,
    },
    required=("name",),
)


@frozen
class ApplicationCredentials:
    """``identity.application_credentials``."""

    _desk: Desk

    async def create(self, access: Access, user_id: str, values: Mapping[str, Any]) -> ApplicationCredential:
        """
        Make one for the caller's project; the only answer with the ``secret``.

        :param values: ``name``; ``description``, ``secret`` (else made up), ``expires_at`` (text, or microseconds
            since the epoch), ``unrestricted``, ``roles`` (each with ``id`` or ``name``; else all of the token's)
        :raises BadValue: among others, a role that the token has not, or an expiry in the past
        :raises Forbidden: for another user, without a project in scope, or with a restricted credential
        :raises Conflict: the name is taken
        """
        checked = _FIELDS.for_create(values)
        enforce(access, "create_application_credential", Target(user_id=user_id))
        if access.project_id is None:
            raise Forbidden("create_application_credential", "This needs a token with a project in scope.")
        now = self._desk.now_us()
        expires = checked.get("expires_at")
        if expires is not None and expires <= now:
            raise BadValue(f"{_KIND}.expires_at", "is in the past")
        secret = checked.get("secret") or secrets.token_urlsafe(_SECRET_BYTES)
        credential = ApplicationCredential(
            id=new_id(),
            user_id=user_id,
            project_id=access.project_id,
            name=checked["name"],
            description=checked.get("description", ""),
            unrestricted=checked.get("unrestricted", False),
            expires_at=expires,
            roles=_chosen(access, checked.get("roles")),
        )
        hashed = await self._desk.passwords.hash(secret)
        await self._desk.write(_create, credential, hashed, now)
        return evolve(credential, secret=secret)

    async def get(self, access: Access, user_id: str, credential_id: str) -> ApplicationCredential:
        enforce(access, "get_application_credential", Target(user_id=user_id))
        return await self._desk.store.read(_get, access, user_id, credential_id)

    async def list(
        self,
        access: Access,
        user_id: str,
        *,
        name: str | None = None,
        marker: str | None = None,
        limit: int | None = None,
    ) -> Page[ApplicationCredential]:
        enforce(access, "list_application_credentials", Target(user_id=user_id))
        query = filtered(select(_table), _table, {"user_id": user_id, "name": name})
        return await self._desk.store.read(_page, query, marker, _checks.limit(limit))

    async def delete(self, access: Access, user_id: str, credential_id: str) -> None:
        """Delete it; tokens got with it are refused."""
        enforce(access, "delete_application_credential", Target(user_id=user_id))
        await self._desk.write(_delete, access, user_id, credential_id, self._desk.now_us())


def _chosen(access: Access, references: list[dict[str, str]] | None) -> tuple[RoleRef, ...]:
    if not references:
        return access.roles
    chosen = []
    for reference in references:
        named = [role for role in access.roles if reference.get("id", role.id) == role.id]
        named = [role for role in named if reference.get("name", role.name) == role.name]
        if not named:
            asked = str(reference.get("name") or reference.get("id"))[:64]
            raise BadValue(f"{_KIND}.roles", f"you have no role {asked} on this project")
        chosen.extend(named)
    return tuple(dict.fromkeys(chosen))


def _create(connection: Connection, one: ApplicationCredential, hashed: str, now_us: int) -> None:
    with unique("application credential", one.name):
        connection.execute(
            insert(_table).values(
                id=one.id,
                user_id=one.user_id,
                project_id=one.project_id,
                name=one.name,
                description=one.description,
                secret_hash=hashed,
                unrestricted=one.unrestricted,
                expires_us=one.expires_at,
                created_us=now_us,
            )
        )
    connection.execute(insert(_link), [{"credential_id": one.id, "role_id": role.id} for role in one.roles])


def _record(connection: Connection, row: Row[Any]) -> ApplicationCredential:
    role = tables.role
    chosen = select(role.c.id, role.c.name).join_from(role, _link).where(_link.c.credential_id == row.id)
    return ApplicationCredential(
        id=row.id,
        user_id=row.user_id,
        project_id=row.project_id,
        name=row.name,
        description=row.description,
        unrestricted=row.unrestricted,
        expires_at=row.expires_us,
        roles=tuple(RoleRef(*found) for found in connection.execute(chosen.order_by(role.c.name))),
    )


def _one(connection: Connection, access: Access, action: str, user_id: str, credential_id: str) -> Row[Any]:
    mine = select(_table).where(_table.c.id == credential_id, _table.c.user_id == user_id)
    return require(connection, mine, access, action, "application credential", credential_id, Target(user_id=user_id))


def _get(connection: Connection, access: Access, user_id: str, credential_id: str) -> ApplicationCredential:
    return _record(connection, _one(connection, access, "get_application_credential", user_id, credential_id))


def _page(connection: Connection, query: Any, marker: str | None, limit: int) -> Page[ApplicationCredential]:
    return page(connection, query, _table.c.id, lambda row: _record(connection, row), marker, limit)


def _delete(connection: Connection, access: Access, user_id: str, credential_id: str, now_us: int) -> None:
    _one(connection, access, "delete_application_credential", user_id, credential_id)
    _revocation.record(connection, now_us, refuse=[_revocation.application_credential(credential_id)])
    connection.execute(delete(_table).where(_table.c.id == credential_id))
