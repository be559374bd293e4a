# -*- test-case-name: tests.daemon.test_descriptors -*-
"""
Whether a canary leaks descriptors: they grow with its requests, and not with those of the old code.

At each look a worker tells how many descriptors it has besides its client connections, and how many requests of either
code have ended.  Chance decides how many of a look's requests are the canary's, so a least-squares fit of the growth in
each look, over all workers, tells three things apart: what grows with time (a pool, a cache), with requests of the old
code (a leak that is there already), and with requests of the new one.  It is a leak of the new code when it grows by
at least ``MIN_A_REQUEST`` more for each request than with the old code, that is at least ``MIN_T`` standard errors, and
``MIN_GROWTH`` descriptors are there that were not.  With requests so regular that nothing can be told apart nothing is
said; then the last guard counts: more than ``FULL`` of the limit in use, and fewer than half of that when it began.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import sqrt
from pathlib import Path

from attrs import define, field, frozen

MIN_LOOKS = 8
MIN_GROWTH = 16
MIN_A_REQUEST = 0.1
MIN_T = 5.0
FULL = 0.8


def open_descriptors() -> int:
    """How many this process has open; at once, also where they are many (Linux 6.2 and later)."""
    folder = Path("/proc/self/fd")
    return folder.stat().st_size or sum(1 for _ in folder.iterdir())


@frozen
class Sample:
    """
    A worker at one look.

    :param descriptors: besides client connections
    :param limit: of the process
    :param new: requests that have ended in the new code since the canary began
    :param old: in the old code
    """

    descriptors: int
    limit: int
    new: int
    old: int


@define
class Descriptors:
    """What the workers told, look by look."""

    _first: dict[str, Sample] = field(factory=dict)
    _last: dict[str, Sample] = field(factory=dict)
    _rows: list[tuple[int, int, int]] = field(factory=list)  # new requests, old requests, growth

    def add(self, worker: str, sample: Sample) -> None:
        """One look at one worker."""
        last = self._last.get(worker)
        if last is None:
            self._first[worker] = sample
        else:
            self._rows.append(
                (sample.new - last.new, sample.old - last.old, sample.descriptors - last.descriptors)
            )  # fmt: skip
        self._last[worker] = sample

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
        if growth < MIN_GROWTH or len(self._rows) < MIN_LOOKS:
            return ""
        fitted = fit(self._rows)
        if fitted is None:
            return ""
        new, old, error = fitted
        if new - old < MIN_A_REQUEST or new - old < MIN_T * error:
            return ""
        requests = sum(row[0] for row in self._rows)
        return (
            f"{growth} descriptors more are open: {new:.2f} for each of {requests} requests of the new code "
            f"(old code: {max(0.0, old):.2f})"
        )


def fit(rows: Iterable[tuple[int, int, int]]) -> tuple[float, float, float] | None:
    """
    Growth as a sum of three parts: a constant, so much for each new request, so much for each old one.

    :return: the second, the third, and the standard error of their difference; None: they cannot be told apart
    """
    table = list(rows)
    count = len(table)
    means = [sum(row[column] for row in table) / count for column in range(3)]
    centred = [[row[column] - means[column] for column in range(3)] for row in table]
    aa, bb, ab, ay, by = (
        sum(row[left] * row[right] for row in centred) for left, right in ((0, 0), (1, 1), (0, 1), (0, 2), (1, 2))
    )
    if not bb:  # the old code had no requests, or always as many
        if not aa:
            return None
        new, old, spread = ay / aa, 0.0, 1 / aa
    else:
        determinant = aa * bb - ab * ab
        if determinant <= 1e-9 * aa * bb:
            return None
        new, old = (bb * ay - ab * by) / determinant, (aa * by - ab * ay) / determinant
        spread = (aa + bb + 2 * ab) / determinant
    rest = sum((row[2] - new * row[0] - old * row[1]) ** 2 for row in centred)
    # Descriptors are whole: the fit is never more exact than a twelfth, the variance of rounding.
    return new, old, sqrt(max(rest / max(1, count - 3), 1 / 12) * spread)
