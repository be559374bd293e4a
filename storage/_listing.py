"""
Which rows a listing shows, given only a way to fetch rows in order.

A listing with a delimiter must not read everything below each common prefix: it reads a few rows, and seeks past the
prefix as soon as it meets one.  Every bound is turned into ``low <= name < high``: "after ``x``" is the same as
"from ``x`` followed by NUL on", because no string lies between the two.

Names compare by code point here and by UTF-8 bytes in SQLite; for valid text both give one order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from ._interfaces import CommonPrefix, Listing


class Named(Protocol):
    """Whatever a listing is made of."""

    @property
    def name(self) -> str: ...


Row = TypeVar("Row", bound=Named)
#: ``fetch(low, high, limit)``: the first rows with ``low <= name < high`` in the listing's direction; ``high``
#: may be ``""`` for no bound.
Fetch = Callable[[str, str, int], Sequence[Row]]

FIRST_STEP = 8
LARGEST_STEP = 2_048
_LAST_CODE_POINT = 0x10FFFF
_SURROGATES = range(0xD800, 0xE000)


def read_page(listing: Listing, fetch: Fetch[Row]) -> list[Row | CommonPrefix]:
    """One page: rows and, with a delimiter, the common prefixes that stand for the rows below them."""
    bounds = _bounds(listing)
    if bounds is None or listing.limit <= 0:
        return []
    low, high = bounds
    if not listing.delimiter:
        return list(fetch(low, high, listing.limit))
    return _rolled_up(listing, fetch, low, high)


def after_prefix(prefix: str) -> str:
    """The least name that is greater than every name starting with ``prefix``; ``""`` if there is none."""
    while prefix:
        code = ord(prefix[-1]) + 1
        prefix = prefix[:-1]
        if code <= _LAST_CODE_POINT:
            return prefix + chr(_SURROGATES.stop if code in _SURROGATES else code)
    return ""


def common_prefix(name: str, listing: Listing) -> str:
    """What ``name`` is rolled up to, or ``""`` when it stands for itself."""
    at = name.find(listing.delimiter, len(listing.prefix))
    return "" if at < 0 else name[: at + len(listing.delimiter)]


def _bounds(listing: Listing) -> tuple[str, str] | None:
    """``low`` and ``high`` of the whole listing, or None when nothing can lie between them."""
    low, high = listing.prefix, after_prefix(listing.prefix)
    below, above = (listing.end_marker, listing.marker) if listing.reverse else (listing.marker, listing.end_marker)
    if below:
        if not listing.reverse and _is_common_prefix(below, listing):
            below = after_prefix(below)
            if not below:
                return None
        else:
            below += "\0"
        low = max(low, below)
    if above:
        high = min(high, above) if high else above
    return None if high and low >= high else (low, high)


def _is_common_prefix(marker: str, listing: Listing) -> bool:
    return bool(listing.delimiter) and marker.startswith(listing.prefix) and common_prefix(marker, listing) == marker


def _rolled_up(listing: Listing, fetch: Fetch[Row], low: str, high: str) -> list[Row | CommonPrefix]:
    page: list[Row | CommonPrefix] = []
    step = FIRST_STEP
    while True:
        rows = fetch(low, high, step)
        before = len(page)
        for row in rows:
            prefix = common_prefix(row.name, listing)
            if not prefix:
                page.append(row)
            elif not page or page[-1].name != prefix:
                page.append(CommonPrefix(prefix))
            else:
                continue
            if len(page) == listing.limit:
                return page
        if len(rows) < step:
            return page
        bounds = _past(rows[-1].name, listing, low, high)
        if bounds is None:
            return page
        low, high = bounds
        # Many rows that were not shown: everything sits below few prefixes, so seek more and read less.
        step = min(step * 4, LARGEST_STEP) if (len(page) - before) * 2 >= len(rows) else FIRST_STEP


def _past(name: str, listing: Listing, low: str, high: str) -> tuple[str, str] | None:
    """The bounds of what comes after ``name`` and everything rolled up with it; None when nothing can."""
    prefix = common_prefix(name, listing)
    if listing.reverse:
        high = prefix or name
    else:
        low = after_prefix(prefix) if prefix else name + "\0"
    ended = (prefix and not low and not listing.reverse) or (high and low >= high)
    return None if ended else (low, high)
