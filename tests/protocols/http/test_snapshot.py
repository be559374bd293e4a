"""What can be moved to another process, what cannot, and that asking changes nothing."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from cloudd.protocols.http import NotExportable, Request
from cloudd.protocols.http._snapshot import take_snapshot
from reload import Snapshot

from .conversation import TEXT, Conversation, chunked, do_nothing, get, post, text


class Counter:
    """A long answer, one number a turn; its state is the last number."""

    def __init__(self) -> None:
        self.running: list[Request] = []

    def __call__(self, request: Request) -> None:
        count = (request.resumed or {"count": 0})["count"]
        if not request.started:
            request.start(200, [TEXT])
        request.can_move(lambda: {"count": count}, do_nothing)
        self.running.append(request)

        def turn() -> None:
            nonlocal count
            count += 1
            request.write(b"%d " % count)

        self.turn = turn


class SnapshotTests(SynchronousTestCase):
    def cause(self, conversation: Conversation) -> str:
        cause: str = self.assertRaises(NotExportable, take_snapshot, conversation.connection).cause
        return cause

    def test_stream(self) -> None:
        """A stream that has begun goes on without a gap, and is reported once, where it ends."""
        conversation = Conversation()
        counter = Counter()
        conversation.site.handler = counter
        conversation.say(get(b"/"))
        for _ in range(3):
            counter.turn()
            conversation.move()
        request = counter.running[-1]
        self.assertEqual((request.sent_bytes, request.status, request.resumed), (6, 200, {"count": 3}))
        request.finish()
        self.assertTrue(conversation.heard.endswith(b"2\r\n1 \r\n2\r\n2 \r\n2\r\n3 \r\n0\r\n\r\n"))
        self.assertEqual(conversation.site.over, [request])
        conversation.site.handler = None
        conversation.say(get(b"/hello"))
        self.assertTrue(conversation.heard.endswith(text(b"200 OK", b"hello GET \n")))

    def test_declared_length(self) -> None:
        """What is left of a declared answer is still counted."""
        conversation = Conversation()
        conversation.site.handler = self.half_known
        conversation.say(get(b"/"))
        conversation.move()
        self.assertEqual(conversation.heard[-4:], b"abcd")
        self.assertTrue(conversation.state[1])

    def half_known(self, request: Request) -> None:
        request.can_move(dict, do_nothing)
        if request.resumed is None:
            request.start(200, [TEXT], 4)
            request.write(b"ab")
        else:
            request.write(b"cd")
            request.finish()

    def test_facts_go_along(self) -> None:
        conversation = Conversation()
        conversation.say(get(b"/late", b"X-OpenStack-Request-ID: req-01234567-89ab-4cde-8f01-23456789abcd"))
        old = conversation.site.handled[0]
        old.route, old.project_id = "/late", "p"
        conversation.clock.advance(3)
        conversation.move()
        new = conversation.site.handled[1]
        self.assertIsNot(old, new)
        facts = (new.id, new.route, new.project_id, new.peer, new.began)
        self.assertEqual(facts, (old.id, "/late", "p", old.peer, old.began))

    def test_time_goes_on(self) -> None:
        """A move does not give a slow client more time."""
        conversation = Conversation()
        conversation.say(get(b"/hello")[:9])
        conversation.clock.pump([1] * 20)
        conversation.move()
        conversation.clock.pump([1] * 11)
        self.assertEqual(conversation.heard[:12], b"HTTP/1.1 408")

    def test_half_closed(self) -> None:
        conversation = Conversation()
        conversation.say(get(b"/late"))
        conversation.half_close()
        conversation.move()
        conversation.site.late.pop()()
        self.assertEqual(conversation.state, (text(b"200 OK", b"late"), False))

    def test_unsent_output(self) -> None:
        conversation = Conversation()
        conversation.transport.unsent_bytes = b"rest"
        conversation.move()
        self.assertEqual(conversation.heard, b"rest")

    def test_asking_changes_nothing(self) -> None:
        message = chunked(b"/sum", b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n") + post(b"/echo", b"abc")
        for cut in range(1, len(message)):
            conversation = Conversation()
            conversation.say(message[:cut])
            first = take_snapshot(conversation.connection)
            self.assertEqual(first, take_snapshot(conversation.connection))
            conversation.say(message[cut:])
            self.assertTrue(conversation.heard.endswith(b"[abc]"))

    def test_handler_that_cannot_be_moved(self) -> None:
        conversation = Conversation()
        conversation.say(get(b"/wait"))
        self.assertIn("cannot tell its state", self.cause(conversation))

    def test_document_that_was_read(self) -> None:
        """Once the document is there, the handler may have changed something: it is not begun again."""

        async def work(request: Request) -> None:
            await request.body.read(10)
            await Deferred()

        conversation = Conversation()
        conversation.site.handler = work
        conversation.say(post(b"/", b"abc"))
        self.cause(conversation)

    def test_document_goes_along(self) -> None:
        """A handler that can be moved finds the document again."""

        async def work(request: Request) -> None:
            body = await request.body.read(10)
            request.can_move(dict, do_nothing)
            if request.resumed is None:
                await Deferred()
            request.respond(200, [TEXT], body)

        conversation = Conversation()
        conversation.site.handler = work
        conversation.say(post(b"/", b"abc"))
        conversation.move()
        self.assertEqual(conversation.heard, text(b"200 OK", b"abc"))

    def test_closing(self) -> None:
        conversation = Conversation()
        conversation.say(b"nonsense\r\n")
        self.assertIn("being closed", self.cause(conversation))

    def test_broken_body(self) -> None:
        conversation = Conversation()
        conversation.site.handler = self.read_and_wait
        conversation.say(chunked(b"/", b"nonsense\r\n"))
        self.assertIn("ended early", self.cause(conversation))

    async def read_and_wait(self, request: Request) -> None:
        try:
            await request.body.read(10)
        except Exception:
            await Deferred()

    def test_transport_that_cannot_tell(self) -> None:
        conversation = Conversation()
        conversation.connection.transport = object()
        self.assertIn("transport", self.cause(conversation))

    def test_all(self) -> None:
        conversation = Conversation()
        conversation.say(get(b"/wait"))
        self.assertIsInstance(conversation.factory.snapshot_all()[conversation.connection], NotExportable)
        conversation = Conversation()
        self.assertIsInstance(conversation.factory.snapshot_all()[conversation.connection], Snapshot)

    def test_other_snapshots(self) -> None:
        factory = Conversation().factory
        for kind, version in (("http-connection", 2), ("http-connection", 4), ("other", 3)):
            self.assertRaises(ValueError, factory.restore, Snapshot(kind, version, {"peer": ""}))
