"""Conditional requests, after RFC 9110 section 13, and HTTP dates."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from cloudd.objects import (
    Conditions,
    EntityTag,
    EntityTags,
    Verdict,
    format_http_date,
    parse_entity_tags,
    parse_http_date,
)
from storage import Precondition

MODIFIED_US = 784_111_777_500_000
DATE = b"Sun, 06 Nov 1994 08:49:37 GMT"
EARLIER = b"Sun, 06 Nov 1994 08:49:36 GMT"
LATER = b"Sun, 06 Nov 1994 08:49:38 GMT"


def conditions(**headers: bytes) -> Conditions:
    """From header fields, with ``_`` for ``-``."""
    return Conditions.from_headers({name.replace("_", "-").encode(): value for name, value in headers.items()}.get)


def read(**headers: bytes) -> Verdict:
    """The verdict over a GET of version ``abc``."""
    return conditions(**headers).evaluate("abc", MODIFIED_US, reading=True)


def write(etag: str | None = "abc", **headers: bytes) -> Verdict:
    """The verdict over a PUT."""
    return conditions(**headers).evaluate(etag, MODIFIED_US, reading=False)


class ConditionTests(SynchronousTestCase):
    """``Conditions``."""

    def test_none(self) -> None:
        """Without conditions all goes on."""
        self.assertIs(read(), Verdict.PROCEED)
        self.assertIs(write(None), Verdict.PROCEED)
        self.assertIsNone(conditions().precondition())

    def test_if_match(self) -> None:
        """Compares strongly; ``*`` asks for existence."""
        for value, verdict in (
            (b'"abc"', Verdict.PROCEED),
            (b'"x", "abc"', Verdict.PROCEED),
            (b"abc", Verdict.PROCEED),
            (b"*", Verdict.PROCEED),
            (b'W/"abc"', Verdict.FAILED),
            (b'"x"', Verdict.FAILED),
        ):
            self.assertIs(read(if_match=value), verdict, value)
        self.assertIs(write(None, if_match=b"*"), Verdict.FAILED)

    def test_if_none_match(self) -> None:
        """Compares weakly; for a read it means 304, for a write 412."""
        for value in (b'"abc"', b'W/"abc"', b"*", b'"x","abc"'):
            self.assertIs(read(if_none_match=value), Verdict.NOT_MODIFIED, value)
            self.assertIs(write(if_none_match=value), Verdict.FAILED, value)
        self.assertIs(read(if_none_match=b'"x"'), Verdict.PROCEED)
        self.assertIs(write(None, if_none_match=b"*"), Verdict.PROCEED)

    def test_dates(self) -> None:
        """Dates compare in whole seconds; what is no date is ignored."""
        self.assertIs(read(if_modified_since=DATE), Verdict.NOT_MODIFIED)
        self.assertIs(read(if_modified_since=EARLIER), Verdict.PROCEED)
        self.assertIs(read(if_unmodified_since=DATE), Verdict.PROCEED)
        self.assertIs(read(if_unmodified_since=EARLIER), Verdict.FAILED)
        self.assertIs(read(if_unmodified_since=b"yesterday"), Verdict.PROCEED)
        self.assertIs(write(if_modified_since=LATER), Verdict.PROCEED)
        self.assertIs(write(if_unmodified_since=EARLIER), Verdict.FAILED)
        self.assertIs(write(None, if_unmodified_since=EARLIER), Verdict.PROCEED)

    def test_tags_before_dates(self) -> None:
        """A tag makes the date beside it count for nothing; If-Match is judged first (section 13.2.2)."""
        self.assertIs(read(if_match=b'"abc"', if_unmodified_since=EARLIER), Verdict.PROCEED)
        self.assertIs(read(if_none_match=b'"x"', if_modified_since=LATER), Verdict.PROCEED)
        self.assertIs(read(if_none_match=b'"abc"', if_modified_since=EARLIER), Verdict.NOT_MODIFIED)
        self.assertIs(read(if_match=b'"x"', if_none_match=b'"abc"'), Verdict.FAILED)

    def test_if_range(self) -> None:
        """A range counts for exactly this version: a strong tag, or the very date."""
        for value, applies in (
            (b'"abc"', True),
            (DATE, True),
            (LATER, False),
            (b'W/"abc"', False),
            (b'"x"', False),
            (b"*", False),
            (b"", False),
        ):
            self.assertIs(conditions(if_range=value).range_applies("abc", MODIFIED_US), applies, value)
        self.assertTrue(conditions().range_applies("abc", MODIFIED_US))

    def test_precondition(self) -> None:
        """What the store can test inside its transaction goes there."""
        self.assertEqual(conditions(if_none_match=b"*").precondition(), Precondition(if_absent=True))
        self.assertEqual(conditions(if_match=b"*").precondition(), Precondition(if_match=("*",)))
        self.assertEqual(conditions(if_match=b'"a", "b"').precondition(), Precondition(if_match=("a", "b")))
        self.assertEqual(conditions(if_none_match=b'W/"a"').precondition(), Precondition(if_none_match=("a",)))
        self.assertEqual(conditions(if_match=b'W/"a"').precondition(), Precondition(if_match=("\0",)))

    def test_tags(self) -> None:
        """Quoted, weak and bare tags; commas inside quotes belong to the tag."""
        self.assertEqual(
            parse_entity_tags(b'W/"a,b", "c" ,d'),
            EntityTags((EntityTag("a,b", weak=True), EntityTag("c"), EntityTag("d"))),
        )
        self.assertIsNone(parse_entity_tags(b"  "))
        self.assertEqual(parse_entity_tags(b'""'), EntityTags((EntityTag(""),)))


class DateTests(SynchronousTestCase):
    """``format_http_date`` and ``parse_http_date``."""

    def test_three_forms(self) -> None:
        """All three forms of section 5.6.7 are one moment."""
        for value in (DATE, b"Sunday, 06-Nov-94 08:49:37 GMT", b"Sun Nov  6 08:49:37 1994"):
            self.assertEqual(parse_http_date(value), 784_111_777, value)
        self.assertEqual(format_http_date(MODIFIED_US), DATE)

    def test_century(self) -> None:
        """A two-digit year is never more than fifty years ahead."""
        in_2026_us = 1_795_000_000_000_000
        for short, year in ((b"76", 2076), (b"77", 1977), (b"26", 2026)):
            found = parse_http_date(b"Thursday, 01-Jan-" + short + b" 00:00:00 GMT", in_2026_us)
            self.assertEqual(found, parse_http_date(b"Thu, 01 Jan %d 00:00:00 GMT" % year), year)

    def test_no_dates(self) -> None:
        """Days, hours and zones that do not exist."""
        for value in (
            b"",
            b"now",
            b"1994-11-06T08:49:37Z",
            b"Sun, 31 Feb 1994 08:49:37 GMT",
            b"Sun, 06 Nov 1994 24:49:37 GMT",
            b"Sun, 06 Nov 1994 08:49:37 CET",
            b"Sun, 06 Nov 0000 08:49:37 GMT",
            b"Sun, 00 Nov 1994 08:49:37 GMT",
            b"\xff",
        ):
            self.assertIsNone(parse_http_date(value), value)

    @settings(deadline=None)
    @given(st.integers(0, 253_402_300_799))
    def test_round_trip(self, seconds: int) -> None:
        """What is written is read."""
        self.assertEqual(parse_http_date(format_http_date(seconds * 1_000_000 + 999_999)), seconds)
