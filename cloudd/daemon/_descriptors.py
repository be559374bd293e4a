# -*- test-case-name: tests.daemon.test_descriptors -*-
"""
Whether a canary leaks descriptors: they grow with its requests, and not with those of the old code.

At each look a worker tells how many descriptors it has besides its client connections, and how many requests of either
code have ended on each route.  Chance decides how many of a look's requests are the canary's.  So a least-squares fit,
over the looks at all workers, of a look's growth by its requests on one route tells three things apart: what grows
by itself (a pool, a cache, other routes), with requests of the old code (a leak that is there already), and with
requests of the new one.  It is a leak of the new code where it grows by ``MIN_A_REQUEST`` more with each of its
requests than with one of the old code, that is at least ``MIN_T`` standard errors, and ``MIN_GROWTH`` descriptors are
there that were not.

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
RECENT_LOOKS = 8
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
    How many descriptors this process has, without those that are open for a moment only: the lowest of the last looks.

    :param beside: how many of them are not to be counted
    """

    _reactor: Any
    _beside: Callable[[], int]
    _recent: deque[int] = field(factory=lambda: deque(maxlen=RECENT_LOOKS))
    _next: Any = None

    def start(self) -> None:
        """Begin to look; ``stop`` ends it."""
        self._look()

    def stop(self) -> None:
        """Look no more."""
        if self._next is not None and self._next.active():
            self._next.cancel()

    def lowest(self) -> int:
        """Of the last looks, and now."""
        return min(*self._recent, open_descriptors() - self._beside())

    def _look(self) -> None:
        self._next = self._reactor.callLater(LOOK_S, self._look)
        self._recent.append(open_descriptors() - self._beside())


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
    _sums: list[int] = field(factory=lambda: [0] * 3)  # of new, old, growth
    _products: list[list[int]] = field(factory=lambda: [[0] * 3 for _ in range(3)])

    def add(self, new: int, old: int, growth: int) -> None:
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
        return self._sums[0]

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
class Descriptors:
    """What the workers told, look by look."""

    _first: dict[str, Sample] = field(factory=dict)
    _last: dict[str, Sample] = field(factory=dict)
    _routes: dict[str, Fit] = field(factory=dict)
    _looks: int = 0

    def add(self, worker: str, sample: Sample) -> None:
        """One look at one worker."""
        last = self._last.get(worker)
        self._last[worker] = sample
        if last is None:
            self._first[worker] = sample
            return
        self._looks += 1
        growth = sample.descriptors - last.descriptors
        for route, (new, old) in sample.requests.items():
            fit = self._routes.setdefault(route, Fit())
            before_new, before_old = last.requests.get(route, (0, 0))
            fit.add(new - before_new, old - before_old, growth)

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
        if growth < MIN_GROWTH or self._looks < MIN_LOOKS:
            return ""
        leaks = [(more, route) for route, fit in self._routes.items() if (more := _leak(fit)) > 0]
        if not leaks:
            return ""
        _t, route = max(leaks)
        fit = self._routes[route]
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
