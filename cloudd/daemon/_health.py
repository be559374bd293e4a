# -*- test-case-name: tests.daemon.test_health -*-
"""
Health and metrics of the whole host from what its workers say.

Pure: plain data goes in, plain data comes out.  A part that several workers speak of is failing when one of them
says so; the cause then names the worker.  What a worker notes of a part that does well is shown beside it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from attrs import frozen
from prometheus_client import generate_latest
from prometheus_client.core import Metric
from prometheus_client.registry import Collector, CollectorRegistry

Part = dict[str, str]


@frozen
class WorkerFacts:
    """One worker as the anchor knows it; ``parts`` is None when it gave no answer, with the reason in ``silence``."""

    name: str
    is_ready: bool
    loops: bool
    cause: str
    parts: Sequence[Mapping[str, Any]] | None
    silence: str = ""


def merge_health(workers: Iterable[WorkerFacts], own: Mapping[str, Part]) -> dict[str, Any]:
    """
    ``{"status": "ok"|"failing", "parts": {name: {"status", "cause"}}}``

    :param own: parts that the anchor knows by itself
    """
    parts: dict[str, Part] = dict(own)
    for worker in workers:
        parts[f"worker {worker.name}"] = _worker_part(worker)
        for told in worker.parts or ():
            name, ok = str(told["part"]), bool(told["ok"])
            known = parts.setdefault(name, ok_part())
            if not ok and known["status"] == "ok":
                parts[name] = failing(f"{told['cause']} (worker {worker.name})")
            elif ok and told["cause"] and known == ok_part():
                parts[name] = noted(str(told["cause"]))
    bad = any(part["status"] != "ok" for part in parts.values())
    return {"status": "failing" if bad else "ok", "parts": parts}


def ok_part() -> Part:
    """A part that does well."""
    return {"status": "ok", "cause": ""}


def noted(note: str) -> Part:
    """A part that does well, with something the operator should know."""
    return {"status": "ok", "cause": note}


def failing(cause: str) -> Part:
    """A part that does not, with the cause in words."""
    return {"status": "failing", "cause": cause}


def _worker_part(worker: WorkerFacts) -> Part:
    if worker.loops:
        return failing(f"it crashes again and again: last time it {worker.cause}; see the daemon's log")
    if not worker.is_ready:
        return failing(f"it is starting again: it {worker.cause}" if worker.cause else "it is starting")
    if worker.parts is None:
        return failing(f"it does not answer ({worker.silence}): if this lasts, restart it with SIGTERM")
    return ok_part()


def disk_part(free_bytes: int, reserve_bytes: int, state: str) -> Part:
    """Whether writes still find space."""
    if free_bytes < reserve_bytes:
        return failing(
            f"{free_bytes >> 20} MiB are free below {state}, writes need a reserve of {reserve_bytes >> 20} MiB: "
            "delete objects or enlarge the disk"
        )
    return ok_part()


def merge_metrics(exports: Mapping[str, Sequence[Mapping[str, Any]]]) -> bytes:
    """
    The Prometheus text exposition of all workers.

    Counters and histograms are summed; gauges get the label ``worker``, since a sum of gauges may mean nothing.

    :param exports: worker name -> what ``WorkerMetrics.export`` gave
    """
    families: dict[str, _Family] = {}
    for worker, export in exports.items():
        for told in export:
            family = families.get(told["name"])
            if family is None:
                family = families[told["name"]] = _Family(told["name"], told["type"], told["help"])
            family.add(worker, told["samples"])
    registry = CollectorRegistry()
    registry.register(_Families(list(families.values())))
    return generate_latest(registry)


class _Family:
    """One metric while it is summed."""

    def __init__(self, name: str, kind: str, meaning: str) -> None:
        self._metric = Metric(name, meaning, kind)
        self._sums = kind in {"counter", "histogram", "summary"}
        self._values: dict[tuple[str, tuple[tuple[str, str], ...]], float] = {}

    def add(self, worker: str, samples: Iterable[Sequence[Any]]) -> None:
        for name, labels, value in samples:
            named = labels if self._sums else {**labels, "worker": worker}
            key = (str(name), tuple(named.items()))
            self._values[key] = self._values.get(key, 0.0) + float(value)

    def finish(self) -> Metric:
        for (name, labels), value in self._values.items():
            self._metric.add_sample(name, dict(labels), value)
        return self._metric


class _Families(Collector):
    def __init__(self, families: list[_Family]) -> None:
        self._families = families

    def collect(self) -> Iterator[Metric]:
        return (family.finish() for family in self._families)
