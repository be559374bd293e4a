"""What every kind of record needs: the store, the time, paging, and errors for what is missing or taken."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Concatenate, NoReturn, ParamSpec, TypeVar

from attrs import frozen
from sqlalchemy import ColumnElement, Connection, Row, Select, select
from sqlalchemy.exc import IntegrityError

from . import _checks
from ._errors import Conflict, Forbidden, NotFound
from ._keys import Keys
from ._passwords import Passwords
from ._policy import RULES, Rule, Target, Where, allows, enforce
from ._store import Store
from ._values import Access, Page
from ._verification import Verification

ProjectDeleted = Callable[[Connection, str], None]
UserDeleted = Callable[[Connection, str], None]

_NOBODY = Target()


def forget_project(_connection: Connection, _project_id: str) -> None:
    """Where nobody else has anything of a project's."""


def forget_user(_connection: Connection, _user_id: str) -> None:
    """Where nobody else has anything of a user's."""


Record = TypeVar("Record")
Result = TypeVar("Result")
Arguments = ParamSpec("Arguments")


@frozen
class Desk:
    """
    Lent to each part of ``Identity``.

    :ivar project_deleted: called with a project's id in the transaction that deletes it
    :ivar user_deleted: with a user's, likewise
    """

    store: Store
    passwords: Passwords
    verification: Verification
    credential_keys: Keys
    caught_up: Callable[[], Any]
    project_deleted: ProjectDeleted = forget_project
    user_deleted: UserDeleted = forget_user

    def now_us(self) -> int:
        return self.verification.now_us()

    async def write(
        self,
        function: Callable[Concatenate[Connection, Arguments], Result],
        *args: Arguments.args,
        **kwargs: Arguments.kwargs,
    ) -> Result:
        """One transaction; when it returns, this worker's caches follow it (others do within a second)."""
        result = await self.store.write(function, *args, **kwargs)
        await self.caught_up()
        return result


def new_id() -> str:
    return uuid.uuid4().hex


def require(
    connection: Connection,
    query: Select[Any],
    access: Access,
    action: str,
    kind: str,
    id: str,  # noqa: A002
    owner: Target = _NOBODY,
) -> Row[Any]:
    """
    The row of one record, whatever the rules say of it.

    :param owner: what is known of the record before it is read, such as the user in its path

    :raises NotFound: there is none, and who asks may know that
    :raises Forbidden: there is none, and who asks may not know that
    """
    row = connection.execute(query).first() if _checks.is_identifier(id) else None
    if row is None:
        _missing(access, action, kind, id, owner)
    return row


def require_in(connection: Connection, table: Any, access: Access, action: str, kind: str, id: str) -> Row[Any]:  # noqa: A002
    """``require`` by id in ``table``."""
    return require(connection, select(table).where(table.c.id == id), access, action, kind, id)


def _missing(access: Access, action: str, kind: str, id: str, owner: Target = _NOBODY) -> NoReturn:  # noqa: A002
    anybody = any(_gives_all(rule) for rule in RULES[action])
    if anybody or allows(access, action, owner):
        raise NotFound(kind, id[:64])
    raise Forbidden(action)


def _gives_all(rule: Rule) -> bool:
    return not rule.role and rule.where is Where.ANYWHERE


def listed_domain(access: Access, action: str, domain_id: str | None) -> str | None:
    """
    The domain that a list is limited to: the one asked for, or for a domain's reader always its own.

    :raises Forbidden: it is not the caller's
    """
    enforce(access, action, Target(domain_id=domain_id or access.domain_id))
    return domain_id if access.is_admin else access.domain_id


def page(
    connection: Connection,
    query: Select[Any],
    key: ColumnElement[str],
    record: Callable[[Row[Any]], Record],
    marker: str | None,
    limit: int,
) -> Page[Record]:
    """The records of ``query`` after ``marker``, in the order of ``key``."""
    if marker is not None:
        query = query.where(key > marker)
    rows = connection.execute(query.order_by(key).limit(limit + 1)).all()
    return Page(items=tuple(record(row) for row in rows[:limit]), truncated=len(rows) > limit)


def filtered(query: Select[Any], table: Any, filters: dict[str, Any]) -> Select[Any]:
    """``query`` with an equality for each filter that is not ``None``; text and booleans are checked."""
    for field, value in filters.items():
        if value is None:
            continue
        if field == "enabled":
            query = query.where(table.c.enabled == _checks.boolean(field, value))
        else:
            query = query.where(table.c[field] == _checks.text(_checks.NAME_LIMIT)(field, value))
    return query


@contextmanager
def unique(kind: str, name: Any) -> Iterator[None]:
    """A name that is taken is a ``Conflict``."""
    try:
        yield
    except IntegrityError:
        raise Conflict(kind, f"Conflict occurred attempting to store {kind}: the name {name!r} is taken.") from None
