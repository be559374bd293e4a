# -*- test-case-name: tests.protocols.rest.identity -*-
"""From checked documents to the values that the identity service takes."""

from __future__ import annotations

from typing import Any

from msgspec import UNSET

from cloudd.identity import Access

from .._documents import Document
from .._faults import not_implemented
from .._query import Query
from .._times import parse_time

#: Members that Keystone has and cloudd does not: the empty value is true of every record here, any other is refused.
_ABSENT = {"options": "Resource options", "tags": "Tags", "is_domain": "A project that acts as a domain"}


def values_of(document: Document) -> dict[str, Any]:
    """
    The members that were sent, without those that cloudd does not have.

    :raises Fault: 501 when one of the latter asks for something
    """
    values = {}
    for name in document.__struct_fields__:
        value = getattr(document, name)
        if value is UNSET:
            continue
        if name in _ABSENT:
            if asks(value):
                raise not_implemented(_ABSENT[name])
            continue
        values[name] = value
    return values


def asks(value: Any) -> bool:
    """Whether a value of options, tags or ``is_domain`` asks for something: ``{"immutable": null}`` does not."""
    return any(value.values()) if isinstance(value, dict) else bool(value)


def given(values: dict[str, Any]) -> dict[str, Any]:
    """Without members that are ``null``: for something new, ``null`` and absent are the same."""
    return {name: value for name, value in values.items() if value is not None}


def home_domain(access: Access) -> str:
    """The domain that a record goes to when its creator names none: that of the token's scope."""
    return access.domain_id or access.project_domain_id or access.user_domain_id


def exact_filters(query: Query, names: tuple[str, ...], flags: tuple[str, ...] = ()) -> dict[str, Any]:
    """
    Arguments for a ``list`` of the identity service: filters, and the page.

    :param names: parameters that are text
    :param flags: parameters that are true or false
    :raises Fault: 400 for a flag or limit that is neither, 501 for an inexact filter on one of ``names``
    """
    filters: dict[str, Any] = {name: query.get(name) for name in names if name in query}
    filters |= {name: query.flag(name) for name in flags if name in query}
    for key, _ in query.pairs:
        field, inexact, _ = key.partition("__")
        if inexact and field in names:
            raise not_implemented(f"The inexact filter {key}")
    limit = query.limit()
    if limit is not None:
        filters["limit"] = limit
    if marker := query.get("marker"):
        filters["marker"] = marker
    return filters


def expiry(text: str | None) -> int | None:
    """``expires_at`` of an application credential, in microseconds since the epoch."""
    return None if text is None else parse_time(text, "application_credential.expires_at")
