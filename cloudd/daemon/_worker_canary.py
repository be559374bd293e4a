# -*- test-case-name: tests.daemon.test_canary_processes -*-
"""What the anchor asks of one worker while a canary runs: see ``_canary``."""

from __future__ import annotations

import resource
from collections.abc import Mapping
from typing import Any

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from cloudd.protocols.http import HTTPServerFactory

from ._descriptors import DescriptorWatch
from ._generations import Generations


@define(eq=False)
class WorkerCanary:
    """
    :param factories: by face; none: there can be no connections here
    """

    _reactor: Any
    _generations: Generations
    _factories: Mapping[str, HTTPServerFactory]
    _descriptors: DescriptorWatch | None = field(init=False, default=None)

    def begin(self, number: int, share: float) -> dict[str, Any]:
        """Whether there can be connections here, and the kinds of work that can go over."""
        work = self._generations.begin_canary(number, share)
        if self._factories and self._descriptors is None:
            self._descriptors = DescriptorWatch(self._reactor, self._connections)
            self._descriptors.start()
        return {"connections": bool(self._factories), "work": work}

    async def measure(self, number: int, limits: Mapping[str, tuple[int, int]]) -> dict[str, Any] | None:
        """What came of it so far; None: it is over."""
        routes = await self._generations.measure_canary(number, limits, self._pause)
        if routes is None:
            return None
        work = self._generations.work_trial
        told: dict[str, Any] = {"routes": routes, "work": {} if work is None else work.measure()}
        if self._descriptors is not None:
            soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
            told.update(descriptors=self._descriptors.lowest(), limit=soft)
        return told

    def ended(self) -> None:
        """Either way."""
        if self._descriptors is not None:
            self._descriptors.stop()
            self._descriptors = None

    def _connections(self) -> int:
        return sum(len(factory.connections) for factory in self._factories.values())

    def _pause(self) -> Deferred[None]:
        return deferLater(self._reactor, 0)
