# -*- test-case-name: tests.events.test_service -*-
"""Events as one part of a generation, with one life."""

from __future__ import annotations

import resource
from collections.abc import Callable, Mapping
from typing import Any

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from cloudd.identity import Access, Identity
from cloudd.interfaces.application import PartHealth, Resources, SelfCheckFailed
from storage import IObjectStore

from . import _outbox
from ._event import TYPES
from ._grants import Grant, Grants
from ._hub import Hub
from ._position import Position
from ._sources import Sources
from ._subscriber import Subscriber

DESCRIPTORS_LEFT = 1_000
PRUNE_EVERY_S = 10.0
PRUNED_AT_ONCE = 5_000
_NOTED = "upgrade."

log = Logger()


@define(eq=False)
class Events:
    """What happened, to be followed; in one worker of one generation.  See the package for an overview."""

    _resources: Resources
    _identity: Identity
    _store: IObjectStore
    _sources: Sources = field(init=False)
    _grants: Grants = field(init=False)
    _hub: Hub = field(init=False)
    _most: int = field(init=False)  # subscribers
    _timer: LoopingCall | None = field(init=False, default=None)
    _unfollow: Callable[[], None] | None = field(init=False, default=None)

    def __attrs_post_init__(self) -> None:
        resources = self._resources
        self._sources = Sources(resources.database, self._store, resources.object_index, resources.threads)
        self._grants = Grants(self._identity, resources.reactor)
        descriptors, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        self._most = min(resources.settings.events.subscribers, max(descriptors - DESCRIPTORS_LEFT, 0))
        subscribers = resources.metrics.gauge("cloudd_event_subscribers", "Open event streams")
        turns = resources.metrics.histogram("cloudd_event_turn_seconds", "How long full turns of the event hub take")
        self._hub = Hub(
            resources.reactor,
            self._sources,
            self._grants,
            lambda: self._identity.is_fresh,
            resources.settings.events.heartbeat_s,
            subscribers.inc,
            turns.observe,
        )

    # ---- subscribers

    @property
    def is_full(self) -> bool:
        """This worker has as many subscribers as the settings allow, or as leave descriptors for other clients."""
        return self._hub.count >= self._most

    def grant(self, token: str, access: Access) -> Grant:
        """
        What lets a subscriber in; ``join`` or ``refuse`` must follow.

        :param access: what ``token`` was just verified as
        """
        return self._grants.take(token, access)

    def join(self, subscriber: Subscriber) -> None:
        """Tell it of events, until it leaves or its grant ends; then its ``end`` is called."""
        self._hub.join(subscriber)

    def leave(self, subscriber: Subscriber) -> None:
        """Its client has gone, or another process goes on with it.  Safe more than once."""
        self._hub.leave(subscriber)

    def position_of(self, subscriber: Subscriber) -> Position | None:
        """From where it can go on elsewhere; ``None``: not known yet."""
        return self._hub.position_of(subscriber)

    # ---- what others tell

    def note(self, kind: str, data: Mapping[str, Any]) -> Deferred[None]:
        """
        Book an event of the host's own; fires when it is on disk.

        :param kind: ``upgrade.progress`` or ``upgrade.ended``
        :param data: plain data, shown to administrators
        :raises ValueError: another kind
        """
        if kind not in TYPES or not kind.startswith(_NOTED):
            raise ValueError(f"{kind!r} is no event that the host tells of")
        return self._resources.database.write(_outbox.note, kind, self._now_us(), dict(data))

    # ---- life

    async def self_check(self) -> None:
        """
        Read both logs.

        :raises SelfCheckFailed: one cannot be read
        """
        try:
            page = await self._sources.read(Position(0, 0), 10)
            Position.parse(str(page.end))
        except Exception as error:
            raise SelfCheckFailed("cloudd.events", str(error) or type(error).__name__) from error

    def start(self, state: Mapping[str, Any]) -> None:
        """Begin to hear of revoked tokens."""
        self._unfollow = self._identity.follow(self._hub.suspect)

    def lead(self) -> None:
        """In the agent's worker, when this code was decided for: begin to forget old events.  Safe to call again."""
        if self._resources.role in ("agent", "all") and self._timer is None:
            self._timer = LoopingCall(lambda: Deferred.fromCoroutine(self._prune()))
            self._timer.clock = self._resources.reactor
            # The call catches everything, so the timer ends only by stop().
            ended = self._timer.start(PRUNE_EVERY_S, now=False)
            ended.addErrback(lambda failure: log.failure("pruning of events ended", failure))

    def snapshot(self) -> dict[str, Any]:
        """Nothing here is worth keeping: each stream takes its position along."""
        return {}

    def retire(self) -> None:
        """Stop the timer.  Streams move to the newer generation; what is still here after a while is ended."""
        timer, self._timer = self._timer, None
        if timer is not None and timer.running:
            timer.stop()
        unfollow, self._unfollow = self._unfollow, None
        if unfollow is not None:
            unfollow()
        self._hub.retire()

    def health(self) -> list[PartHealth]:
        return [PartHealth("events", not self._hub.cause, self._hub.cause)]

    async def _prune(self) -> None:
        settings = self._resources.settings.events
        before_us = self._now_us() - settings.keep_s * 1_000_000
        try:
            while await self._sources.prune(settings.keep, before_us, PRUNED_AT_ONCE) == PRUNED_AT_ONCE:
                pass
        except Exception as error:
            log.warn("old events could not be forgotten; it is tried again: {cause}", cause=str(error))

    def _now_us(self) -> int:
        return int(self._resources.reactor.seconds() * 1_000_000)
