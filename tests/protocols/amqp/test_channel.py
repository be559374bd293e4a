"""What a channel does when broker and client speak at the same moment; the test plays the broker."""

from __future__ import annotations

import socket
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase, TestCase

from cloudd.protocols.amqp import Address, Channel, ConnectionLost, Delivery, Refused, Unencodable, connect

from .test_connection import Wire, delivery


class ChannelCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.wire = Wire()
        self.wire.let_in()
        self.channel = self.wire.channel()

    def say(self, name: str, *arguments: Any) -> None:
        self.wire.say(name, *arguments, channel=1)

    def consume(self, on_delivery: Any, on_cancelled: Any = lambda: None, **words: Any) -> str:
        consuming = Deferred.fromCoroutine(self.channel.consume("q", on_delivery, on_cancelled, **words))
        self.say("basic.consume-ok", "test-consumer-1")
        return str(self.successResultOf(consuming))


class ConfirmTests(ChannelCase):
    def test_published_before_confirms_are_agreed(self) -> None:
        """The broker counts from the moment it is asked, and so do we: no message is confirmed in another's place."""
        confirming = Deferred.fromCoroutine(self.channel.confirm())
        first = self.channel.publish("", "q", b"first")
        self.say("confirm.select-ok")
        self.successResultOf(confirming)
        second = self.channel.publish("", "q", b"second")
        self.say("basic.ack", 1, False)
        self.successResultOf(first)
        self.assertNoResult(second)

    def test_all_so_far(self) -> None:
        """Tag 0 with ``multiple`` is all that is outstanding (AMQP 0-9-1, basic.ack)."""
        Deferred.fromCoroutine(self.channel.confirm())
        self.say("confirm.select-ok")
        waiting = [self.channel.publish("", "q", b"") for _ in range(3)]
        self.say("basic.ack", 0, True)
        for each in waiting:
            self.successResultOf(each)

    def test_names_are_forgotten(self) -> None:
        """Those of mandatory messages, with their confirms, though there are always others that wait."""
        Deferred.fromCoroutine(self.channel.confirm())
        self.say("confirm.select-ok")
        self.channel.publish("", "q", b"", {"message-id": "0"}, mandatory=True)
        for number in range(1, 1000):
            self.channel.publish("", "q", b"", {"message-id": str(number)}, mandatory=True)
            self.say("basic.ack", number, False)
        self.assertEqual(len(self.channel.unconfirmed), 1)
        self.assertLessEqual(len(self.channel._tags) + len(self.channel._ids), 2)


class SettlingTests(ChannelCase):
    def test_what_is_unsettled(self) -> None:
        """What came and was not answered for; with ``no_ack`` there is nothing to answer."""
        got: list[Delivery] = []
        self.consume(got.append)
        self.wire.connection.dataReceived(delivery(1, b"a") + delivery(2, b"b"))
        settled = Deferred.fromCoroutine(self.channel.settled(10))
        got[0].ack()
        self.assertEqual(self.channel.unsettled, {2})
        self.assertNoResult(settled)
        got[1].nack(requeue=True)
        self.assertTrue(self.successResultOf(settled))

    def test_in_vain(self) -> None:
        """It is not waited for longer, and not after the channel's end."""
        self.consume(lambda _: None)
        self.wire.connection.dataReceived(delivery(1, b"a"))
        settled = Deferred.fromCoroutine(self.channel.settled(10))
        self.wire.clock.advance(10)
        self.assertFalse(self.successResultOf(settled))
        settled = Deferred.fromCoroutine(self.channel.settled(10))
        self.wire.connection.transport.abortConnection()
        self.wire.connection.connectionLost(Failure(ConnectionLost("cut")))
        self.assertTrue(self.successResultOf(settled))
        self.assertEqual(self.wire.clock.getDelayedCalls(), [])

    def test_without_acknowledgements(self) -> None:
        """Nothing is waited for."""
        self.consume(lambda _: None, no_ack=True)
        self.wire.connection.dataReceived(delivery(1, b"a"))
        self.assertTrue(self.successResultOf(Deferred.fromCoroutine(self.channel.settled(10))))


