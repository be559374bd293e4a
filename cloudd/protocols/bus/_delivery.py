"""A message from the broker, as messaging takes it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from attrs import define
from twisted.logger import Logger
from zope.interface import implementer

from cloudd.messaging import IDelivery
from cloudd.protocols.amqp import Delivery, Session

from ._topology import PARKED

PARK_AGAIN_S = 1.0
MAX_CAUSE = 1_000


@implementer(IDelivery)
@define(eq=False)
class BrokerDelivery:
    """See ``IDelivery``; when its channel is closed the broker delivers it again, whatever is called here."""

    _reactor: Any
    _session: Session
    _delivery: Delivery
    _settled: bool = False

    log = Logger()

    @property
    def body(self) -> bytes:
        """What was sent."""
        return self._delivery.body

    @property
    def redelivered(self) -> bool:
        """Somebody may have had it before."""
        return self._delivery.redelivered

    @property
    def attempts(self) -> int:
        """Known of quorum queues; 0 of others."""
        count = (self._delivery.properties.get("headers") or {}).get("x-delivery-count", 0)
        return count if isinstance(count, int) else 0

    def done(self) -> None:
        """See ``IDelivery``."""
        if self._settle():
            self._delivery.ack()

    def again(self) -> None:
        """See ``IDelivery``."""
        if self._settle():
            self._delivery.nack(requeue=True)

    def set_aside(self, cause: str) -> None:
        """Into the queue of such messages, and only then out of this one."""
        if not self._settle():
            return
        headers = {
            "cause": cause[:MAX_CAUSE],
            "since": datetime.now(UTC).isoformat(timespec="seconds"),
            "queue": self._delivery.routing_key,
        }
        properties = {"delivery-mode": 2, "headers": headers}
        if message_id := self._delivery.properties.get("message-id"):
            properties["message-id"] = message_id
        parked = self._session.publish("", PARKED, self._delivery.body, properties)
        parked.addCallbacks(lambda _: self._delivery.ack(), lambda why: self._not_parked(why.getErrorMessage()))

    def _not_parked(self, cause: str) -> None:
        self.log.warn("a message cannot be set aside and will come again: {cause}", cause=cause)
        self._reactor.callLater(PARK_AGAIN_S, self._delivery.nack, requeue=True)

    def _settle(self) -> bool:
        """Whether it was not settled before."""
        settled, self._settled = self._settled, True
        return not settled
