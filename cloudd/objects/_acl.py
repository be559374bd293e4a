"""
Container access lists, in Swift's words (Object Storage API v1, "Access Control Lists").

An element is one of

- ``.r:*``, ``.r:example.com``, ``.r:.example.com``, ``.r:-host``: anybody whose ``Referer`` is (not) of that host
  may read objects; later elements win.  Only for reading.
- ``.rlistings``: who is let in by a referrer may list the container, too.
- ``PROJECT_ID:USER_ID``, ``PROJECT_ID:*``, ``*:USER_ID``, ``*:*``: these users with a token.  Ids, never names: a name
  may be given to another project or user tomorrow.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from attrs import frozen

from ._errors import InvalidAccessList

_REFERRER = frozenset((".r", ".ref", ".referer", ".referrer"))
_LISTINGS = ".rlistings"
_MAX_BYTES = 8_192


@frozen
class AccessList:
    """One checked list."""

    referrers: tuple[str, ...] = ()
    listings: bool = False
    users: frozenset[tuple[str, str]] = frozenset()

    def admits_user(self, project_id: str | None, user_id: str) -> bool:
        """Whether a user, scoped to that project, is named."""
        projects = ("*",) if project_id is None else ("*", project_id)
        return any((project, user) in self.users for project in projects for user in ("*", user_id))

    def admits_referrer(self, referrer: str) -> bool:
        """Whether anybody who comes from that page is let in to read."""
        host = _host(referrer)
        admitted = False
        for element in self.referrers:
            wanted = element.removeprefix("-")
            if wanted in ("*", host) or (wanted.startswith(".") and host.endswith(wanted)):
                admitted = not element.startswith("-")
        return admitted


def parse_access_list(value: str) -> AccessList:
    """
    Read a list that was kept; elements that mean nothing admit nobody.

    :param value: as ``clean_access_list`` gave it
    """
    referrers, users, listings = [], set(), False
    for element in filter(None, (piece.strip() for piece in value.split(","))):
        first, colon, second = element.partition(":")
        if element == _LISTINGS:
            listings = True
        elif first == ".r":
            referrers.append(second)
        elif colon and not first.startswith("."):
            users.add((first, second))
    return AccessList(tuple(referrers), listings, frozenset(users))


def clean_access_list(value: str, *, writing: bool) -> str:
    """
    Check a list that a client sets, and give its one form.

    :param writing: whether it is the list of writers, where referrers have no place
    :raises InvalidAccessList: with the element and why
    """
    if len(value.encode("utf-8", "replace")) > _MAX_BYTES:
        raise InvalidAccessList(f"the access list is longer than {_MAX_BYTES} bytes")
    elements = filter(None, (piece.strip() for piece in value.split(",")))
    return ",".join(_clean(element, writing) for element in elements)


def _clean(element: str, writing: bool) -> str:
    first, colon, second = (part.strip() for part in element.partition(":"))
    if element == _LISTINGS or (colon and first in _REFERRER):
        if writing:
            raise InvalidAccessList(f"{element!r} is only for reading: nobody writes by referrer")
        return element if element == _LISTINGS else _clean_referrer(element, second)
    if first.startswith("."):
        raise InvalidAccessList(f"unknown designator {first!r} in {element!r}; known are .r and .rlistings")
    if not colon or not first or not second or ":" in second:
        raise InvalidAccessList(f"{element!r} is not PROJECT_ID:USER_ID; each may be *")
    return f"{first}:{second}"


def _clean_referrer(element: str, host: str) -> str:
    negative = host.startswith("-")
    host = host.removeprefix("-").strip()
    if host != "*" and host.startswith("*"):
        host = host[1:].strip()
    if host in ("", "."):
        raise InvalidAccessList(f"{element!r} names no host after the referrer designator")
    return f".r:{'-' if negative else ''}{host.lower()}"


def _host(referrer: str) -> str:
    try:
        return urlsplit(referrer).hostname or "unknown"
    except ValueError:
        return "unknown"