class EndTests(ChannelCase):
    def test_both_close(self) -> None:
        """The broker still answers our close: until then nobody else has the number, and nothing else is disturbed."""
        asked = self.channel.queue_purge(queue="q")
        left = Deferred.fromCoroutine(self.channel.leave())
        self.wire.heard()
        self.say("channel.close", 404, "NOT_FOUND - q", 50, 30)
        self.assertEqual(self.wire.methods(), ["channel.close-ok"])
        self.failureResultOf(asked, Refused)
        self.assertNoResult(left)
        opened = Deferred.fromCoroutine(self.wire.connection.open_channel())
        other: list[Channel] = []
        opened.addCallback(other.append)
        self.say("channel.close-ok")
        self.successResultOf(left)
        self.wire.say("channel.open-ok", b"", channel=2)
        self.assertEqual([each.id for each in other], [2])
        self.assertIn("NOT_FOUND", str(self.successResultOf(self.channel.gone)))
        self.assertEqual(self.wire.lost, [])

    def test_leaving_what_is_closed(self) -> None:
        """Is over at once; so is leaving when the broker closes the whole connection meanwhile."""
        left = Deferred.fromCoroutine(self.wire.connection.leave())
        left_too = Deferred.fromCoroutine(self.channel.leave())
        self.wire.say("connection.close", 320, "CONNECTION_FORCED - bye", 0, 0)
        for each in (left, left_too, Deferred.fromCoroutine(self.channel.leave())):
            self.successResultOf(each)

    def test_a_consumer_that_fails_over_its_end(self) -> None:
        """That is logged; the others hear of theirs, and all that waits does."""
        ended: list[str] = []

        def fail() -> None:
            raise ZeroDivisionError

        self.consume(lambda _: None, fail)
        consuming = Deferred.fromCoroutine(self.channel.consume("q", lambda _: None, lambda: ended.append("second")))
        self.say("basic.consume-ok", "test-consumer-2")
        self.successResultOf(consuming)
        waiting = self.channel.queue_purge(queue="q")
        self.say("channel.close", 541, "INTERNAL_ERROR", 0, 0)
        self.failureResultOf(waiting, Refused)
        self.assertEqual(ended, ["second"])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.consume_again()

    def consume_again(self) -> None:
        channel = self.wire.channel()
        self.assertFalse(channel.closed)

    def test_what_only_clients_say(self) -> None:
        """From a broker it makes no sense, and the connection ends with that cause."""
        self.say("basic.recover", True)
        self.assertIn("no broker says basic.recover", str(self.wire.lost[0]))
        self.flushLoggedErrors()

    def test_arguments_without_a_form(self) -> None:
        """Nobody consumes then, and nothing is left of it."""
        consuming = Deferred.fromCoroutine(self.channel.consume("q", lambda _: None, arguments={"x": object()}))
        self.failureResultOf(consuming, Unencodable)
        self.assertEqual(self.channel._consumers, {})
        self.assertRaises(Unencodable, self.channel.publish, "", "\ud800", b"")
        self.assertEqual(self.wire.heard(), [])


class _Silent(Protocol):
    """Notes when it is left."""

    def __init__(self) -> None:
        self.met: Deferred[None] = Deferred()
        self.greeted: Deferred[None] = Deferred()
        self.left: Deferred[None] = Deferred()

    def itself(self) -> _Silent:
        return self

    def connectionMade(self) -> None:
        self.met.callback(None)

    def dataReceived(self, data: bytes) -> None:
        if not self.greeted.called:
            self.greeted.callback(None)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.left.callback(None)


class ConnectTests(TestCase):
    async def test_cancelled(self) -> None:
        """While TCP connects, or while a log-in is waited for: nothing is left of the connection, nor of its timers."""
        for moment in ("met", "greeted"):
            silent = _Silent()
            factory: Any = Factory.forProtocol(silent.itself)
            port: Any = reactor.listenTCP(0, factory, interface="127.0.0.1")
            self.addCleanup(port.stopListening)
            connecting = Deferred.fromCoroutine(connect(reactor, Address(port=port.getHost().port)))
            await getattr(silent, moment)
            connecting.cancel()
            with self.assertRaises(CancelledError):
                await connecting
            await silent.left.addTimeout(5, reactor)

    async def test_host_that_says_nothing(self) -> None:
        """It is given up soon, since TCP's own patience would outlast the host's absence."""
        with socket.create_server(("127.0.0.1", 0), backlog=0) as full, socket.socket() as first:
            first.connect(full.getsockname())  # the one place in its queue; who comes now gets no answer
            began = reactor.seconds()
            with self.assertRaises(ConnectionLost):
                await connect(reactor, Address(port=full.getsockname()[1]))
        self.assertLess(reactor.seconds() - began, 5)
