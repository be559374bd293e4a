"""Requests of the last minutes: from totals of workers that come and go to rates."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from cloudd.daemon._link import LinkTimeout
from cloudd.daemon._metrics import BUCKETS_S, RequestCounts
from cloudd.daemon._rates import EVERY_S, KEPT_S, RateRing, Rates, quantile

from .test_controlled import TalkingSlot


def row(errors: int, **buckets: int) -> list[float]:
    """A row of totals: ``_3=5`` are five requests in bucket 3."""
    counts = [0.0] * (len(BUCKETS_S) + 1)
    for name, count in buckets.items():
        counts[int(name[1:])] = count
    return [errors, *counts]


class TotalsTests(SynchronousTestCase):
    def test_totals(self) -> None:
        """Each route with its server errors and its requests by bucket; other errors are the client's."""
        counts = RequestCounts()
        for status, seconds in ((200, 0.002), (404, 0.002), (500, 0.002), (503, 99.0)):
            counts.add("api", "/a", b"GET", status, seconds, 0, 0)
        counts.add("s3", "/b", b"PUT", 200, 0.0001, 1, 1)
        self.assertEqual(counts.totals(), [("api", "/a", row(2, _2=3, _14=1)), ("s3", "/b", row(0, _0=1))])


class RingTests(SynchronousTestCase):
    def test_differences(self) -> None:
        """What a worker counted before the first look is not new; what comes after is, by face and in all."""
        ring = RateRing()
        ring.add(100.0, {("front-1", 7): {("api", "/a"): row(3, _0=50)}})
        self.assertEqual(ring.told()["samples"], [])
        ring.add(105.0, {("front-1", 7): {("api", "/a"): row(4, _0=50, _1=10), ("s3", "/b"): row(0, _1=5)}})
        [sample] = ring.told()["samples"]
        self.assertEqual((sample["time"], sample["seconds"]), (105.0, 5.0))
        self.assertEqual((sample["all"]["requests"], sample["all"]["errors"]), (15, 1))
        self.assertEqual(sample["faces"]["api"], {"requests": 10, "errors": 1, "p50_ms": 0.75, "p99_ms": 0.995})
        self.assertEqual(sample["faces"]["s3"]["requests"], 5)
        self.assertEqual([route["route"] for route in ring.told()["routes"]], ["/a", "/b"])

    def test_they_outlive_the_anchors_code(self) -> None:
        """What another ring restores from the samples tells the same; rows that it does not understand are left out."""
        ring = RateRing()
        for number in range(4):
            ring.add(5.0 * number, {("front-1", 7): {("api", "/a"): row(number, _0=50 * number)}})
        again = RateRing()
        again.restore(json.loads(json.dumps(ring.samples())))
        self.assertEqual(again.told(), ring.told())
        again.restore([[1.0, 5.0, [["api", "/a", [1.0]]]]])
        self.assertEqual(again.told()["samples"][0]["all"]["requests"], 0)

    def test_new_process(self) -> None:
        """A worker that was started again begins at 0: its first requests count, and nothing becomes negative."""
        ring = RateRing()
        ring.add(0.0, {("front-1", 7): {("api", "/a"): row(0, _0=50)}})
        ring.add(5.0, {("front-1", 8): {("api", "/a"): row(0, _0=2)}, ("front-2", 9): {("api", "/a"): row(0, _0=3)}})
        ring.add(10.0, {("front-1", 8): {("api", "/a"): row(0, _0=1)}})
        self.assertEqual([sample["all"]["requests"] for sample in ring.told()["samples"]], [5, 0])

    def test_nothing(self) -> None:
        """No request: no milliseconds, which is not the same as 0."""
        ring = RateRing()
        ring.add(0.0, {})
        ring.add(5.0, {})
        told = ring.told()
        self.assertEqual(told["samples"][0]["all"], {"requests": 0, "errors": 0, "p50_ms": None, "p99_ms": None})
        self.assertEqual((told["routes"], told["every_s"]), ([], EVERY_S))
        self.assertEqual(json.loads(json.dumps(told)), told)

    def test_kept(self) -> None:
        """Five minutes are kept; the oldest go."""
        ring = RateRing()
        for look in range(1000):
            ring.add(look * EVERY_S, {("f", 1): {("api", "/a"): row(0, _0=look)}})
        samples = ring.told()["samples"]
        self.assertEqual(sum(sample["seconds"] for sample in samples), KEPT_S)
        self.assertEqual(samples[-1]["time"], 999 * EVERY_S)

    def test_clock_stands(self) -> None:
        """A clock that was set back gives no sample of no or negative length."""
        ring = RateRing()
        for now in (10.0, 10.0, 5.0, 6.0):
            ring.add(now, {})
        self.assertEqual([sample["seconds"] for sample in ring.told()["samples"]], [1.0])

    def test_without(self) -> None:
        """Who asks can leave out its own routes."""
        ring = RateRing()
        ring.add(0.0, {})
        ring.add(5.0, {("f", 1): {("api", "/ui/x"): row(0, _0=9), ("api", "/a"): row(0, _0=1)}})
        told = ring.told("/ui")
        self.assertEqual([route["route"] for route in told["routes"]], ["/a"])
        self.assertEqual(told["samples"][0]["all"]["requests"], 1)
        self.assertEqual(ring.told()["samples"][0]["all"]["requests"], 10)

    @given(st.lists(st.integers(0, 1000), min_size=len(BUCKETS_S) + 1, max_size=len(BUCKETS_S) + 1))
    def test_quantiles(self, counts: list[int]) -> None:
        """They grow with the share and lie in the bucket that holds the request of that rank."""
        shares = [0.01, 0.5, 0.9, 0.99, 1.0]
        found = [quantile(share, counts) for share in shares]
        if not sum(counts):
            self.assertEqual(found, [None] * len(shares))
            return
        seconds = [value for value in found if value is not None]
        self.assertEqual(seconds, sorted(seconds))
        bounds = (0.0, *BUCKETS_S, BUCKETS_S[-1])
        for share, value in zip(shares, seconds, strict=True):
            rank = share * sum(counts)
            bucket = next(at for at in range(len(counts)) if counts[at] and sum(counts[: at + 1]) >= rank)
            self.assertTrue(bounds[bucket] <= value <= bounds[bucket + 1], (share, value, bucket))


