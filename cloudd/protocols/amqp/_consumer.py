# -*- test-case-name: tests.protocols.amqp.test_session -*-
"""Messages of a queue that come, whatever becomes of connections and channels."""

from __future__ import annotations

from collections.abc import Callable

from attrs import define

from ._channel import Channel, Delivery, OnCancelled, OnDelivery
from ._errors import AMQPError

FIRST_PATIENCE_S = 2.0


@define(eq=False)
class Consumer:
    """
    Messages of a queue that come, on each connection anew; made by ``Session.consume``.

    :ivar prefetch: so many at a time that are not settled
    :ivar channel: on which they come; a session gives it one after the other
    :ivar stopped: it is given no further one
    :ivar is_deaf: what comes is not taken; the broker gets it back with the channel
    :ivar patience_s: how long the broker may take next time to let them come
    """

    _queue: str | Callable[[], str]
    _on_delivery: OnDelivery
    prefetch: int
    on_consuming: Callable[[], object]
    no_ack: bool = False
    channel: Channel | None = None
    stopped: bool = False
    patience_s: float = FIRST_PATIENCE_S
    _tag: str = ""
    is_deaf: bool = False

    @property
    def queue(self) -> str:
        """Its name on the connection of now."""
        return self._queue if isinstance(self._queue, str) else self._queue()

    @property
    def is_consuming(self) -> bool:
        """Whether the broker has agreed that messages come, on the connection of now."""
        return bool(self._tag) and self.channel is not None and not self.channel.closed

    async def begin(self, channel: Channel, on_cancelled: OnCancelled) -> None:
        """On a channel that is prepared."""
        self.channel, self._tag = channel, ""
        await channel.basic_qos(prefetch_count=self.prefetch)
        self._tag = await channel.consume(self.queue, self._take, on_cancelled, no_ack=self.no_ack)
        if not self.stopped:
            self.on_consuming()

    def _take(self, delivery: Delivery) -> None:
        if not self.is_deaf:
            self._on_delivery(delivery)

    async def cancel(self) -> None:
        """No further message comes when this is done; those that have come can still be acknowledged, until ``end``."""
        self.stopped = True
        if not self.is_consuming or self.channel is None:
            self.is_deaf = True
            return
        try:
            await self.channel.cancel(self._tag)
        except AMQPError:
            return  # nothing comes on a channel that is closed

    async def rest(self, patience_s: float) -> None:
        """
        Take no further message, let those that came be settled, and end.

        :param patience_s: so long at most; what is not settled then is delivered to others
        """
        await self.cancel()
        if self.channel is not None and not self.is_deaf:
            await self.channel.settled(patience_s)
        await self.end()

    async def end(self) -> None:
        """No further message comes; those that were not acknowledged are delivered to others.  Safe to call again."""
        self.stopped = self.is_deaf = True
        self._on_delivery, self.on_consuming = _nothing, _nothing  # nobody keeps who listened alive
        if self.channel is not None:
            await self.channel.leave()


def _nothing(_delivery: object = None) -> None:
    """Has ended."""
