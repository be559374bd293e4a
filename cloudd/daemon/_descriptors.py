# -*- test-case-name: tests.daemon.test_descriptors -*-
"""
Whether a canary leaks descriptors: they grow with its requests, and not with those of the old code.

At each look a worker tells how many descriptors it has besides its client connections, and how many requests of either
code have ended on each route.  Chance decides how many of a look's requests are the canary's.  So a least-squares fit,
over the looks at all workers, of a look's growth by its requests on one route tells three things apart: what grows
by itself (a pool, a cache, other routes), with requests of the old code (a leak that is there already), and with
requests of the new one.  It is a leak of the new code where it grows by ``MIN_A_REQUEST`` more with each of its
requests than with one of the old code, that is at least ``MIN_T`` standard errors, and ``MIN_GROWTH`` descriptors are
there that were not.  The fit is made for what requests open being counted in the same look, half a look later, or a
whole one, as on a busy machine.

With requests so regular that nothing can be told apart nothing is said; then the last guard counts: more than ``FULL``
of the limit in use, and fewer than half of that when it began.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from math import sqrt
from pathlib import Path
from typing import Any

from attrs import define, field, frozen

LOOK_S = 0.01
RECENT_S = 0.08
LATE = (0.0, 0.5, 1.0)  # on a busy machine what a request opens is often counted one look later
MIN_LOOKS = 8
MIN_GROWTH = 16
MIN_A_REQUEST = 0.1
MIN_T = 5.5
FULL = 0.8


def open_descriptors() -> int:
    """How many this process has open; at once, also where they are many (Linux 6.2 and later)."""
    folder = Path("/proc/self/fd")
    return folder.stat().st_size or sum(1 for _ in folder.iterdir())


@define(eq=False)
class DescriptorWatch:
    """
    How many descriptors this process has, without those that are open for a moment only: the lowest of some looks.

    :param beside: how many of them are not to be counted
    """

    _reactor: Any
    _beside: Callable[[], int]
    _recent: deque[tuple[float, int]] = field(factory=deque)  # when, how many
    _next: Any = None

    def start(self) -> None:
        """Begin to look; ``stop`` ends it."""
        self._look()

    def stop(self) -> None:
        """Look no more."""
        if self._next is not None and self._next.active():
            self._next.cancel()

    def lowest(self) -> int:
        """Of the looks within the last 0.08 s, and now."""
        self._take()
        return min(count for _when, count in self._recent)

    def _look(self) -> None:
        self._next = self._reactor.callLater(LOOK_S, self._look)
        self._take()

    def _take(self) -> None:
        now = self._reactor.seconds()
        self._recent.append((now, open_descriptors() - self._beside()))
        while self._recent[0][0] < now - RECENT_S:
            self._recent.popleft()


@frozen
class Sample:
    """
    A worker at one look.

    :param descriptors: besides client connections, and what was open for a moment only
    :param limit: of the process
    :param requests: by route, those that have ended since the canary began: in the new code, in the old code
    """

    descriptors: int
    limit: int
    requests: Mapping[str, tuple[int, int]]


@define
class Fit:
    """Growth as a sum of three parts: a constant, so much for each new request, so much for each old one."""

    count: int = 0
    _sums: list[float] = field(factory=lambda: [0.0] * 3)  # of new, old, growth
    _products: list[list[float]] = field(factory=lambda: [[0.0] * 3 for _ in range(3)])

    def add(self, new: float, old: float, growth: float) -> None:
        """One look at one worker."""
        self.count += 1
        row = (new, old, growth)
        for left in range(3):
            self._sums[left] += row[left]
            for right in range(left, 3):
                self._products[left][right] += row[left] * row[right]

    @property
    def new_requests(self) -> int:
        """Of all looks."""
        return round(self._sums[0])

    def solve(self) -> tuple[float, float, float] | None:
        """
        :return: how much for a new request, for an old one, and the standard error of their difference; None: these
            cannot be told apart
        """
        if not self.count:
            return None
        aa, ab, ay = self._spread(0, 0), self._spread(0, 1), self._spread(0, 2)
        bb, by, yy = self._spread(1, 1), self._spread(1, 2), self._spread(2, 2)
        if not aa:
            return None
        if not bb:  # the old code had no requests there, or always as many
            new, old, spread = ay / aa, 0.0, 1 / aa
        else:
            determinant = aa * bb - ab * ab
            if determinant <= 1e-9 * aa * bb:
                return None
            new, old = (bb * ay - ab * by) / determinant, (aa * by - ab * ay) / determinant
            spread = (aa + bb + 2 * ab) / determinant
        rest = max(0.0, yy - new * ay - old * by)
        # Descriptors are whole: no fit is more exact than a twelfth, the variance of rounding.
        return new, old, sqrt(max(rest / max(1, self.count - 3), 1 / 12) * spread)

    def _spread(self, left: int, right: int) -> float:
        return self._products[left][right] - self._sums[left] * self._sums[right] / self.count


@define
class _Delayed:
    """Growth in each look, over all workers, by route, where ``late`` of what requests open is counted a look later."""

    late: float
    fits: dict[str, Fit] = field(factory=dict)

    def add(self, earlier: Sample, before: Sample, now: Sample) -> None:
        """Three looks at one worker, one after the other."""
        growth = now.descriptors - before.descriptors
        for route, (new, old) in now.requests.items():
            new_before, old_before = before.requests.get(route, (0, 0))
            new_earlier, old_earlier = earlier.requests.get(route, (0, 0))
            self.fits.setdefault(route, Fit()).add(
                (1 - self.late) * (new - new_before) + self.late * (new_before - new_earlier),
                (1 - self.late) * (old - old_before) + self.late * (old_before - old_earlier),
                growth,
            )


@define
class Descriptors:
    """What the workers told, look by look."""

    _first: dict[str, Sample] = field(factory=dict)
    _before: dict[str, Sample] = field(factory=dict)
    _last: dict[str, Sample] = field(factory=dict)
    _delayed: tuple[_Delayed, ...] = field(factory=lambda: tuple(_Delayed(late) for late in LATE))

    def add(self, worker: str, sample: Sample) -> None:
        """One look at one worker."""
        self._first.setdefault(worker, sample)
        before = self._last.get(worker, sample)
        earlier = self._before.get(worker, before)
        if worker in self._last:
            for delayed in self._delayed:
                delayed.add(earlier, before, sample)
        self._before[worker], self._last[worker] = before, sample

    def finding(self) -> str:
        """The leak in words; empty: there is none, or nothing can be told."""
        for name, last in self._last.items():
            first = self._first[name]
            if last.descriptors > FULL * last.limit and first.descriptors < FULL * last.limit / 2:
                return (
                    f"descriptors of {name} went from {first.descriptors} to {last.descriptors}, "
                    f"of {last.limit} that it may have"
                )
        growth = sum(last.descriptors - self._first[name].descriptors for name, last in self._last.items())
        if growth < MIN_GROWTH:
            return ""
        fits = [(route, fit) for delayed in self._delayed for route, fit in delayed.fits.items()]
        found = max(fits, key=lambda one: _leak(one[1]), default=None)
        if found is None or not _leak(found[1]):
            return ""
        route, fit = found
        new, old, _error = fit.solve() or (0.0, 0.0, 0.0)
        return (
            f"{growth} descriptors more are open: {new:.2f} for each of {fit.new_requests} requests of the new code "
            f"to {route} (old code: {max(0.0, old):.2f})"
        )


def _leak(fit: Fit) -> float:
    """By how many standard errors new requests leak more than old ones; 0: they do not."""
    solved = fit.solve() if fit.count >= MIN_LOOKS else None
    if solved is None:
        return 0.0
    new, old, error = solved
    more = new - old
    return more / error if more >= MIN_A_REQUEST and more >= MIN_T * error else 0.0
