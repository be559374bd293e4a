"""Keep-alive, refusals, half-close, lingering, shielding: the life of one connection."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from cloudd.interfaces.settings import HTTPSettings
from cloudd.protocols.http import BodyTooLarge, BodyTruncated, ClientGone, Request

from .conversation import TEXT, Conversation, bytewise, chunked, get, ignore_truncation, post, text

HELLO = text(b"200 OK", b"hello GET \n")


class KeepAliveTests(SynchronousTestCase):
    def test_one_after_the_other(self) -> None:
        conversation = Conversation()
        for count in range(1, 4):
            conversation.say(get(b"/hello"))
            self.assertEqual(conversation.state, (HELLO * count, True))
        self.assertEqual(len(conversation.site.over), 3)

    def test_the_date_is_of_the_answer(self) -> None:
        """A second that has begun since the last sweep is in the answer, or what was written in it would be later."""
        conversation = Conversation()
        clock = conversation.factory.reactor
        clock.advance(0.5 - clock.seconds() % 1)
        conversation.say(get(b"/hello"))
        clock.rightNow += 0.6  # no timer ran
        for data in (get(b"/hello"), b"nonsense\r\n\r\n"):
            conversation.say(data)
        dates = [line[-6:] for line in conversation.heard.split(b"\r\n") if line.startswith(b"Date:")]
        self.assertEqual(dates, [b"40 GMT", b"41 GMT", b"41 GMT"])

    def test_data_after_close_is_ignored(self) -> None:
        conversation = Conversation()
        conversation.say(get(b"/hello", b"Connection: close") + get(b"/hello"))
        self.assertEqual(len(conversation.site.handled), 1)
        self.assertTrue(conversation.transport.half_closed)
        conversation.connection.dataReceived(get(b"/hello"))
        self.assertEqual(len(conversation.site.handled), 1)

    def test_close_without_more_data_is_at_once(self) -> None:
        conversation = Conversation()
        conversation.say(get(b"/hello", b"Connection: foo, Close"))
        self.assertTrue(conversation.transport.closing)
        self.assertFalse(conversation.transport.half_closed)

    def test_pipelined_answers_keep_their_order(self) -> None:
        """The second request is not begun before the first, slow one is answered."""
        conversation = Conversation()
        conversation.say(get(b"/late") + get(b"/hello"))
        self.assertEqual(len(conversation.site.handled), 1)
        self.assertEqual(conversation.heard, b"")
        conversation.site.late.pop()()
        self.assertEqual(conversation.heard, text(b"200 OK", b"late") + HELLO)

    def test_long_pipeline_pauses_the_client(self) -> None:
        conversation = Conversation()
        conversation.say(get(b"/late"))
        conversation.say(get(b"/hello") * 2_000)
        self.assertFalse(conversation.transport.reading)
        conversation.site.late.pop()()
        self.assertTrue(conversation.transport.reading)
        self.assertEqual(conversation.heard, text(b"200 OK", b"late") + HELLO * 2_000)

    def test_unread_answers_hold_up_the_pipeline(self) -> None:
        """A client that sends requests and takes no answers does not fill the memory."""
        conversation = Conversation()
        conversation.transport.room = 1_000
        conversation.say(get(b"/hello") * 100)
        self.assertLess(len(conversation.site.handled), 10)
        heard = b""
        while piece := conversation.transport.take():
            heard += piece
        self.assertEqual(heard, HELLO * 100)


class LimitTests(SynchronousTestCase):
    LIMITS = HTTPSettings(max_line_bytes=100, max_headers=5, max_head_bytes=400)

    def status(self, message: bytes) -> bytes:
        """The status when it comes at once; byte by byte must give the same."""
        whole = Conversation(limits=self.LIMITS)
        whole.say(message)
        cut = Conversation(limits=self.LIMITS)
        cut.say(*bytewise(message))
        self.assertEqual(cut.heard[:12], whole.heard[:12])
        return whole.heard[9:12]

    def test_line(self) -> None:
        fits = b"/" + b"x" * (100 - len(b"GET / HTTP/1.1"))
        self.assertEqual(self.status(get(fits)), b"404")
        self.assertEqual(self.status(get(fits + b"x")), b"414")

    def test_endless_line(self) -> None:
        self.assertEqual(self.status(b"GET /" + b"x" * 200), b"414")

    def test_count(self) -> None:
        self.assertEqual(self.status(get(b"/hello", *[b"X: y"] * 4)), b"200")
        self.assertEqual(self.status(get(b"/hello", *[b"X: y"] * 5)), b"431")
        self.assertEqual(self.status(get(b"/hello", *[b"X: y"] * 5)[:-2]), b"431")

    def test_size(self) -> None:
        spare = 400 - len(get(b"/hello", b"X: "))
        self.assertEqual(self.status(get(b"/hello", b"X: " + b"y" * spare)), b"200")
        self.assertEqual(self.status(get(b"/hello", b"X: " + b"y" * (spare + 1))), b"431")

    def test_endless_field(self) -> None:
        self.assertEqual(self.status(b"GET / HTTP/1.1\r\nX: " + b"y" * 500), b"431")

    def test_empty_lines(self) -> None:
        self.assertEqual(self.status(b"\r\n" * 4 + get(b"/hello")), b"200")
        self.assertEqual(self.status(b"\r\n" * 40), b"400")

    def test_refusals_are_counted(self) -> None:
        conversation = Conversation(limits=self.LIMITS)
        conversation.say(b"x" * 200)
        self.assertEqual(conversation.factory.refused, {414: 1})
        (record,) = conversation.site.over
        self.assertEqual((record.status, record.route, record.method, record.path), (414, "refused", b"", b""))
        self.assertEqual((record.generation, record.received_bytes, conversation.site.handled), (0, 0, []))
        self.assertTrue(conversation.heard.endswith(b"\n"))
        self.assertEqual(record.sent_bytes, len(conversation.heard.partition(b"\r\n\r\n")[2]))


class UnreadBodyTests(SynchronousTestCase):
    def test_small_rest_is_skipped(self) -> None:
        conversation = Conversation()
        conversation.say(post(b"/refuse", b"x" * 1_000)[:-400])
        self.assertEqual(conversation.state, (text(b"403 Forbidden", b"not you"), True))
        conversation.say(b"x" * 400 + get(b"/hello"))
        self.assertEqual(conversation.heard, text(b"403 Forbidden", b"not you") + HELLO)

    def test_large_rest_closes(self) -> None:
        """The answer says so, our side is shut down, and what the client still sends is thrown away."""
        conversation = Conversation()
        conversation.say(get(b"/refuse", b"Content-Length: 10000000000", method=b"PUT"))
        self.assertIn(b"\r\nConnection: close\r\n", conversation.heard)
        transport = conversation.transport
        self.assertTrue(transport.half_closed)
        self.assertFalse(transport.closing)
        for _ in range(100):
            conversation.connection.dataReceived(b"x" * 65_536)
        self.assertTrue(transport.reading)
        self.assertEqual(conversation.connection.unparsed, b"")
        conversation.half_close()
        self.assertTrue(transport.closing)

    def test_paused_client_is_read_again_while_lingering(self) -> None:
        conversation = Conversation()
        conversation.site.handler = lambda request: conversation.site.late.append(lambda: request.respond(403))
        conversation.say(get(b"/", b"Content-Length: 1000000", method=b"PUT") + b"x" * 100_000)
        self.assertFalse(conversation.transport.reading)
        conversation.site.late.pop()()
        self.assertTrue(conversation.transport.reading)
        self.assertTrue(conversation.transport.half_closed)

    def test_too_large_before_continue(self) -> None:
        """A document that is declared too long is refused without asking for it."""
        conversation = Conversation()
        conversation.say(get(b"/echo", b"Content-Length: 100001", b"Expect: 100-continue", method=b"POST"))
        self.assertEqual(conversation.heard[:12], b"HTTP/1.1 413")
        self.assertIn(b"The request body is longer than 100000 bytes.", conversation.heard)
        self.assertNotIn(b"100 Continue", conversation.heard)

    def test_too_large_in_chunks(self) -> None:
        conversation = Conversation()
        conversation.say(chunked(b"/echo", b"186a1\r\n" + b"x" * 100_001))
        self.assertEqual(conversation.heard[:12], b"HTTP/1.1 413")
        self.assertTrue(conversation.transport.half_closed)

    def test_answer_before_the_end_of_a_read_body(self) -> None:
        """A handler may answer while its reader still reads; the next request waits for both."""
        ended = []

        async def early(request: Request) -> None:
            reading = request.body.stream_to(Collect([]))
            request.respond(200, [TEXT], b"early")
            ended.append(await reading)

        conversation = Conversation()
        conversation.site.handler = lambda request: early(request) if request.method == b"POST" else None
        message = post(b"/", b"x" * 100)
        conversation.say(message[:-50])
        self.assertEqual(conversation.heard, text(b"200 OK", b"early"))
        conversation.say(message[-50:] + get(b"/"))
        self.assertEqual(ended, [100])
        self.assertEqual(len(conversation.site.handled), 2)

    def test_broken_chunks_while_skipping(self) -> None:
        """The rest of a body that was answered already turns out to be broken: the connection ends."""
        conversation = Conversation()

        async def early(request: Request) -> None:
            request.body.stream_to(Collect([])).addErrback(lambda _: None)
            request.respond(200, [TEXT], b"early")

        conversation.site.handler = early
        conversation.say(chunked(b"/", b"1\r\na\r\n"), b"zzz\r\n")
        self.assertEqual(conversation.heard, text(b"200 OK", b"early"))
        self.assertTrue(conversation.transport.half_closed)


class Collect:
    """A sink that keeps the pieces."""

    def __init__(self, pieces: list[bytes]) -> None:
        self.write = pieces.append


class HalfCloseTests(SynchronousTestCase):
    def test_idle(self) -> None:
        conversation = Conversation()
        conversation.say(get(b"/hello"))
        conversation.half_close()
        self.assertTrue(conversation.transport.closing)

    def test_inside_a_head(self) -> None:
        conversation = Conversation()
        conversation.say(get(b"/hello")[:-1])
        conversation.half_close()
        self.assertTrue(conversation.transport.closing)
        self.assertEqual(conversation.heard, b"")

    def test_answer_still_comes(self) -> None:
        conversation = Conversation()
        conversation.say(get(b"/late") + get(b"/hello"))
        conversation.half_close()
        self.assertFalse(conversation.transport.closing)
        conversation.site.late.pop()()
        self.assertEqual(conversation.state, (text(b"200 OK", b"late") + HELLO, False))

    def test_inside_a_body(self) -> None:
        conversation = Conversation()
        conversation.site.handler = ignore_truncation
        conversation.say(post(b"/", b"12345")[:-1])
        conversation.half_close()
        self.assertEqual(conversation.heard[:12], b"HTTP/1.1 400")
        self.assertTrue(conversation.heard.endswith(b"cut"))
        self.assertTrue(conversation.transport.closing)

    def test_before_a_body_is_read(self) -> None:
        conversation = Conversation()
        begin: Deferred[None] = Deferred()

        async def later(request: Request) -> None:
            await begin
            await ignore_truncation(request)

        conversation.site.handler = later
        conversation.say(post(b"/", b"12345")[:-1])
        conversation.half_close()
        self.assertEqual(conversation.heard, b"")
        begin.callback(None)
        self.assertTrue(conversation.heard.endswith(b"cut"))

    def test_whole_body(self) -> None:
        conversation = Conversation()
        conversation.say(post(b"/echo", b"12345"))
        conversation.half_close()
        self.assertEqual(conversation.state, (text(b"200 OK", b"[12345]"), False))


class HandlerTests(SynchronousTestCase):
    def test_accident(self) -> None:
        """A 500 names the request by which the log is searched, and nothing else of the cause."""
        conversation = Conversation()
        conversation.say(get(b"/accident"))
        self.assertEqual(conversation.heard[:12], b"HTTP/1.1 500")
        self.assertIn(b"its log has it under req-00000000", conversation.heard)
        self.assertNotIn(b"secret", conversation.heard)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        conversation.say(get(b"/hello"))
        self.assertTrue(conversation.heard.endswith(HELLO))

    def test_accident_in_a_plain_function(self) -> None:
        def fail(_request: Request) -> None:
            raise KeyError

        conversation = Conversation()
        conversation.site.handler = fail
        conversation.say(get(b"/"))
        self.assertEqual(conversation.heard[:12], b"HTTP/1.1 500")
        self.flushLoggedErrors(KeyError)

    def test_accident_in_the_middle_of_an_answer(self) -> None:
        """The client must not take the broken answer for a whole one."""

        async def fail(request: Request) -> None:
            request.start(200)
            request.write(b"half")
            raise KeyError

        conversation = Conversation()
        conversation.site.handler = fail
        conversation.say(get(b"/"))
        self.assertTrue(conversation.transport.aborted)
        self.assertEqual(len(conversation.site.over), 1)
        self.flushLoggedErrors(KeyError)
        conversation.transport.lose()
        self.assertEqual(len(conversation.site.over), 1)

    def test_no_answer(self) -> None:
        conversation = Conversation()
        conversation.say(get(b"/silence"))
        self.assertEqual(conversation.heard[:12], b"HTTP/1.1 500")

    def test_no_answer_after_waiting(self) -> None:
        conversation = Conversation()
        waited: Deferred[None] = Deferred()

        async def silent(_request: Request) -> None:
            await waited

        conversation.site.handler = silent
        conversation.say(get(b"/"))
        waited.callback(None)
        self.assertEqual(conversation.heard[:12], b"HTTP/1.1 500")

    def test_site_that_fails_to_count(self) -> None:
        """An accident in the site's own books does not reach the client."""
        conversation = Conversation()
        conversation.site.over = None  # type: ignore[assignment]
        conversation.say(get(b"/hello") * 2)
        self.assertEqual(conversation.heard, HELLO * 2)
        self.assertEqual(len(self.flushLoggedErrors(TypeError)), 2)

    def test_unhandled_truncation(self) -> None:
        conversation = Conversation()
        conversation.say(chunked(b"/echo", b"nonsense\r\n"))
        self.assertEqual(conversation.heard[:12], b"HTTP/1.1 400")
        self.assertIn(b"the size of a chunk is not a hexadecimal number", conversation.heard)


