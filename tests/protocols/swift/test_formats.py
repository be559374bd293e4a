"""Dates and the choice of a listing's format."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from cloudd.protocols.swift import _formats as formats
from cloudd.protocols.swift._answers import Refusal
from cloudd.protocols.swift._paths import Query


class DateTests(SynchronousTestCase):
    def test_header_date_is_rounded_up(self) -> None:
        """A part of a second counts as a whole one."""
        self.assertEqual(formats.header_date(1_000_000), b"Thu, 01 Jan 1970 00:00:01 GMT")
        self.assertEqual(formats.header_date(1_000_001), b"Thu, 01 Jan 1970 00:00:02 GMT")

    def test_timestamp(self) -> None:
        """Five decimals."""
        self.assertEqual(formats.timestamp(1_763_647_714_000_129), b"1763647714.00012")

    def test_listing_date(self) -> None:
        """Always six decimals, never a zone."""
        self.assertEqual(formats.listing_date(1_763_647_714_000_000), "2025-11-20T14:08:34.000000")
        self.assertEqual(formats.listing_date(1_763_647_714_000_129), "2025-11-20T14:08:34.000129")


class TypeTests(SynchronousTestCase):
    def choose(self, query: bytes, accept: bytes | None) -> str:
        return formats.listing_type(Query(query), accept)

    def test_query_wins(self) -> None:
        """``format`` decides, in any case of letters; an unknown one is plain text."""
        self.assertEqual(self.choose(b"format=JSON", b"text/plain"), "application/json")
        self.assertEqual(self.choose(b"format=xml", b"image/png"), "application/xml")
        self.assertEqual(self.choose(b"format=other", None), "text/plain")

    def test_accept(self) -> None:
        """The best quality wins, the more specific range counts, the first offered of equals."""
        self.assertEqual(self.choose(b"", None), "text/plain")
        self.assertEqual(self.choose(b"", b"*/*"), "text/plain")
        self.assertEqual(self.choose(b"", b"*"), "text/plain")
        self.assertEqual(self.choose(b"", b"application/json"), "application/json")
        self.assertEqual(self.choose(b"", b"application/*;q=0.5, text/xml;q=0.9"), "text/xml")
        self.assertEqual(self.choose(b"", b"text/plain;q=0.1, */*;q=0.2"), "application/json")

    def test_none_fits(self) -> None:
        """Nothing acceptable is 406, something unreadable 400."""
        self.assertEqual(self.assertRaises(Refusal, self.choose, b"", b"image/png").status, 406)
        for accept in (b"json", b"a/b;q=x", b"a/b;q=7", b"a/b;q=nan"):
            self.assertEqual(self.assertRaises(Refusal, self.choose, b"", accept).status, 400, accept)
