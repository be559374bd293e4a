"""
What there is at the broker: names and arguments, for good.

A queue that is there with other arguments refuses to be declared, so whoever changes an argument here changes the
name too, and lets releases that may meet declare both.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from attrs import frozen

from cloudd.messaging import Limits, Parcel, Way
from cloudd.protocols.amqp import Binding, Channel, Exchange, Queue, Topology

ALL = "cloudd.all"
"""Exchange of fan-out; the routing key is a topic."""

EVENTS = "cloudd.events"
"""Exchange of events; the routing key is an event's."""

DEAD = "cloudd.dead"
"""Exchange and queue of what the broker gives up: expired, or given back too often."""

PARKED = "cloudd.parked"
"""Queue of what was set aside by who got it."""

DELIVERY_LIMIT = 20  # above the attempts of Limits, which know a cause; here only its process has died each time
UNUSED_MS = 60_000  # a transient queue that nobody has come to consume
MOST_APART = 10_000
MOST_EVENTS = 10_000


def calls_queue(topic: str) -> str:
    """Of all who serve a topic."""
    return f"cloudd.calls.{topic}"


def work_queue(topic: str) -> str:
    """Kept, of all who serve a topic."""
    return f"cloudd.work.{topic}"


def node_queue(topic: str, node: str) -> str:
    """Of who serves a topic on a host; fan-out comes here too, so that two processes of a host get it once."""
    return f"cloudd.node.{topic}@{node}"


def route(parcel: Parcel) -> tuple[str, str]:
    """Exchange and routing key."""
    if parcel.way is Way.ALL:
        return ALL, parcel.topic
    if parcel.way is Way.NODE:
        return "", node_queue(parcel.topic, parcel.node)
    return "", calls_queue(parcel.topic) if parcel.way is Way.CALL else work_queue(parcel.topic)


def lasting() -> Topology:
    """What is there whoever comes."""
    quorum: dict[str, Any] = {"x-queue-type": "quorum", "x-max-length": MOST_APART}
    return Topology(
        exchanges=(Exchange(ALL, "direct"), Exchange(EVENTS, "topic"), Exchange(DEAD, "fanout")),
        queues=(Queue(DEAD, arguments=quorum), Queue(PARKED, arguments=quorum)),
        bindings=(Binding(DEAD, DEAD),),
    )


def of_topic(topic: str, node: str, limits: Limits) -> Topology:
    """What is there because somebody serves a topic on this host."""
    work = {
        "x-queue-type": "quorum",
        "x-delivery-limit": DELIVERY_LIMIT,
        "x-dead-letter-exchange": DEAD,
        "x-dead-letter-strategy": "at-least-once",
        "x-max-length": limits.queued,
        "x-overflow": "reject-publish",
    }
    transient = {"x-max-length": limits.queued, "x-overflow": "reject-publish", "x-expires": UNUSED_MS}
    queues = (
        Queue(work_queue(topic), arguments=work),
        Queue(calls_queue(topic), durable=False, auto_delete=True, arguments=transient),
        Queue(node_queue(topic, node), durable=False, auto_delete=True, arguments=transient),
    )
    return Topology(queues=queues, bindings=(Binding(node_queue(topic, node), ALL, topic),))


def of_one(name: str) -> Queue:
    """A queue of this connection alone."""
    return Queue(name, durable=False, exclusive=True, auto_delete=True, arguments={"x-max-length": MOST_EVENTS})


@frozen
class Live(Topology):
    """What there has to be at this moment: asked for on each channel."""

    ask: Callable[[Channel], Awaitable[None]] = lambda _: _nothing()

    async def declare(self, channel: Channel) -> None:
        """See ``Topology``."""
        await self.ask(channel)


async def _nothing() -> None:
    return None
