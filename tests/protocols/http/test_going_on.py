"""Requests that go on elsewhere: with open files, in a newer generation, and converted between versions."""

from __future__ import annotations

import gc
import os
import weakref
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from cloudd.protocols.http import BodyAlreadyRead, ClientGone, NotExportable, Request, http_kinds
from cloudd.protocols.http._request import NAMELESS
from cloudd.protocols.http._snapshot import replace_state, take_snapshot
from reload import ConversionFailed, Converters, Incompatible, Snapshot, Spoken, States
from reload._handover_messages import Hello, KindVersions

from .conversation import TEXT, Conversation, do_nothing, get, post, text


def is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


class Ticker:
    """A stream that follows; knows which of its handlers still runs."""

    def __init__(self, follows: bool = True) -> None:
        self.follows = follows
        self.ended: list[str] = []
        self.abandoned = 0
        self.running: list[tuple[Request, Deferred[None]]] = []
        self.busy = False

    async def handle(self, request: Request) -> None:
        count = (request.resumed or {"count": 0})["count"]
        if not request.started:
            request.start(200, [TEXT])

        def tell() -> dict[str, Any]:
            if self.busy:
                raise NotExportable("busy")
            return {"count": count}

        def abandon() -> None:
            self.abandoned += 1

        request.can_move(tell, abandon, follows=self.follows)
        try:
            while True:
                turn: Deferred[None] = Deferred()
                self.running.append((request, turn))
                await turn
                count += 1
                request.write(b"%d " % count)
        except CancelledError:
            gone = request.write(b"never seen")
            assert gone is not None
            gone.addErrback(lambda failure: failure.trap(ClientGone))
            raise
        finally:
            self.ended.append(request.id)

    def turn(self) -> None:
        self.running[-1][1].callback(None)


class BeginAgainTests(SynchronousTestCase):
    """``HTTPConnection.begin_again``."""

    def setUp(self) -> None:
        self.conversation = Conversation()
        self.site = self.conversation.site
        self.ticker = Ticker()
        self.site.handler = self.ticker.handle
        self.conversation.say(get(b"/"))
        self.ticker.turn()

    def test_goes_on(self) -> None:
        """The stream has no gap, the old handler is cancelled and counts as moved, the new one as the request."""
        for _ in range(3):
            old = self.site.handled[-1]
            self.assertTrue(old.follows)
            new = self.conversation.connection.begin_again(old)
            self.assertIs(self.site.handled[-1], new)
            self.assertEqual((new.id, new.sent_bytes, new.started), (old.id, old.sent_bytes, True))
            self.ticker.turn()
        self.assertEqual(self.ticker.abandoned, 3)
        self.assertEqual(len(self.ticker.ended), 3)
        self.assertTrue(self.conversation.heard.endswith(b"2\r\n1 \r\n2\r\n2 \r\n2\r\n3 \r\n2\r\n4 \r\n"))
        self.assertEqual((self.site.away, self.site.over), (self.site.handled[:3], []))
        self.conversation.transport.lose()
        self.assertEqual(self.site.over, self.site.handled[3:])

    def test_not_now(self) -> None:
        """What cannot tell its state stays as it was."""
        self.ticker.busy = True
        request = self.site.handled[0]
        self.assertRaises(NotExportable, self.conversation.connection.begin_again, request)
        self.ticker.turn()
        self.assertEqual((self.ticker.abandoned, self.site.away), (0, []))
        self.assertTrue(self.conversation.heard.endswith(b"2\r\n2 \r\n"))

    def test_over(self) -> None:
        old = self.site.handled[0]
        self.conversation.connection.begin_again(old)
        self.assertRaises(NotExportable, self.conversation.connection.begin_again, old)

    def test_one_that_was_never_movable(self) -> None:
        conversation = Conversation()
        conversation.say(get(b"/wait"))
        cause = self.assertRaises(NotExportable, conversation.connection.begin_again, conversation.site.handled[0])
        self.assertIn("cannot tell", str(cause))
        self.assertFalse(conversation.site.handled[0].follows)

    def test_upload(self) -> None:
        """A body that is being read is read on, in the same order, by the new handler."""
        conversation = Conversation()
        conversation.say(post(b"/sum", bytes(range(40)))[:-20])
        conversation.connection.begin_again(conversation.site.handled[0])
        conversation.say(bytes(range(20, 40)), get(b"/hello"))
        expected = text(b"200 OK", b"40 40 780 ") + text(b"200 OK", b"hello GET \n")
        self.assertEqual(conversation.heard, expected)


