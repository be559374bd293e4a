# -*- test-case-name: tests.protocols.monitoring.test_face -*-
"""
``/health`` and ``/metrics``: gathered from every worker of the host, whichever worker is asked.

When the host itself cannot be asked, health still answers with what this worker knows, and says so: a health check
that hangs or fails tells an operator less than one that names the part that is missing.  While the anchor is away for a
moment to become other code nothing fails for that: the last report stands, with what this worker knows of itself now.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Any

import msgspec
from attrs import define
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.defer import TimeoutError as NoAnswer
from twisted.logger import Logger

from cloudd.interfaces.application import PartHealth, Resources
from cloudd.protocols.http import Handler, Header, Request

_log = Logger()

_JSON: Header = (b"Content-Type", b"application/json")
_TEXT: Header = (b"Content-Type", b"text/plain; charset=utf-8")
_PROMETHEUS: Header = (b"Content-Type", b"text/plain; version=0.0.4; charset=utf-8")
#: An answer kept by a proxy would say how the host was doing, not how it is.
_FRESH: Header = (b"Cache-Control", b"no-store")
_ALLOW: Header = (b"Allow", b"GET, HEAD")

#: Health is asked by probes with short time-outs of their own.
_PATIENCE_S = 4.0
#: How old a report may be that stands for one of an anchor that is away to become other code.
_KEPT_S = 30.0

LocalHealth = Callable[[], Sequence[PartHealth]]


def monitoring_face(resources: Resources, health: LocalHealth, node: str = "") -> Handler:
    """
    :param health: this worker's own parts, for when the host cannot be asked
    :param node: who answers, for other nodes: an address may be a load balancer's; empty: it is not told
    :return: the handler of ``/health`` and ``/metrics``; anything else gets 404
    """
    return _Monitoring(resources, health, ((b"X-Cloudd-Node", node.encode()),) if node else ())


@define
class _Monitoring:
    """:ivar kept: the last report of the host, and when it came"""

    resources: Resources
    health: LocalHealth
    who: tuple[Header, ...] = ()
    kept: tuple[float, dict[str, Any]] | None = None

    def __call__(self, request: Request) -> Coroutine[Any, Any, None] | None:
        answer = {b"/health": self.answer_health, b"/metrics": self.answer_metrics}.get(request.path)
        if answer is None:
            request.respond(404, [_TEXT], b"Not here: /health and /metrics are.\n")
            return None
        request.route = request.path.decode("ascii")
        if request.method not in (b"GET", b"HEAD"):
            request.respond(405, [_TEXT, _ALLOW], b"Only GET and HEAD are allowed here.\n")
            return None
        return answer(request)

    async def answer_health(self, request: Request) -> None:
        """200 when every part of every worker is well, else 503; both with the parts."""
        try:
            report = await self._patiently(self.resources.host.health())
            self.kept = (self.resources.reactor.seconds(), report)
        except CancelledError:
            raise
        except NoAnswer as error:  # an anchor that is there and silent has its own, shorter time
            report = self._kept_report() or self._local_report(error)
        except Exception as error:
            report = self._local_report(error)
        status = 200 if report.get("status") == "ok" else 503
        request.respond(status, [_JSON, _FRESH, *self.who], msgspec.json.encode(report))

    async def answer_metrics(self, request: Request) -> None:
        """The Prometheus text exposition; 503 when the host cannot be asked."""
        try:
            text = await self._patiently(self.resources.host.metrics())
        except CancelledError:
            raise
        except Exception as error:
            request.respond(503, [_TEXT, _FRESH], f"Metrics could not be gathered: {_cause(error)}\n".encode())
            return
        request.respond(200, [_PROMETHEUS, _FRESH], text)

    async def _patiently(self, waiting: Deferred[Any]) -> Any:
        return await waiting.addTimeout(_PATIENCE_S, self.resources.reactor)

    def _kept_report(self) -> dict[str, Any] | None:
        """The last report, where it was a good one and is not too old, with this worker's parts as they are now."""
        came, report = self.kept or (0.0, {})
        age_s = self.resources.reactor.seconds() - came
        if report.get("status") != "ok" or age_s > _KEPT_S:
            return None
        own = _guarded(self.health)
        cause = f"The anchor is away to become other code; its last report is {age_s:.0f} s old."
        parts = {
            **report["parts"],
            **{part.part: _shown(part) for part in own},
            "host": {"status": "ok", "cause": cause},
        }
        return {**report, "status": "ok" if all(part.ok for part in own) else "failing", "parts": parts}

    def _local_report(self, error: Exception) -> dict[str, Any]:
        if not isinstance(error, NoAnswer):
            _log.failure("asking the host for its health failed")
        cause = f"The anchor could not be asked, only this worker's parts are shown: {_cause(error)}"
        parts = {part.part: _shown(part) for part in _guarded(self.health)}
        return {"status": "failing", "parts": {**parts, "host": {"status": "failing", "cause": cause}}}


def _guarded(health: LocalHealth) -> Iterable[PartHealth]:
    try:
        return list(health())
    except Exception as error:
        _log.failure("this worker's own health could not be told")
        return [PartHealth("worker", ok=False, cause=f"Its health could not be told: {_cause(error)}")]


def _shown(part: PartHealth) -> dict[str, str]:
    return {"status": "ok" if part.ok else "failing", "cause": part.cause}


def _cause(error: Exception) -> str:
    if isinstance(error, NoAnswer):
        return f"no answer within {_PATIENCE_S:g} s."
    return f"{type(error).__name__}: {error}."
