# -*- test-case-name: tests.identity -*-
"""Roles and what they imply.  The four that the rules are made of cannot be changed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import frozen
from sqlalchemy import Connection, Row, delete, insert, select, update

from cloudd.database import tables

from . import _checks, _revocation
from ._bootstrap import ROLES, role_id
from ._desk import Desk, filtered, new_id, page, require_in, unique
from ._errors import Forbidden
from ._policy import Target, enforce
from ._values import Access, Page, Role

_table = tables.role
_FIXED_IDS = frozenset(role_id(name) for name in ROLES)
_FIELDS = _checks.Fields(
    "role",
    {"name": _checks.name(), "description": _checks.text(_checks.DESCRIPTION_LIMIT, null="")},
    required=("name",),
)


@frozen
class Roles:
    """``identity.roles``."""

    _desk: Desk

    async def create(self, access: Access, values: Mapping[str, Any]) -> Role:
        """
        :param values: ``name``; ``description``
        :raises Conflict: the name is taken
        """
        enforce(access, "create_role", Target())
        return await self._desk.write(_create, _FIELDS.for_create(values), self._desk.now_us())

    async def get(self, access: Access, role_id: str) -> Role:
        enforce(access, "get_role", Target())
        return await self._desk.store.read(_get, access, role_id)

    async def implied(self, access: Access) -> list[tuple[Role, tuple[Role, ...]]]:
        """Each role that implies others, with those it implies directly."""
        enforce(access, "list_roles", Target())
        return await self._desk.store.read(_implied)

    async def list(
        self, access: Access, *, name: str | None = None, marker: str | None = None, limit: int | None = None
    ) -> Page[Role]:
        enforce(access, "list_roles", Target())
        query = filtered(select(_table), _table, {"name": name})
        return await self._desk.store.read(page, query, _table.c.id, record, marker, _checks.limit(limit))

    async def update(self, access: Access, role_id: str, values: Mapping[str, Any]) -> Role:
        """
        :raises Conflict: the name is taken
        :raises Forbidden: it is one of the four that cloudd's rules are made of
        """
        return await self._desk.write(_update, access, role_id, values, self._desk.now_us())

    async def delete(self, access: Access, role_id: str) -> None:
        """
        Delete a role with all its assignments.

        :raises Forbidden: it is one of the four that cloudd's rules are made of
        """
        await self._desk.write(_delete, access, role_id, self._desk.now_us())


def record(row: Row[Any]) -> Role:
    return Role(id=row.id, name=row.name, description=row.description)


def _create(connection: Connection, values: dict[str, Any], now_us: int) -> Role:
    row = {"id": new_id(), "description": "", **values}
    with unique("role", values["name"]):
        connection.execute(insert(_table).values(**row, created_us=now_us))
    return Role(**row)


def _get(connection: Connection, access: Access, role_id: str) -> Role:
    return record(require_in(connection, _table, access, "get_role", "role", role_id))


def _implied(connection: Connection) -> list[tuple[Role, tuple[Role, ...]]]:
    roles = {row.id: record(row) for row in connection.execute(select(_table))}
    rules: dict[str, list[Role]] = {}
    for row in connection.execute(select(tables.implied_role).order_by(*tables.implied_role.c)):
        rules.setdefault(row.prior_id, []).append(roles[row.implied_id])
    return [(roles[prior_id], tuple(implied)) for prior_id, implied in rules.items()]


def _update(connection: Connection, access: Access, role_id: str, values: Mapping[str, Any], now_us: int) -> Role:
    row = _changeable(connection, access, "update_role", role_id)
    checked = _FIELDS.for_update(values, row)
    if checked:
        with unique("role", checked.get("name")):
            connection.execute(update(_table).where(_table.c.id == role_id).values(**checked))
    _revocation.record(connection, now_us, forget=[_revocation.EVERYBODY])
    return record(require_in(connection, _table, access, "update_role", "role", role_id))


def _delete(connection: Connection, access: Access, role_id: str, now_us: int) -> None:
    _changeable(connection, access, "delete_role", role_id)
    _revocation.record(connection, now_us, forget=[_revocation.EVERYBODY])
    connection.execute(delete(_table).where(_table.c.id == role_id))


def _changeable(connection: Connection, access: Access, action: str, role_id: str) -> Row[Any]:
    enforce(access, action, Target())
    row = require_in(connection, _table, access, action, "role", role_id)
    if role_id in _FIXED_IDS:
        raise Forbidden(action, f"The role {row.name} cannot be changed: cloudd's rules are made of it.")
    return row
