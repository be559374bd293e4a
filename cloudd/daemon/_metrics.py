# -*- test-case-name: tests.daemon.test_metrics -*-
"""
A worker's metrics: its registry, and the counters of the hot path.

prometheus-client's own counters cost microseconds and a lock each; requests are counted in plain dicts, which
``RequestCounts`` exports when somebody asks.  Metrics outlive generations of code: asking twice for one name
gives the same object.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from threading import Lock
from typing import Any

from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector, CollectorRegistry

BUCKETS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0)
_BOUNDS = (*(f"{bound:g}" for bound in BUCKETS_S), "+Inf")
_CLASSES = tuple(f"{number}xx" for number in range(10))


_METHODS = frozenset({b"GET", b"HEAD", b"PUT", b"POST", b"DELETE", b"PATCH", b"OPTIONS", b"COPY"})


def known_method(method: bytes) -> str:
    """One out of a small set, whatever a client sent."""
    return method.decode() if method in _METHODS else "OTHER"


# What clients decide, not the code: conflicts, conditions that do not hold, ranges beyond the end, leaving.
_CLIENTS_OWN = frozenset({409, 412, 416, 499})


class RequestCounts(Collector):
    """Requests by face, route, method and status class, their latency, and their bytes."""

    def __init__(self) -> None:
        self._requests: dict[tuple[str, str, bytes, int], int] = {}
        self._clients_own: dict[tuple[str, str, bytes], int] = {}
        # by face and route: one count per bucket, then the sum of seconds
        self._seconds: dict[tuple[str, str], list[float]] = {}
        self._received: dict[str, int] = {}
        self._sent: dict[str, int] = {}

    def add(self, face: str, route: str, method: bytes, status: int, seconds: float, received: int, sent: int) -> None:
        """Count one request that has ended."""
        key = (face, route, method, status // 100)
        requests = self._requests
        requests[key] = requests.get(key, 0) + 1
        if status in _CLIENTS_OWN:
            self._clients_own[key[:3]] = self._clients_own.get(key[:3], 0) + 1
        histogram = self._seconds.get((face, route))
        if histogram is None:
            histogram = self._seconds[face, route] = [0.0] * (len(_BOUNDS) + 1)
        histogram[bisect_left(BUCKETS_S, seconds)] += 1
        histogram[-1] += seconds
        if received:
            self._received[face] = self._received.get(face, 0) + received
        if sent:
            self._sent[face] = self._sent.get(face, 0) + sent

    def totals(self) -> list[tuple[str, str, list[float]]]:
        """Face, route, and the numbers that ``_rates`` takes: server errors, then requests by bucket and beyond."""
        errors: dict[tuple[str, str], int] = {}
        for (face, route, _, status_class), count in self._requests.items():
            if status_class == 5:
                errors[face, route] = errors.get((face, route), 0) + count
        return [(*key, [errors.get(key, 0), *counts[:-1]]) for key, counts in self._seconds.items()]

    def answers(self) -> dict[str, list[int]]:
        """By face, method and route: requests, answers of 4xx that the code may be to blame for, answers of 5xx."""
        found: dict[str, list[int]] = {}
        for (face, route, method, status_class), count in self._requests.items():
            known = found.setdefault(f"{face} {known_method(method)} {route}", [0, 0, 0])
            known[0] += count
            if status_class in {4, 5}:
                known[status_class - 3] += count
            if status_class == 4:
                known[1] -= self._clients_own.get((face, route, method), 0)
        return found

    def collect(self) -> Iterable[Metric]:
        """What the registry asks for."""
        requests = CounterMetricFamily(
            "cloudd_requests", "Requests that ended", labels=("face", "route", "method", "status")
        )
        for (face, route, method, status_class), count in self._requests.items():
            labels = (face, route, method.decode("ascii", "replace"), _CLASSES[status_class % 10])
            requests.add_metric(labels, count)
        yield requests
        seconds = HistogramMetricFamily(
            "cloudd_request_seconds", "Time from a request's head to its last byte", labels=("face", "route")
        )
        for (face, route), counts in self._seconds.items():
            seconds.add_metric((face, route), _cumulative(counts), counts[-1])
        yield seconds
        for name, meaning, values in (
            ("cloudd_received_bytes", "Body bytes received", self._received),
            ("cloudd_sent_bytes", "Bytes sent", self._sent),
        ):
            family = CounterMetricFamily(name, meaning, labels=("face",))
            for face, total in values.items():
                family.add_metric((face,), total)
            yield family


def _cumulative(counts: list[float]) -> list[tuple[str, float]]:
    total, buckets = 0.0, []
    for bound, count in zip(_BOUNDS, counts, strict=False):
        total += count
        buckets.append((bound, total))
    return buckets


Ask = Callable[[], Iterable[tuple[tuple[str, ...], float]]]
"""Gives label values and number of each sample."""


class Asked(Collector):
    """A gauge or counter whose values are asked for when it is collected."""

    def __init__(
        self,
        kind: type[GaugeMetricFamily | CounterMetricFamily],
        name: str,
        meaning: str,
        labels: tuple[str, ...],
        ask: Ask,
    ) -> None:
        self._kind, self._name, self._meaning, self._labels, self._ask = kind, name, meaning, labels, ask

    def collect(self) -> Iterator[Metric]:
        family = self._kind(self._name, self._meaning, labels=self._labels)
        for labels, value in self._ask():
            family.add_metric(labels, value)
        yield family


class WorkerMetrics:
    """``cloudd.interfaces.application.Metrics`` of one worker."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = RequestCounts()
        self.registry.register(self.requests)
        ProcessCollector(registry=self.registry)
        self._known: dict[str, Any] = {}
        self._lock = Lock()

    def gauge_callback(self, name: str, meaning: str, labels: tuple[str, ...], ask: Ask) -> None:
        """Register a gauge of the kernel that ``ask`` gives."""
        self.registry.register(Asked(GaugeMetricFamily, name, meaning, labels, ask))

    def counter_callback(self, name: str, meaning: str, labels: tuple[str, ...], ask: Ask) -> None:
        """Register a counter of the kernel that ``ask`` gives; ``name`` without ``_total``."""
        self.registry.register(Asked(CounterMetricFamily, name, meaning, labels, ask))

    def counter(self, name: str, meaning: str, labels: tuple[str, ...] = ()) -> Any:
        """A counter; the one of that name, if there is one."""
        return self._get(Counter, name, meaning, labels)

    def gauge(self, name: str, meaning: str, labels: tuple[str, ...] = ()) -> Any:
        """A gauge; the one of that name, if there is one."""
        return self._get(Gauge, name, meaning, labels)

    def histogram(self, name: str, meaning: str, labels: tuple[str, ...] = ()) -> Any:
        """A histogram of seconds; the one of that name, if there is one."""
        return self._get(Histogram, name, meaning, labels, buckets=BUCKETS_S)

    def export(self) -> list[dict[str, Any]]:
        """All families as plain data, for ``merge_metrics``."""
        return export_registry(self.registry)

    def _get(self, kind: type[Any], name: str, meaning: str, labels: tuple[str, ...], **more: Any) -> Any:
        with self._lock:  # generations are built in threads
            known = self._known.get(name)
            if known is None:
                known = self._known[name] = kind(name, meaning, labels, registry=self.registry, **more)
        if type(known) is not kind or known._labelnames != labels:
            raise ValueError(f"the metric {name} exists already as another kind or with other labels")
        return known


def export_registry(registry: CollectorRegistry) -> list[dict[str, Any]]:
    """All families of a registry as plain data, for ``merge_metrics``."""
    return [
        {
            "name": family.name,
            "type": family.type,
            "help": family.documentation,
            "samples": [
                [sample.name, sample.labels, sample.value]
                for sample in family.samples
                if not sample.name.endswith("_created")
            ],
        }
        for family in registry.collect()
    ]
