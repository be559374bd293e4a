# -*- test-case-name: tests.protocols.amqp.test_client -*-
"""
One channel: calls in order, messages with content, publisher confirms, deliveries.

The methods ``queue_declare``, ``basic_qos`` and all others come from txAMQP, which makes them from the specification;
here is what becomes of them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import lru_cache
from itertools import takewhile
from typing import Any

from attrs import field, frozen
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.defer import TimeoutError as TimedOut
from twisted.logger import Logger
from twisted.python.failure import Failure
from txamqp.message import Message
from txamqp.protocol import AMQChannel

from ._errors import AMQPError, NotRouted, NotTaken, Refused, Saturated
from ._frames import HEADER, METHOD, pack_content, pack_frame
from ._methods import find_method, pack_header, pack_method, unpack_header
from ._values import Malformed, Unencodable

MAX_UNCONFIRMED = 1000


@frozen(eq=False)
class Delivery:
    """
    A message for a consumer.

    :ivar tag: by which its channel acknowledges it
    :ivar redelivered: it may have been delivered before
    :ivar properties: by their names in AMQP, as ``headers`` and ``message-id``
    """

    channel: Channel = field(repr=False)
    consumer_tag: str
    tag: int
    redelivered: bool
    exchange: str
    routing_key: str
    properties: dict[str, Any]
    body: bytes = field(repr=False)

    def ack(self) -> None:
        """It is done with."""
        self.channel.settle(_ACK, [self.tag, False])

    def nack(self, *, requeue: bool) -> None:
        """It is not: deliver it again, or treat it as the queue's dead letters."""
        self.channel.settle(_NACK, [self.tag, False, requeue])


OnDelivery = Callable[[Delivery], object]
OnCancelled = Callable[[], object]


