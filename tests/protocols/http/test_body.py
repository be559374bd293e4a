"""Reading a body: back-pressure, limits, truncation, one reader."""

from __future__ import annotations

from typing import Any

from attrs import define, field
from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from cloudd.protocols.http import BodyAlreadyRead, BodyTooLarge, BodyTruncated, Request

from .conversation import TEXT, Conversation, chunked, get, post

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


@define(eq=False)
class SlowSink:
    """Takes a piece and wants no more until the test says so."""

    pieces: list[bytes] = field(factory=list)
    waiting: Deferred[None] | None = None

    def write(self, data: bytes) -> Deferred[None]:
        assert self.waiting is None or self.waiting.called, "written to while it was busy"
        self.pieces.append(data)
        self.waiting = Deferred()
        return self.waiting

    def take(self) -> None:
        assert self.waiting is not None
        self.waiting.callback(None)


class BodyTests(SynchronousTestCase):
    def begin(self, message: bytes) -> tuple[Conversation, Request]:
        """A request whose handler has not done anything yet."""
        conversation = Conversation()
        conversation.site.handler = lambda request: None
        conversation.say(message)
        return conversation, conversation.site.handled[0]

    def test_none(self) -> None:
        _, request = self.begin(get(b"/"))
        self.assertEqual((request.body.length, request.body.ended, request.body.trailers), (0, True, []))
        self.assertEqual(self.successResultOf(Deferred.fromCoroutine(request.body.read(10))), b"")

    def test_not_asked_for(self) -> None:
        """Nobody has asked: the bytes wait, then the client."""
        conversation, request = self.begin(get(b"/", b"Content-Length: 1000000", method=b"PUT"))
        conversation.say(b"x" * 60_000)
        self.assertTrue(conversation.transport.reading)
        conversation.say(b"x" * 10_000)
        self.assertFalse(conversation.transport.reading)
        self.assertEqual(request.body.received, 0)
        request.body.stream_to(SlowSink())
        self.assertEqual(request.body.received, 70_000)

    def test_slow_sink_pauses_the_client(self) -> None:
        conversation, request = self.begin(get(b"/", b"Content-Length: 200000", method=b"PUT"))
        sink = SlowSink()
        done = request.body.stream_to(sink)
        conversation.say(b"a" * 50_000)
        conversation.say(b"b" * 60_000)
        self.assertTrue(conversation.transport.reading)
        conversation.say(b"c" * 60_000)
        self.assertFalse(conversation.transport.reading)
        sink.take()
        self.assertEqual([len(piece) for piece in sink.pieces], [50_000, 120_000])
        self.assertTrue(conversation.transport.reading)
        sink.take()
        conversation.say(b"d" * 30_000)
        self.assertNoResult(done)  # the sink still works on the last piece
        sink.take()
        self.assertEqual(self.successResultOf(done), 200_000)

    def test_continue_on_the_first_read_only(self) -> None:
        conversation, request = self.begin(get(b"/", b"Content-Length: 2", b"Expect: 100-continue", method=b"PUT"))
        self.assertEqual(conversation.heard, b"")
        done = Deferred.fromCoroutine(request.body.read(10))
        self.assertEqual(conversation.heard, CONTINUE)
        conversation.say(b"a", b"b")
        self.assertEqual(self.successResultOf(done), b"ab")
        self.assertEqual(conversation.heard, CONTINUE)

    def test_no_continue_for_http_1_0(self) -> None:
        message = get(b"/", b"Content-Length: 2", b"Expect: 100-continue", method=b"PUT", version=b"HTTP/1.0")
        conversation, request = self.begin(message)
        Deferred.fromCoroutine(request.body.read(10))
        self.assertEqual(conversation.heard, b"")

    def test_continue_also_for_an_empty_body(self) -> None:
        """botocore takes an answer without a 100 as a refusal, and then reads the connection's next answer wrongly."""
        for read in (lambda body: Deferred.fromCoroutine(body.read(10)), lambda body: body.stream_to(Pieces())):
            conversation, request = self.begin(get(b"/", b"Content-Length: 0", b"Expect: 100-continue", method=b"PUT"))
            self.successResultOf(read(request.body))
            self.assertEqual(conversation.heard, CONTINUE)
            request.respond(200)
            self.assertNotIn(b"Connection: close", conversation.heard)

    def test_close_when_continue_was_never_said(self) -> None:
        conversation, request = self.begin(get(b"/", b"Content-Length: 0", b"Expect: 100-continue", method=b"PUT"))
        request.respond(403)
        self.assertIn(b"Connection: close", conversation.heard)

    def test_read_twice_is_the_same(self) -> None:
        _, request = self.begin(post(b"/", b"abc"))
        for _ in range(2):
            self.assertEqual(self.successResultOf(Deferred.fromCoroutine(request.body.read(3))), b"abc")
        self.failureResultOf(Deferred.fromCoroutine(request.body.read(2)), BodyTooLarge)

    def test_one_reader(self) -> None:
        _, request = self.begin(post(b"/", b"abc"))
        self.assertEqual(self.successResultOf(request.body.stream_to(Pieces())), 3)
        self.failureResultOf(request.body.stream_to(Pieces()), BodyAlreadyRead)
        self.failureResultOf(Deferred.fromCoroutine(request.body.read(3)), BodyAlreadyRead)

    def test_limit(self) -> None:
        conversation, request = self.begin(get(b"/", b"Content-Length: 11", b"Expect: 100-continue", method=b"PUT"))
        self.failureResultOf(request.body.stream_to(Pieces(), 10), BodyTooLarge)
        self.assertEqual(conversation.heard, b"")

    def test_limit_of_chunks(self) -> None:
        conversation, request = self.begin(chunked(b"/", b"5\r\nabcde\r\n"))
        sink = Pieces()
        done = request.body.stream_to(sink, 9)
        conversation.say(b"5\r\nabcde\r\n")
        self.assertEqual(self.failureResultOf(done, BodyTooLarge).value.limit, 9)
        self.assertEqual(sink.pieces, [b"abcde"])

    def test_sink_that_raises(self) -> None:
        conversation, request = self.begin(post(b"/", b"abc"))

        class Full:
            def write(self, data: bytes) -> None:
                raise OSError("full")

        self.failureResultOf(request.body.stream_to(Full()), OSError)
        request.respond(507, [TEXT], b"full")
        self.assertEqual(conversation.heard[:12], b"HTTP/1.1 507")

    def test_sink_that_fails_later(self) -> None:
        conversation, request = self.begin(post(b"/", b"abcdef")[:-3])
        sink = SlowSink()
        done = request.body.stream_to(sink)
        conversation.say(b"def")
        assert sink.waiting is not None
        sink.waiting.errback(OSError("full"))
        self.failureResultOf(done, OSError)
        self.assertEqual(sink.pieces, [b"abc"])

    def test_cut_while_the_sink_is_busy(self) -> None:
        """The reader is not told before its sink is at rest, so that nothing writes to what it then removes."""
        conversation, request = self.begin(post(b"/", b"abcdef")[:-3])
        sink = SlowSink()
        done = request.body.stream_to(sink)
        conversation.transport.lose()
        self.assertNoResult(done)
        sink.take()
        self.failureResultOf(done, BodyTruncated)

    def test_half_closed_while_the_sink_is_busy(self) -> None:
        conversation, request = self.begin(post(b"/", b"abcdef")[:-1])
        sink = SlowSink()
        done = request.body.stream_to(sink)
        conversation.half_close()
        self.assertNoResult(done)
        sink.take()
        self.failureResultOf(done, BodyTruncated)

    def test_cancelled(self) -> None:
        """A reader that is cancelled leaves the body unread."""
        conversation, request = self.begin(post(b"/", b"abcdef")[:-3])
        sink = Pieces()
        done = request.body.stream_to(sink)
        done.cancel()
        self.failureResultOf(done, CancelledError)
        conversation.say(b"def")
        self.assertEqual(sink.pieces, [b"abc"])
        request.respond(200)
        self.assertEqual(request.body.received, 6)

    def test_client_leaves_an_early_answer(self) -> None:
        """The answer is out, the body was still being read: its reader is not left waiting."""
        conversation, request = self.begin(post(b"/", b"abcdef")[:-3])
        done = request.body.stream_to(Pieces())
        request.respond(200)
        conversation.transport.lose()
        self.failureResultOf(done, BodyTruncated)
        self.assertEqual(conversation.site.over, [request])

    def test_closed_under_the_reader(self) -> None:
        conversation, request = self.begin(get(b"/", b"Content-Length: 6", b"Connection: close", method=b"PUT"))
        done = request.body.stream_to(Pieces())
        request.respond(200)
        self.failureResultOf(done, BodyTruncated)
        self.assertTrue(conversation.transport.half_closed)


class Pieces:
    """Keeps what it gets."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []

    def write(self, data: bytes) -> Any:
        self.pieces.append(data)