class LeavingTests(SynchronousTestCase):
    """What happens to a handler whose client leaves."""

    def begin(self, method: bytes, **extra: Any) -> tuple[Conversation, list[object], Deferred[None]]:
        conversation = Conversation()
        events: list[object] = []
        waiting: Deferred[None] = Deferred()

        async def work(request: Request) -> None:
            request.when_closed(lambda: events.append("closed"))
            try:
                await waiting
            except CancelledError:
                events.append("cancelled")
                raise
            events.append("done")
            request.respond(201)

        conversation.site.handler = work
        conversation.say(get(b"/", method=method))
        return conversation, events, waiting

    def test_reading_is_cancelled(self) -> None:
        for method in (b"GET", b"HEAD", b"OPTIONS"):
            conversation, events, _ = self.begin(method)
            conversation.transport.lose()
            self.assertEqual(events, ["closed", "cancelled"])
            self.assertEqual([request.status for request in conversation.site.over], [499])

    def test_changing_is_shielded(self) -> None:
        """It runs to its end, and only then counts as over."""
        for method in (b"PUT", b"POST", b"DELETE", b"PATCH", b"COPY"):
            conversation, events, waiting = self.begin(method)
            conversation.transport.lose()
            self.assertEqual(events, ["closed"])
            self.assertEqual(conversation.site.over, [])
            waiting.callback(None)
            self.assertEqual(events, ["closed", "done"])
            self.assertEqual([request.status for request in conversation.site.over], [201])

    def test_shielded_without_an_answer(self) -> None:
        conversation, _, waiting = self.begin(b"PUT")
        conversation.transport.lose()
        waiting.errback(ClientGone())
        self.assertEqual([request.status for request in conversation.site.over], [499])

    def test_nothing_after_the_end(self) -> None:
        conversation, events, waiting = self.begin(b"GET")
        waiting.callback(None)
        conversation.transport.lose()
        self.assertEqual(events, ["done"])
        self.assertEqual(len(conversation.site.over), 1)

    def test_when_closed_afterwards(self) -> None:
        conversation, events, _ = self.begin(b"GET")
        conversation.transport.lose()
        conversation.site.handled[0].when_closed(lambda: events.append("at once"))
        self.assertEqual(events, ["closed", "cancelled", "at once"])

    def test_failing_call(self) -> None:
        conversation, _, _ = self.begin(b"GET")
        called = []
        conversation.site.handled[0].when_closed(lambda: 1 // 0)  # type: ignore[arg-type]
        conversation.site.handled[0].when_closed(lambda: called.append(1))
        conversation.transport.lose()
        self.assertEqual(called, [1])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_in_the_middle_of_a_body(self) -> None:
        """A shielded reader learns that the body is cut."""
        errors = []

        async def read(request: Request) -> None:
            try:
                await request.body.read(100)
            except BodyTruncated as error:
                errors.append(error)
                request.respond(400)

        conversation = Conversation()
        conversation.site.handler = read
        conversation.say(post(b"/", b"12345")[:-1])
        conversation.transport.lose()
        self.assertEqual(len(errors), 1)
        self.assertEqual([request.status for request in conversation.site.over], [400])

    def test_writing_to_nobody(self) -> None:
        conversation = Conversation()
        waiting: Deferred[None] = Deferred()
        errors = []

        async def work(request: Request) -> None:
            request.start(200, [], 10)
            await waiting
            for send in (lambda: request.write(b"x"), lambda: request.send_file(0, 0, 9)):
                sent = send()
                assert sent is not None
                try:
                    await sent
                except ClientGone as error:
                    errors.append(error)
            request.finish()

        conversation.site.handler = work
        conversation.say(get(b"/", method=b"POST"))
        conversation.transport.lose()
        waiting.callback(None)
        self.assertEqual(len(errors), 2)
        self.assertEqual([request.status for request in conversation.site.over], [200])

    def test_start_and_refuse_for_nobody(self) -> None:
        conversation, _, waiting = self.begin(b"PUT")
        conversation.transport.lose()
        request = conversation.site.handled[0]
        request.start(200)
        request.finish()
        waiting.callback(None)
        self.flushLoggedErrors()
        self.assertEqual(len(conversation.site.over), 1)

    def test_idle(self) -> None:
        conversation = Conversation()
        conversation.transport.lose()
        self.assertEqual(conversation.factory.connections, set())

    def test_too_large_is_an_error_of_its_own(self) -> None:
        self.assertEqual(BodyTooLarge(7).limit, 7)
