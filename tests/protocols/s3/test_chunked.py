"""
aws-chunked bodies, whole and cut at every byte, against the examples that Amazon publishes.

Examples: "Transferring Payload in Multiple Chunks" and "... with Trailing Headers", Amazon S3 API reference: 66,560
bytes of ``a`` in chunks of 65,536, 1,024 and 0.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from cloudd.protocols.s3._chunked import ChunkDecoder, ChunkSignatures
from cloudd.protocols.s3._errors import S3Error
from cloudd.protocols.s3._signature import Signed, signing_key

SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
SEED = b"4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9"
FIRST = b"ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648"
SECOND = b"0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497"
LAST = b"b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9"
TRAILER_SEED = b"106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e"
TRAILER_CHUNKS = (
    b"b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2",
    b"1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7",
    b"2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992",
)
TRAILER_SIGNATURE = b"d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435"
CHECKSUM = b"x-amz-checksum-crc32c:sOO8/Q=="


def signatures(seed: bytes) -> ChunkSignatures:
    return ChunkSignatures(
        Signed(
            payload=b"STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
            key=signing_key(SECRET, b"20130524", b"us-east-1"),
            date=b"20130524T000000Z",
            scope=b"20130524/us-east-1/s3/aws4_request",
            signature=seed,
        )
    )


def chunk(data: bytes, signature: bytes = b"") -> bytes:
    extension = b";chunk-signature=" + signature if signature else b""
    return b"%x%s\r\n%s" % (len(data), extension, data + b"\r\n" if data else b"")


def signed_body() -> bytes:
    return chunk(b"a" * 65_536, FIRST) + chunk(b"a" * 1024, SECOND) + chunk(b"", LAST) + b"\r\n"


def decode(decoder: ChunkDecoder, *pieces: bytes) -> bytes:
    payload = b"".join(decoder.feed(piece) for piece in pieces)
    decoder.close()
    return payload


class SignedChunks(SynchronousTestCase):
    def test_the_published_example(self) -> None:
        decoder = ChunkDecoder(signatures(SEED), with_trailer=False)
        self.assertEqual(decode(decoder, signed_body()), b"a" * 66_560)
        self.assertEqual(decoder.size, 66_560)

    def test_cut_around_every_frame(self) -> None:
        """Payload in the middle of a chunk is alike everywhere, so those cuts are taken in steps."""
        body = signed_body()
        cuts = [*range(300), *range(300, len(body) - 1500, 997), *range(len(body) - 1500, len(body), 7)]
        cuts += range(len(body) - 400, len(body))
        for cut in cuts:
            decoder = ChunkDecoder(signatures(SEED), with_trailer=False)
            self.assertEqual(len(decode(decoder, body[:cut], body[cut:])), 66_560, cut)

    def test_one_byte_at_a_time(self) -> None:
        decoder = ChunkDecoder(signatures(SEED), with_trailer=False)
        body = signed_body()
        self.assertEqual(decode(decoder, *(body[at : at + 1] for at in range(len(body)))), b"a" * 66_560)

    def test_a_changed_byte_is_refused_with_its_chunk(self) -> None:
        body = signed_body()
        decoder = ChunkDecoder(signatures(SEED), with_trailer=False)
        error = self.assertRaises(S3Error, decoder.feed, body[:200] + b"b" + body[201:])
        self.assertEqual(error.code, "SignatureDoesNotMatch")

    def test_chunks_cannot_be_exchanged_or_left_out(self) -> None:
        decoder = ChunkDecoder(signatures(SEED), with_trailer=False)
        body = chunk(b"a" * 65_536, FIRST) + chunk(b"", LAST) + b"\r\n"
        self.assertEqual(self.assertRaises(S3Error, decoder.feed, body).code, "SignatureDoesNotMatch")

    def test_a_body_without_its_last_chunk(self) -> None:
        decoder = ChunkDecoder(signatures(SEED), with_trailer=False)
        decoder.feed(chunk(b"a" * 65_536, FIRST))
        self.assertEqual(self.assertRaises(S3Error, decoder.close).code, "IncompleteBody")

    def test_a_signature_is_required_where_it_was_promised(self) -> None:
        decoder = ChunkDecoder(signatures(SEED), with_trailer=False)
        self.assertEqual(self.assertRaises(S3Error, decoder.feed, chunk(b"abc")).code, "InvalidRequest")
        decoder = ChunkDecoder(None, with_trailer=True)
        self.assertEqual(self.assertRaises(S3Error, decoder.feed, chunk(b"abc", FIRST)).code, "InvalidRequest")


class SignedTrailers(SynchronousTestCase):
    def body(self, trailer: bytes = CHECKSUM, signature: bytes = TRAILER_SIGNATURE, line_end: bytes = b"\r\n") -> bytes:
        first, second, last = TRAILER_CHUNKS
        head = chunk(b"a" * 65_536, first) + chunk(b"a" * 1024, second) + chunk(b"", last)
        return head + trailer + line_end + b"x-amz-trailer-signature:" + signature + b"\r\n\r\n"

    def test_the_published_example_in_the_ways_clients_end_lines(self) -> None:
        for line_end in (b"\r\n", b"\n", b"\n\r\n"):
            decoder = ChunkDecoder(signatures(TRAILER_SEED), with_trailer=True)
            self.assertEqual(len(decode(decoder, self.body(line_end=line_end))), 66_560)
            self.assertEqual(decoder.trailers, [(b"x-amz-checksum-crc32c", b"sOO8/Q==")])

    def test_cut_at_every_byte_of_the_trailer(self) -> None:
        body = self.body()
        for cut in range(len(body) - 400, len(body)):
            decoder = ChunkDecoder(signatures(TRAILER_SEED), with_trailer=True)
            decode(decoder, body[:cut], body[cut:])
            self.assertEqual(decoder.trailers, [(b"x-amz-checksum-crc32c", b"sOO8/Q==")])

    def test_a_changed_trailer(self) -> None:
        decoder = ChunkDecoder(signatures(TRAILER_SEED), with_trailer=True)
        decoder.feed(self.body(trailer=b"x-amz-checksum-crc32c:AAAAAA=="))
        self.assertEqual(self.assertRaises(S3Error, decoder.close).code, "SignatureDoesNotMatch")

    def test_a_missing_trailer_signature(self) -> None:
        decoder = ChunkDecoder(signatures(TRAILER_SEED), with_trailer=True)
        decoder.feed(self.body().replace(b"x-amz-trailer-signature", b"x-amz-trailer-signatur"))
        self.assertEqual(self.assertRaises(S3Error, decoder.close).code, "MalformedTrailerError")


class UnsignedChunks(SynchronousTestCase):
    def test_cut_at_every_byte(self) -> None:
        body = chunk(b"hello ") + chunk(b"world\r\n0\r\n") + chunk(b"") + CHECKSUM + b"\r\n\r\n"
        for cut in range(len(body) + 1):
            decoder = ChunkDecoder(None, with_trailer=True)
            self.assertEqual(decode(decoder, body[:cut], body[cut:]), b"hello world\r\n0\r\n")
            self.assertEqual(decoder.trailers, [(b"x-amz-checksum-crc32c", b"sOO8/Q==")])

    def test_a_trailer_whose_last_line_is_not_ended(self) -> None:
        decoder = ChunkDecoder(None, with_trailer=True)
        self.assertEqual(decode(decoder, chunk(b"x") + chunk(b"") + CHECKSUM), b"x")
        self.assertEqual(decoder.trailers, [(b"x-amz-checksum-crc32c", b"sOO8/Q==")])

    def test_an_empty_payload(self) -> None:
        decoder = ChunkDecoder(None, with_trailer=True)
        self.assertEqual(decode(decoder, b"0\r\n\r\n"), b"")

    def test_frames_that_are_none(self) -> None:
        for body in (b"hello\r\n", b"-1\r\n", b"5\nhello", b"0x5\r\nhello", b"5\r\nhelloworld", b" 5\r\n", b"z" * 600):
            decoder = ChunkDecoder(None, with_trailer=True)
            self.assertEqual(self.assertRaises(S3Error, decoder.feed, body).code, "InvalidRequest", body)

    def test_trailers_that_are_none(self) -> None:
        for lines in (b"no colon\r\n", b":x\r\n", CHECKSUM + b"\r\n" + CHECKSUM + b"\r\n", b"a:" + b"b" * 9000):
            decoder = ChunkDecoder(None, with_trailer=True)
            error = self.assertRaises(S3Error, decode, decoder, b"0\r\n", lines)
            self.assertIn(error.code, ("MalformedTrailerError", "InvalidRequest"))
        decoder = ChunkDecoder(None, with_trailer=False)
        self.assertEqual(
            self.assertRaises(S3Error, decode, decoder, b"0\r\n", CHECKSUM + b"\n").code, "MalformedTrailerError"
        )

    def test_a_size_line_that_never_ends_is_not_held(self) -> None:
        decoder = ChunkDecoder(None, with_trailer=True)
        with self.assertRaises(S3Error):
            for _ in range(1000):
                decoder.feed(b"0")