class Channel(AMQChannel):  # type: ignore[misc]
    """
    :ivar unconfirmed: messages that the broker has not answered for
    :ivar unsettled: tags of messages that came and were neither acknowledged nor rejected
    :ivar gone: fires with the cause when the channel is closed
    :ivar on_refused: called when the broker has not taken a message
    """

    log = Logger()

    id: int
    client: Any
    closed: bool
    reason: Any

    def __init__(self, number: int, outgoing: Any, client: Any) -> None:
        AMQChannel.__init__(self, number, outgoing, client)
        self._answers: deque[tuple[Any, Deferred[Any]]] = deque()
        self._content: _Content | None = None
        self._published = 0  # messages since confirms are on; 0: they are off
        self._confirming = False
        self._leaving = False
        self._crossed: Refused | None = None  # why the broker closed it while we were about to
        self.unconfirmed: dict[int, Deferred[None]] = {}
        self._tags: dict[str, int] = {}  # message id -> tag, of messages that may come back
        self._ids: dict[int, str] = {}  # the same the other way round
        self._returned: dict[int, NotRouted] = {}
        self._consumers: dict[str, _Consumer] = {}
        self.unsettled: set[int] = set()
        self._all_settled: Deferred[None] | None = None
        self.gone: Deferred[Exception] = Deferred()
        self.on_refused: Callable[[], object] = lambda: None

    # ---- what we ask

    def invoke(self, method: Any, args: Any, content: Any = None) -> Deferred[Any]:
        """
        Send a method; fires with its answer, a ``txamqp.message.Message``, or at once with None where there is none.

        :raises Unencodable: nothing was sent
        """
        if self.closed:
            return fail(self.reason)
        if method.content:
            raise TypeError("messages go out by publish()")
        self.client.send(pack_frame(METHOD, self.id, pack_method(method, args)))
        answered = bool(method.responses)
        if answered and "nowait" in method.fields.byname:
            answered = not args[method.fields.index(method.fields.byname["nowait"])]
        if not answered:
            return succeed(None)
        answer: Deferred[Any] = Deferred()
        self._answers.append((method, answer))
        return answer

    async def confirm(self) -> None:
        """From now on ``publish`` waits for the broker's answer."""
        self._confirming = True  # not later: the broker counts from the moment when it reads this
        await self.confirm_select()

    def publish(
        self,
        exchange: str,
        routing_key: str,
        body: bytes,
        properties: Mapping[str, Any] | None = None,
        *,
        mandatory: bool = False,
    ) -> Deferred[None]:
        """
        Send a message.

        :param properties: as ``pack_header``; ``mandatory`` needs a ``message-id`` that is used once
        :return: fires when the broker has taken it, at once without confirms; fails with ``NotTaken``, ``NotRouted``,
            ``Refused`` or ``ConnectionLost``, and with ``Saturated`` when nothing was sent
        :raises Unencodable: nothing was sent
        """
        if self.closed:
            return fail(self.reason)
        if len(self.unconfirmed) >= MAX_UNCONFIRMED or self.client.is_saturated:
            return fail(Saturated(f"{len(self.unconfirmed)} messages wait for the broker"))
        method = _packed_publish(exchange, routing_key, mandatory)
        header = pack_header(len(body), properties or {})
        if mandatory and not (properties or {}).get("message-id"):
            raise ValueError("a mandatory message needs a message-id")
        self.client.send(pack_content(self.id, method, header, body, self.client.frame_max))
        if not self._confirming:
            return succeed(None)
        self._published += 1
        taken: Deferred[None] = Deferred()
        self.unconfirmed[self._published] = taken
        if mandatory and properties:
            self._tags[properties["message-id"]] = self._published
            self._ids[self._published] = properties["message-id"]
        return taken

    async def consume(
        self,
        queue: str,
        on_delivery: OnDelivery,
        on_cancelled: OnCancelled = lambda: None,
        *,
        no_ack: bool = False,
        exclusive: bool = False,
        arguments: Mapping[str, Any] | None = None,
    ) -> str:
        """
        Let messages of a queue come; ``basic_qos`` first says how many at a time.

        :param on_cancelled: the broker has ended this: the queue was deleted, or its node is gone
        :return: the consumer's tag, for ``cancel``
        """
        tag: str = self.client.next_name("consumer")
        self._consumers[tag] = _Consumer(on_delivery, on_cancelled, no_ack)
        try:
            await self.basic_consume(
                queue=queue, consumer_tag=tag, no_ack=no_ack, exclusive=exclusive, arguments=dict(arguments or {})
            )
        except (AMQPError, Unencodable):
            self._consumers.pop(tag, None)
            raise
        return tag

    async def cancel(self, consumer_tag: str) -> None:
        """No further message comes after this; those that have come are still to be acknowledged."""
        await self.basic_cancel(consumer_tag=consumer_tag)
        self._consumers.pop(consumer_tag, None)

    def settle(self, method: Any, arguments: list[Any]) -> None:
        """Acknowledge or reject; without effect on a closed channel, whose messages the broker delivers again."""
        if not self.closed:
            self.client.send(pack_frame(METHOD, self.id, pack_method(method, arguments)))
            self.unsettled.discard(arguments[0])
            if self._all_settled is not None and not self.unsettled:
                waiting, self._all_settled = self._all_settled, None
                waiting.callback(None)

    async def settled(self, patience_s: float) -> bool:
        """
        Wait until all that came is acknowledged or rejected, or the channel is closed.

        :param patience_s: so long at most
        :return: whether nothing is left
        """
        if self.unsettled:
            self._all_settled = Deferred()
            with suppress(TimedOut):
                await self._all_settled.addTimeout(patience_s, self.client.clock)
            self._all_settled = None
        return not self.unsettled

    # ---- what comes

    def method_received(self, method: Any, arguments: list[Any]) -> None:
        """A method, whose content may follow."""
        if self._content is not None:
            raise Malformed(f"{method.klass.name}.{method.name} comes inside the content of another method")
        if method.content:
            self._content = _Content(method, arguments)
        else:
            self._complete(method, arguments, None)

    def content_received(self, kind: int, payload: bytes) -> None:
        """A header, or a piece of a body."""
        content = self._content
        if content is None:
            raise Malformed("content comes without a method")
        if content.take(kind, payload):
            self._content = None
            self._complete(content.method, content.arguments, content)

    def _complete(self, method: Any, arguments: list[Any], content: _Content | None) -> None:
        if method.response:
            if method is _CLOSE_OK:
                self._drop_unanswered(Refused(200, "the channel was closed before the broker answered"))
            if not self._answers or method not in self._answers[0][0].responses:
                raise Malformed(f"{method.klass.name}.{method.name} answers nothing that was asked")
            _asked, answer = self._answers.popleft()
            answer.callback(Message(method, arguments, content))
        elif content is not None and method is _DELIVER:
            self._deliver(arguments, content)
        elif method is _ACK:  # as frequent; everything else takes txAMQP's way
            self.confirmed(arguments[0], multiple=arguments[1], taken=True)
        else:
            self.client.delegate.dispatch(self, Message(method, arguments, content))

    def _drop_unanswered(self, reason: Refused) -> None:
        """What was asked before the channel's end: RabbitMQ leaves a ``basic.cancel`` without an answer then."""
        while self._answers and self._answers[0][0] is not _CLOSE:
            self._answers.popleft()[1].errback(Failure(reason))

    def _deliver(self, arguments: list[Any], content: _Content) -> None:
        consumer = self._consumers.get(arguments[0])
        if consumer is None:
            return  # cancelled: the broker takes it back with the channel
        tag, number, redelivered, exchange, routing_key = arguments
        if not consumer.no_ack:
            self.unsettled.add(number)
        properties, body = content.properties, content.body
        delivery = Delivery(self, tag, number, redelivered, exchange, routing_key, properties, body)
        try:
            consumer.on_delivery(delivery)
        except Exception:
            self.log.failure("a consumer failed over a message; it is not acknowledged")

    def confirmed(self, tag: int, *, multiple: bool, taken: bool) -> None:
        """The broker's answer for one message, or for all up to one."""
        tags = list(takewhile(lambda each: each <= tag or not tag, self.unconfirmed)) if multiple else [tag]
        for each in tags:
            self._tags.pop(self._ids.pop(each, ""), None)
            waiting = self.unconfirmed.pop(each, None)
            returned = self._returned.pop(each, None)
            if waiting is None:
                continue
            if returned is not None:
                waiting.errback(returned)
            elif taken:
                waiting.callback(None)
            else:
                waiting.errback(NotTaken("the broker could not take a message"))
                self.on_refused()

    def returned(self, error: NotRouted, message_id: str) -> None:
        """A mandatory message comes back; its confirm follows."""
        tag = self._tags.get(message_id)
        if tag is not None:
            self._returned[tag] = error

    def cancelled(self, consumer_tag: str) -> None:
        """By the broker."""
        consumer = self._consumers.pop(consumer_tag, None)
        if consumer is not None:
            self._tell(consumer)

    def _tell(self, consumer: _Consumer) -> None:
        try:
            consumer.on_cancelled()
        except Exception:
            self.log.failure("a consumer failed over its own end")

    def ended(self, reason: Exception) -> None:
        """The channel is closed, by whomever: all that waits fails with ``reason``."""
        if self.closed:
            return
        self.closed = True
        self.reason = reason
        waiting = [answer for _method, answer in self._answers] + list(self.unconfirmed.values())
        self._answers.clear()
        for each in (self.unconfirmed, self._tags, self._ids, self._returned, self.unsettled):
            each.clear()
        consumers, self._consumers = self._consumers, {}
        self.gone.callback(reason)
        for answer in waiting:
            answer.errback(Failure(reason))
        for consumer in consumers.values():
            self._tell(consumer)
        if self._all_settled is not None and not self._all_settled.called:
            self._all_settled.callback(None)

    do_close = close = ended

    async def leave(self) -> None:
        """Close it; messages that were not acknowledged are delivered again."""
        if self.closed or self._leaving:
            return
        self._leaving = True
        with suppress(AMQPError):  # then it is closed as well
            await self.channel_close(reply_code=200, reply_text="done")
        self.client.forget(self, self._crossed or Refused(200, "the channel was closed"))

    def closed_by_broker(self, reason: Refused) -> None:
        """
        The broker closes it.

        If we do at the same moment, the broker still answers that; until then the number belongs to this channel.
        """
        self.channel_close_ok()
        if not self._leaving:
            self.client.forget(self, reason)
            return
        self._crossed = reason
        self._drop_unanswered(reason)