class DescriptorTests(SynchronousTestCase):
    """Open files that travel along."""

    def setUp(self) -> None:
        self.conversation = Conversation()
        self.given: list[int] = []
        self.got: list[int] = []
        self.takes = True
        self.conversation.site.handler = self.handle

    def handle(self, request: Request) -> None:
        descriptors = list(request.resumed_descriptors) if request.resumed is None or self.takes else []
        if request.resumed is None:
            descriptors = [os.memfd_create("a"), os.memfd_create("b")]
            self.given += descriptors
        self.got += descriptors

        def let_go() -> None:
            for descriptor in descriptors:
                os.close(descriptor)

        request.can_move(dict, let_go, lambda: tuple(descriptors))

    def answer(self) -> None:
        self.conversation.site.handled[-1].respond(204)

    def test_go_along(self) -> None:
        self.conversation.say(get(b"/"))
        os.write(self.got[1], b"second")
        for _ in range(2):
            before = self.got[-2:]
            self.conversation.move()
            self.assertEqual(list(map(is_open, before)), [False, False])
            self.assertEqual(os.pread(self.got[-1], 10, 0), b"second")
        self.conversation.connection.begin_again(self.conversation.site.handled[-1])
        self.assertEqual(os.pread(self.got[-1], 10, 0), b"second")
        self.answer()
        self.assertTrue(all(map(is_open, self.got[-2:])))  # they are the handler's
        for descriptor in self.got[-2:]:
            os.close(descriptor)

    def test_nobody_takes_them(self) -> None:
        """They are closed with the request."""
        self.conversation.say(get(b"/"))
        self.takes = False
        self.conversation.move()
        request = self.conversation.site.handled[-1]
        untaken = request._descriptors[0]
        self.assertTrue(all(map(is_open, untaken)))
        self.answer()
        self.assertFalse(any(map(is_open, untaken)))

    def test_another_number(self) -> None:
        self.conversation.say(get(b"/"))
        snapshot = take_snapshot(self.conversation.connection)
        self.assertRaises(ValueError, self.conversation.factory.restore, snapshot, (self.given[0],))
        self.assertTrue(is_open(self.given[0]))
        for descriptor in self.given:
            os.close(descriptor)


class VersionTests(SynchronousTestCase):
    """Snapshots of version 1."""

    def setUp(self) -> None:
        self.kinds = http_kinds()

    def test_there_and_back(self) -> None:
        """Between requests, and in a document: all that version 1 could go on with."""
        for said in (b"", get(b"/hello")[:20], post(b"/echo", b"abcdef")[:-3]):
            conversation = Conversation()
            conversation.say(said)
            snapshot = take_snapshot(conversation.connection)
            old = self.kinds.converters.convert(snapshot, 1)
            self.assertNotIn("descriptors", old.fields["request"] or {})
            self.assertEqual(self.kinds.received(old.pack()), snapshot)

    def test_what_version_1_cannot_go_on_with(self) -> None:
        conversation = Conversation()
        conversation.say(get(b"/late"))
        snapshot = take_snapshot(conversation.connection)
        self.assertRaises(ConversionFailed, self.kinds.converters.convert, snapshot, 1)

    def test_as_it_was_written(self) -> None:
        """Bytes that version 1 wrote in the middle of a document."""
        request = {
            "id": "req-1", "route": "unknown", "project_id": "", "status": 0, "sent_bytes": 0, "started": False,
            "finished": False, "reported": False, "keep": True, "head": post(b"/echo", b"abcdef")[:-6], "age_s": 0.5,
            "body": {"received": 3, "decoder": {"kind": "length", "left": 3}, "awaits_continue": False,
                     "collected": b"abc"},
            "handler": None, "chunked": False, "bodiless": False, "length": None,
        }  # fmt: skip
        fields = {"peer": "192.0.2.7:4711", "unparsed": b"", "output": b"", "eof": False, "silent_s": 0.1}
        written = Snapshot("http-connection", 1, {**fields, "face": "api", "request": request}).pack()
        conversation = Conversation()
        conversation.connection = conversation.factory.resume(self.kinds.received(written), conversation.transport)
        conversation.say(b"def")
        self.assertTrue(conversation.heard.endswith(b"[abcdef]"))


