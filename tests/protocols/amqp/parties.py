"""
Two clients behind one face, for tests that hold both against the same facts: our layer, and txAMQP 0.8.2 as it comes.

``Plain`` adds nothing to txAMQP that would mend it.  Where txAMQP has no way to do or learn something, it does what a
program on txAMQP would: ask something else of the same channel, and see whether the client still lives.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from attrs import define, field, frozen
from twisted.internet import reactor
from twisted.internet.defer import Deferred, DeferredQueue
from twisted.internet.task import deferLater
from txamqp.client import Closed
from txamqp.content import Content
from txamqp.endpoint import AMQEndpoint
from txamqp.factory import AMQFactory
from txamqp.queue import Closed as QueueClosed

from cloudd.protocols import amqp

SPECIFICATION = Path(amqp.__file__).parent / "amqp0-9-1.xml"


@frozen
class Received:
    """A message that came."""

    body: Any
    properties: dict[str, Any]
    redelivered: bool
    reject: Callable[[bool], object]  # with whether it shall come again


class Party(Protocol):
    """A client with one connection."""

    async def connect(self, uri: str) -> None:
        """Be let in; ``uri`` is a simple one."""

    async def connect_by(self, uri: str) -> None:
        """The same of any URI."""

    async def open_channel(self) -> Any:
        """On a number that no open channel has."""

    async def declare(self, channel: Any, queue: str = "", **words: Any) -> str:
        """A queue of this connection; ``words`` as ``arguments``, ``passive``, ``nowait``."""

    def publish(self, channel: Any, queue: str, body: Any, properties: Mapping[str, Any] | None = None) -> bool:
        """Send a message, unconfirmed; whether it was taken by the client."""

    async def publish_confirmed(self, channel: Any, queue: str, body: bytes) -> bool:
        """What the broker said to it; the channel must be good for more afterwards."""

    async def confirm(self, channel: Any) -> None:
        """Turn publisher confirms on."""

    async def consume(self, channel: Any, queue: str) -> Callable[[], Deferred[Received]]:
        """What gives the next message; a channel has one consumer."""

    async def cancelled(self, channel: Any) -> None:
        """Until the channel's consumer is told that its queue has gone."""

    async def blocked(self, channel: Any) -> None:
        """Until the client is told that the broker takes no messages."""

    async def unblocked(self, channel: Any) -> None:
        """Until it is told that the broker takes them again."""

    async def leave(self) -> None:
        """End whatever there is."""


@define(eq=False)
class Ours:
    """``cloudd.protocols.amqp``."""

    connection: Any = None
    _gone: dict[Any, Deferred[None]] = field(factory=dict)

    async def connect(self, uri: str) -> None:
        self.connection = await amqp.connect(reactor, amqp.Address.from_uri(uri), "test")

    connect_by = connect

    async def open_channel(self) -> Any:
        return await self.connection.open_channel()

    async def declare(self, channel: Any, queue: str = "", **words: Any) -> str:
        answer = await channel.queue_declare(queue=queue, exclusive=not words.get("durable"), **words)
        return queue if answer is None else str(answer.queue)

    def publish(self, channel: Any, queue: str, body: Any, properties: Mapping[str, Any] | None = None) -> bool:
        refused: list[Any] = []
        channel.publish("", queue, body, properties).addErrback(refused.append)
        return not refused

    async def publish_confirmed(self, channel: Any, queue: str, body: bytes) -> bool:
        try:
            await channel.publish("", queue, body)
        except amqp.NotTaken:
            return False
        finally:
            await channel.basic_qos(prefetch_count=0)
        return True

    async def confirm(self, channel: Any) -> None:
        await channel.confirm()

    async def consume(self, channel: Any, queue: str) -> Callable[[], Deferred[Received]]:
        inbox: DeferredQueue[Received] = DeferredQueue()
        gone = self._gone[channel] = Deferred()

        def take(delivery: amqp.Delivery) -> None:
            def reject(again: bool) -> None:
                delivery.nack(requeue=again)

            inbox.put(Received(delivery.body, delivery.properties, delivery.redelivered, reject))

        await channel.consume(queue, take, lambda: gone.callback(None))
        return inbox.get

    async def cancelled(self, channel: Any) -> None:
        await self._gone[channel]

    async def blocked(self, _channel: Any) -> None:
        while not self.connection.blocked:
            await deferLater(reactor, 0.02)

    async def unblocked(self, _channel: Any) -> None:
        await self.connection.writable()

    async def leave(self) -> None:
        if self.connection is not None:
            await self.connection.leave()


