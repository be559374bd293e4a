# -*- test-case-name: tests.protocols.rest.test_times -*-
"""
The forms of time in OpenStack's documents.  Inside, times are whole microseconds since the epoch, UTC.

Clients parse these strictly: a ``Z`` where there should be none ends ``terraform apply``.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from ._faults import bad_request

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def zulu(time_us: int) -> str:
    """``2026-11-20T00:00:00.000000Z``: tokens."""
    return naive(time_us) + "Z"


def whole_zulu(time_us: int) -> str:
    """``2026-11-20T00:00:00Z``: images, networks."""
    return (_EPOCH + timedelta(microseconds=time_us)).isoformat(timespec="seconds")[:19] + "Z"


def naive(time_us: int) -> str:
    """``2026-11-20T00:00:00.000000``: application credentials, volumes; UTC without saying so."""
    return (_EPOCH + timedelta(microseconds=time_us)).isoformat(timespec="microseconds")[:26]


def parse_time(text: str, member: str) -> int:
    """
    A time as clients send it: ISO 8601 with or without fraction and zone; without a zone it is UTC.

    :param member: path of the member it came from, for the refusal
    :return: microseconds since the epoch
    :raises Fault: 400 for anything else, and for years before 1970
    """
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        since = moment - _EPOCH
    except (ValueError, OverflowError):
        raise bad_request(f"{member}: expected a time such as 2026-11-20T00:00:00, got {text[:40]!r}.") from None
    if since < timedelta(0):
        raise bad_request(f"{member}: the time lies before 1970.")
    return since // timedelta(microseconds=1)