class StateVersionTests(SynchronousTestCase):
    """Versions 2 and 3: kind and version of a handler's state were among its fields, and are beside them."""

    def setUp(self) -> None:
        self.kinds = http_kinds()
        self.conversation = Conversation()
        self.conversation.site.handler = Ticker().handle

    def taken(self, state: tuple[str, int]) -> Snapshot:
        self.conversation.say(get(b"/"))
        request = self.conversation.site.handled[-1]
        assert request.move is not None
        request.can_move(request.move.tell, do_nothing, state=state)
        return take_snapshot(self.conversation.connection)

    def test_there_and_back(self) -> None:
        snapshot = self.taken(("event-stream", 1))
        old = self.kinds.converters.convert(snapshot, 2)
        self.assertEqual(old.fields["request"]["handler"], {"count": 0, "kind": "event-stream", "version": 1})
        self.assertEqual(self.kinds.received(old.pack()), snapshot)

    def test_event_streams_of_version_2(self) -> None:
        """They told a version alone."""
        snapshot = self.taken(("event-stream", 1))
        old = self.kinds.converters.convert(snapshot, 2)
        del old.fields["request"]["handler"]["kind"]
        self.assertEqual(self.kinds.received(old.pack()), snapshot)

    def test_greeted_by_older_code(self) -> None:
        """Its greeting names no states: they go in the version, and the form, of then."""
        newer = Converters()
        newer.add("s3-put", 1, up=lambda old: {"counted": old["count"]}, down=lambda new: {"count": new["counted"]})
        kinds = http_kinds(lambda: Spoken([States({"s3-put": 2, "later": 1}, newer)]))
        reads = KindVersions(writes=(1, 2), reads=(1, 2))
        agreement = kinds.agree(Hello(protocols=(1,), kinds={"http-connection": reads}))
        self.assertEqual((agreement.unsendable, agreement.unreadable), ((), ()))
        told = replace_state(self.taken(("s3-put", 1)), lambda state: Snapshot("s3-put", 2, {"counted": 7}))
        sent = kinds.to_send(told, agreement)
        self.assertEqual(sent.version, 2)
        self.assertEqual(sent.fields["request"]["handler"], {"count": 7, "kind": "s3-put", "version": 1})
        self.assertEqual(kinds.received(sent.pack()), told)

    def test_states_that_nobody_named(self) -> None:
        """They stay in the process that told them."""
        kinds = http_kinds(lambda: Spoken([States()]))
        snapshot = self.taken(NAMELESS)
        self.assertRaises(Incompatible, kinds.to_send, snapshot, kinds.agree(kinds.hello()))


