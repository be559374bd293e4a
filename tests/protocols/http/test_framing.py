"""Decoders of bodies: any cut, any state in between, limits."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from cloudd.protocols.http import BodyMalformed
from cloudd.protocols.http._framing import (
    MAX_LINE_BYTES,
    MAX_OVERHEAD_BYTES,
    ChunkedDecoder,
    Decoder,
    LengthDecoder,
    decoder_for,
    decoder_from,
)

PIECES = st.lists(st.binary(min_size=1, max_size=40), max_size=8)
CUTS = st.lists(st.integers(min_value=1, max_value=30), min_size=1, max_size=20)


def frame(pieces: list[bytes], extension: bytes = b"", trailers: bytes = b"") -> bytes:
    """Chunks."""
    framed = b"".join(b"%X%b\r\n%b\r\n" % (len(piece), extension, piece) for piece in pieces)
    return framed + b"0\r\n" + trailers + b"\r\n"


def decode(decoder: Decoder, data: bytes, cuts: list[int]) -> tuple[bytes, bytes, Decoder]:
    """Feed ``data`` in pieces, through a copy of the decoder each time; returns body, rest and the last copy."""
    body, rest, position, turn = b"", b"", 0, 0
    while position < len(data) and not decoder.finished:
        size = cuts[turn % len(cuts)]
        turn += 1
        decoder = decoder_from(decoder.state())
        piece, rest = decoder.feed(rest + data[position : position + size])
        position += size
        body += piece
    return body, rest + data[position:], decoder


class DecoderTests(SynchronousTestCase):
    @settings(deadline=None, max_examples=150)
    @given(pieces=PIECES, cuts=CUTS, rest=st.binary(max_size=9), extension=st.sampled_from([b"", b";a", b' ;a="b"; c']))
    def test_chunks(self, pieces: list[bytes], cuts: list[int], rest: bytes, extension: bytes) -> None:
        """Whatever was framed comes back, cut anywhere, and nothing of what follows is touched."""
        data = frame(pieces, extension, b"X-A: b\r\n") + rest
        body, left, decoder = decode(ChunkedDecoder(), data, cuts)
        self.assertEqual((body, left), (b"".join(pieces), rest))
        assert isinstance(decoder, ChunkedDecoder)
        self.assertEqual((decoder.trailers, decoder.finished), ([(b"x-a", b"b")], True))

    @settings(deadline=None, max_examples=80)
    @given(body=st.binary(min_size=1, max_size=60), cuts=CUTS, rest=st.binary(max_size=9))
    def test_length(self, body: bytes, cuts: list[int], rest: bytes) -> None:
        self.assertEqual(decode(LengthDecoder(len(body)), body + rest, cuts)[:2], (body, rest))

    @settings(deadline=None, max_examples=200)
    @given(data=st.binary(max_size=80), cuts=CUTS)
    def test_nonsense(self, data: bytes, cuts: list[int]) -> None:
        """Any bytes are either decoded or refused, in the same way however they are cut."""

        def outcome(cuts: list[int]) -> tuple[bytes, bytes, bool] | None:
            try:
                body, rest, decoder = decode(ChunkedDecoder(), b"3\r\nabc\r\n" + data, cuts)
            except BodyMalformed:
                return None
            return body, rest, decoder.finished

        self.assertEqual(outcome(cuts), outcome([1_000]))

    def test_nothing(self) -> None:
        self.assertTrue(decoder_for(0).finished)
        self.assertFalse(decoder_for(None).finished)

    def refused(self, data: bytes) -> str:
        cause: str = self.assertRaises(BodyMalformed, ChunkedDecoder().feed, data).cause
        return cause

    def test_limits(self) -> None:
        self.assertIn("too long", self.refused(b"1;" + b"x" * MAX_LINE_BYTES))
        many = b"1;" + b"x" * 4_000 + b"\r\na\r\n"
        self.assertIn("too long", self.refused(many * (MAX_OVERHEAD_BYTES // 4_000 + 1)))
        self.assertIn("more than 64", self.refused(b"0\r\n" + b"X: y\r\n" * 65))

    def test_bare_cr_is_seen_before_the_line_ends(self) -> None:
        self.assertIn("bare CR", self.refused(b"1;\rx"))
