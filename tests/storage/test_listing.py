"""Listings: against a plain model for all inputs, and with few reads for large containers."""

from __future__ import annotations

from bisect import bisect_left

from attrs import frozen
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from storage import CommonPrefix, Listing
from storage._listing import after_prefix, read_page

NAMES = st.text(alphabet="ab/\u00e9\ud7ff\U0010ffff", max_size=5)
BOUND = st.one_of(st.just(""), NAMES)


@frozen
class Named:
    """A row."""

    name: str


class Rows:
    """Sorted rows that count how many were read."""

    def __init__(self, names: list[str], reverse: bool = False) -> None:
        self.names = sorted(names)
        self.reverse = reverse
        self.reads = self.read = 0

    def fetch(self, low: str, high: str, limit: int) -> list[Named]:
        found = self.names[bisect_left(self.names, low) : bisect_left(self.names, high) if high else None]
        page = [Named(name) for name in (found[::-1] if self.reverse else found)[:limit]]
        self.reads, self.read = self.reads + 1, self.read + len(page)
        return page


def expected(names: set[str], listing: Listing) -> list[str]:
    """The same listing, computed by looking at every name."""
    low, high = (listing.end_marker, listing.marker) if listing.reverse else (listing.marker, listing.end_marker)
    page: list[str] = []
    for name in sorted(names, reverse=listing.reverse):
        if not name.startswith(listing.prefix) or (low and name <= low) or (high and name >= high):
            continue
        at = name.find(listing.delimiter, len(listing.prefix)) if listing.delimiter else -1
        shown = name if at < 0 else name[: at + len(listing.delimiter)]
        # A marker that is a common prefix skips all of it.
        if shown not in page and not (at >= 0 and shown == listing.marker and not listing.reverse):
            page.append(shown)
    return page[: listing.limit]


class ListingTests(SynchronousTestCase):
    """``read_page``."""

    @settings(max_examples=400, deadline=None)
    @given(
        names=st.sets(NAMES.filter(bool), max_size=30),
        listing=st.builds(
            Listing,
            prefix=BOUND,
            delimiter=st.sampled_from(["", "/", "a", "b/"]),
            marker=BOUND,
            end_marker=BOUND,
            limit=st.integers(0, 12),
            reverse=st.booleans(),
        ),
    )
    def test_like_the_model(self, names: set[str], listing: Listing) -> None:
        """Every listing is what one gets by looking at every name."""
        rows = Rows(list(names), listing.reverse)
        self.assertEqual([row.name for row in read_page(listing, rows.fetch)], expected(names, listing))

    def test_seeks_past_prefixes(self) -> None:
        """A hundred prefixes of ten thousand names each cost some reads per prefix, not ten thousand."""
        names = [f"{number:02}/{name:04}" for number in range(100) for name in range(2_000)]
        for reverse in (False, True):
            rows = Rows(names, reverse)
            page = read_page(Listing(delimiter="/", reverse=reverse), rows.fetch)
            self.assertEqual(len(page), 100)
            self.assertIsInstance(page[0], CommonPrefix)
            self.assertLess(rows.read, 2_000)

    def test_few_reads_without_prefixes(self) -> None:
        """A delimiter that never occurs does not make a page slow."""
        rows = Rows([f"{name:05}" for name in range(10_000)])
        self.assertEqual(len(read_page(Listing(delimiter="/"), rows.fetch)), 10_000)
        self.assertLess(rows.reads, 15)

    def test_small_prefixes(self) -> None:
        """Prefixes of two names are read many at a time."""
        rows = Rows([f"{number:04}/{name}" for number in range(2_000) for name in "ab"])
        self.assertEqual(len(read_page(Listing(delimiter="/"), rows.fetch)), 2_000)
        self.assertLess(rows.reads, 50)

    def test_after_prefix(self) -> None:
        """The next prefix skips surrogates, which are no text, and the last code point, which has no next."""
        self.assertEqual(after_prefix("a"), "b")
        self.assertEqual(after_prefix("\ud7ff"), "\ue000")
        self.assertEqual(after_prefix("a\U0010ffff"), "b")
        self.assertEqual(after_prefix("\U0010ffff"), "")
