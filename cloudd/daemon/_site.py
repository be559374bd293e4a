# -*- test-case-name: tests.daemon.test_generations -*-
"""
What the connections of a worker ask: which code answers a request, and what is noted when it has ended.

This is the hot path of every request: two method calls, no allocation that can be avoided.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from cloudd.protocols.http import Request

from ._access_log import FORMATTERS, AccessLog, Formatter
from ._generations import Generations
from ._metrics import RequestCounts


class WorkerSite:
    """
    ``cloudd.protocols.http.Site`` of one worker.

    :param access_format: ``text`` or ``json``
    :param now: seconds since the epoch; the same clock as ``Request.began``
    :param worker: the name that the access lines give
    """

    def __init__(
        self,
        generations: Generations,
        counts: RequestCounts,
        access_log: AccessLog,
        access_format: str,
        now: Callable[[], float],
        worker: str = "-",
    ) -> None:
        self._generations = generations
        self._count = counts.add
        self._write_line = access_log.write
        self._worker = worker
        self._format: Formatter = FORMATTERS[access_format](worker)
        self._now = now

    def set_access_format(self, access_format: str) -> None:
        """Form of the lines from now on."""
        self._format = FORMATTERS[access_format](self._worker)

    def handle(self, request: Request) -> Coroutine[Any, Any, None] | None:
        """Let the current generation answer; the request ends there, whatever is committed meanwhile."""
        generations = self._generations
        running = generations.begin() if generations.trial is None else generations.begin_in_trial(request)
        request.generation = running.number
        if request.state is not None:
            request.state = generations.state_for(running, request.state)
        application = running.application
        assert application is not None
        answer: Coroutine[Any, Any, None] | None = application.handle(request)
        return answer

    def finished(self, request: Request) -> None:
        """Count it, log it, and let go of its generation."""
        now = self._now()
        seconds = max(0.0, now - request.began)
        received = request.received_bytes
        self._count(request.face, request.route, request.method, request.status, seconds, received, request.sent_bytes)
        self._write_line(self._format(request, now, seconds, received))
        if request.generation:
            if self._generations.trial is not None:
                self._generations.trial.ended(request, seconds)
            self._generations.end(request.generation)

    def moved(self, request: Request) -> None:
        """It goes on elsewhere, where it is counted when it ends: log its part here, and let go of its generation."""
        now = self._now()
        self._write_line(self._format(request, now, max(0.0, now - request.began), request.received_bytes, moved=True))
        if request.generation:
            if self._generations.trial is not None:
                self._generations.trial.forget(request)
            self._generations.end(request.generation)
