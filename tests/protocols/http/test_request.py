"""The facts of a request and the forms of an answer."""

from __future__ import annotations

import os
import tempfile
from types import SimpleNamespace

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from cloudd.protocols.http import AnswerMisused, ClientGone, FileTooShort, Request, changes_state
from cloudd.protocols.http._answer import header_block, http_date, status_line
from cloudd.protocols.http._factory import peer_text
from cloudd.protocols.http._ids import RequestIds

from .conversation import NEW_ID, TEXT, Conversation, answer, get, post, text


def begin(message: bytes, face: str = "api") -> tuple[Conversation, Request]:
    """A request whose handler has not done anything yet."""
    conversation = Conversation(face=face)
    conversation.site.handler = lambda request: None
    conversation.say(message)
    return conversation, conversation.site.handled[0]


class FactTests(SynchronousTestCase):
    def test_facts(self) -> None:
        conversation, request = begin(get(b"/a%20b/c?x=1?2", b"X-A: 1 ", b"x-a:\t2", b"X-Empty:"))
        facts = (request.method, request.target, request.path, request.query, request.version)
        self.assertEqual(facts, (b"GET", b"/a%20b/c?x=1?2", b"/a%20b/c", b"x=1?2", (1, 1)))
        self.assertEqual(request.headers[1:], [(b"x-a", b"1"), (b"x-a", b"2"), (b"x-empty", b"")])
        self.assertEqual(request.header(b"x-a"), b"1, 2")
        self.assertEqual(request.header_values(b"x-a"), [b"1", b"2"])
        self.assertEqual((request.header(b"x-empty"), request.header(b"x-none")), (b"", None))
        self.assertEqual(
            (request.peer, request.face, request.route, request.project_id), ("192.0.2.7:4711", "api", "unknown", "")
        )
        self.assertEqual(request.began, conversation.clock.seconds())
        self.assertIs(request.transport, conversation.transport)
        self.assertIn("GET", repr(request))

    def test_absolute_target(self) -> None:
        """Its host replaces the field's, its path is the path."""
        _, request = begin(get(b"https://Other:81/a?b", b"X-A: 1"))
        self.assertEqual((request.path, request.query, request.header(b"host")), (b"/a", b"b", b"Other:81"))
        self.assertEqual(request.headers, [(b"host", b"Other:81"), (b"x-a", b"1")])
        for target, path in {b"http://h": b"/", b"http://h?q": b"/", b"http://h/": b"/"}.items():
            self.assertEqual(begin(get(target))[1].path, path)

    def test_http_1_0_needs_no_host(self) -> None:
        _, request = begin(b"GET / HTTP/1.0\r\n\r\n")
        self.assertEqual((request.version, request.keep), ((1, 0), False))

    def test_many_hosts(self) -> None:
        """Valid hosts are remembered, not without end."""
        conversation = Conversation()
        for number in range(1_000):
            conversation.say(b"GET /hello HTTP/1.1\r\nHost: h%d\r\n\r\n" % number)
        self.assertEqual(len(conversation.site.over), 1_000)
        self.assertLess(len(conversation.factory.parser._hosts), 300)

    def test_ids(self) -> None:
        own = b"req-01234567-89AB-4cde-8f01-23456789abcd"
        for sent, got in {own: own, own + b"0": NEW_ID, own[:-1]: NEW_ID, b"x": NEW_ID, own[4:]: NEW_ID}.items():
            conversation, request = begin(get(b"/", b"X-OpenStack-Request-ID: " + sent))
            request.respond(200)
            self.assertEqual(request.id.encode(), got)
            self.assertIn(b"\r\nx-openstack-request-id: " + got + b"\r\n", conversation.heard)

    def test_new_ids(self) -> None:
        ids = RequestIds()
        made = {ids.new() for _ in range(1_000)}
        self.assertEqual(len(made), 1_000)
        for one in made:
            self.assertRegex(one, r"\Areq-[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}\Z")

    def test_id_names_of_the_faces(self) -> None:
        for face, name in {"object": b"x-trans-id", "s3": b"x-amz-request-id"}.items():
            conversation, request = begin(get(b"/"), face)
            request.respond(200)
            self.assertIn(b"\r\n%b: %b\r\n" % (name, NEW_ID), conversation.heard)
            self.assertIn(b"\r\nx-openstack-request-id: " + NEW_ID, conversation.heard)

    def test_changes_state(self) -> None:
        self.assertEqual(
            [changes_state(m) for m in (b"GET", b"HEAD", b"OPTIONS", b"POST", b"COPY")], [False] * 3 + [True] * 2
        )

    def test_peers(self) -> None:
        from twisted.internet.address import IPv6Address, UNIXAddress

        self.assertEqual(peer_text(IPv6Address("TCP", "::1", 5)), "[::1]:5")
        self.assertEqual(peer_text(UNIXAddress(None)), "local")


