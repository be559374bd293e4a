# -*- test-case-name: tests.identity -*-
"""Users and their passwords."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import frozen
from sqlalchemy import Connection, Row, delete, insert, select, union, update

from cloudd.database import tables

from . import _checks, _facts, _revocation
from ._desk import Desk, UserDeleted, filtered, listed_domain, new_id, page, require_in, unique
from ._errors import Forbidden, NotFound, Unauthorized
from ._policy import Target, enforce
from ._values import Access, Page, User

_table = tables.user
_FIELDS = _checks.Fields(
    "user",
    {
        "name": _checks.name(),
        "domain_id": _checks.identifier,
        "description": _checks.text(_checks.DESCRIPTION_LIMIT, null=""),
        "email": _checks.optional(_checks.text(_checks.NAME_LIMIT)),
        "default_project_id": _checks.optional(_checks.identifier),
        "enabled": _checks.boolean,
        "password": _checks.optional(_checks.text(_checks.PASSWORD_LIMIT, empty=False)),
    },
    required=("name", "domain_id"),
    fixed=("domain_id",),
)


@frozen
class Users:
    """``identity.users``."""

    _desk: Desk

    async def create(self, access: Access, values: Mapping[str, Any]) -> User:
        """
        :param values: ``name``, ``domain_id``; ``password`` (without one nobody can log in as the user),
            ``description``, ``email``, ``default_project_id``, ``enabled``
        :raises NotFound: there is no such domain
        :raises Conflict: the name is taken in this domain
        """
        checked = _FIELDS.for_create(values)
        enforce(access, "create_user", Target(domain_id=checked["domain_id"]))
        return await self._desk.write(_create, await self._hashed(checked), self._desk.now_us())

    async def get(self, access: Access, user_id: str) -> User:
        return await self._desk.store.read(_get, access, user_id)

    async def list(
        self,
        access: Access,
        *,
        name: str | None = None,
        domain_id: str | None = None,
        enabled: bool | None = None,
        marker: str | None = None,
        limit: int | None = None,
    ) -> Page[User]:
        """All users for an administrator, those of its domain for a domain's reader."""
        domain_id = listed_domain(access, "list_users", domain_id)
        query = filtered(select(_table), _table, {"name": name, "domain_id": domain_id, "enabled": enabled})
        return await self._desk.store.read(page, query, _table.c.id, _record, marker, _checks.limit(limit))

    async def update(self, access: Access, user_id: str, values: Mapping[str, Any]) -> User:
        """
        A new password and disabling refuse all tokens of the user.

        :raises Conflict: the name is taken in this domain
        :raises Forbidden: among others, a domain's manager would change an administrator
        """
        current = await self._desk.store.read(_may_change, access, "update_user", user_id)
        checked = await self._hashed(_FIELDS.for_update(values, current))
        return await self._desk.write(_update, access, user_id, checked, self._desk.now_us())

    async def delete(self, access: Access, user_id: str) -> None:
        """Delete a user with all assignments and credentials; the tokens are refused."""
        await self._desk.write(_delete, access, user_id, self._desk.now_us(), self._desk.user_deleted)

    async def change_password(self, access: Access, user_id: str, original: str, password: str) -> None:
        """
        Change one's own password; all one's tokens are refused, this one too.

        :raises Unauthorized: ``original`` is wrong
        """
        _checks.text(_checks.PASSWORD_LIMIT)("user.original_password", original)
        _checks.text(_checks.PASSWORD_LIMIT, empty=False)("user.password", password)
        enforce(access, "change_password", Target(user_id=user_id))
        row = await self._desk.store.read(_one, user_id)
        hashed = row.password_hash if row is not None else None
        if not await self._desk.passwords.matches(hashed, original):
            raise Unauthorized("the original password is wrong")
        fresh = await self._desk.passwords.hash(password)
        await self._desk.write(_replace_password, user_id, hashed, fresh, self._desk.now_us())

    async def _hashed(self, checked: dict[str, Any]) -> dict[str, Any]:
        """``password`` replaced by ``password_hash``."""
        if "password" not in checked:
            return checked
        password = checked.pop("password")
        checked["password_hash"] = None if password is None else await self._desk.passwords.hash(password)
        return checked


