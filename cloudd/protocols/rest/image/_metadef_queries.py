# -*- test-case-name: tests.protocols.rest.image.test_metadef_namespaces -*-
"""What a request for metadata definitions names: namespace and definition in its path, order and page in its query."""

from __future__ import annotations

import re
from urllib.parse import unquote

from cloudd.image import NAMESPACE_VISIBILITIES, DefinitionListing, NamespaceListing

from .._face import Call
from .._faults import bad_request
from .._query import Query

DEFAULT_LIMIT = 25
MAX_LIMIT = 1_000
MAX_RESOURCE_TYPES = 100
#: Steps of ``/image/v2/metadefs/namespaces/NAMESPACE/objects/NAME``.
_NAMESPACE, _NAME = 5, 7
_NUMBER = re.compile(r"[0-9]{1,18}")


def namespace_in(call: Call) -> str:
    """Its name, with a slash where the path has ``%2F``: what klein gives has lost the difference to ``%252F``."""
    return _step(call, _NAMESPACE)


def name_in(call: Call) -> str:
    """Of the definition in the namespace, likewise."""
    return _step(call, _NAME)


def _step(call: Call, place: int) -> str:
    return unquote(call.request.path.split(b"/")[place].decode("latin-1"), errors="strict")


def namespace_listing(query: Query) -> NamespaceListing:
    """
    :raises Fault: 400 with the parameter and what is wrong
    """
    visibility = query.get("visibility") or ""
    if visibility and visibility not in NAMESPACE_VISIBILITIES:
        raise bad_request(f"Invalid visibility value: {visibility[:40]}: one of {', '.join(NAMESPACE_VISIBILITIES)}.")
    names = query.get("resource_types")
    resource_types = None if names is None else tuple(names.split(","))
    if resource_types is not None and len(resource_types) > MAX_RESOURCE_TYPES:
        raise bad_request(f"Query parameter resource_types: names more than {MAX_RESOURCE_TYPES}.")
    limit = _limit(query)
    return NamespaceListing(
        visibility=visibility,
        resource_types=resource_types,
        sort_key=query.get("sort_key") or "created_at",
        descending=_descending(query),
        marker=query.get("marker") or "",
        limit=DEFAULT_LIMIT if limit is None else limit,
    )


def definition_listing(query: Query) -> DefinitionListing:
    """
    :raises Fault: 400 with the parameter and what is wrong
    """
    return DefinitionListing(
        sort_key=query.get("sort_key") or "created_at",
        descending=_descending(query),
        marker=query.get("marker") or "",
        limit=_limit(query),
    )


def _limit(query: Query) -> int | None:
    value = query.get("limit")
    if value is None:
        return None
    if not _NUMBER.fullmatch(value):
        raise bad_request(f"limit: expected a whole number, not negative, got {value[:40]!r}.")
    return min(int(value), MAX_LIMIT)


def _descending(query: Query) -> bool:
    value = query.get("sort_dir") or "desc"
    if value not in ("asc", "desc"):
        raise bad_request(f"Invalid sort direction: {value[:40]}: asc or desc is meant.")
    return value == "desc"