class _Factory(AMQFactory):  # type: ignore[misc]
    """Remembers its clients, also those that were not let in."""

    def buildProtocol(self, addr: Any) -> Any:
        self.client = AMQFactory.buildProtocol(self, addr)
        return self.client


@define(eq=False)
class Plain:
    """
    txAMQP 0.8.2.

    :ivar folder: for its specification, which is ours with the names of AMQP's, as all that Debian ships have them
    """

    folder: Path
    client: Any = None
    _factory: Any = None

    async def connect(self, uri: str) -> None:
        endpoint = AMQEndpoint.from_uri(reactor, uri)
        # The one thing that is mended here, or it could not be asked for anything else: connect_by() shows it.
        endpoint._host, endpoint._vhost = endpoint._host.partition(":")[0], endpoint._vhost or "/"
        await self._connect(endpoint)

    async def connect_by(self, uri: str) -> None:
        await self._connect(AMQEndpoint.from_uri(reactor, uri))

    async def _connect(self, endpoint: Any) -> None:
        path = self.folder / "specification.xml"
        path.write_text(SPECIFICATION.read_text().replace('name="nowait"', 'name="no-wait"'))
        self._factory = _Factory(spec=str(path))
        self.client = await endpoint.connect(self._factory)

    async def open_channel(self) -> Any:
        taken = {number for number, channel in self.client.channels.items() if not channel.closed}
        channel = await self.client.channel(next(number for number in range(1, 1000) if number not in taken))
        await channel.channel_open()
        return channel

    async def declare(self, channel: Any, queue: str = "", **words: Any) -> str:
        if "nowait" in words:
            words["no_wait"] = words.pop("nowait")
        answer = await channel.queue_declare(queue=queue, exclusive=not words.get("durable"), **words)
        return queue if answer is None else str(answer.queue)

    def publish(self, channel: Any, queue: str, body: Any, properties: Mapping[str, Any] | None = None) -> bool:
        sent = channel.basic_publish(routing_key=queue, content=Content(body, properties=dict(properties or {})))
        refused: list[Any] = []
        sent.addErrback(refused.append)
        return not refused

    async def publish_confirmed(self, channel: Any, queue: str, body: bytes) -> bool:
        await channel.basic_publish(routing_key=queue, content=Content(body))
        for _ in range(20):  # there is nothing that would tell of the confirm itself
            await channel.basic_qos(prefetch_count=0)
            await deferLater(reactor, 0.05)
        return True

    async def confirm(self, channel: Any) -> None:
        await channel.confirm_select()

    async def consume(self, channel: Any, queue: str) -> Callable[[], Deferred[Received]]:
        tag = f"consumer-{channel.id}"
        await channel.basic_consume(queue=queue, consumer_tag=tag)
        inbox = await self.client.queue(tag)

        def received(message: Any) -> Received:
            def reject(again: bool) -> None:
                channel.basic_reject(delivery_tag=message.delivery_tag, requeue=again)

            return Received(message.content.body, message.content.properties, message.redelivered, reject)

        def ended(failure: Any) -> None:
            failure.trap(QueueClosed)
            raise Closed(channel.reason)

        return lambda: inbox.get().addCallbacks(received, ended)

    async def _ends(self, channel: Any) -> None:
        """There is nothing to wait for except the end of the connection."""
        await self.client.disconnected.wait()
        raise Closed(channel.reason)

    cancelled = blocked = unblocked = _ends

    async def leave(self) -> None:
        client = getattr(self._factory, "client", None)
        if client is not None and client.transport is not None:
            client.transport.abortConnection()
            await client.disconnected.wait()
