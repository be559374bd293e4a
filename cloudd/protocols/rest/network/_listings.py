# -*- test-case-name: tests.protocols.rest.network.test_records -*-
"""
The query of a list: filters, tags, ``fields``, order, page and the links to the next.

Every attribute that a kind has a column for is a filter; repeated, any of its values counts.  What a kind does not know
has no effect, as in Neutron.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from attrs import frozen

from cloudd.network import Listing

from .._face import Call
from .._faults import bad_request
from .._query import Query, meaning_of
from .._routes import Answer

MAX_LIMIT = 10_000


def text(_name: str, value: str) -> str:
    """As it is."""
    return value


def number(name: str, value: str) -> int:
    """:raises Fault: it is none"""
    if not (value.isascii() and value.isdigit() and len(value) < 10):
        raise bad_request(f"Invalid input for {name}: '{value[:40]}' is not an integer.")
    return int(value)


def truth(name: str, value: str) -> bool:
    """:raises Fault: it is neither true nor false"""
    meant = meaning_of(value, ("true", "1"), ("false", "0"))
    if meant is None:
        raise bad_request(f"Invalid input for {name}: '{value[:40]}' is not a boolean.")
    return meant


def text_or_none(_name: str, value: str) -> str | None:
    """``None`` and nothing mean that it has none."""
    return None if value in ("", "None", "null") else value


@frozen
class Shape:
    """
    How a kind is listed.

    :param plural: member of the answer, and path below ``/v2.0`` with hyphens
    :param columns: name in the API -> column, and how a value is read
    """

    plural: str
    columns: Mapping[str, tuple[str, Callable[[str, str], Any]]]
    show: Callable[[Any, bool], dict[str, Any]]

    @property
    def path(self) -> str:
        """Below the face."""
        return self.plural.replace("_", "-")


COMMON: Mapping[str, tuple[str, Callable[[str, str], Any]]] = {
    "id": ("id", text),
    "name": ("name", text),
    "description": ("description", text),
    "project_id": ("project_id", text),
    "tenant_id": ("project_id", text),
    "revision_number": ("revision", number),
}


def read_listing(query: Query, shape: Shape) -> Listing:
    """
    :raises Fault: 400 with the parameter and what is wrong
    """
    filters: dict[str, list[Any]] = {}
    for name, value in query.pairs:
        if name in shape.columns:
            column, read = shape.columns[name]
            filters.setdefault(column, []).append(read(name, value))
    limit = query.get("limit")
    return Listing(
        filters=filters,
        tags=_tags(query, "tags"),
        any_tag=_tags(query, "tags-any"),
        not_tags=_tags(query, "not-tags"),
        no_tag=_tags(query, "not-tags-any"),
        order=_order(query, shape),
        marker=query.get("marker") or "",
        limit=None if limit is None else min(number("limit", limit), MAX_LIMIT) or None,
        backwards=(query.get("page_reverse") or "").lower() == "true",
    )


def _tags(query: Query, name: str) -> tuple[str, ...]:
    value = query.get(name)
    return tuple(filter(None, value.split(","))) if value else ()


def _order(query: Query, shape: Shape) -> tuple[tuple[str, bool], ...]:
    keys = [value for name, value in query.pairs if name == "sort_key"]
    directions = [value for name, value in query.pairs if name == "sort_dir"]
    if len(keys) != len(directions) and directions:
        raise bad_request("The number of sort_keys and sort_dirs must be same")
    order = []
    for key, direction in zip(keys, directions or ["asc"] * len(keys), strict=True):
        if key not in shape.columns:
            raise bad_request(f"'{key[:40]}' is an invalid attribute for sort key")
        if direction not in ("asc", "desc"):
            raise bad_request(f"{direction[:40]} is invalid value for sort_dirs, valid value is 'asc' and 'desc'")
        order.append((shape.columns[key][0], direction == "desc"))
    return tuple(order)


def answer_list(call: Call, shape: Shape, listing: Listing, found: Sequence[Any], admin: bool) -> Answer:
    """The page, with the links to those beside it."""
    document: dict[str, Any] = {shape.plural: [chosen(call.query, shape.show(each, admin)) for each in found]}
    if listing.limit is not None and found:
        links = []
        if len(found) == listing.limit or listing.backwards:
            links.append({"rel": "next", "href": _link(call, shape, found[-1].id, backwards=False)})
        if listing.marker:
            links.append({"rel": "previous", "href": _link(call, shape, found[0].id, backwards=True)})
        if links:
            document[f"{shape.plural}_links"] = links
    return Answer(200, document)


def _link(call: Call, shape: Shape, marker: str, *, backwards: bool) -> str:
    pairs = [pair for pair in call.query.pairs if pair[0] not in ("marker", "page_reverse")] + [("marker", marker)]
    if backwards:
        pairs.append(("page_reverse", "True"))
    return f"{call.links.to('v2.0', shape.path)}?{urlencode(pairs)}"


def chosen(query: Query, shown: dict[str, Any]) -> dict[str, Any]:
    """Only the members that ``fields`` names, where it names some."""
    wanted = {value for name, value in query.pairs if name == "fields" and value}
    return {name: value for name, value in shown.items() if name in wanted} if wanted else shown
