# -*- test-case-name: tests.daemon -*-
"""The whole host as the anchor sees it: health and metrics gathered over all workers."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from cloudd.interfaces.settings import Settings

from ._health import WorkerFacts, disk_part, failing, merge_health, merge_metrics, noted, ok_part
from ._link import LinkError
from ._rates import Rates
from ._swap_metrics import SwapMetrics
from ._tls_front import TLSFront
from ._workers import WorkerPool


class HostView:
    """Asks all workers at the same time; one that does not answer in time is part of the answer."""

    def __init__(
        self,
        reactor: Any,
        settings: Settings,
        pool: WorkerPool,
        began: float,
        urls: Mapping[str, str],
        swaps: SwapMetrics,
        tls: TLSFront,
    ) -> None:
        self._reactor = reactor
        self._settings = settings
        self._pool = pool
        self._began = began
        self._swaps = swaps
        self._tls = tls
        self._code_note = (0, "")
        self._anchor_note = ""
        self.urls = dict(urls)
        self.rates = Rates(reactor, pool)
        self.state_folder = settings.state

    def note_code(self, generation: int, note: str) -> None:
        """Show this in ``/health`` as long as that generation serves; it is no failure: a good one serves."""
        self._code_note = (generation, note)

    def note_anchor(self, note: str) -> None:
        """Show this in ``/health`` from now on; it is no failure: the workers serve."""
        self._anchor_note = note

    @property
    def code_note(self) -> str:
        """What ``/health`` says of the code that serves now; empty: nothing."""
        generation, note = self._code_note
        return note if generation == self._pool.decided.generation else ""

    async def health(self) -> dict[str, Any]:
        """What ``/health`` says."""
        answers = await self._pool.ask_all("health")
        workers = []
        for slot in self._pool.slots:
            answer = answers.get(slot.name)
            silent = isinstance(answer, LinkError)
            workers.append(
                WorkerFacts(
                    slot.name,
                    slot.is_ready,
                    slot.loops,
                    slot.cause,
                    None if silent or answer is None else answer,
                    str(answer) if silent else "it ended meanwhile",
                )
            )
        own = {
            "anchor": noted(self._anchor_note),
            "disk": self._disk(),
            "code": self._code(),
            **await self._tls.health(),
        }
        return merge_health(workers, own)

    async def metrics(self) -> bytes:
        """What ``/metrics`` says."""
        answers = await self._pool.ask_all("metrics")
        exports = {name: answer for name, answer in answers.items() if not isinstance(answer, LinkError)}
        return merge_metrics({**exports, "anchor": [*self._own_metrics(), *await self._tls.metrics()]})

    def _disk(self) -> dict[str, str]:
        facts = os.statvfs(self._settings.state)
        return disk_part(
            facts.f_bavail * facts.f_frsize, self._settings.objects.reserve_bytes, str(self._settings.state)
        )

    def _code(self) -> dict[str, str]:
        """Whether all that are ready answer with the code that was decided for."""
        decided = self._pool.decided.generation
        others = [slot.name for slot in self._pool.slots if slot.is_ready and slot.generation != decided]
        if others:
            return failing(f"generation {decided} was decided for, {', '.join(others)} has another one: it is ended")
        generation, note = self._code_note
        return noted(note) if note and generation == decided else ok_part()

    def _own_metrics(self) -> list[dict[str, Any]]:
        slots = self._pool.slots
        restarts = [["cloudd_worker_restarts_total", {"name": slot.name}, slot.restarts] for slot in slots]
        ready = [["cloudd_worker_ready", {"name": slot.name}, int(slot.is_ready)] for slot in slots]
        uptime = [["cloudd_uptime_seconds", {}, self._reactor.seconds() - self._began]]
        return [
            _family("cloudd_worker_restarts", "counter", "Times a worker was started again", restarts),
            _family("cloudd_worker_ready", "gauge", "Whether a worker serves", ready),
            _family("cloudd_uptime_seconds", "gauge", "Time since twistd started", uptime),
            *self._swaps.export(),
        ]


def _family(name: str, kind: str, meaning: str, samples: list[list[Any]]) -> dict[str, Any]:
    return {"name": name, "type": kind, "help": meaning, "samples": samples}
