# -*- test-case-name: tests.identity.test_assignments -*-
"""Which user has which role on which project or domain."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from attrs import evolve, frozen
from sqlalchemy import Connection, Row, Select, Table, delete, insert, select

from cloudd.database import tables

from . import _checks, _facts, _revocation
from ._desk import Desk, require_in
from ._errors import BadValue, Forbidden, NotFound
from ._policy import Target, enforce
from ._roles import record
from ._values import Access, Assignment, Page, Role

_users, _projects, _domains, _roles = tables.user, tables.project, tables.domain, tables.role


@frozen
class _Place:
    """One project or one domain, and the table of its assignments."""

    table: Table
    kind: str
    id: str

    @property
    def here(self) -> Any:
        return self.table.c[f"{self.kind}_id"] == self.id


def _place(project_id: str | None, domain_id: str | None) -> _Place:
    if (project_id is None) == (domain_id is None):
        raise BadValue("scope", "needs a project or a domain, and not both")
    if project_id is not None:
        return _Place(tables.project_role, "project", project_id)
    assert domain_id is not None
    return _Place(tables.domain_role, "domain", domain_id)


@frozen
class Assignments:
    """``identity.assignments``.  A place is given as ``project_id`` or ``domain_id``."""

    _desk: Desk

    async def grant(
        self, access: Access, *, role_id: str, user_id: str, project_id: str | None = None, domain_id: str | None = None
    ) -> None:
        """
        Give a role; giving it again changes nothing.

        :raises NotFound: there is no such role, user, project or domain
        :raises Forbidden: among others, the manager of a domain gives a role that it has not itself
        """
        place = _place(project_id, domain_id)
        await self._desk.write(_grant, access, role_id, user_id, place, self._desk.now_us())

    async def revoke(
        self, access: Access, *, role_id: str, user_id: str, project_id: str | None = None, domain_id: str | None = None
    ) -> None:
        """
        Take a role away; tokens for the place lose it within a second, and are refused when no role is left.

        :raises NotFound: the user has not been given this role there
        """
        place = _place(project_id, domain_id)
        await self._desk.write(_revoke, access, role_id, user_id, place, self._desk.now_us())

    async def check(
        self, access: Access, *, role_id: str, user_id: str, project_id: str | None = None, domain_id: str | None = None
    ) -> None:
        """
        Return if the user was given this very role there.

        :raises NotFound: it was not
        """
        await self._desk.store.read(_check, access, role_id, user_id, _place(project_id, domain_id))

    async def roles(
        self, access: Access, *, user_id: str, project_id: str | None = None, domain_id: str | None = None
    ) -> list[Role]:
        """The roles the user was given in one place, without implied ones."""
        return await self._desk.store.read(_roles_of, access, user_id, _place(project_id, domain_id))

    async def list(
        self,
        access: Access,
        *,
        user_id: str | None = None,
        role_id: str | None = None,
        project_id: str | None = None,
        domain_id: str | None = None,
        effective: bool = False,
        names: bool = False,
        limit: int | None = None,
    ) -> Page[Assignment]:
        """
        :param effective: with implied roles, each as an assignment of its own
        :param names: fill in the names
        """
        wanted = {"user_id": user_id, "role_id": role_id, "project_id": project_id, "domain_id": domain_id}
        own = user_id is not None and user_id == access.user_id
        if not own:
            enforce(access, "list_role_assignments", Target(domain_id=access.domain_id))
        within = None if own or access.is_admin else access.domain_id
        found = await self._desk.store.read(_list, wanted, within, effective, _checks.limit(limit))
        if names:
            return found
        return evolve(found, items=tuple(_without_names(one) for one in found.items))


def _require_both(connection: Connection, access: Access, action: str, user_id: str, place: _Place) -> tuple[str, str]:
    """The user and the place exist, and the rules allow ``action``; the domains of both."""
    user = require_in(connection, _users, access, action, "user", user_id)
    owners = {"project": _projects, "domain": _domains}
    target = require_in(connection, owners[place.kind], access, action, place.kind, place.id)
    target_domain = target.domain_id if place.kind == "project" else target.id
    enforce(access, action, Target(user_id=user_id, domain_id=target_domain))
    return user.domain_id, target_domain


def _may_give(access: Access, action: str, role: Row[Any], domains: tuple[str, str]) -> None:
    """A domain's manager gives roles it has itself, to users of its domain."""
    if access.is_admin:
        return
    if domains[0] != access.domain_id:
        raise Forbidden(action)
    if role.name not in access.role_names:
        raise Forbidden(action, f"Only who has the role {role.name} may give or take it.")


def _grant(connection: Connection, access: Access, role_id: str, user_id: str, place: _Place, now_us: int) -> None:
    domains = _require_both(connection, access, "create_grant", user_id, place)
    role = require_in(connection, _roles, access, "create_grant", "role", role_id)
    _may_give(access, "create_grant", role, domains)
    if _given(connection, role_id, user_id, place):
        return
    values = {"user_id": user_id, "role_id": role_id, f"{place.kind}_id": place.id}
    connection.execute(insert(place.table).values(**values))
    _revocation.record(connection, now_us, forget=[_revocation.user_in_scope(user_id, place.id)])


