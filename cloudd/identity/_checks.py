# -*- test-case-name: tests.identity -*-
"""
Values that come from outside, checked: each failure is ``BadValue`` with the field's name.

A record's ``Fields`` say which members it has and how each is checked; a member that is not listed is refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from attrs import frozen

from ._errors import BadValue, NotOffered, Unauthorized
from ._values import AuthRequest, DomainScope, ProjectScope, Unscoped, UserRef

NAME_LIMIT = 255
PROJECT_NAME_LIMIT = 64
DESCRIPTION_LIMIT = 4096
PASSWORD_LIMIT = 4096
LIST_LIMIT = 1000
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")

Check = Callable[[str, Any], Any]


def text(limit: int, *, empty: bool = True, null: str | None = None) -> Check:
    """Text of at most ``limit`` characters; ``null``: what JSON's null stands for, where it is allowed."""

    def check(field: str, value: Any) -> str:
        if value is None and null is not None:
            return null
        if not isinstance(value, str):
            raise BadValue(field, f"must be text, not {_kind(value)}")
        if len(value) > limit:
            raise BadValue(field, f"has {len(value)} characters; at most {limit} are allowed")
        if not empty and not value.strip():
            raise BadValue(field, "must not be empty or blank")
        if "\0" in value or not _is_unicode(value):
            raise BadValue(field, "must be valid Unicode without NUL")
        return value

    return check


def name(limit: int = NAME_LIMIT) -> Check:
    return text(limit, empty=False)


def optional(check: Check) -> Check:
    """Null as it is, anything else by ``check``."""
    return lambda field, value: None if value is None else check(field, value)


def boolean(field: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise BadValue(field, f"must be true or false, not {_kind(value)}")
    return value


def identifier(field: str, value: Any) -> str:
    if not isinstance(value, str):
        raise BadValue(field, f"must be an id, not {_kind(value)}")
    if not is_identifier(value):
        raise BadValue(field, "must be an id: 1 to 64 letters, digits, '-' and '_'")
    return value


def is_identifier(value: Any) -> bool:
    return isinstance(value, str) and _ID.fullmatch(value) is not None


def moment(field: str, value: Any) -> int:
    """An ISO 8601 time, in UTC when it names no zone; microseconds since the epoch."""
    if not isinstance(value, str):
        raise BadValue(field, f"must be a time as text, not {_kind(value)}")
    try:
        parsed = datetime.fromisoformat(value)
    except ValueError:
        raise BadValue(field, "must be a time such as 2026-11-20T12:00:00.000000") from None
    if parsed.tzinfo is None:
        parsed = parsed.replace(tzinfo=UTC)
    elapsed = parsed - datetime(1970, 1, 1, tzinfo=UTC)
    return (elapsed.days * 86_400 + elapsed.seconds) * 1_000_000 + elapsed.microseconds


@frozen
class Fields:
    """The members of one kind of record: how each is checked, and which ``create`` needs."""

    kind: str
    checks: Mapping[str, Check]
    required: tuple[str, ...] = ()
    fixed: tuple[str, ...] = ()  # an update may repeat them, not change them

    def for_create(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """
        The checked values.

        :raises BadValue: a member is missing, unknown or has the wrong form
        """
        for field in self.required:
            if isinstance(values, Mapping) and field not in values:
                raise BadValue(f"{self.kind}.{field}", "is missing")
        return self._checked(values)

    def for_update(self, values: Mapping[str, Any], current: Any) -> dict[str, Any]:
        """
        The checked values, without the fixed ones; these may be null, or repeat those of ``current``.

        :raises BadValue: a member is unknown, would change a fixed one, or has the wrong form
        """
        checked = self._checked(values, fixed=self.fixed)
        for field in self.fixed:
            if field in values and values[field] not in (None, getattr(current, field)):
                raise BadValue(f"{self.kind}.{field}", "cannot be changed")
        return checked

    def _checked(self, values: Mapping[str, Any], fixed: tuple[str, ...] = ()) -> dict[str, Any]:
        if not isinstance(values, Mapping):
            raise BadValue(self.kind, f"must be an object, not {_kind(values)}")
        checked = {}
        for field, value in values.items():
            if field in fixed:
                continue
            check = self.checks.get(field)
            if check is None:
                raise BadValue(f"{self.kind}.{str(field)[:64]}", "is not a known member")
            checked[field] = check(f"{self.kind}.{field}", value)
        return checked


def limit(value: Any) -> int:
    """How many records a page may have."""
    if value is None:
        return LIST_LIMIT
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise BadValue("limit", "must be a whole number above 0")
    return min(value, LIST_LIMIT)


# --- log-ins -------------------------------------------------------------------------------------------------------

_PARTS = {
    "password": "auth.identity.password",
    "token": "auth.identity.token",
    "application_credential": "auth.identity.application_credential",
}
_secret = text(PASSWORD_LIMIT)
_word = text(NAME_LIMIT, empty=False)


def check_login(request: AuthRequest) -> None:
    """
    The form of a log-in.

    :raises BadValue: a part is missing or has the wrong type
    :raises Unauthorized: a method that is not offered, as Keystone has it
    """
    if not request.methods:
        raise BadValue("auth.identity.methods", "must name at least one method")
    for method in request.methods:
        if method not in _PARTS:
            raise Unauthorized(f"the method {str(method)[:64]!r} is not offered")
        if getattr(request, method) is None:
            raise BadValue(_PARTS[method], "is missing")
    if request.password is not None:
        _check_user("auth.identity.password.user", request.password.user)
        _secret("auth.identity.password.user.password", request.password.password)
    if request.token is not None:
        text(4096)("auth.identity.token.id", request.token)
    if request.application_credential is not None:
        login, where = request.application_credential, _PARTS["application_credential"]
        _secret(f"{where}.secret", login.secret)
        if login.id is not None:
            _word(f"{where}.id", login.id)
        elif login.name is None or login.user is None:
            raise BadValue(where, "needs an id, or a name and a user")
        else:
            _word(f"{where}.name", login.name)
            _check_user(f"{where}.user", login.user)
    _check_scope(request.scope)


def _check_user(where: str, user: UserRef) -> None:
    if user.id is not None:
        _word(f"{where}.id", user.id)
        return
    _check_named(where, user.name, user.domain_id, user.domain_name)


def _check_scope(scope: Any) -> None:
    if isinstance(scope, ProjectScope):
        if scope.id is not None:
            _word("auth.scope.project.id", scope.id)
        else:
            _check_named("auth.scope.project", scope.name, scope.domain_id, scope.domain_name)
    elif isinstance(scope, DomainScope):
        if scope.id is None and scope.name is None:
            raise BadValue("auth.scope.domain", "needs an id or a name")
        _word("auth.scope.domain", scope.id if scope.id is not None else scope.name)
    elif scope is not None and not isinstance(scope, Unscoped):
        raise NotOffered("this scope is not offered; ask for a project or a domain")


def _check_named(where: str, name: Any, domain_id: Any, domain_name: Any) -> None:
    if name is None:
        raise BadValue(where, "needs an id, or a name with a domain")
    _word(f"{where}.name", name)
    if domain_id is None and domain_name is None:
        raise BadValue(f"{where}.domain", "needs an id or a name, since a name alone is not unique")
    _word(f"{where}.domain", domain_id if domain_id is not None else domain_name)


def _kind(value: Any) -> str:
    names = {type(None): "null", bool: "a boolean", int: "a number", float: "a number", str: "text", list: "a list"}
    return names.get(type(value), "an object")


def _is_unicode(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