class GuardTests(SynchronousTestCase):
    """What must not go wrong."""

    def test_no_knot(self) -> None:
        """When a request has ended nothing of its handler is left, without the collector."""

        class Kept:
            """Stands for a handler's code."""

        alive: list[weakref.ref[Kept]] = []

        def answer(request: Request) -> None:
            kept = Kept()
            alive.append(weakref.ref(kept))
            request.can_move(lambda: {"kept": repr(kept), "id": request.id}, do_nothing)

        conversation = Conversation()
        conversation.site.handler = answer
        gc.disable()
        self.addCleanup(gc.enable)
        conversation.say(get(b"/"))
        self.assertIsNotNone(alive[0]())
        conversation.site.handled[0].respond(204)
        self.assertIsNone(alive[0]())
        conversation.say(get(b"/"))
        conversation.move()
        self.assertEqual([each() is None for each in alive], [True, True, False])
        conversation.transport.lose()
        self.assertEqual([each() is None for each in alive], [True, True, True])

    def test_handler_that_does_not_know_of_it(self) -> None:
        """The rest of a body is not taken for the whole of it by code that begins from the beginning."""
        conversation = Conversation()
        conversation.say(post(b"/sum", b"abcdef")[:-3])

        async def ignorant(request: Request) -> None:
            await request.body.stream_to(self)

        conversation.site.handler = ignorant
        conversation.move()
        self.assertEqual(conversation.heard[:12], b"HTTP/1.1 500")
        self.assertEqual(len(self.flushLoggedErrors(BodyAlreadyRead)), 1)

    def write(self, data: bytes) -> None:
        self.fail("nothing is read")

    def test_frozen(self) -> None:
        """What is offered holds still, though a sink that was busy is ready; thawed it goes on."""
        busy: list[Deferred[None]] = []
        taken: list[bytes] = []

        class Slow:
            def write(self, data: bytes) -> Deferred[None]:
                taken.append(data)
                busy.append(Deferred())
                return busy[-1]

        async def read(request: Request) -> None:
            await request.body.stream_to(Slow())
            request.respond(200, [TEXT], b"".join(taken))

        conversation = Conversation()
        conversation.site.handler = read
        conversation.say(post(b"/", b"abcdef")[:-3], b"d", b"ef")
        conversation.connection.frozen = True
        busy[0].callback(None)
        self.assertEqual(taken, [b"abc"])
        conversation.connection.thawed()
        self.assertEqual(taken, [b"abc", b"def"])
        conversation.connection.frozen = True
        busy[1].callback(None)
        self.assertEqual(conversation.heard, b"")
        conversation.connection.thawed()
        self.assertEqual(conversation.heard, text(b"200 OK", b"abcdef"))


class MayMoveTests(SynchronousTestCase):
    """``HTTPServerFactory.may_move``."""

    def setUp(self) -> None:
        self.conversation = Conversation()
        self.told: list[Any] = []
        self.conversation.factory.may_move = self.told.append

    def turn(self) -> int:
        self.told.clear()
        self.conversation.clock.advance(0)
        return self.told.count(self.conversation.connection)

    def test_end_of_a_request(self) -> None:
        """Once for all that has ended in one event, when the connection has come to rest."""
        self.conversation.say(get(b"/hello") * 3)
        self.assertEqual(self.told, [])
        self.assertEqual(self.turn(), 1)
        self.assertEqual(self.turn(), 0)

    def test_handler_that_can_tell_now(self) -> None:
        self.conversation.say(get(b"/wait"))
        self.assertEqual(self.turn(), 0)
        self.conversation.site.handled[0].can_move(dict, do_nothing)
        self.assertEqual(self.turn(), 1)

    def test_output_that_has_become_less(self) -> None:
        """A long answer to a slow client was perhaps too large to be told."""
        self.conversation.transport.room = 10
        self.conversation.say(get(b"/hello"))
        self.assertEqual(self.turn(), 1)
        self.assertEqual(self.turn(), 0)
        self.conversation.transport.take()
        self.assertEqual(self.turn(), 1)

    def test_gone(self) -> None:
        self.conversation.transport.lose()
        self.assertEqual(self.turn(), 1)

    def test_trouble_is_not_the_connections(self) -> None:
        def fail(_: object) -> None:
            raise ValueError("no")

        self.conversation.factory.may_move = fail
        self.conversation.say(get(b"/hello"))
        self.conversation.clock.advance(0)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        self.conversation.say(get(b"/hello"))
        self.assertEqual(self.conversation.heard.count(b"hello GET"), 2)


