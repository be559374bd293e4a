# -*- test-case-name: tests.protocols.swift.test_formats -*-
"""
Dates and numbers as Swift writes them, and which of its three listing formats a client takes.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache

from cloudd.objects import format_http_date

from ._answers import Refusal, bad_request
from ._paths import Query

FORMATS = {"plain": "text/plain", "json": "application/json", "xml": "application/xml"}
LISTING_TYPES = ("text/plain", "application/json", "application/xml", "text/xml")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def header_date(time_us: int) -> bytes:
    """An RFC 9110 date; rounded up to a second, so that nothing looks older than it is (as Swift does)."""
    return _second(-(-time_us // 1_000_000))


@lru_cache(maxsize=1024)
def _second(seconds: int) -> bytes:
    return format_http_date(seconds * 1_000_000)


def timestamp(time_us: int) -> bytes:
    """The form of ``X-Timestamp``: seconds with five decimals."""
    return b"%010d.%05d" % (time_us // 1_000_000, time_us % 1_000_000 // 10)


def listing_date(time_us: int) -> str:
    """The form of ``last_modified`` in listings: UTC with microseconds and without a zone."""
    return (_EPOCH + timedelta(microseconds=time_us)).strftime("%Y-%m-%dT%H:%M:%S.%f")


def listing_type(query: Query, accept: bytes | None) -> str:
    """
    The content type of a listing: ``format=`` decides, else ``Accept``, else plain text.

    :raises Refusal: 406 when ``Accept`` takes none of them, 400 when it cannot be read
    """
    asked = query.get("format")
    if asked:
        return FORMATS.get(asked.lower(), "text/plain")
    return choose_type(accept, LISTING_TYPES)


def choose_type(accept: bytes | None, offered: tuple[str, ...]) -> str:
    """
    The offered type that ``Accept`` likes best; the earlier one of equals.

    :raises Refusal: 406, 400
    """
    if not accept or not accept.strip():
        return offered[0]
    ranges = [_read_range(entry) for entry in accept.decode("latin-1").split(",") if entry.strip()]
    best, best_quality = "", 0.0
    for content_type in offered:
        quality = _quality(content_type, ranges)
        if quality > best_quality:
            best, best_quality = content_type, quality
    if not best:
        raise Refusal(406)
    return best


def _read_range(entry: str) -> tuple[str, str, float]:
    name, *parameters = (part.strip() for part in entry.lower().split(";"))
    main, slash, sub = name.partition("/")
    quality = 1.0
    try:
        for parameter in parameters:
            if parameter.startswith("q="):
                quality = float(parameter[2:])
    except ValueError:
        slash = ""
    if (not slash and name != "*") or not main or not 0.0 <= quality <= 1.0:
        raise bad_request("Invalid Accept header")
    return main, sub or "*", quality


def _quality(content_type: str, ranges: list[tuple[str, str, float]]) -> float:
    """The quality that the most specific matching range gives."""
    main, _, sub = content_type.partition("/")
    found = [
        ((range_main != "*") + (range_sub != "*"), quality)
        for range_main, range_sub, quality in ranges
        if range_main in ("*", main) and range_sub in ("*", sub)
    ]
    return max(found)[1] if found else 0.0
