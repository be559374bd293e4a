"""Frames are found however the stream is cut, and nothing else is taken for one."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from cloudd.protocols.amqp._frames import (
    BODY,
    HEADER,
    HEARTBEAT,
    HEARTBEAT_FRAME,
    METHOD,
    FrameReader,
    RawFrame,
    pack_content,
    pack_frame,
)
from cloudd.protocols.amqp._values import Malformed

FRAMES = st.builds(
    RawFrame, st.sampled_from([METHOD, HEADER, BODY, HEARTBEAT]), st.integers(0, 65_535), st.binary(max_size=50)
)


def packed(frames: list[RawFrame]) -> bytes:
    return b"".join(pack_frame(frame.kind, frame.channel, frame.payload) for frame in frames)


class ReaderTests(SynchronousTestCase):
    @given(st.lists(FRAMES, max_size=5), st.lists(st.integers(0, 300), max_size=5))
    def test_any_cuts(self, frames: list[RawFrame], cuts: list[int]) -> None:
        """Whatever pieces they come in."""
        data, reader, found = packed(frames), FrameReader(), []
        places = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
        for begin, end in pairwise(places):
            found += reader.feed(data[begin:end])
        self.assertEqual(found, frames)

    def test_byte_by_byte(self) -> None:
        """A frame is there with its last byte, not before."""
        frames = [RawFrame(METHOD, 1, b"abc"), RawFrame(BODY, 2, b"")]
        reader, data = FrameReader(), packed(frames)
        told = [reader.feed(data[at : at + 1]) for at in range(len(data))]
        self.assertEqual([at for at, found in enumerate(told) if found], [10, 18])

    def test_what_is_no_frame(self) -> None:
        """Another protocol, a wrong end, a frame longer than agreed: with a cause."""
        for data, words in (
            (b"HTTP/1.1 400 Bad", "is no frame"),
            (b"AMQP\x00\x00\x09\x01", "is no frame"),
            (pack_frame(METHOD, 1, b"abc")[:-1] + b"x", "does not end where it says"),
            (pack_frame(BODY, 1, b"a" * 5000)[:10], "a frame of 5008 bytes; 4096 were agreed"),
        ):
            self.assertIn(words, str(self.assertRaises(Malformed, FrameReader(4096).feed, data)))

    def test_the_longest(self) -> None:
        """As long as agreed is taken."""
        self.assertEqual(len(FrameReader(4096).feed(pack_frame(BODY, 1, b"a" * 4088))), 1)

    def test_heartbeat(self) -> None:
        """As the specification has it."""
        self.assertEqual(HEARTBEAT_FRAME, b"\x08\x00\x00\x00\x00\x00\x00\xce")


class ContentTests(SynchronousTestCase):
    @given(st.binary(max_size=200), st.integers(12, 80))
    def test_divided(self, body: bytes, frame_max: int) -> None:
        """Method, header, and the body in frames as long as agreed; none for an empty one."""
        data = pack_content(7, b"meth", b"head", body, frame_max)
        method, header, *bodies = FrameReader().feed(data)
        self.assertEqual((method, header), (RawFrame(METHOD, 7, b"meth"), RawFrame(HEADER, 7, b"head")))
        self.assertEqual(b"".join(frame.payload for frame in bodies), body)
        self.assertTrue(all(0 < len(frame.payload) <= frame_max - 8 for frame in bodies))
        self.assertEqual({(frame.kind, frame.channel) for frame in bodies}, {(BODY, 7)} if body else set())
