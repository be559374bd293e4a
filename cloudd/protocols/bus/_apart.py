"""What lies apart at the broker, and why: counted, and looked at without taking it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from cloudd.messaging import SetAside
from cloudd.protocols.amqp import AMQPError, Channel, Session

from ._topology import DEAD, PARKED

TOLD_CAUSES = 10


async def look(session: Session, before: SetAside) -> SetAside:
    """
    What is apart now; causes are read only when a number has changed, since who looks hides them from others.

    :raises AMQPError: it cannot be told
    """
    channel = await session.open_channel()
    try:
        parked, dead = await _count(channel, PARKED), await _count(channel, DEAD)
        if (parked, dead) == (before.parked, before.dead):
            return before
        causes = [_cause_of(each) for each in await _peek(channel, PARKED, parked)]
        causes += [_death_of(each) for each in await _peek(channel, DEAD, dead)]
    finally:
        await _leave(channel)
    return SetAside(parked, dead, tuple(causes))


async def _leave(channel: Channel) -> None:
    try:
        await channel.leave()
    except AMQPError:
        return  # closed already, and with it all that was looked at has gone back


async def _count(channel: Channel, queue: str) -> int:
    answer = await channel.queue_declare(queue=queue, passive=True, durable=True)
    return int(answer.message_count)


async def _peek(channel: Channel, queue: str, number: int) -> list[dict[str, Any]]:
    """Headers of its first messages, which go back when the channel is left."""
    found: list[dict[str, Any]] = []
    for _ in range(min(number, TOLD_CAUSES)):
        answer = await channel.basic_get(queue=queue)
        if answer.method.name != "get-ok":
            break
        found.append(answer.content.properties.get("headers") or {})
    return found


def _cause_of(headers: dict[str, Any]) -> str:
    return f"{headers.get('cause', 'it does not say why')} (since {headers.get('since', 'some time')})"


_REASONS = {
    "expired": "its deadline passed before anybody did it",
    "delivery_limit": "whoever got it died over it, or gave it back too often",
    "maxlen": "its queue was full",
    "rejected": "it was rejected",
}


def _death_of(headers: dict[str, Any]) -> str:
    deaths = headers.get("x-death")
    death = deaths[0] if isinstance(deaths, list) and deaths and isinstance(deaths[0], dict) else {}
    reason = str(death.get("reason", ""))
    time = death.get("time")
    since = f" (since {time.isoformat()})" if isinstance(time, datetime) else ""
    return f"{death.get('queue', 'a queue')}: {_REASONS.get(reason, reason or 'it does not say why')}{since}"
