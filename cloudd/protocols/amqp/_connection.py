# -*- test-case-name: tests.protocols.amqp.test_client -*-
"""
One connection to a broker: handshake, heartbeats, channels, back-pressure, and one end with one cause.

txAMQP gives the model of the protocol and the methods; frames, content and errors are ours.  Both ends of a connection
may ask the other to be still: the broker by ``connection.blocked`` (it is short of memory or disk), the network by not
taking what is written.  In both cases messages are refused (``Saturated``) instead of piling up here.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.endpoints import HostnameEndpoint, connectProtocol
from twisted.internet.error import ConnectingCancelledError
from twisted.internet.interfaces import IPushProducer
from twisted.internet.protocol import Protocol
from twisted.logger import Logger
from twisted.python.failure import Failure
from txamqp.client import TwistedDelegate
from txamqp.protocol import AMQClient
from txamqp.spec import pythonize
from zope.interface import implementer

from ._address import Address
from ._channel import Channel
from ._errors import AMQPError, ConnectionLost, LoginRefused, NotRouted, Refused
from ._frames import BODY, HEADER, HEARTBEAT, HEARTBEAT_FRAME, METHOD, MIN_FRAME_MAX, FrameReader
from ._methods import specification, unpack_method
from ._tls import TLSClient, tls_context
from ._values import Malformed

PROTOCOL_HEADER = b"AMQP\x00\x00\x09\x01"
FRAME_MAX = 131_072
MAX_PILED = 1_048_576  # bytes that wait for a slow broker beside what the transport holds anyway
# For TCP alone, which kernels answer.  A host that was away is tried again soon after it is back: TCP itself repeats
# its question after 1, 3 and 7 s.
REACH_S = 3.0
CLOSE_S = 2.0
SILENT_HEARTBEATS = 2  # after which the broker is taken for gone (AMQP 0-9-1 section 4.2.7)
CAPABILITIES = {
    "publisher_confirms": True,
    "exchange_exchange_bindings": True,
    "basic.nack": True,
    "consumer_cancel_notify": True,
    "connection.blocked": True,
    "authentication_failure_close": True,
    "per_consumer_qos": True,
}
FRAME_ERROR, SYNTAX_ERROR, ACCESS_REFUSED, NOT_ALLOWED = 501, 502, 403, 530


class _Delegate(TwistedDelegate):  # type: ignore[misc]
    """What the broker asks of us, or tells."""

    client: Connection

    def dispatch(self, channel: Channel, message: Any) -> None:
        try:
            hear = getattr(self, f"{pythonize(message.method.klass.name)}_{pythonize(message.method.name)}")
        except AttributeError:
            raise Malformed(f"no broker says {message.method.klass.name}.{message.method.name}") from None
        hear(channel, message)

    def connection_start(self, channel: Channel, message: Any) -> None:
        self.client.login_begins(channel, message)

    def connection_tune(self, channel: Channel, message: Any) -> None:
        self.client.tune(channel, message)

    def connection_close(self, channel: Channel, message: Any) -> None:
        channel.connection_close_ok()
        self.client.end(self.client.refusal(message), politely=True)

    def connection_blocked(self, _channel: Channel, message: Any) -> None:
        self.client.blocked = message.reason or "the broker gave no reason"

    def connection_unblocked(self, _channel: Channel, _message: Any) -> None:
        self.client.unblock()

    def channel_close(self, channel: Channel, message: Any) -> None:
        channel.closed_by_broker(Refused(message.reply_code, message.reply_text))

    def basic_nack(self, channel: Channel, message: Any) -> None:
        channel.confirmed(message.delivery_tag, multiple=message.multiple, taken=False)

    def basic_return_(self, channel: Channel, message: Any) -> None:
        error = NotRouted(message.reply_code, message.reply_text, message.exchange, message.routing_key)
        channel.returned(error, message.content.properties.get("message-id", ""))

    def basic_cancel(self, channel: Channel, message: Any) -> None:
        channel.cancelled(message.consumer_tag)


@implementer(IPushProducer)
class Connection(AMQClient):  # type: ignore[misc]
    """
    :param address: whose user, virtual host and heartbeat count
    :param name: of this client, which the broker shows in its lists
    :ivar ready: fires with this when the broker has let us in
    :ivar lost: fires with the cause when it has ended
    :ivar blocked: why the broker takes no messages at the moment; empty: it does
    """

    log = Logger()
    channelClass = Channel
    closed: bool

    def __init__(self, address: Address, clock: Any, name: str = "cloudd") -> None:
        AMQClient.__init__(self, _Delegate(), address.vhost, specification(), heartbeat=0, clock=clock)
        self.address = address
        self.name = name
        self.ready: Deferred[Connection] = Deferred()
        self.lost: Deferred[Exception] = Deferred()
        self.blocked = ""
        self.frame_max = MIN_FRAME_MAX
        self.channel_max = 0
        self._reader = FrameReader(FRAME_MAX)
        self._told = False  # the protocol's header went out, and no answer came
        self._slow = False  # the transport takes nothing at the moment
        self._piled = 0  # bytes that were written all the same
        self._waiting: list[Deferred[None]] = []
        self._names = 0
        self._heartbeat_s = 0.0
        self._timer: Any = None
        self._heard = self._said = 0.0
        self._offered: dict[str, Any] = {}

    def __repr__(self) -> str:
        return f"<connection to {self.address}{' ended' if self.closed else ''}>"

    @property
    def is_saturated(self) -> bool:
        """Whether messages would only pile up."""
        return bool(self.blocked) or self._piled > MAX_PILED

    def writable(self) -> Deferred[None]:
        """Fires when messages are taken (again); fails with the cause when the connection ends."""
        if self.closed:
            return fail(ConnectionLost("the connection has ended"))
        if not self.is_saturated:
            return succeed(None)
        waiting: Deferred[None] = Deferred()
        self._waiting.append(waiting)
        return waiting

    def next_name(self, kind: str) -> str:
        """For what must be named once on this connection."""
        self._names += 1
        return f"{self.name}-{kind}-{self._names}"

    async def open_channel(self) -> Channel:
        """
        :raises Refused: the broker allows no further one
        :raises ConnectionLost: it has gone
        """
        highest = self.channel_max or 65_535
        number = next((each for each in range(1, highest + 1) if each not in self.channels), None)
        if number is None:
            raise Refused(NOT_ALLOWED, f"there are {highest} channels already")
        channel = self._make_channel(number)
        await channel.channel_open()
        return channel

    async def leave(self) -> None:
        """Close it in order, or within ``CLOSE_S`` otherwise."""
        if self.closed:
            return
        timer = self.clock.callLater(CLOSE_S, self.end, ConnectionLost("the broker did not let us go"))
        try:
            await self.channels[0].connection_close(reply_code=200, reply_text="done")
        except AMQPError:
            pass  # it has ended in another way: lost, or closed by the broker at the same moment
        finally:
            if timer.active():
                timer.cancel()
        self.end(ConnectionLost("the connection was closed"), politely=True)

    # ---- what channels use

    def send(self, data: bytes) -> None:
        """Whole frames."""
        self._said = self.clock.seconds()
        if self._slow:
            self._piled += len(data)
        self.transport.write(data)

    def forget(self, channel: Channel, reason: Exception) -> None:
        """A channel has ended: its number is free."""
        if self.channels.get(channel.id) is channel:
            del self.channels[channel.id]
        channel.ended(reason)

    # ---- the handshake

    def connectionMade(self) -> None:
        """Begin; the broker answers with what it offers, or with the version that it speaks."""
        self.transport.registerProducer(self, True)
        self._make_channel(0)
        self._told = True
        self._heard = self.clock.seconds()
        self._timer = self.clock.callLater(self.address.connect_timeout_s, self._too_slow)
        self.send(PROTOCOL_HEADER)

    def login_begins(self, channel: Channel, message: Any) -> None:
        """The broker's offer."""
        self._offered = message.server_properties
        if b"PLAIN" not in message.mechanisms.split():
            self.end(Refused(ACCESS_REFUSED, f"the broker knows {message.mechanisms!r}, and no log-in by PLAIN"))
            return
        channel.connection_start_ok(
            client_properties={
                "product": "cloudd",
                "platform": f"Twisted {version('Twisted')}",
                "connection_name": self.name,
                "capabilities": CAPABILITIES,
            },
            mechanism="PLAIN",
            response=f"\0{self.address.user}\0{self.address.password}",
            locale="en_US",
        )

    def tune(self, channel: Channel, message: Any) -> None:
        """Limits: the lower of both, where 0 is none."""
        self.channel_max = message.channel_max
        self.frame_max = min(message.frame_max or FRAME_MAX, FRAME_MAX)
        self._reader.frame_max = self.frame_max
        wanted = [each for each in (message.heartbeat, self.address.heartbeat_s) if each]
        self._heartbeat_s = float(min(wanted, default=0))
        channel.connection_tune_ok(self.channel_max, self.frame_max, int(self._heartbeat_s))
        opened: Deferred[Any] = channel.connection_open(self.address.vhost)
        opened.addCallbacks(lambda _: self._let_in(), lambda _: None)

    def refusal(self, message: Any) -> Refused:
        """The broker's reason to close; before we were in, a matter of who we are."""
        kind = (
            LoginRefused if not self.ready.called and message.reply_code in {ACCESS_REFUSED, NOT_ALLOWED} else Refused
        )
        return kind(message.reply_code, message.reply_text)

    def _let_in(self) -> None:
        self._timer.cancel()
        self._timer = None
        if self._heartbeat_s:
            self._beat_later()
        self.ready.callback(self)

    def _too_slow(self) -> None:
        self.end(ConnectionLost(f"the broker did not let us in within {self.address.connect_timeout_s:g} s"))

    # ---- what comes

    def dataReceived(self, data: bytes) -> None:
        """Bytes of frames."""
        self._heard = self.clock.seconds()
        if self._told:
            self._told = False
            if data.startswith(b"AMQP"):
                self.end(Refused(FRAME_ERROR, f"the broker speaks another version of AMQP: {data[4:8].hex('.')}"))
                return
        try:
            for frame in self._reader.feed(data):
                if self.closed:
                    return
                self._frame_received(frame.kind, frame.channel, frame.payload)
        except Malformed as error:
            self.log.error("{address}: {error}", address=str(self.address), error=error)
            self.end(ConnectionLost(f"the broker's words make no sense: {error}"))

    def _frame_received(self, kind: int, number: int, payload: bytes) -> None:
        if kind == HEARTBEAT:
            return
        channel = self.channels.get(number)
        if channel is None:
            return  # closed by us; this was under way
        if kind == METHOD:
            channel.method_received(*unpack_method(payload))
        elif kind in {HEADER, BODY}:
            channel.content_received(kind, payload)

    def _make_channel(self, number: int) -> Channel:
        channel: Channel = self.channelFactory(number, None, self)
        self.channels[number] = channel
        return channel

    # ---- heartbeats

    def _beat(self, due: float) -> None:
        """
        :param due: when this was to be; if it is much later, we were stopped ourselves and have not read what came
        """
        now = self.clock.seconds()
        on_time = now - due < self._heartbeat_s / 2
        if on_time and now - self._heard > self._heartbeat_s * SILENT_HEARTBEATS:
            self.end(ConnectionLost(f"the broker has been silent for {now - self._heard:.0f} s"))
            return
        if now - self._said >= self._heartbeat_s / 2:
            self.send(HEARTBEAT_FRAME)
        self._beat_later()

    def _beat_later(self) -> None:
        interval_s = self._heartbeat_s / 2
        self._timer = self.clock.callLater(interval_s, self._beat, self.clock.seconds() + interval_s)

    # ---- back-pressure of the transport

    def pauseProducing(self) -> None:
        """The broker reads too slowly."""
        self._slow = True

    def resumeProducing(self) -> None:
        """It has caught up."""
        self._slow, self._piled = False, 0
        self._tell_writable()

    def stopProducing(self) -> None:
        """The transport has gone; ``connectionLost`` follows."""
        self._slow = True

    def unblock(self) -> None:
        """The broker takes messages again."""
        self.blocked = ""
        self._tell_writable()

    def _tell_writable(self) -> None:
        if not self.is_saturated:
            waiting, self._waiting = self._waiting, []
            for each in waiting:
                each.callback(None)

    # ---- the end

    def connectionLost(self, reason: Failure) -> None:
        """By whomever."""
        self.end(ConnectionLost(reason.getErrorMessage()))

    def end(self, cause: Exception, *, politely: bool = False) -> None:
        """
        Everything that waits fails with ``cause``.

        :param politely: let what was written go out first
        """
        if self.closed:
            return
        self.closed = True
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        for channel in list(self.channels.values()):
            channel.ended(cause)
        self.channels.clear()
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            each.errback(cause)
        if politely:
            self.transport.loseConnection()
        else:
            self.transport.abortConnection()
        if not self.ready.called:
            self.ready.errback(cause)
        self.lost.callback(cause)

    do_close = close = end


async def connect(reactor: Any, address: Address, name: str = "cloudd") -> Connection:
    """
    A connection that the broker has let in.  Cancelling ends what has begun.

    :raises LoginRefused: it knows no such user, password or virtual host
    :raises ConnectionLost: it is not there, or went away, or TLS finds that it is another
    """
    patience_s = min(address.connect_timeout_s, REACH_S)
    endpoint: Any = HostnameEndpoint(reactor, address.host, address.port, timeout=patience_s)
    connection = Connection(address, reactor, name)
    protocol: Protocol = connection
    if address.tls:
        server_name = address.server_name or address.host
        context = await tls_context(address)
        protocol = TLSClient(connection, context, server_name, reactor, address.connect_timeout_s)
    try:
        await connectProtocol(endpoint, protocol)
    except (CancelledError, ConnectingCancelledError) as error:
        raise CancelledError from error
    except Exception as error:
        raise ConnectionLost(f"{address}: {error}") from error
    try:
        return await connection.ready
    except CancelledError:
        connection.end(ConnectionLost("nobody waits for it any more"))
        raise