class AnswerTests(SynchronousTestCase):
    def test_respond(self) -> None:
        conversation, request = begin(get(b"/"))
        request.respond(200, [TEXT], b"abc")
        self.assertEqual(conversation.heard, text(b"200 OK", b"abc"))
        self.assertEqual((request.status, request.sent_bytes, request.started, request.finished), (200, 3, True, True))
        self.assertEqual(conversation.site.over, [request])

    def test_large(self) -> None:
        conversation, request = begin(get(b"/"))
        request.respond(200, [TEXT], b"a" * 200_000)
        self.assertEqual(conversation.heard, text(b"200 OK", b"a" * 200_000))

    def test_head(self) -> None:
        conversation, request = begin(get(b"/", method=b"HEAD"))
        request.respond(200, [TEXT], b"abc")
        self.assertEqual(conversation.heard, text(b"200 OK", b"abc")[:-3])
        self.assertEqual(request.sent_bytes, 0)

    def test_head_of_known_length(self) -> None:
        conversation, request = begin(get(b"/", method=b"HEAD"))
        request.start(200, [TEXT], 10**12)
        self.assertIs(request.write(b"ignored"), None)
        request.finish()
        self.assertEqual(
            conversation.state,
            (answer(b"200 OK", b"Content-Length: 1000000000000", b"", b"Content-Type: text/plain"), True),
        )

    def test_head_of_unknown_length(self) -> None:
        conversation, request = begin(get(b"/", method=b"HEAD"))
        request.start(200)
        request.finish()
        self.assertEqual(conversation.heard, answer(b"200 OK", b"Transfer-Encoding: chunked", b""))

    def test_bodiless(self) -> None:
        conversation, request = begin(get(b"/"))
        request.respond(204, [], b"ignored")
        self.assertEqual(conversation.heard, answer(b"204 No Content", b"", b""))
        conversation, request = begin(get(b"/"))
        request.start(304, [], 7)
        request.finish()
        self.assertEqual(conversation.state, (answer(b"304 Not Modified", b"Content-Length: 7", b""), True))
        conversation, request = begin(get(b"/"))
        request.start(204, [], 7)
        request.finish()
        self.assertEqual(conversation.heard, answer(b"204 No Content", b"", b""))

    def test_unknown_status(self) -> None:
        self.assertEqual(status_line(299), b"HTTP/1.1 299 Status 299\r\n")

    def test_dates(self) -> None:
        self.assertEqual(http_date(784_111_777), b"Sun, 06 Nov 1994 08:49:37 GMT")

    def test_split_answers_are_refused(self) -> None:
        """Text of a client that becomes a header value cannot become a header."""
        for header in ((b"a", b"b\r\nc: d"), (b"a\nb", b"c"), (b"a", b"\0"), (b"a", b"b\r")):
            self.assertRaises(ValueError, header_block, [header])
        conversation, request = begin(get(b"/"))
        self.assertRaises(ValueError, request.respond, 200, [(b"a", b"\n")])
        self.assertEqual(conversation.heard, b"")
        request.respond(500)
        self.assertEqual(conversation.heard[:12], b"HTTP/1.1 500")

    def test_misuse(self) -> None:
        conversation, request = begin(get(b"/"))
        self.assertRaises(AnswerMisused, request.write, b"x")
        self.assertRaises(AnswerMisused, request.finish)
        request.start(200, [], 3)
        self.assertRaises(AnswerMisused, request.start, 200)
        self.assertRaises(AnswerMisused, request.respond, 200)
        self.assertRaises(AnswerMisused, request.write, b"long")
        self.assertRaises(AnswerMisused, request.send_file, 0, 0, 4)
        request.write(b"abc")
        request.finish()
        request.finish()
        request.abort()
        self.assertFalse(request.broken, "it was whole by then")
        self.assertRaises(AnswerMisused, request.write, b"")
        self.assertTrue(conversation.state[1])

    def test_short_answer(self) -> None:
        conversation, request = begin(get(b"/"))
        request.start(200, [], 3)
        request.write(b"ab")
        request.finish()
        self.assertTrue(conversation.transport.aborted)
        self.assertEqual((conversation.site.over, request.broken), ([request], True))

    def test_old_client_gets_its_kind_of_stream(self) -> None:
        conversation, request = begin(get(b"/", b"Connection: keep-alive", version=b"HTTP/1.0"))
        request.start(200)
        request.write(b"abc")
        request.finish()
        self.assertEqual(conversation.state, (answer(b"200 OK", b"Connection: close", b"abc"), False))

    def test_old_client_is_told_that_it_may_stay(self) -> None:
        conversation, request = begin(get(b"/", b"Connection: keep-alive", version=b"HTTP/1.0"))
        request.respond(200, [], b"")
        self.assertEqual(conversation.heard, answer(b"200 OK", b"Content-Length: 0\r\nConnection: keep-alive", b""))

    def test_back_pressure(self) -> None:
        conversation, request = begin(get(b"/"))
        conversation.transport.room = 10_000
        request.start(200, [], 40_000)
        self.assertIs(request.write(b"a" * 5_000), None)
        waiting = request.write(b"b" * 20_000)
        assert waiting is not None
        self.assertNoResult(waiting)
        conversation.transport.take()
        self.successResultOf(waiting)

    def test_back_pressure_of_a_client_that_leaves(self) -> None:
        conversation, request = begin(get(b"/"))
        conversation.transport.room = 10
        request.start(200, [], 40_000)
        waiting = request.write(b"a" * 20_000)
        conversation.transport.lose()
        assert waiting is not None
        self.failureResultOf(waiting, ClientGone)

    def test_unread_answer_is_reported_once(self) -> None:
        conversation, request = begin(get(b"/"))
        request.start(200)
        conversation.transport.lose()
        request.finish()
        self.assertEqual(conversation.site.over, [request])

    def test_second_request_of_the_connection(self) -> None:
        conversation, request = begin(post(b"/", b"abc") + get(b"/"))
        request.respond(200)
        self.assertEqual(len(conversation.site.handled), 2)


