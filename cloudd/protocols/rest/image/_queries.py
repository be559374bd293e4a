# -*- test-case-name: tests.protocols.rest.image.test_records -*-
"""
The query of a list of images: filters with ``in:`` and comparisons, order, page.

Any name that is none of the API's own is a property that must have that value.
"""

from __future__ import annotations

import csv
import re
from io import StringIO
from typing import Any, cast

from cloudd.image import COLUMNS, MEMBER_STATUSES, SORTABLE, VISIBILITIES, Condition, ImageQuery, Order

from .._faults import Fault, bad_request
from .._query import Query
from .._times import parse_time

DEFAULT_LIMIT = 25
MAX_LIMIT = 1_000
MAX_IN = 1_000
COMPARISONS = ("gt", "gte", "lt", "lte", "eq", "neq")
_CONTROL = frozenset({
    "limit", "marker", "sort", "sort_key", "sort_dir", "tag", "visibility", "member_status", "os_hidden",
})  # fmt: skip
_IN = ("id", "name", "status", "container_format", "disk_format")
_TIMES = ("created_at", "updated_at")
_NUMBERS = ("min_ram", "min_disk", "size")
_SIZES = {"size_min": "gte", "size_max": "lte"}
_TRUTH = {"true": True, "false": False, "1": True, "0": False}
_NUMBER = re.compile(r"[0-9]{1,18}")
_QUOTED = re.compile(r'(?:[^",]|"[^"]*")+')


def read_query(query: Query) -> ImageQuery:
    """
    :raises Fault: 400 with the parameter and what is wrong
    """
    visibility = query.get("visibility") or ""
    if visibility and visibility not in (*VISIBILITIES, "all"):
        raise bad_request(f"Invalid visibility value: {visibility[:40]}")
    member_status = query.get("member_status") or "accepted"
    if member_status not in (*MEMBER_STATUSES, "all"):
        raise bad_request(f"Invalid status: {member_status[:40]}")
    return ImageQuery(
        conditions=tuple(_condition(name, value) for name, value in query.pairs if name not in _CONTROL),
        tags=tuple(value for name, value in query.pairs if name == "tag"),
        visibility=visibility,
        member_status=member_status,
        hidden=query.flag("os_hidden") or False,
        order=_order(query),
        marker=query.get("marker") or "",
        limit=_limit(query),
    )


def _limit(query: Query) -> int:
    value = query.get("limit")
    if value is None:
        return DEFAULT_LIMIT
    if not _NUMBER.fullmatch(value):
        raise bad_request("limit param must be an integer, and not negative")
    return min(int(value), MAX_LIMIT)


def _condition(name: str, value: str) -> Condition:
    if name in _SIZES:
        return Condition("size", cast(Any, _SIZES[name]), (_number(name, value),))
    if name not in COLUMNS:
        return Condition(name, "eq", (value,), is_property=True)
    attribute = COLUMNS[name]
    if name in _TIMES:
        comparison, text = _compared(value)
        return Condition(attribute, cast(Any, comparison), (parse_time(text, name),))
    if name in _IN and value.startswith("in:"):
        return Condition(attribute, "in", _several(name, value[3:]))
    return Condition(attribute, "eq", (_value(name, value),))


def _value(name: str, value: str) -> str | int | bool:
    if name in _NUMBERS:
        return _number(name, value)
    if name != "protected":
        return value
    if value.lower() not in _TRUTH:
        raise bad_request(f"Invalid value {value[:40]!r} for protected: true or false is meant.")
    return _TRUTH[value.lower()]


def _compared(value: str) -> tuple[str, str]:
    word, colon, rest = value.partition(":")
    if colon and word in COMPARISONS:
        return word, rest
    if colon and word.isalpha():
        raise bad_request(f"Unable to filter on an operator '{word[:20]}'.")
    return "eq", value


def _number(name: str, value: str) -> int:
    if not _NUMBER.fullmatch(value):
        raise bad_request(f"Bad value passed to filter {name}: got {value[:40]!r}, a whole number is meant.")
    return int(value)


def _several(name: str, text: str) -> tuple[str, ...]:
    """Values between commas; one with a comma in it stands in double quotes."""
    if text.count('"') % 2 or not re.fullmatch(r'(?:(?:[^",]*|"[^"]*")(?:,|$))*', text):
        raise bad_request(f"Invalid filter value {text[:80]}. The quote is not closed, or not around a whole value.")
    found = tuple(next(csv.reader(StringIO(text), strict=True), []))
    if not found or len(found) > MAX_IN:
        raise bad_request(f"{name}: expected 1 to {MAX_IN} values after in:.")
    return found


def _order(query: Query) -> tuple[Order, ...]:
    sort = query.get("sort")
    keys = [value for name, value in query.pairs if name == "sort_key"]
    directions = [value for name, value in query.pairs if name == "sort_dir"]
    if sort is not None:
        if keys or directions:
            raise bad_request("Old and new sorting syntax cannot be combined.")
        pairs = [_divided(each) for each in sort.split(",")]
    else:
        if len(directions) > 1 and len(directions) != len(keys):
            raise bad_request("Number of sort dirs does not match the number of sort keys.")
        if directions and not keys:
            keys = ["created_at"]
        given = directions * len(keys) if len(directions) == 1 else directions or ["desc"] * len(keys)
        pairs = list(zip(keys, given, strict=True))
    return tuple(_one_order(*pair) for pair in pairs)


def _divided(text: str) -> tuple[str, str]:
    key, _, direction = text.strip().partition(":")
    return key, direction or "desc"


def _one_order(key: str, direction: str) -> Order:
    if key not in SORTABLE:
        raise _unsortable(key)
    if direction not in ("asc", "desc"):
        raise bad_request(f"Invalid sort direction: {direction[:40]}")
    return Order(COLUMNS[key], direction == "desc")


def _unsortable(key: str) -> Fault:
    return bad_request(f"Invalid sort key: {key[:40]}. It must be one of the following: {', '.join(SORTABLE)}.")