class Pool:
    """A pool of one worker, which answers as it is told."""

    def __init__(self) -> None:
        self.slots = [TalkingSlot("front-1"), TalkingSlot("front-2")]
        self.requests = 0
        self.answer: Any = None
        self.asked = 0

    async def ask_all(self, call: str) -> dict[str, Any]:
        assert call == "counts"
        self.asked += 1
        waiting: Deferred[Any] = self.answer or succeed(None)
        await waiting
        totals = [["api", "/a", row(0, _0=self.requests)]]
        return {"front-1": totals, "front-2": LinkTimeout("no answer"), "gone": totals}


class RatesTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock, self.pool = Clock(), Pool()
        self.rates = Rates(self.clock, self.pool)  # type: ignore[arg-type]

    def test_looks(self) -> None:
        """Every five seconds from start to stop; a silent worker is left out."""
        self.rates.start()
        self.rates.start()
        for _ in range(3):
            self.pool.requests += 4
            self.clock.advance(EVERY_S)
        self.assertEqual([sample["all"]["requests"] for sample in self.rates.told("")["samples"]], [4, 4, 4])
        self.rates.stop()
        self.rates.stop()
        self.clock.advance(EVERY_S)
        self.assertEqual(self.pool.asked, 4)

    def test_goes_on(self) -> None:
        """A look that fails is logged and does not end the looking; the next sample is as long as it has to be."""
        self.rates.start()
        self.pool.answer = fail(ValueError("broken"))
        self.clock.advance(EVERY_S)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        self.pool.answer = None
        self.clock.advance(EVERY_S)
        self.assertEqual([sample["seconds"] for sample in self.rates.told("")["samples"]], [2 * EVERY_S])
        self.rates.stop()
