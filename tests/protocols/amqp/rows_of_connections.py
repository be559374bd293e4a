"""Rows of what a broker tells a client, and of who is let in, channels and back-pressure."""

from __future__ import annotations

import contextlib
import os
from urllib.parse import quote

from twisted.internet import reactor
from twisted.internet.task import deferLater
from txamqp.client import Closed

from .parties import Ours
from .rows import HOST, REFUSED_S, Late, RowCase, plain_fails


class ConnectionRows(RowCase):
    """What goes on between a client and its broker."""

    # ---- what the broker tells

    @plain_fails(Closed, "basic_ack")
    async def test_confirm(self) -> None:
        """The broker has taken a message; txAMQP closes the connection over that."""
        channel = await self.opened()
        queue = await self.soon(self.party.declare(channel))
        await self.soon(self.party.confirm(channel))
        self.assertTrue(await self.soon(self.party.publish_confirmed(channel, queue, b"x")))

    @plain_fails(Closed, "basic_nack")
    async def test_nack(self) -> None:
        """The broker has not taken a message."""
        channel = await self.opened()
        queue = await self.soon(
            self.party.declare(channel, arguments={"x-max-length": 0, "x-overflow": "reject-publish"})
        )
        await self.soon(self.party.confirm(channel))
        self.assertFalse(await self.soon(self.party.publish_confirmed(channel, queue, b"x")))

    @plain_fails(Late)
    async def test_queue_deleted(self) -> None:
        """Its consumer is told, if the client has said that it can be told."""
        channel, queue, _following = await self.consumed()
        await self.soon(self.party.open_channel())
        self.broker.control("delete_queue", queue)
        await self.soon(self.party.cancelled(channel))
        await self.assertAlive(channel)

    @plain_fails(Late)
    async def test_blocked_and_unblocked(self) -> None:
        """A broker that is short of memory says so, and says when it is not any more, to whom can be told."""
        channel, queue, _following = await self.consumed()
        with self.alarm():
            self.party.publish(channel, queue, b"x")
            await self.soon(self.party.blocked(channel))
        await self.soon(self.party.unblocked(channel))
        await self.assertAlive(channel)

    # What follows is played, since no broker says it to a client that has not told its capabilities, and txAMQP cannot
    # write a table with a table in it, which they are.

    @plain_fails(Closed, "basic_cancel")
    async def test_cancel_told(self) -> None:
        """txAMQP has nothing that hears it, and closes the connection."""
        channel, peer = await self.with_peer()
        tag = "test-consumer-1" if isinstance(self.party, Ours) else "consumer-1"
        peer.say("basic.cancel", tag, True, channel=1)
        await self.soon(self.party.cancelled(channel))
        await self.assertAlive(channel)

    @plain_fails(Closed, "connection_blocked")
    async def test_blocked_told(self) -> None:
        """The same."""
        channel, peer = await self.with_peer()
        peer.say("connection.blocked", "low on memory")
        await self.soon(self.party.blocked(channel))
        await self.assertAlive(channel)

    @plain_fails(Closed, "connection_unblocked")
    async def test_unblocked_told(self) -> None:
        """The same."""
        channel, peer = await self.with_peer()
        peer.say("connection.unblocked")
        await self.soon(self.party.unblocked(channel))
        await self.assertAlive(channel)

    # ---- who is let in

    async def refusal(self, uri: str) -> str:
        try:
            await self.soon(self.party.connect(uri), REFUSED_S)
        except Late:
            raise
        except Exception as error:
            return str(error)
        self.fail("it was let in")

    @plain_fails(AssertionError, "'ACCESS_REFUSED' not in .*ConnectionLost")
    async def test_wrong_password(self) -> None:
        """The broker says what is wrong to whom can be told; to txAMQP it is a connection that went away."""
        self.assertIn("ACCESS_REFUSED", await self.refusal(f"amqp://guest:wrong@{HOST}:{self.broker.port}"))

    @plain_fails(TypeError, "missing 2 required positional arguments: 'host' and 'port'")
    async def test_uri_with_user_and_port(self) -> None:
        """A URI of its own documentation's form: txAMQP takes the port for a part of the host's name too."""
        await self.soon(self.party.connect_by(self.uri))
        await self.assertAlive(await self.soon(self.party.open_channel()))

    @plain_fails(Closed)
    async def test_percent_encoded_uri(self) -> None:
        """Whoever has such a password is let in."""
        user, password, vhost = "us@er", "p:w/\u00f6%", "v/h"
        for words in (
            ("add_user", user, password),
            ("add_vhost", vhost),
            ("set_permissions", "-p", vhost, user, ".*", ".*", ".*"),
        ):
            self.broker.control(*words)
        self.addCleanup(self.broker.control, "delete_user", user)
        self.addCleanup(self.broker.control, "delete_vhost", vhost)
        user, password, vhost = (quote(each, safe="") for each in (user, password, vhost))
        await self.soon(self.party.connect(f"amqp://{user}:{password}@{HOST}:{self.broker.port}/{vhost}"), REFUSED_S)
        await self.assertAlive(await self.soon(self.party.open_channel()))

    @plain_fails(Exception, "Late|Closed")
    async def test_tls(self) -> None:
        """``amqps`` is TLS; txAMQP says its words in the clear."""
        uri = f"amqps://guest:guest@{HOST}:{self.tls_port}"
        await self.soon(
            self.party.connect(f"{uri}?cacertfile={self.authority}" if isinstance(self.party, Ours) else uri)
        )
        await self.assertAlive(await self.soon(self.party.open_channel()))

    # ---- channels

    @plain_fails(Late)
    async def test_no_wait(self) -> None:
        """A call that wants no answer waits for none."""
        channel = await self.opened()
        name = f"rows-{os.urandom(4).hex()}"
        await self.soon(self.party.declare(channel, name, nowait=True))
        self.assertEqual(await self.soon(self.party.declare(channel, name)), name)

    @plain_fails(Closed, "no queue 'nowhere'")
    async def test_channel_number_after_an_error(self) -> None:
        """It is free again; in txAMQP it stays closed, for as long as the connection is."""
        channel = await self.opened()
        with contextlib.suppress(Exception):
            await self.soon(self.party.declare(channel, "nowhere", passive=True))
        again = await self.soon(self.party.open_channel())
        self.assertEqual(again.id, channel.id)
        await self.assertAlive(again)

    # ---- back-pressure

    @plain_fails(AssertionError, "400 not less than 200")
    async def test_broker_that_reads_nothing(self) -> None:
        """Messages are refused before they are many megabytes; txAMQP takes all there are."""
        channel, queue, _following = await self.consumed()
        self.broker.pause()
        try:
            taken = 0
            while taken < 400 and self.party.publish(channel, queue, bytes(65_536)):
                taken += 1
                await deferLater(reactor, 0)
        finally:
            self.broker.resume()
        self.assertLess(taken, 200)
