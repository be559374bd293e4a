"""Frames and the descriptors beside them, cut anywhere."""

from __future__ import annotations

import os

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from reload._handover_frames import MAX_DESCRIPTORS, MAX_PAYLOAD_BYTES, FrameReader, pack_frame
from reload._handover_interfaces import BadFrame

# Numbers that no process has open.
_FAKE = 60_000_000


class FrameTests(SynchronousTestCase):
    """``pack_frame`` and ``FrameReader``."""

    @given(st.lists(st.tuples(st.binary(max_size=40), st.integers(0, 3)), max_size=6), st.integers(1, 30))
    def test_round_trip(self, frames: list[tuple[bytes, int]], step: int) -> None:
        """Frames come back whole and in order, each with its own descriptors, however the bytes are cut."""
        reader, number = FrameReader(), _FAKE
        sent, received = [], []
        for payload, count in frames:
            group = tuple(range(number, number + count))
            number += count
            sent.append((payload, group, count))
            data = pack_frame(payload, count)
            for begin in range(0, len(data), step):
                received += reader.feed(data[begin : begin + step], group if count and begin == 0 else None)
        self.assertEqual([(frame.payload, frame.descriptors, frame.announced) for frame in received], sent)
        self.assertFalse(reader.within_frame)

    def test_many_at_once(self) -> None:
        """One receive may hold several frames, and the descriptors of the last."""
        data = pack_frame(b"one", 0) + pack_frame(b"two", 2)
        frames = FrameReader().feed(data, (_FAKE, _FAKE + 1))
        self.assertEqual([frame.descriptors for frame in frames], [(), (_FAKE, _FAKE + 1)])

    def test_fewer_descriptors(self) -> None:
        """What the kernel could not open is missing at the end of the group."""
        (frame,) = FrameReader().feed(pack_frame(b"", 5), (_FAKE,))
        self.assertEqual((frame.descriptors, frame.announced), ((_FAKE,), 5))

    def test_too_large(self) -> None:
        """Neither written nor read."""
        self.assertRaises(ValueError, pack_frame, b"x" * (MAX_PAYLOAD_BYTES + 1), 0)
        self.assertRaises(ValueError, pack_frame, b"", MAX_DESCRIPTORS + 1)
        for header in (b"hov1\x7f\xff\xff\xff\x00\x00", b"hov1\x00\x00\x00\x00\xff\xff"):
            self.assertRaises(BadFrame, FrameReader().feed, header)

    def test_garbage(self) -> None:
        """Other bytes are refused as soon as a header is there; what came with them is closed."""
        for data, count in ((b"GET / HTTP/1.1\r\n", 1), (pack_frame(b"", 1), 2), (pack_frame(b"", 1), 0)):
            reader = FrameReader()
            descriptors = [os.dup(0) for _ in range(count)]
            good, kept = pack_frame(b"good", 1), os.dup(0)
            self.assertEqual(reader.feed(good[:-1], (kept,)), [])
            self.assertRaises(BadFrame, reader.feed, good[-1:] + data, tuple(descriptors) or None)
            for descriptor in (*descriptors, kept):
                self.assertRaises(OSError, os.fstat, descriptor)
            self.assertFalse(reader.within_frame)
