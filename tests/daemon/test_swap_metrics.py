"""Upgrades and rollbacks are counted by how they ended and why they were undone."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

from twisted.internet.defer import Deferred

from cloudd.control import Outcome, Result
from cloudd.daemon import _examining, _swap, _upgrade
from cloudd.daemon._gauges import connections_by_generation
from cloudd.daemon._health import merge_metrics
from cloudd.daemon._swap_metrics import REASONS, SwapMetrics

from .test_metrics import samples
from .test_upgrade import UpgradeCase


class MetricsCase(UpgradeCase):
    def found(self, name: str, **labels: str) -> float:
        """The value of one series in the text that Prometheus reads."""
        return samples(merge_metrics({"anchor": self.metrics.export()}))[name, tuple(labels.items())]

    def rollbacks(self) -> dict[str, float]:
        """Those reasons that were counted."""
        counts = {reason: self.found("cloudd_rollbacks_total", reason=reason) for reason in REASONS}
        return {reason: count for reason, count in counts.items() if count}


class SwapMetricsTests(MetricsCase):
    def test_all_series_are_there_before_anything_happened(self) -> None:
        """An alert on an increase sees the first one too."""
        for result in get_args(Result):
            self.assertEqual(self.found("cloudd_swaps_total", result=result), 0)
        self.assertEqual((self.rollbacks(), self.found("cloudd_swap_seconds_count")), ({}, 0))

    async def test_they_outlive_the_anchors_code(self) -> None:
        """What another one restores from the totals shows the same counts and buckets."""
        self.version(2)
        await self.upgrade()
        await self.rollback()
        self.metrics.count(Outcome(action="upgrade", result="failed", duration_s=500.0), "canary_errors")
        moved = Outcome(action="upgrade", result="committed", how="hand-over", moved=20, pause_s=0.004, duration_s=3.0)
        self.metrics.count(moved)
        again = SwapMetrics()
        again.restore(self.metrics.totals())
        for name, value in self.metrics.totals().items():
            if not name.partition("/")[0].endswith(("_sum", "_created")):
                self.assertEqual(again.totals()[name], value, name)
        self.metrics = again
        self.assertEqual(self.found("cloudd_connections_moved_total"), 20)
        self.assertEqual(self.found("cloudd_handover_pause_seconds_bucket", le="0.005"), 1)

    async def test_results(self) -> None:
        """Each is counted once; the time of those alone that were tried."""
        await self.upgrade()
        self.version(2)
        self.workers.gates["prepare"] = Deferred()
        first = self.upgrade()
        await self.upgrade()
        self.clock.advance(2)
        self.workers.gates.pop("prepare").callback(None)
        await first
        await self.upgrade("/nowhere")
        for result, count in (("committed", 1), ("unchanged", 1), ("busy", 1), ("refused", 1), ("failed", 0)):
            self.assertEqual(self.found("cloudd_swaps_total", result=result), count, result)
        self.assertEqual((self.found("cloudd_swap_seconds_count"), self.found("cloudd_swap_seconds_sum")), (1, 2))
        self.assertEqual(self.found("cloudd_swap_seconds_bucket", le="1.0"), 0)
        self.assertEqual(self.found("cloudd_swap_seconds_bucket", le="2.5"), 1)
        self.assertEqual(self.rollbacks(), {})

    async def test_a_rollback_that_was_asked_for(self) -> None:
        """One that is done counts; one that is refused does not."""
        await self.rollback()
        self.assertEqual(self.rollbacks(), {})
        self.version(2)
        await self.upgrade()
        await self.rollback()
        self.assertEqual(self.rollbacks(), {"asked": 1})
        self.assertEqual(self.found("cloudd_swaps_total", result="committed"), 2)

    async def test_changes_that_were_undone(self) -> None:
        """By what stood against them."""
        self.version(2)
        self.workers.errors["prepare"] = RuntimeError("no")
        await self.upgrade()
        self.workers.errors.clear()
        self.workers.gates["prepare"] = Deferred()
        late = self.upgrade()
        self.clock.advance(_swap.PREPARE_TIMEOUT_S)
        await late
        self.workers.gates.clear()

        def full(_folder: Path, _record: object) -> None:
            raise OSError(28, "No space left on device")

        self.patch(_upgrade, "write_committed", full)
        await self.upgrade()
        self.patch(_upgrade, "write_committed", lambda *_args: 1 / 0)
        await self.upgrade()
        self.flushLoggedErrors(ZeroDivisionError)
        self.assertEqual(self.rollbacks(), {"prepare": 1, "timeout": 1, "record": 1, "unforeseen": 1})
        self.assertEqual(self.found("cloudd_swaps_total", result="failed"), 4)
        self.assertEqual(self.found("cloudd_swap_seconds_count"), 4)

    async def test_a_failure_before_anything_was_loaded(self) -> None:
        """There was nothing to undo."""
        self.version(2)
        self.patch(_examining, "compare", lambda *_args: 1 / 0)
        await self.upgrade()
        self.flushLoggedErrors(ZeroDivisionError)
        self.assertEqual((self.rollbacks(), self.found("cloudd_swaps_total", result="failed")), ({}, 1))

    def test_a_rollback_that_is_undone_itself(self) -> None:
        """It counts by why, not as one that was asked for."""
        self.metrics.count(Outcome(action="rollback", result="failed"), "prepare")
        self.assertEqual(self.rollbacks(), {"prepare": 1})


class Thing:
    """Something with attributes."""

    def __init__(self, **facts: Any) -> None:
        self.__dict__.update(facts)


class ConnectionTests(UpgradeCase):
    def count(self, retired: dict[int, object], *generations: int | None) -> dict[int, int]:
        """Connections with requests of those generations; None: it is idle, 0: its request has none yet."""
        connections = {Thing(request=None if number is None else Thing(generation=number)) for number in generations}
        factory: Any = Thing(connections=connections)
        known: Any = Thing(current=Thing(number=3), retired=retired, trial=None)
        return connections_by_generation(factory, known)

    def test_by_generation(self) -> None:
        """Where the request of each is answered; idle ones belong to the generation that serves."""
        self.assertEqual(self.count({}, None, 3, 3), {3: 3})
        self.assertEqual(self.count({2: object()}, None, 3, 2, 2, 0), {3: 3, 2: 2})
        self.assertEqual(self.count({2: object()}), {3: 0})
        factory: Any = Thing(connections=set())
        nothing: Any = Thing(current=None, retired={}, trial=None)
        self.assertEqual(connections_by_generation(factory, nothing), {0: 0})