class FileTests(SynchronousTestCase):
    """Files to a transport without sendfile."""

    def setUp(self) -> None:
        self.content = os.urandom(300_000)
        self.file = self.enterContext(tempfile.TemporaryFile())
        self.file.write(self.content)
        self.file.flush()
        self.conversation, self.request = begin(get(b"/"))

    def send(self, offset: int, length: int) -> Deferred[None]:
        return self.request.send_file(self.file.fileno(), offset, length)

    def test_mixed_with_writes(self) -> None:
        for size in (1_000, 200_000):
            self.conversation, self.request = begin(get(b"/"))
            self.request.start(200, [TEXT], size + 2)
            self.request.write(b"<")
            self.successResultOf(self.send(17, size))
            self.request.write(b">")
            self.request.finish()
            self.assertEqual(self.conversation.heard, text(b"200 OK", b"<" + self.content[17 : 17 + size] + b">"))
            self.assertEqual(self.request.sent_bytes, size + 2)

    def test_chunked(self) -> None:
        self.request.start(200)
        self.successResultOf(self.send(0, 1_000))
        self.successResultOf(self.send(0, 0))
        self.request.finish()
        self.assertTrue(self.conversation.heard.endswith(b"3e8\r\n" + self.content[:1_000] + b"\r\n0\r\n\r\n"))

    def test_at_the_clients_speed(self) -> None:
        self.conversation.transport.room = 70_000
        self.request.start(200, [], 300_000)
        sent = self.send(0, 300_000)
        got = b""
        while piece := self.conversation.transport.take():
            self.assertLess(len(piece), 150_000)
            got += piece
        self.successResultOf(sent)
        self.assertTrue(got.endswith(self.content))

    def test_client_leaves(self) -> None:
        self.conversation.transport.room = 70_000
        self.request.start(200, [], 300_000)
        sent = self.send(0, 300_000)
        self.conversation.transport.lose()
        self.failureResultOf(sent, ClientGone)
        os.fstat(self.file.fileno())

    def test_short_file(self) -> None:
        for offset, length in ((299_999, 2), (299_999, 100_000)):
            self.conversation, self.request = begin(get(b"/"))
            self.request.start(200, [], length)
            self.failureResultOf(self.send(offset, length), FileTooShort)

    def test_head_sends_nothing(self) -> None:
        conversation, request = begin(get(b"/", method=b"HEAD"))
        request.start(200, [], 300_000)
        self.successResultOf(request.send_file(self.file.fileno(), 0, 300_000))
        request.finish()
        self.assertTrue(conversation.heard.endswith(b"\r\n\r\n"))


class LongAnswerTests(SynchronousTestCase):
    """What an answer without an end asks."""

    def test_forgotten_fields(self) -> None:
        """They are gone here, for this request alone, and there again where it goes on."""
        conversation, request = begin(get(b"/", b"X-A: 1"))
        request.start(200, [TEXT])
        request.can_move(dict, lambda: None)
        request.forget_fields()
        self.assertEqual((request.header(b"x-a"), request.headers), (None, []))
        conversation.move()
        again = conversation.connection.request
        assert again is not None
        self.assertEqual(again.header(b"x-a"), b"1")

    def test_at_once(self) -> None:
        """The same bytes on the wire."""
        for framing in (get(b"/"), get(b"/", version=b"HTTP/1.0")):
            heard = set()
            for at_once in (True, False):
                conversation, request = begin(framing)
                request.start(200, [TEXT])
                self.assertIsNone(request.write(b"some", at_once=at_once))
                request.finish()
                heard.add(conversation.heard)
            self.assertEqual(len(heard), 1, heard)
            self.assertIn(b"some", heard.pop())

    def test_state_of_the_connection(self) -> None:
        """Whether it holds still, whether the process ends, and what waits in it."""
        conversation, request = begin(get(b"/"))
        self.assertEqual((request.held, request.process_ends, request.unsent_bytes), (False, False, 0))
        conversation.connection.frozen = True
        conversation.factory.drain(1)
        self.assertEqual((request.held, request.process_ends), (True, True))
        conversation.connection.transport = SimpleNamespace(unsent=7)
        self.assertEqual(request.unsent_bytes, 7)
