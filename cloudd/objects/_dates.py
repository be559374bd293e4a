"""HTTP dates (RFC 9110, section 5.6.7): written as IMF-fixdate, read in all three forms."""

from __future__ import annotations

import calendar
import re
import time

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_MONTH = "(?P<month>" + "|".join(_MONTHS) + ")"
_CLOCK = r"(?P<hour>\d\d):(?P<minute>\d\d):(?P<second>\d\d)"
_FORMS = tuple(
    re.compile(form)
    for form in (
        rf"[A-Z][a-z]{{2}}, (?P<day>\d\d) {_MONTH} (?P<year>\d{{4}}) {_CLOCK} GMT",
        rf"[A-Z][a-z]{{5,8}}, (?P<day>\d\d)-{_MONTH}-(?P<short>\d\d) {_CLOCK} GMT",
        rf"[A-Z][a-z]{{2}} {_MONTH} (?P<day>[ \d]\d) {_CLOCK} (?P<year>\d{{4}})",
    )
)
_MICROSECONDS = 1_000_000


def format_http_date(at_us: int) -> bytes:
    """
    ``Sun, 06 Nov 1994 08:49:37 GMT``; fractions of the second are dropped.

    :param at_us: microseconds since the epoch
    """
    moment = time.gmtime(at_us // _MICROSECONDS)
    return (
        f"{_DAYS[moment.tm_wday]}, {moment.tm_mday:02} {_MONTHS[moment.tm_mon - 1]} {moment.tm_year:04} "
        f"{moment.tm_hour:02}:{moment.tm_min:02}:{moment.tm_sec:02} GMT"
    ).encode("ascii")


def parse_http_date(value: bytes, now_us: int | None = None) -> int | None:
    """
    Whole seconds since the epoch, or None when it is no date: a recipient ignores the field then.

    :param now_us: decides the century of a two-digit year: never more than 50 years ahead
    """
    text = value.decode("latin-1").strip()
    for form in _FORMS:
        if match := form.fullmatch(text):
            return _seconds(match.groupdict(), now_us)
    return None


def _seconds(fields: dict[str, str | None], now_us: int | None) -> int | None:
    def number(name: str) -> int:
        return int(fields[name] or 0)

    year = number("year") if fields.get("year") else _full_year(number("short"), now_us)
    month = _MONTHS.index(fields["month"] or "") + 1
    day, hour, minute, second = number("day"), number("hour"), number("minute"), number("second")
    if year < 1 or hour > 23 or minute > 59 or second > 60 or not 1 <= day <= calendar.monthrange(year, month)[1]:
        return None
    return calendar.timegm((year, month, day, hour, minute, second))


def _full_year(short: int, now_us: int | None) -> int:
    this_year = time.gmtime(time.time() if now_us is None else now_us // _MICROSECONDS).tm_year
    year = this_year - this_year % 100 + short
    return year - 100 if year > this_year + 50 else year
