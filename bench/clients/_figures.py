"""
From what clients saw to figures: what an upgrade adds above the same load's own p99 without one.

**Pause** of an upgrade: the longest latency of any request that was due or unanswered between its begin and
``SETTLE_S`` after its end, minus the p99 of the quiet phases of the same run; never below 0.  A latency counts from
when the client asked.  What the client itself came late by is told apart: it shares the processors with the server, and
nothing that the server does can be seen there, while a server that stands still shows in all that was asked before.
The same is worked out for stretches of the quiet phases that are as long as the upgrades were: what "no upgrade at all"
costs on this machine is the noise.  Beside each pause stands what the host of a virtual machine kept from it just then.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import Any

from attrs import define, frozen

from ._stolen import StolenTime

SETTLE_S = 1.5  # the old code is let go of after the end
LONGEST_LATENCY_S = 60.0


@frozen
class Window:
    """One upgrade, or a stretch without any; seconds of ``time.monotonic()``."""

    kind: str
    begin: float
    end: float

    @property
    def seconds(self) -> float:
        return self.end - self.begin


def quantile(ordered: Sequence[float], share: float) -> float:
    """Of values in order; 0 if there are none."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0


def summary(values: Sequence[float]) -> dict[str, float]:
    """Median, p90 and maximum of a few values."""
    ordered = sorted(values)
    return {name: round(quantile(ordered, share), 2) for name, share in (("p50", 0.5), ("p90", 0.9), ("max", 1.0))}


@define
class Latencies:
    """Requests in order of when they were due."""

    due: Sequence[float]
    asked: Sequence[float]
    done: Sequence[float]

    @classmethod
    def of(cls, rows: Sequence[tuple[Sequence[float], Sequence[float], Sequence[float]]]) -> Latencies:
        """From several clients."""
        joined = sorted(row for due, asked, done in rows for row in zip(due, asked, done, strict=True))
        return cls([row[0] for row in joined], [row[1] for row in joined], [row[2] for row in joined])

    def within(self, window: Window) -> range:
        """Requests that were due in the window, and those that waited for an answer when it began."""
        first = bisect_left(self.due, window.begin - LONGEST_LATENCY_S)
        start = bisect_left(self.due, window.begin)
        while first < start and self.done[first] < window.begin:
            first += 1
        return range(first, bisect_right(self.due, window.end))

    def milliseconds(self, windows: Sequence[Window]) -> list[float]:
        """Latencies in windows, in order of size."""
        found = []
        for window in windows:
            found += [(self.done[n] - self.asked[n]) * 1e3 for n in self.within(window) if self.done[n] >= window.begin]
        return sorted(found)

    def longest(self, window: Window) -> tuple[float, float]:
        """When the longest latency began and ended."""
        spans = ((self.asked[n], self.done[n]) for n in self.within(window))
        return max(spans, key=lambda span: span[1] - span[0], default=(window.begin, window.begin))

    def longest_from_due(self, window: Window) -> float:
        """The longest latency with what the client itself was late by, ms."""
        return max(((self.done[n] - self.due[n]) * 1e3 for n in self.within(window)), default=0.0)

    def lags(self, window: Window) -> float:
        """How late the client itself was at worst, ms."""
        return max(((self.asked[n] - self.due[n]) * 1e3 for n in self.within(window)), default=0.0)

    def table(self, windows: Sequence[Window]) -> dict[str, float]:
        found = self.milliseconds(windows)
        shares = (("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999), ("max", 1.0))
        return {"requests": len(found), **{f"{name}_ms": round(quantile(found, share), 2) for name, share in shares}}


def stretches(quiet: Sequence[Window], seconds: float) -> list[Window]:
    """The quiet phases cut into windows of that length."""
    found = []
    for window in quiet:
        begin = window.begin
        while seconds > 0 and begin + seconds <= window.end:
            found.append(Window(window.kind, begin, begin + seconds))
            begin += seconds
    return found


def _stolen(
    latencies: Latencies, stolen: StolenTime, quiet: Sequence[Window], upgrades: Sequence[Window]
) -> dict[str, Any]:
    def percent(windows: Sequence[Window]) -> float:
        seconds = sum(window.seconds for window in windows) or 1.0
        return round(sum(stolen.within(window.begin, window.end) for window in windows) / seconds / 10, 1)

    return {
        "stolen_ms": [stolen.within(*latencies.longest(window)) for window in upgrades],
        "stolen_percent": {"upgrades": percent(upgrades), "quiet": percent(quiet)},
    }


def pauses(
    latencies: Latencies, quiet: Sequence[Window], upgrades: Sequence[Window], stolen: StolenTime | None = None
) -> dict[str, Any]:
    """
    What clients saw of some upgrades of one kind.

    :param upgrades: from the begin to the end that the operator saw
    :param stolen: looked at all the time
    :return: among others ``stolen_ms``, for each upgrade while its longest answer was awaited, and ``stolen_percent``,
        of one processor
    """
    quiet_ms = latencies.milliseconds(quiet)
    p99 = quantile(quiet_ms, 0.99)
    longer = [Window(window.kind, window.begin, window.end + SETTLE_S) for window in upgrades]
    typical = sorted(window.seconds for window in longer)[len(longer) // 2] if longer else 0.0

    def above(windows: Sequence[Window]) -> list[float]:
        return [max(0.0, (latencies.milliseconds([window]) or [0.0])[-1] - p99) for window in windows]

    return {
        **latencies.table(longer),
        "pause_ms": summary(above(longer)),
        "pause_from_due_ms": summary([latencies.longest_from_due(window) - p99 for window in longer]),
        "pauses_ms": [round(pause, 1) for pause in above(longer)],
        **({} if stolen is None else _stolen(latencies, stolen, quiet, longer)),
        "noise_ms": summary(above(stretches(quiet, typical))),
        "client_lag_ms": summary([latencies.lags(window) for window in longer]),
        "seconds": summary([window.seconds for window in upgrades]),
    }
