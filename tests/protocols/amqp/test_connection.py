"""What a broker may do wrong, byte by byte, played by the test."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from cloudd.protocols.amqp import (
    Address,
    AMQPError,
    Channel,
    Connection,
    ConnectionLost,
    Delivery,
    Refused,
)
from cloudd.protocols.amqp._frames import (
    BODY,
    HEADER,
    HEARTBEAT_FRAME,
    METHOD,
    FrameReader,
    RawFrame,
    pack_content,
    pack_frame,
)
from cloudd.protocols.amqp._methods import find_method, pack_header, pack_method, unpack_method

OFFER = [0, 9, {"product": "a test"}, b"PLAIN AMQPLAIN", b"en_US"]


class Transport(StringTransport):
    """Notes how it ended."""

    aborted = False

    def abortConnection(self) -> None:
        self.aborted = True


class Wire:
    """A connection, and the broker at its other end."""

    def __init__(self, address: Address | None = None) -> None:
        self.clock = Clock()
        self.transport = Transport()
        self.reader = FrameReader()
        self.connection = Connection(address or Address(heartbeat_s=0), self.clock, "test")
        self.connection.makeConnection(self.transport)
        self.ready: list[Any] = []
        self.lost: list[Any] = []
        self.connection.ready.addBoth(self.ready.append)
        self.connection.lost.addBoth(self.lost.append)

    def heard(self) -> list[RawFrame]:
        """What the client has said since."""
        data, begin = self.transport.value(), b"AMQP\x00\x00\x09\x01"
        self.transport.clear()
        return self.reader.feed(data.removeprefix(begin))

    def methods(self) -> list[str]:
        found = [unpack_method(frame.payload)[0] for frame in self.heard() if frame.kind == METHOD]
        return [f"{method.klass.name}.{method.name}" for method in found]

    def say(self, name: str, *arguments: Any, channel: int = 0) -> None:
        self.connection.dataReceived(method_frame(name, *arguments, channel=channel))

    def let_in(self, heartbeat_s: int = 0) -> None:
        self.say("connection.start", *OFFER)
        self.say("connection.tune", 10, 4096, heartbeat_s)
        self.say("connection.open-ok", "")

    def channel(self) -> Channel:
        opened = Deferred.fromCoroutine(self.connection.open_channel())
        found: list[Channel] = []
        opened.addCallback(found.append)
        self.say("channel.open-ok", b"", channel=1)
        self.heard()
        return found[0]


def method_frame(name: str, *arguments: Any, channel: int = 0) -> bytes:
    return pack_frame(METHOD, channel, pack_method(find_method(name), list(arguments)))


def delivery(tag: int, body: bytes) -> bytes:
    method = pack_method(find_method("basic.deliver"), ["test-consumer-1", tag, False, "", "q"])
    return pack_content(1, method, pack_header(len(body), {}), body, 40)


class HandshakeTests(SynchronousTestCase):
    def test_let_in(self) -> None:
        """The protocol's header, then an answer to each step; limits are the lower ones."""
        wire = Wire(Address(heartbeat_s=10, vhost="v"))
        self.assertEqual(wire.transport.value(), b"AMQP\x00\x00\x09\x01")
        wire.let_in(heartbeat_s=7)
        frames = [unpack_method(frame.payload) for frame in wire.heard()]
        self.assertEqual([method.name for method, _arguments in frames], ["start-ok", "tune-ok", "open"], frames)
        self.assertEqual(frames[0][1][1:3], ["PLAIN", b"\0guest\0guest"])
        self.assertTrue(frames[0][1][0]["capabilities"]["consumer_cancel_notify"])
        self.assertEqual((frames[1][1], frames[2][1][0]), ([10, 4096, 7], "v"))
        self.assertEqual(wire.ready, [wire.connection])

    def test_refused(self) -> None:
        """Another version, another protocol, no way to log in, or silence: each has its cause."""
        for data, words in (
            (b"AMQP\x00\x01\x00\x00", "another version of AMQP: 00.01.00.00"),
            (b"HTTP/1.1 400 Bad Request\r\n", "make no sense"),
            (method_frame("connection.start", 0, 9, {}, b"GSSAPI", b""), "no log-in by PLAIN"),
            (method_frame("connection.close", 403, "no", 0, 0), "403 no"),
            (method_frame("basic.qos-ok"), "answers nothing"),
        ):
            wire = Wire()
            wire.connection.dataReceived(data)
            self.assertIn(words, str(wire.ready[0].value))
            self.assertTrue(wire.transport.aborted or wire.transport.disconnecting)
            self.assertEqual(wire.clock.getDelayedCalls(), [])
        self.flushLoggedErrors()
        wire = Wire()
        wire.clock.advance(10)
        self.assertIn("within 10 s", str(wire.ready[0].value))

    def test_passwords_are_not_told(self) -> None:
        """Not by what a log shows of a connection."""
        self.assertNotIn("secret", repr(Wire(Address(password="secret")).connection))


