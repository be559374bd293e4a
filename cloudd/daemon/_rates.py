# -*- test-case-name: tests.daemon.test_rates -*-
"""
How many requests, errors and milliseconds in the last minutes: what the operators' page draws.

The anchor asks every worker for its totals every ``EVERY_S`` seconds and keeps the differences for ``KEPT_S``.  So the
past is there when somebody begins to look, it is of the whole host, and a swap of code does not touch it.  What a
worker counted between the last question and its end is not in it; for exact sums there is ``/metrics``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from attrs import define, evolve, field, frozen
from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from ._link import LinkError
from ._metrics import BUCKETS_S
from ._workers import WorkerPool

EVERY_S = 5.0
KEPT_S = 300.0

Key = tuple[str, str]  # face, route
Totals = Mapping[Key, Sequence[float]]  # server errors (5xx), then requests by bucket of BUCKETS_S and beyond

log = Logger()


@frozen
class Sample:
    """
    What ended in one stretch of time.

    :param time: of its end, seconds since the epoch
    :param seconds: how long it was
    """

    time: float
    seconds: float
    counts: Totals


@define
class RateRing:
    """Totals in, the last ``KEPT_S`` seconds out; no clock of its own."""

    _samples: deque[Sample] = field(factory=lambda: deque(maxlen=round(KEPT_S / EVERY_S)))
    _known: dict[tuple[str, int], Totals] | None = None
    _time: float = 0.0

    def add(self, now: float, workers: Mapping[tuple[str, int], Totals]) -> None:
        """
        :param workers: totals by name and PID; a process that was not there before began to count at 0, but what is
            there at the first call counted before anybody looked
        """
        known, self._known = self._known, dict(workers)
        before, self._time = self._time, now
        if known is None or now <= before:
            return
        counts: dict[Key, list[float]] = {}
        for worker, totals in workers.items():
            for key, row in _grown(known.get(worker, {}), totals):
                _add_up(counts, key, row)
        self._samples.append(Sample(now, now - before, counts))

    def told(self, without: str = "") -> dict[str, Any]:
        """
        Plain data: ``every_s``; ``samples``, oldest first, with ``time``, ``seconds`` and the numbers ``requests``,
        ``errors``, ``p50_ms`` and ``p99_ms``, in ``all`` and by face in ``faces``; ``routes`` with the same numbers of
        the whole time, busiest first.

        :param without: leave out the routes that begin so, for example those of who asks; empty: none
        """
        samples = [evolve(sample, counts=_without(without, sample.counts)) for sample in self._samples]
        routes: dict[Key, list[float]] = {}
        for sample in samples:
            for key, row in sample.counts.items():
                _add_up(routes, key, row)
        ordered = sorted(routes.items(), key=lambda item: (-sum(item[1][1:]), item[0]))
        return {
            "every_s": EVERY_S,
            "samples": [_told_sample(sample) for sample in samples],
            "routes": [{"face": face, "route": route, **_numbers(row)} for (face, route), row in ordered],
        }

    def samples(self) -> list[Any]:
        """All that is kept, as plain data for ``restore``."""
        return [
            [sample.time, sample.seconds, [[face, route, list(row)] for (face, route), row in sample.counts.items()]]
            for sample in self._samples
        ]

    def restore(self, samples: Iterable[Any]) -> None:
        """Put what another ring's ``samples`` gave before what is kept; rows of another form are left out."""
        rows = len(BUCKETS_S) + 2
        older = [
            Sample(time, seconds, {(face, route): row for face, route, row in counts if len(row) == rows})
            for time, seconds, counts in samples
        ]
        self._samples.extendleft(reversed(older))


class Rates:
    """
    Fills a ``RateRing`` from the workers of a pool, between ``start`` and ``stop``.

    :ivar ring: what was found
    """

    def __init__(self, reactor: Any, pool: WorkerPool) -> None:
        self._reactor = reactor
        self._pool = pool
        self.ring = RateRing()
        self._timer = LoopingCall(self._look)
        self._timer.clock = reactor

    def start(self) -> None:
        """Begin to look; a second call changes nothing."""
        if not self._timer.running:
            self._timer.start(EVERY_S)

    def stop(self) -> None:
        """Look no more."""
        if self._timer.running:
            self._timer.stop()

    def told(self, without: str) -> dict[str, Any]:
        """What ``RateRing.told`` says."""
        return self.ring.told(without)

    def _look(self) -> Deferred[None]:
        looking = Deferred.fromCoroutine(self._ask())
        looking.addErrback(lambda failure: log.failure("the workers' counts could not be taken", failure))
        return looking

    async def _ask(self) -> None:
        pids = {slot.name: slot.pid for slot in self._pool.slots}
        answers = await self._pool.ask_all("counts")
        self.ring.add(
            self._reactor.seconds(),
            {
                (name, pids[name]): {(face, route): row for face, route, row in answer}
                for name, answer in answers.items()
                if name in pids and not isinstance(answer, LinkError)
            },
        )


def quantile(share: float, counts: Sequence[float]) -> float | None:
    """
    Seconds within which ``share`` of the requests ended, as Prometheus estimates it; ``None`` without requests.

    :param counts: requests by bucket of ``BUCKETS_S``, then those beyond the last
    """
    wanted, below, floor = share * sum(counts), 0.0, 0.0
    if not wanted:
        return None
    for bound, count in zip(BUCKETS_S, counts, strict=False):
        if count and below + count >= wanted:
            return floor + (bound - floor) * (wanted - below) / count
        below, floor = below + count, bound
    return BUCKETS_S[-1]


def _grown(before: Totals, after: Totals) -> Iterator[tuple[Key, list[float]]]:
    for key, row in after.items():
        old = before.get(key)
        if old is None:
            yield key, list(row)
        elif old != row:
            yield key, [max(0, new - known) for new, known in zip(row, old, strict=True)]


def _add_up(sums: dict[Key, list[float]], key: Key, row: Iterable[float]) -> None:
    known = sums.get(key)
    sums[key] = list(row) if known is None else [a + b for a, b in zip(known, row, strict=True)]


def _without(prefix: str, counts: Totals) -> Totals:
    return {key: row for key, row in counts.items() if not key[1].startswith(prefix)} if prefix else counts


def _told_sample(sample: Sample) -> dict[str, Any]:
    faces: dict[Key, list[float]] = {}
    every: dict[Key, list[float]] = {("", ""): [0.0] * (len(BUCKETS_S) + 2)}
    for (face, _), row in sample.counts.items():
        _add_up(faces, (face, ""), row)
        _add_up(every, ("", ""), row)
    return {
        "time": sample.time,
        "seconds": sample.seconds,
        "all": _numbers(every["", ""]),
        "faces": {face: _numbers(row) for (face, _), row in sorted(faces.items())},
    }


def _numbers(row: Sequence[float]) -> dict[str, float | None]:
    errors, buckets = row[0], row[1:]
    return {
        "requests": sum(buckets),
        "errors": errors,
        "p50_ms": _milliseconds(quantile(0.5, buckets)),
        "p99_ms": _milliseconds(quantile(0.99, buckets)),
    }


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 3)
