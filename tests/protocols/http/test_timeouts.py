"""The factory's one timer, and the ordered end of all connections."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from cloudd.interfaces.settings import HTTPSettings
from cloudd.protocols.http import BodyTruncated, Request, _factory

from .conversation import TEXT, Conversation, get, ignore_truncation, post

LIMITS = HTTPSettings(idle_timeout_s=10, head_timeout_s=5, body_timeout_s=7, write_timeout_s=9)


class TimeoutTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.conversation = Conversation(limits=LIMITS)
        self.transport = self.conversation.transport

    def wait(self, seconds: int) -> None:
        self.conversation.clock.pump([1] * seconds)

    def test_idle(self) -> None:
        self.conversation.say(get(b"/hello"))
        self.wait(9)
        self.assertFalse(self.transport.closing)
        self.wait(2)
        self.assertTrue(self.transport.closing)

    def test_never_used(self) -> None:
        self.wait(11)
        self.assertTrue(self.transport.closing)
        self.assertEqual(self.conversation.heard, b"")

    def test_each_request_counts_anew(self) -> None:
        for _ in range(4):
            self.conversation.say(get(b"/hello"))
            self.wait(8)
        self.assertFalse(self.transport.closing)

    def test_slow_head(self) -> None:
        """Dripping bytes does not help: the whole head has its time."""
        for byte in get(b"/hello")[:6]:
            self.conversation.say(bytes([byte]))
            self.wait(1)
        self.assertEqual(self.conversation.heard[:12], b"HTTP/1.1 408")
        self.assertTrue(self.transport.half_closed)

    def test_endless_empty_lines(self) -> None:
        for _ in range(3):
            self.conversation.say(b"\r\n")
            self.wait(2)
        self.assertEqual(self.conversation.heard[:12], b"HTTP/1.1 408")

    def test_silent_body(self) -> None:
        self.conversation.site.handler = ignore_truncation
        self.conversation.say(post(b"/", b"12345")[:-2])
        self.wait(6)
        self.conversation.say(b"4")
        self.wait(6)
        self.assertEqual(self.conversation.heard, b"")
        self.wait(2)
        self.assertIn(b"\r\nConnection: close\r\n", self.conversation.heard)
        self.assertTrue(self.conversation.heard.endswith(b"cut"))
        self.assertTrue(self.transport.half_closed)

    def test_silent_rest_of_an_answered_body(self) -> None:
        self.conversation.say(post(b"/refuse", b"12345")[:-2])
        self.wait(8)
        self.assertTrue(self.transport.half_closed)

    def test_slow_sink_is_not_the_clients_fault(self) -> None:
        class Busy:
            def write(self, data: bytes) -> Deferred[None]:
                return Deferred()

        async def store(request: Request) -> None:
            await request.body.stream_to(Busy())

        self.conversation.site.handler = store
        self.conversation.say(post(b"/", b"12345")[:-2])
        self.wait(30)
        self.assertEqual(self.conversation.state, (b"", True))

    def test_slow_handler(self) -> None:
        self.conversation.say(get(b"/late"))
        self.wait(100)
        self.conversation.site.late.pop()()
        self.assertTrue(self.conversation.heard.endswith(b"\r\n\r\nlate"))
        self.assertTrue(self.conversation.state[1])

    def test_client_that_takes_nothing(self) -> None:
        self.transport.room = 10
        self.conversation.say(get(b"/hello"))
        self.wait(9)
        self.assertFalse(self.transport.aborted)
        self.wait(2)
        self.assertTrue(self.transport.aborted)

    def test_client_that_takes_slowly(self) -> None:
        self.transport.room = 10
        for _ in range(5):
            self.conversation.say(get(b"/hello"))
            self.wait(8)
            self.transport.take()
            self.wait(1)
        self.assertFalse(self.transport.aborted)

    def test_lingering_ends(self) -> None:
        """A refused client that goes silent is cut after a while, one that sends for ever too."""
        self.conversation.say(b"nonsense\r\n")
        self.wait(5)
        self.assertFalse(self.transport.aborted)
        self.wait(2)
        self.assertTrue(self.transport.aborted)
        stubborn = Conversation(limits=LIMITS, clock=self.conversation.clock)
        stubborn.say(b"nonsense\r\n")
        for _ in range(30):
            stubborn.connection.dataReceived(b"more")
            self.wait(1)
        self.assertFalse(stubborn.transport.aborted)
        stubborn.connection.dataReceived(b"more")
        self.wait(1)
        self.assertTrue(stubborn.transport.aborted)

    def test_sweep_rests_without_connections(self) -> None:
        self.transport.lose()
        self.wait(3)
        self.assertEqual(self.conversation.clock.getDelayedCalls(), [])

    def test_sweep_survives_a_broken_connection(self) -> None:
        other = Conversation(clock=self.conversation.clock, limits=LIMITS)
        self.conversation.factory.connections.add(other.connection)
        other.connection.closed_at = "broken"  # type: ignore[assignment]
        other.connection.closing = True
        other.connection.since = self.conversation.clock.seconds()
        self.wait(11)
        self.assertTrue(other.transport.aborted)
        self.assertTrue(self.transport.closing)
        self.assertTrue(self.flushLoggedErrors(TypeError))

    def test_sweep_lets_others_in(self) -> None:
        """Of many connections some are looked at in each turn of the reactor, and all in the end."""
        clock = self.conversation.clock
        connections = self.conversation.factory.connections
        for other in [Conversation(clock=clock, limits=LIMITS) for _ in range(6)]:
            other.factory.connections.clear()
            connections.add(other.connection)
        turns: list[object] = []

        def look(*_: object) -> None:
            turns.append(len(turns))
            clock.callLater(0, turns.append, "another")

        self.patch(_factory, "_SWEEP_SLICE", 3)
        self.patch(_factory, "check", look)
        self.wait(1)
        another = ["another"] * 3
        self.assertEqual(turns[:12], [0, 1, 2, *another, 6, 7, 8, *another])
        self.assertEqual(turns[12:], [12, "another"])

    def test_date_follows(self) -> None:
        self.conversation.say(get(b"/hello"))
        self.wait(2)
        self.conversation.say(get(b"/hello"))
        self.assertIn(b"01:46:40 GMT", self.conversation.heard)
        self.assertIn(b"01:46:42 GMT", self.conversation.heard)


class DrainTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.conversation = Conversation()
        self.transport = self.conversation.transport
        self.ended: list[Any] = []

    def drain(self) -> None:
        self.conversation.factory.drain(20).addCallback(self.ended.append)

    def test_nothing(self) -> None:
        self.transport.lose()
        self.drain()
        self.assertEqual(self.ended, [0])

    def test_idle(self) -> None:
        self.conversation.say(get(b"/hello"))
        self.drain()
        self.assertTrue(self.transport.closing)
        self.transport.lose()
        self.assertEqual(self.ended, [0])

    def test_in_flight(self) -> None:
        """Its answer says that the connection ends, and then it ends."""
        self.conversation.say(get(b"/late"))
        self.drain()
        self.assertFalse(self.transport.closing)
        self.conversation.site.late.pop()()
        self.assertIn(b"\r\nConnection: close\r\n", self.conversation.heard)
        self.assertTrue(self.transport.closing)
        self.transport.lose()
        self.assertEqual(self.ended, [0])
        self.assertEqual(self.conversation.clock.getDelayedCalls()[1:], [])

    def test_inside_a_head(self) -> None:
        self.conversation.say(get(b"/hello")[:9])
        self.drain()
        self.conversation.say(get(b"/hello")[9:])
        self.assertEqual(self.conversation.state[1], False)
        self.assertIn(b"hello GET", self.conversation.heard)

    def test_answer_that_was_begun(self) -> None:
        """Nothing was said of an end, so the end comes between two requests."""
        self.conversation.site.handler = lambda request: None
        self.conversation.say(get(b"/"))
        request = self.conversation.site.handled[0]
        request.start(200, [TEXT], 0)
        self.drain()
        request.finish()
        self.assertTrue(self.transport.closing)

    def test_pipelined(self) -> None:
        self.conversation.say(get(b"/late") + get(b"/hello"))
        self.drain()
        self.conversation.site.late.pop()()
        self.assertEqual(len(self.conversation.site.handled), 1)

    def test_cut_off(self) -> None:
        self.conversation.say(get(b"/late"))
        self.drain()
        self.conversation.clock.advance(20)
        self.assertTrue(self.transport.aborted)
        self.transport.lose()
        self.assertEqual(self.ended, [1])

    def test_truncation_names_its_cause(self) -> None:
        self.assertIn("why", str(BodyTruncated("why")))