class EndTests(SynchronousTestCase):
    @given(st.integers(0, 400), st.booleans())
    @settings(max_examples=60, deadline=None)
    def test_cut_at_any_byte(self, cut: int, lost: bool) -> None:
        """All that waits fails once, with one cause, and nothing is left running."""
        wire = Wire(Address(heartbeat_s=10))
        wire.let_in(10)
        channel = wire.channel()
        ends: list[Any] = []
        got: list[Delivery] = []
        Deferred.fromCoroutine(channel.consume("q", got.append, lambda: ends.append("cancelled"))).addBoth(
            lambda _: None
        )
        wire.say("basic.consume-ok", "test-consumer-1", channel=1)
        channel.queue_declare(queue="x").addBoth(ends.append)
        said = b"".join(delivery(number, b"%d" % number * 60) for number in range(3))
        wire.connection.dataReceived(said[:cut])
        if lost:
            wire.connection.connectionLost(Failure(ConnectionDone()))
        else:
            wire.connection.dataReceived(b"\xff" * 500)
        self.assertEqual([each.body for each in got], [b"%d" % number * 60 for number in range(len(got))])
        self.assertEqual(len(ends), 2)
        self.assertIsInstance(ends[0].value, ConnectionLost)
        self.assertEqual(wire.lost, [ends[0].value])
        self.assertEqual(wire.clock.getDelayedCalls(), [])
        self.flushLoggedErrors()

    def test_what_makes_no_sense(self) -> None:
        """Frames that are none, out of order, or too much: the connection ends, and says why."""
        header = pack_frame(HEADER, 1, pack_header(3, {}))
        deliver = method_frame("basic.deliver", "t", 1, False, "", "", channel=1)
        for data, words in (
            (pack_frame(METHOD, 1, b"\x00\x3c\x00\xff"), "no method 255"),
            (header, "content comes without a method"),
            (deliver + pack_frame(BODY, 1, b"abc"), "in their order"),
            (deliver + header + header, "in their order"),
            (deliver + header + pack_frame(BODY, 1, b"abcd"), "longer than its header says"),
            (deliver + deliver, "inside the content"),
            (method_frame("queue.purge-ok", 0, channel=1), "answers nothing"),
            (pack_frame(BODY, 1, b"a" * 5000), "4096 were agreed"),
        ):
            wire = Wire()
            wire.let_in()
            wire.channel()
            wire.connection.dataReceived(data)
            self.assertIn(words, str(wire.lost[0]))
            self.assertTrue(wire.transport.aborted)
        self.flushLoggedErrors()

    def test_a_channel_that_we_closed(self) -> None:
        """What was under way to it is passed over."""
        wire = Wire()
        wire.let_in()
        channel = wire.channel()
        left = Deferred.fromCoroutine(channel.leave())
        wire.connection.dataReceived(method_frame("channel.close-ok", channel=1) + delivery(1, b"late"))
        self.successResultOf(left)
        self.assertEqual(wire.lost, [])

    def test_silence(self) -> None:
        """Heartbeats go out when nothing else does; a broker that sends none for two of them is gone."""
        wire = Wire(Address(heartbeat_s=4))
        wire.let_in(4)
        wire.heard()
        wire.clock.pump([2] * 4)
        self.assertEqual([frame.kind for frame in wire.heard()], [8] * 4)
        self.assertEqual(wire.lost, [])
        wire.clock.advance(2)
        self.assertIn("silent for 10 s", str(wire.lost[0]))
        self.assertTrue(wire.transport.aborted)

    def test_stopped_ourselves(self) -> None:
        """A process that was stopped hears what came meanwhile before it judges the broker's silence."""
        wire = Wire(Address(heartbeat_s=4))
        wire.let_in(4)
        wire.clock.advance(60)
        self.assertEqual(wire.lost, [])
        wire.connection.dataReceived(HEARTBEAT_FRAME)
        wire.clock.pump([2] * 4)
        self.assertEqual(wire.lost, [])
        wire.clock.advance(2)
        self.assertIn("silent for 10 s", str(wire.lost[0]))

    def test_leaving(self) -> None:
        """In order where the broker answers, and all the same where it does not."""
        for answers in (True, False):
            wire = Wire()
            wire.let_in()
            left = Deferred.fromCoroutine(wire.connection.leave())
            if answers:
                wire.say("connection.close-ok")
            else:
                wire.clock.advance(2)
            self.successResultOf(left)
            self.assertEqual((wire.transport.aborted, wire.transport.disconnecting), (not answers, answers))
            self.assertEqual(len(wire.lost), 1)

    def test_closed_by_the_broker(self) -> None:
        """It is answered, and its words are the cause."""
        wire = Wire()
        wire.let_in()
        wire.heard()
        wire.say("connection.close", 320, "CONNECTION_FORCED - bye", 0, 0)
        self.assertEqual(wire.methods(), ["connection.close-ok"])
        self.assertIsInstance(wire.lost[0], Refused)
        self.assertTrue(wire.transport.disconnecting)