class WaitingTests(SynchronousTestCase):
    """Requests from another process, whose handlers begin in turn."""

    def adopted(self, *said: bytes) -> Conversation:
        """A conversation in the middle of a move: its request has not begun in the new process."""
        conversation = Conversation()
        conversation.say(*said)
        self.move(conversation)
        return conversation

    def move(self, conversation: Conversation) -> None:
        snapshot = Snapshot.unpack(take_snapshot(conversation.connection).pack())
        request = conversation.connection.request
        assert request is not None
        descriptors = tuple(map(os.dup, request.descriptors_to_move()))
        conversation.connection.moved_away(conversation.site.moved)
        conversation.connection = conversation.factory.restore(snapshot, descriptors)
        conversation.connection.waits = True
        conversation.connection.makeConnection(conversation.transport)

    def test_turn(self) -> None:
        """Bytes that come meanwhile wait as well."""
        conversation = self.adopted(post(b"/sum", b"abcdef")[:-3])
        conversation.connection.dataReceived(b"def")
        self.assertEqual((len(conversation.site.handled), conversation.heard), (1, b""))
        conversation.clock.advance(0)
        self.assertEqual(conversation.heard, text(b"200 OK", b"6 6 597 "))

    def test_slices(self) -> None:
        """The reactor has its turn between them."""
        conversation = Conversation()
        factory, begun = conversation.factory, list[object]()

        class Slow:
            def begin_waiting(self) -> None:
                begun.append(self)
                conversation.clock.rightNow += 0.002

        turns: list[int] = []
        call_later = conversation.clock.callLater

        def noting(*args: Any) -> Any:
            turns.append(len(begun))
            return call_later(*args)

        self.patch(conversation.clock, "callLater", noting)
        for _ in range(6):
            factory.begin_later(Slow())  # type: ignore[arg-type]
        conversation.clock.advance(0)
        self.assertEqual((turns, len(begun)), ([0, 3], 6))

    def test_trouble_of_one(self) -> None:
        class Broken:
            def begin_waiting(self) -> None:
                raise ValueError("no")

        conversation = Conversation()
        conversation.factory.begin_later(Broken())  # type: ignore[arg-type]
        conversation.say(get(b"/late"))
        self.move(conversation)
        conversation.clock.advance(0)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        self.assertEqual(len(conversation.site.handled), 2)

    def test_client_leaves(self) -> None:
        """It never begins; it is reported once."""
        conversation = self.adopted(get(b"/late"))
        conversation.transport.protocol = conversation.connection
        conversation.transport.lose()
        conversation.clock.advance(0)
        self.assertEqual(len(conversation.site.handled), 1)
        self.assertEqual([request.status for request in conversation.site.over], [499])

    def test_moved_on(self) -> None:
        """Before its turn: with the state and the files that it came with."""
        opened = os.memfd_create("a")
        self.addCleanup(os.close, opened)
        conversation = Conversation()
        taken: list[tuple[object, tuple[int, ...]]] = []

        def answer(request: Request) -> None:
            if request.resumed is not None:
                taken.append((request.resumed, request.resumed_descriptors))
            request.can_move(lambda: {"a": 1}, do_nothing, lambda: (opened,))

        conversation.site.handler = answer
        conversation.say(get(b"/"))
        self.move(conversation)
        self.move(conversation)
        self.assertEqual(taken, [])
        conversation.clock.advance(0)
        ((state, (descriptor,)),) = taken
        self.assertEqual(state, {"a": 1})
        self.assertTrue(os.path.samestat(os.fstat(descriptor), os.fstat(opened)))
        os.close(descriptor)

    def test_offered_in_its_turn(self) -> None:
        """What is frozen begins when it is thawed."""
        conversation = self.adopted(get(b"/late"))
        conversation.connection.frozen = True
        conversation.clock.advance(0)
        self.assertEqual(len(conversation.site.handled), 1)
        conversation.connection.thawed()
        self.assertEqual(len(conversation.site.handled), 2)
