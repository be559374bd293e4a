# -*- test-case-name: tests.protocols.rest.test_query -*-
"""
The query of a request: filters, flags and paging.

A parameter that a route does not know is left alone, as the OpenStack services do; one that it knows must be right.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, TypeVar
from urllib.parse import parse_qsl, quote, urlencode

from attrs import frozen

from ._faults import bad_request

Item = TypeVar("Item")

_TRUE = frozenset({"1", "true", "yes", "on", "t", "y"})
_FALSE = frozenset({"0", "false", "no", "off", "f", "n"})
_MAX_PARAMETERS = 100
_MAX_PAGE = 1000

#: Keystone's inexact filters: ``name__contains=x``.
_COMPARISONS: Mapping[str, Callable[[str, str], bool]] = {
    "contains": lambda text, part: part in text,
    "icontains": lambda text, part: part.casefold() in text.casefold(),
    "startswith": lambda text, part: text.startswith(part),
    "istartswith": lambda text, part: text.casefold().startswith(part.casefold()),
    "endswith": lambda text, part: text.endswith(part),
    "iendswith": lambda text, part: text.casefold().endswith(part.casefold()),
}


@frozen
class Query:
    """
    The parameters in the order sent, decoded.

    :ivar pairs: name and value of each
    """

    pairs: tuple[tuple[str, str], ...] = ()

    def __contains__(self, name: str) -> bool:
        return any(key == name for key, _ in self.pairs)

    def get(self, name: str) -> str | None:
        """The value of ``name``, the last one when it is repeated; ``None`` when it is absent."""
        values = [value for key, value in self.pairs if key == name]
        return values[-1] if values else None

    def present(self, name: str) -> bool:
        """A flag whose mere presence counts, as ``?nocatalog``; ``?nocatalog=0`` turns it off again."""
        value = self.get(name)
        return value is not None and value.lower() not in _FALSE

    def flag(self, name: str) -> bool | None:
        """
        A truth value, ``None`` when it is absent.

        :raises Fault: 400 for a value that is neither true nor false
        """
        value = self.get(name)
        if value is None:
            return None
        meant = meaning_of(value)
        if meant is None:
            raise bad_request(f"Query parameter {name}: expected true or false, got {value[:40]!r}.")
        return meant

    def limit(self) -> int | None:
        """
        The page length asked for, at most 1,000; ``None`` for everything.

        :raises Fault: 400 for anything but a positive whole number
        """
        value = self.get("limit")
        if value is None:
            return None
        if not (value.isascii() and value.isdigit() and int(value[:20]) > 0):
            raise bad_request(f"Query parameter limit: expected a whole number above 0, got {value[:40]!r}.")
        return min(int(value[:20]), _MAX_PAGE)

    def matches(self, name: str, text: str | None) -> bool:
        """Whether ``text`` passes every filter on ``name``: the exact one and ``name__contains`` and its like."""
        for key, value in self.pairs:
            field, _, comparison = key.partition("__")
            if field != name:
                continue
            if not comparison:
                if text != value:
                    return False
            elif (compare := _COMPARISONS.get(comparison)) and not compare(text or "", value):
                return False
        return True

    def with_marker(self, marker: str) -> str:
        """This query for the page behind ``marker``."""
        return urlencode([(key, value) for key, value in self.pairs if key != "marker"] + [("marker", marker)])


def meaning_of(word: str, true: Collection[str] = _TRUE, false: Collection[str] = _FALSE) -> bool | None:
    """
    What a word means, whatever its case; None: neither.

    :param true: in lower case; each service has words of its own, as ``false``
    """
    lower = word.lower()
    return True if lower in true else False if lower in false else None


def parse_query(raw: bytes) -> Query:
    """
    :param raw: the query as it was sent, without its question mark
    :raises Fault: 400 when it is not percent-encoded UTF-8, holds U+0000 or has more than 100 parameters
    """
    if not raw:
        return Query()
    try:
        pairs = parse_qsl(raw.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=_MAX_PARAMETERS)
    except UnicodeDecodeError:
        raise bad_request("The query is not percent-encoded UTF-8.") from None
    except ValueError:
        raise bad_request(f"The query has more than {_MAX_PARAMETERS} parameters.") from None
    if any("\0" in key or "\0" in value for key, value in pairs):
        raise bad_request("The query contains the character U+0000.")
    return Query(tuple(pairs))


def page_of(items: Sequence[Item], query: Query, key: Callable[[Item], str]) -> tuple[list[Item], str | None]:
    """
    One page of ``items`` by the ``limit`` and ``marker`` of the query.

    :param items: everything that passed the filters
    :param key: the id of an item, which is also its place in the order when paging
    :return: the page, and the query of the next one or ``None``
    """
    limit, marker = query.limit(), query.get("marker")
    if limit is None and marker is None:
        return list(items), None
    ordered = sorted(items, key=key)
    if marker is not None:
        ordered = [item for item in ordered if key(item) > marker]
    if limit is None or len(ordered) <= limit:
        return ordered, None
    page = ordered[:limit]
    return page, query.with_marker(key(page[-1]))


@frozen
class Links:
    """
    URLs of one face.

    :ivar base: where clients reach the face, without a slash at its end
    """

    base: str

    def to(self, *steps: str) -> str:
        """The URL of the resource at ``steps``, each percent-encoded."""
        return "/".join([self.base, *(quote(step, safe="") for step in steps)])

    def own(self, *steps: str) -> dict[str, str]:
        """The ``links`` member of one resource."""
        return {"self": self.to(*steps)}

    def of_list(self, query: Query, next_query: str | None, *steps: str) -> dict[str, Any]:
        """The ``links`` member of a list, with the next page when there is one."""
        here = self.to(*steps)
        shown = f"{here}?{urlencode(query.pairs)}" if query.pairs else here
        return {"next": f"{here}?{next_query}" if next_query else None, "self": shown, "previous": None}
