# -*- test-case-name: tests.daemon.test_swap_metrics -*-
"""What the anchor counts of upgrades and rollbacks, for ``/metrics``.  All labels are out of small sets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, get_args

from prometheus_client import Counter, Histogram
from prometheus_client.registry import CollectorRegistry
from prometheus_client.utils import floatToGoString

from cloudd.control import Outcome, Result

from ._canary import CanaryReason
from ._metrics import export_registry

PAUSES_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)
BUCKETS_S = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)

Reason = Literal["asked", "prepare", "timeout", "record", "supervision", "unforeseen"] | CanaryReason
"""
Why the old code serves again: somebody ``asked`` for a rollback, which was done; or a change was undone before it took
effect: a worker could not ``prepare``, did not answer in time, the decision could not be recorded, something that
nobody foresaw, or the canary ended it (``CanaryReason``); or the new processes of a hand-over did badly under
``supervision``.
"""
REASONS: tuple[Reason, ...] = tuple(reason for group in get_args(Reason) for reason in get_args(group))


class SwapMetrics:
    """Counts since the anchor started; every series is there from the start, so that ``rate()`` sees the first one."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._swaps = Counter(
            "cloudd_swaps", "Upgrades and rollbacks by how they ended", ("result",), registry=self._registry
        )
        self._seconds = Histogram(
            "cloudd_swap_seconds",
            "Time of upgrades and rollbacks that were tried, done or undone",
            registry=self._registry,
            buckets=BUCKETS_S,
        )
        self._rollbacks = Counter(
            "cloudd_rollbacks", "Times the old code served again, by why", ("reason",), registry=self._registry
        )
        self._moved = Counter(
            "cloudd_connections_moved", "Connections that hand-overs moved at once", registry=self._registry
        )
        self._pauses = Histogram(
            "cloudd_handover_pause_seconds",
            "Longest time that connections of one batch stood still, a hand-over that was committed each",
            registry=self._registry,
            buckets=PAUSES_S,
        )
        for result in get_args(Result):
            self._swaps.labels(result)
        for reason in REASONS:
            self._rollbacks.labels(reason)

    def count(self, outcome: Outcome, undone: Reason | None = None) -> None:
        """
        Count one change that has ended.

        :param undone: why it was undone; None: it was not, or never began
        """
        self._swaps.labels(outcome.result).inc()
        if outcome.result in {"committed", "failed"}:
            self._seconds.observe(outcome.duration_s)
        if outcome.how == "hand-over" and outcome.result == "committed":
            self._moved.inc(outcome.moved)
            self._pauses.observe(outcome.pause_s)
        if undone is None and outcome.action == "rollback" and outcome.result == "committed":
            undone = "asked"
        if undone is not None:
            self._rollbacks.labels(undone).inc()

    def totals(self) -> dict[str, float]:
        """All counts as plain data, for ``restore``."""
        samples = [sample for family in self._registry.collect() for sample in family.samples]
        return {f"{sample.name}/{'/'.join(sample.labels.values())}": sample.value for sample in samples}

    def restore(self, totals: Mapping[str, float]) -> None:
        """
        Go on from what another one's ``totals`` gave; what is not known here is passed over.

        Of times the buckets are right, and their sum as near as the buckets tell.
        """
        for result in get_args(Result):
            self._swaps.labels(result).inc(totals.get(f"cloudd_swaps_total/{result}", 0))
        for reason in REASONS:
            self._rollbacks.labels(reason).inc(totals.get(f"cloudd_rollbacks_total/{reason}", 0))
        self._moved.inc(totals.get("cloudd_connections_moved_total/", 0))
        for histogram, name, bounds in (
            (self._seconds, "cloudd_swap_seconds", BUCKETS_S),
            (self._pauses, "cloudd_handover_pause_seconds", PAUSES_S),
        ):
            below = 0.0
            for bound in (*bounds, float("inf")):
                upto = totals.get(f"{name}_bucket/{floatToGoString(bound)}", below)
                for _ in range(int(upto - below)):
                    histogram.observe(min(bound, 2 * bounds[-1]))
                below = upto

    def export(self) -> list[dict[str, Any]]:
        """All families as plain data, for ``merge_metrics``."""
        return export_registry(self._registry)