class LeaveTests(SynchronousTestCase):
    def test_unanswered(self) -> None:
        """RabbitMQ does not answer what was asked of a channel before its end: it fails, the connection goes on."""
        wire = Wire()
        wire.let_in()
        channel = wire.channel()
        asked = Deferred.fromCoroutine(channel.cancel("c"))
        left = Deferred.fromCoroutine(channel.leave())
        self.assertEqual(wire.methods(), ["basic.cancel", "channel.close"])
        wire.say("channel.close-ok", channel=1)
        self.assertEqual(self.failureResultOf(asked, Refused).value.code, 200)
        self.successResultOf(left)
        self.assertEqual((channel.closed, wire.lost), (True, []))


class ConfirmTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.wire = Wire()
        self.wire.let_in()
        self.channel = self.wire.channel()
        confirming = Deferred.fromCoroutine(self.channel.confirm())
        self.wire.say("confirm.select-ok", channel=1)
        self.successResultOf(confirming)

    @given(st.lists(st.tuples(st.integers(1, 12), st.booleans(), st.booleans()), max_size=12))
    def test_any_answers(self, answers: list[tuple[int, bool, bool]]) -> None:
        """Single and multiple, yes and no, twice and out of order: each message is answered for at most once."""
        self.setUp()
        results: dict[int, list[bool]] = {number: [] for number in range(1, 13)}
        for number, told in results.items():
            self.channel.publish("", "q", b"").addCallbacks(
                lambda _, told=told: told.append(True), lambda _, told=told: told.append(False)
            )
            self.assertEqual(len(self.channel.unconfirmed), number)
        expected: dict[int, bool] = {}
        for tag, multiple, taken in answers:
            self.wire.say(*(("basic.ack", tag, multiple) if taken else ("basic.nack", tag, multiple, False)), channel=1)
            for each in range(1, tag + 1) if multiple else (tag,):
                expected.setdefault(each, taken)
        self.assertEqual({number: told[0] for number, told in results.items() if told}, expected)
        self.assertTrue(all(len(told) <= 1 for told in results.values()))

    def test_a_mandatory_message_needs_a_name(self) -> None:
        """By which it is known when it comes back."""
        self.assertRaises(ValueError, self.channel.publish, "", "q", b"", mandatory=True)
        self.assertEqual(self.channel.unconfirmed, {})

    def test_too_many(self) -> None:
        """What waits for the broker has a limit."""
        results = [self.channel.publish("", "q", b"") for _ in range(1000)]
        self.failureResultOf(self.channel.publish("", "q", b""), AMQPError)
        self.wire.say("basic.ack", 1000, True, channel=1)
        for each in results:
            self.successResultOf(each)
        self.assertNoResult(self.channel.publish("", "q", b""))

    def test_a_consumer_that_fails(self) -> None:
        """Its message is not acknowledged; the next one comes."""
        got: list[bytes] = []

        def take(delivery: Delivery) -> None:
            got.append(delivery.body)
            delivery.ack()
            if len(got) == 1:
                raise ValueError

        consuming = Deferred.fromCoroutine(self.channel.consume("q", take))
        self.wire.say("basic.consume-ok", "test-consumer-1", channel=1)
        self.successResultOf(consuming)
        self.wire.connection.dataReceived(delivery(1, b"a") + delivery(2, b"b"))
        self.assertEqual(got, [b"a", b"b"])
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
