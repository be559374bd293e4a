"""Every value that RabbitMQ has for tables goes out and comes back; what is broken is refused, never misread."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from cloudd.protocols.amqp._values import (
    MAX_DEPTH,
    Malformed,
    Unencodable,
    pack_long_string,
    pack_short_string,
    pack_table,
    unpack_long_bytes,
    unpack_short_string,
    unpack_table,
)

KEYS = st.text(max_size=60)
PLAIN = st.one_of(
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    st.text(),
    st.binary(),
    st.none(),
    st.decimals(min_value=-2_000_000, max_value=2_000_000, places=3),
    st.datetimes(timezones=st.just(UTC)).map(lambda time: time.replace(microsecond=0)),
)
VALUES = st.recursive(
    PLAIN, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4), max_leaves=12
)
TABLES = st.dictionaries(KEYS, VALUES, max_size=5)


def nested(depth: int) -> dict[str, Any]:
    table: dict[str, Any] = {}
    for _ in range(depth - 1):
        table = {"in": table}
    return table


class TableTests(SynchronousTestCase):
    @given(TABLES, st.binary(max_size=5), st.binary(max_size=5))
    def test_there_and_back(self, table: dict[str, Any], before: bytes, after: bytes) -> None:
        """Wherever it stands; where it ends is found too."""
        packed = pack_table(table)
        found, end = unpack_table(before + packed + after, len(before))
        self.assertEqual(found, table)
        self.assertEqual(end, len(before) + len(packed))

    @given(TABLES, st.data())
    def test_cut_off(self, table: dict[str, Any], data: st.DataObject) -> None:
        """At whatever byte."""
        packed = pack_table(table)
        cut = data.draw(st.integers(0, len(packed) - 1))
        self.assertRaises(Malformed, unpack_table, packed[:cut], 0)

    @given(st.binary(max_size=80))
    def test_garbage(self, garbage: bytes) -> None:
        """It is a table or malformed, and nothing else happens."""
        try:
            table, end = unpack_table(garbage, 0)
        except Malformed:
            return
        self.assertIsInstance(table, dict)
        self.assertLessEqual(end, len(garbage))

    def test_what_brokers_write(self) -> None:
        """Types that we do not choose: small and unsigned numbers, single floats; bytes as the errata give them."""
        for data, value in (
            (b"b\xff", -1),
            (b"B\xff", 255),
            (b"s\xff\xfe", -2),
            (b"u\xff\xfe", 65_534),
            (b"i\xff\xff\xff\xff", 2**32 - 1),
            (b"f\x3f\xc0\x00\x00", 1.5),
            (b"D\x02\x00\x00\x01\x3a", Decimal("3.14")),
            (b"T\x00\x00\x00\x00\x00\x00\x00\x00", datetime(1970, 1, 1, tzinfo=UTC)),
            (b"T" + b"\x7f" * 8, 0x7F7F7F7F7F7F7F7F),
            (b"A\x00\x00\x00\x04t\x01t\x00", [True, False]),
        ):
            table = b"\x00\x00\x00" + bytes((2 + len(data),)) + b"\x01k" + data
            self.assertEqual(unpack_table(table, 0), ({"k": value}, len(table)))

    def test_sizes_of_numbers(self) -> None:
        """32 bits where they are enough, since old clients know no more."""
        for number, size in ((2**31 - 1, 5), (-(2**31), 5), (2**31, 9), (-(2**63), 9)):
            self.assertEqual(len(pack_table({"": number})), 4 + 1 + size)
        self.assertIn("n.m", str(self.assertRaises(Unencodable, pack_table, {"n": {"m": 2**63}})))

    def test_text_counts_in_bytes(self) -> None:
        """A length is that of the encoded text."""
        self.assertEqual(pack_short_string("é"), b"\x02\xc3\xa9")
        self.assertEqual(pack_long_string("é"), b"\x00\x00\x00\x02\xc3\xa9")
        self.assertEqual(unpack_short_string(b"\x02\xc3\xa9!", 0), ("é", 3))
        self.assertEqual(unpack_long_bytes(b"\x00\x00\x00\x02\xc3\xa9!", 0), (b"\xc3\xa9", 6))
        pack_short_string("é" * 127)
        self.assertRaises(Unencodable, pack_short_string, "é" * 128)

    def test_what_is_no_text_survives(self) -> None:
        """A string that somebody wrote in another encoding is passed on byte by byte."""
        table, _end = unpack_table(b"\x00\x00\x00\x08\x01kS\x00\x00\x00\x01\xff", 0)
        self.assertEqual(pack_table(table)[-1:], b"\xff")

    def test_nan_and_infinity(self) -> None:
        """Not equal to itself, but there."""
        table, _end = unpack_table(pack_table({"nan": math.nan, "inf": -math.inf}), 0)
        self.assertTrue(math.isnan(table["nan"]))
        self.assertEqual(table["inf"], -math.inf)

    def test_other_time_zones(self) -> None:
        """The same moment, told in UTC."""
        time = datetime(2026, 1, 1, 1, tzinfo=timezone(timedelta(hours=1)))
        self.assertEqual(unpack_table(pack_table({"t": time}), 0)[0], {"t": time})

    def test_what_has_no_form(self) -> None:
        """It is refused before a byte is sent, and named."""
        for value, words in (
            (object(), "a.b[1]: object has no form"),
            (datetime(2026, 1, 1), "has no time zone"),
            (Decimal("1e5"), "no place for its point"),
            (Decimal("NaN"), "no place for its point"),
            (Decimal("99999999999"), "more digits"),
            ({1: 2}, "the key 1 is no string"),
        ):
            error = self.assertRaises(Unencodable, pack_table, {"a": {"b": [0, value]}})
            self.assertIn(words, str(error))

    def test_depth(self) -> None:
        """A little nested is fine; a bomb is refused both ways."""
        self.assertEqual(unpack_table(pack_table(nested(MAX_DEPTH)), 0)[0], nested(MAX_DEPTH))
        self.assertRaises(Unencodable, pack_table, nested(MAX_DEPTH + 2))
        bomb = b"\x00\x00\x00\x00"
        for _ in range(MAX_DEPTH + 2):
            inner = b"\x00F" + bomb
            bomb = len(inner).to_bytes(4, "big") + inner
        self.assertRaises(Malformed, unpack_table, bomb, 0)