def _revoke(connection: Connection, access: Access, role_id: str, user_id: str, place: _Place, now_us: int) -> None:
    domains = _require_both(connection, access, "revoke_grant", user_id, place)
    role = require_in(connection, _roles, access, "revoke_grant", "role", role_id)
    _may_give(access, "revoke_grant", role, domains)
    columns = place.table.c
    given = delete(place.table).where(place.here, columns.user_id == user_id, columns.role_id == role_id)
    if connection.execute(given).rowcount == 0:
        raise NotFound("role assignment", role_id)
    _revocation.record(connection, now_us, forget=[_revocation.user_in_scope(user_id, place.id)])


def _given(connection: Connection, role_id: str, user_id: str, place: _Place) -> bool:
    columns = place.table.c
    given = select(columns.role_id).where(place.here, columns.user_id == user_id, columns.role_id == role_id)
    return connection.execute(given).first() is not None


def _check(connection: Connection, access: Access, role_id: str, user_id: str, place: _Place) -> None:
    _require_both(connection, access, "check_grant", user_id, place)
    if not _given(connection, role_id, user_id, place):
        raise NotFound("role assignment", role_id[:64])


def _roles_of(connection: Connection, access: Access, user_id: str, place: _Place) -> list[Role]:
    _require_both(connection, access, "list_grants", user_id, place)
    given = select(_roles).join_from(_roles, place.table).where(place.here, place.table.c.user_id == user_id)
    return [record(row) for row in connection.execute(given.order_by(_roles.c.name))]


def _list(
    connection: Connection, wanted: dict[str, str | None], within: str | None, effective: bool, limit: int
) -> Page[Assignment]:
    # With `effective` the role is compared after the implied ones were added.
    by_role = None if effective else wanted["role_id"]
    found: list[Assignment] = []
    for query in _queries(wanted, within, by_role):
        room = limit + 1 - len(found)
        if room > 0:
            found.extend(_assignment(row) for row in connection.execute(query.limit(room)))
    truncated = len(found) > limit
    items = iter(found[:limit])
    if effective:
        items = _effective(connection, found[:limit], wanted["role_id"])
    return Page(items=tuple(items), truncated=truncated)


def _queries(wanted: dict[str, str | None], within: str | None, role_id: str | None) -> Iterator[Select[Any]]:
    """Assignments on projects and on domains, with all names."""
    users_domain = _domains.alias("users_domain")
    who = (
        _users.c.name.label("user_name"),
        users_domain.c.id.label("user_domain_id"),
        users_domain.c.name.label("user_domain_name"),
        _roles.c.name.label("role_name"),
        _domains.c.name.label("domain_name"),
        _domains.c.id.label("owner_id"),
    )
    for table, key, other in (
        (tables.project_role, "project_id", "domain_id"),
        (tables.domain_role, "domain_id", "project_id"),
    ):
        if wanted[other] is not None:
            continue
        columns = (*table.c, *who)
        joined = (
            table.join(_users, table.c.user_id == _users.c.id)
            .join(users_domain, _users.c.domain_id == users_domain.c.id)
            .join(_roles, table.c.role_id == _roles.c.id)
        )
        if key == "project_id":
            columns = (*columns, _projects.c.name.label("project_name"))
            joined = joined.join(_projects, table.c.project_id == _projects.c.id)
            joined = joined.join(_domains, _projects.c.domain_id == _domains.c.id)
        else:
            joined = joined.join(_domains, table.c.domain_id == _domains.c.id)
        query = select(*columns).select_from(joined)
        for column, value in (("user_id", wanted["user_id"]), ("role_id", role_id), (key, wanted[key])):
            if value is not None:
                query = query.where(table.c[column] == value)
        if within is not None:
            query = query.where(_domains.c.id == within)
        yield query.order_by(table.c.user_id, table.c[key], table.c.role_id)


def _assignment(row: Row[Any]) -> Assignment:
    facts = row._mapping
    who = {name: facts[name] for name in ("user_id", "role_id", "user_name", "user_domain_id", "user_domain_name")}
    if "project_id" in facts:
        where = {
            "project_id": row.project_id,
            "project_name": row.project_name,
            "project_domain_id": row.owner_id,
            "project_domain_name": row.domain_name,
        }
    else:
        where = {"domain_id": row.domain_id, "domain_name": row.domain_name}
    return Assignment(**who, role_name=row.role_name, **where)


def _effective(connection: Connection, given: list[Assignment], role_id: str | None) -> Iterator[Assignment]:
    """Each assignment with those it implies, each once."""
    known: dict[str, tuple[Any, ...]] = {}
    seen = set()
    for one in given:
        if one.role_id not in known:
            known[one.role_id] = _facts.with_implied(connection, {one.role_id})
        for role in known[one.role_id]:
            key = (one.user_id, one.project_id, one.domain_id, role.id)
            if key not in seen and role_id in (None, role.id):
                seen.add(key)
                yield evolve(one, role_id=role.id, role_name=role.name)


def _without_names(one: Assignment) -> Assignment:
    return Assignment(user_id=one.user_id, role_id=one.role_id, project_id=one.project_id, domain_id=one.domain_id)