def _record(row: Row[Any]) -> User:
    return User(
        id=row.id,
        domain_id=row.domain_id,
        name=row.name,
        description=row.description,
        email=row.email,
        default_project_id=row.default_project_id,
        enabled=row.enabled,
    )


def _one(connection: Connection, user_id: str) -> Row[Any] | None:
    return connection.execute(select(_table).where(_table.c.id == user_id)).first()


def _create(connection: Connection, values: dict[str, Any], now_us: int) -> User:
    domain_id = values["domain_id"]
    if connection.execute(select(tables.domain.c.id).where(tables.domain.c.id == domain_id)).first() is None:
        raise NotFound("domain", domain_id)
    user_id = new_id()
    with unique("user", values["name"]):
        connection.execute(insert(_table).values(**values, id=user_id, created_us=now_us))
    row = _one(connection, user_id)
    assert row is not None
    return _record(row)


def _get(connection: Connection, access: Access, user_id: str) -> User:
    row = require_in(connection, _table, access, "get_user", "user", user_id)
    enforce(access, "get_user", Target(user_id=user_id, domain_id=row.domain_id))
    return _record(row)


def _may_change(connection: Connection, access: Access, action: str, user_id: str) -> Row[Any]:
    """
    The user's row.

    :raises Forbidden: by the rules; or the user is an administrator and the caller is not: the manager of a domain
        could otherwise become one by a new password
    """
    row = require_in(connection, _table, access, action, "user", user_id)
    enforce(access, action, Target(user_id=user_id, domain_id=row.domain_id))
    if not access.is_admin and is_administrator(connection, user_id):
        raise Forbidden(action, "Only an administrator may change an administrator.")
    return row


def is_administrator(connection: Connection, user_id: str) -> bool:
    """Whether the user holds the role admin anywhere."""
    on_project, on_domain = tables.project_role, tables.domain_role
    held = union(
        select(on_project.c.role_id).where(on_project.c.user_id == user_id),
        select(on_domain.c.role_id).where(on_domain.c.user_id == user_id),
    )
    roles = _facts.with_implied(connection, set(connection.execute(held).scalars()))
    return any(role.name == "admin" for role in roles)


def _update(connection: Connection, access: Access, user_id: str, values: dict[str, Any], now_us: int) -> User:
    _may_change(connection, access, "update_user", user_id)
    if values:
        with unique("user", values.get("name")):
            connection.execute(update(_table).where(_table.c.id == user_id).values(**values))
    changed = [_revocation.user(user_id)]
    locked_out = "password_hash" in values or values.get("enabled") is False
    _revocation.record(connection, now_us, refuse=changed if locked_out else (), forget=() if locked_out else changed)
    row = _one(connection, user_id)
    assert row is not None
    return _record(row)


def _delete(connection: Connection, access: Access, user_id: str, now_us: int, deleted: UserDeleted) -> None:
    _may_change(connection, access, "delete_user", user_id)
    _revocation.record(connection, now_us, refuse=[_revocation.user(user_id)])
    connection.execute(delete(_table).where(_table.c.id == user_id))
    deleted(connection, user_id)


def _replace_password(connection: Connection, user_id: str, known: str | None, fresh: str, now_us: int) -> None:
    mine = (_table.c.id == user_id) & (_table.c.password_hash == known)
    if connection.execute(update(_table).where(mine).values(password_hash=fresh)).rowcount != 1:
        raise Unauthorized("the password was changed meanwhile")
    _revocation.record(connection, now_us, refuse=[_revocation.user(user_id)])
