"""Byte ranges, after RFC 9110 section 14."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from cloudd.objects import ByteRange, MultipartRanges, UnsatisfiableRange, parse_range


def ranges(value: bytes | None, size: int = 100) -> list[tuple[int, int]] | None:
    """First and last positions."""
    found = parse_range(value, size)
    return None if found is None else [(part.start, part.stop - 1) for part in found]


class RangeTests(SynchronousTestCase):
    """``parse_range``."""

    def test_single(self) -> None:
        """First to last, open, suffix; beyond the end is cut."""
        for value, expected in (
            (b"bytes=0-9", (0, 9)),
            (b"bytes=90-", (90, 99)),
            (b"bytes=-10", (90, 99)),
            (b"bytes=-1000", (0, 99)),
            (b"bytes=99-1000", (99, 99)),
            (b"Bytes = 5-5", (5, 5)),
            (b"bytes=0-99999999999999999", (0, 99)),
        ):
            self.assertEqual(ranges(value), [expected], value)

    def test_several(self) -> None:
        """In the client's order; those out of reach are left out; empty elements mean nothing."""
        self.assertEqual(ranges(b"bytes=0-1, 50-,,-3,200-"), [(0, 1), (50, 99), (97, 99)])
        self.assertEqual(ranges(b"bytes=50-59,0-1"), [(50, 59), (0, 1)])

    def test_ignored(self) -> None:
        """What is not well-formed, or another unit, is no range at all."""
        for value in (
            None,
            b"",
            b"bytes",
            b"bytes=",
            b"bytes=,",
            b"bytes=-",
            b"bytes=a-b",
            b"bytes=5-4",
            b"bytes=1-2-3",
            b"bytes=1",
            b"bytes=+1-2",
            b"bytes=0-1,x",
            b"bytes=-1-2",
            "bytes=\u0661-\u0662".encode(),
            b"lines=0-1",
            b"bytes=0-" + b"9" * 30,
        ):
            self.assertIsNone(ranges(value), value)

    def test_unsatisfiable(self) -> None:
        """Well-formed, but no byte lies there."""
        for value, size in ((b"bytes=100-", 100), (b"bytes=100-200,300-", 100), (b"bytes=-0", 100), (b"bytes=0-", 0)):
            error = self.assertRaises(UnsatisfiableRange, parse_range, value, size)
            self.assertEqual(error.size, size)

    def test_empty_object(self) -> None:
        """The last bytes of nothing are all of it (section 14.1.2), which only 200 can say."""
        self.assertIsNone(ranges(b"bytes=-5", 0))

    def test_hostile(self) -> None:
        """Too many ranges, too many that overlap, too many that go backwards."""
        many = b",".join(b"%d-%d" % (number, number) for number in range(0, 200, 2))
        overlapping = b"bytes=0-10,5-15,8-20,9-30"
        backwards = b"bytes=" + b",".join(b"%d-%d" % (number, number) for number in range(98, 70, -2))
        for value in (b"bytes=" + many, overlapping, backwards, b"bytes=" + b"0-," * 50):
            self.assertRaises(UnsatisfiableRange, parse_range, value, 1_000)
        self.assertEqual(len(ranges(b"bytes=0-10,5-15,8-20") or ()), 3)

    @settings(deadline=None)
    @given(st.binary(max_size=30), st.integers(0, 50))
    def test_never_outside(self, value: bytes, size: int) -> None:
        """Whatever a client sends, only bytes of the object come out."""
        try:
            found = parse_range(b"bytes=" + value, size) or ()
        except UnsatisfiableRange:
            return
        for part in found:
            self.assertTrue(part.length > 0 and part.start >= 0 and part.stop <= size)


class MultipartTests(SynchronousTestCase):
    """``MultipartRanges``."""

    def test_body(self) -> None:
        """The body of section 14.6's form, and its length."""
        data = bytes(range(100))
        body = MultipartRanges((ByteRange(0, 2), ByteRange(50, 3)), 100, b"text/plain", b"frontier")
        sent = b"".join(head + data[part.start : part.stop] for head, part in zip(body.heads, body.ranges, strict=True))
        sent += body.tail
        self.assertEqual(
            sent,
            b"--frontier\r\nContent-Type: text/plain\r\nContent-Range: bytes 0-1/100\r\n\r\n\x00\x01"
            b"\r\n--frontier\r\nContent-Type: text/plain\r\nContent-Range: bytes 50-52/100\r\n\r\n234"
            b"\r\n--frontier--\r\n",
        )
        self.assertEqual(body.length, len(sent))
        self.assertEqual(body.media_type, b"multipart/byteranges; boundary=frontier")