@frozen
class _Consumer:
    on_delivery: OnDelivery
    on_cancelled: OnCancelled
    no_ack: bool


class _Content:
    """A message that comes in pieces."""

    __slots__ = ("_left", "_pieces", "arguments", "body", "method", "properties")

    def __init__(self, method: Any, arguments: list[Any]) -> None:
        self.method = method
        self.arguments = arguments
        self.properties: dict[str, Any] = {}
        self.body = b""
        self._pieces: list[bytes] = []
        self._left = -1  # before the header

    def take(self, kind: int, payload: bytes) -> bool:
        """Whether it is complete with this."""
        if (kind == HEADER) != (self._left < 0):
            raise Malformed("header and body of a message do not come in their order")
        if kind == HEADER:
            self._left, self.properties = unpack_header(payload)
        else:
            self._left -= len(payload)
            self._pieces.append(payload)
            if self._left < 0:
                raise Malformed("the body of a message is longer than its header says")
        if self._left:
            return False
        self.body = b"".join(self._pieces)
        return True


_PUBLISH, _DELIVER = find_method("basic.publish"), find_method("basic.deliver")
_ACK, _NACK = find_method("basic.ack"), find_method("basic.nack")
_CLOSE, _CLOSE_OK = find_method("channel.close"), find_method("channel.close-ok")


@lru_cache(maxsize=1024)
def _packed_publish(exchange: str, routing_key: str, mandatory: bool) -> bytes:
    """Most messages go where others have gone before."""
    return pack_method(_PUBLISH, [0, exchange, routing_key, mandatory, False])
