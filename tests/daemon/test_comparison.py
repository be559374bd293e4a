"""Bad code is told from good code by its traffic; equal code is left alone.  All chance here comes from seeds."""

from __future__ import annotations

from math import comb
from random import Random

import msgspec
from twisted.trial.unittest import SynchronousTestCase

from cloudd.daemon._comparison import (
    BUCKETS,
    NEVER,
    Finding,
    RouteMeasure,
    Side,
    add_up,
    bucket_of,
    edge_s,
    figures,
    fisher,
    judge,
    limits_of,
    quantile_bucket,
)

from .simulated_canary import Behaviour, Client, SimulatedCanary, different_clients, equal

CANARIES = 40


class FisherTests(SynchronousTestCase):
    def test_by_counting(self) -> None:
        """The tail of the hypergeometric distribution, as counted out."""
        for new, of_new, old, of_old in ((2, 3, 1, 9), (0, 4, 2, 5), (5, 5, 0, 11), (3, 7, 3, 7), (1, 1, 0, 19)):
            marked, total = new + old, of_new + of_old
            counted = sum(
                comb(marked, count) * comb(total - marked, of_new - count)
                for count in range(new, min(marked, of_new) + 1)
                if of_new - count <= total - marked
            ) / comb(total, of_new)
            self.assertAlmostEqual(fisher(new, of_new, old, of_old), counted, 12)

    def test_large(self) -> None:
        """Counts of a busy host cost no accuracy, and nothing overflows."""
        self.assertAlmostEqual(fisher(0, 10_000, 50, 200_000), 1.0, 6)
        self.assertTrue(0 < fisher(100, 10_000, 50, 200_000) < 1e-60)
        self.assertGreater(fisher(500, 10_000, 10_000, 200_000), 0.4)


class LatencyTests(SynchronousTestCase):
    def test_buckets(self) -> None:
        """Each duration lies in its bucket, which is a tenth wide."""
        for seconds in (0.0, 0.00005, 0.000051, 0.001, 0.0123, 1.0, 60.0, 399.0, 1e9):
            bucket = bucket_of(seconds)
            self.assertTrue(0 <= bucket < BUCKETS)
            if 0.00005 < seconds < 400:
                self.assertTrue(edge_s(bucket - 1) * 0.999999 <= seconds <= edge_s(bucket) * 1.000001, seconds)
        self.assertEqual(bucket_of(edge_s(40) * 0.999), 40)

    def test_quantiles(self) -> None:
        """Of nothing there is none; of some the bucket in which it lies."""
        self.assertEqual(quantile_bucket({}, 0.5), NEVER)
        latency = {10: 50, 20: 49, 90: 1}
        self.assertEqual([quantile_bucket(latency, share) for share in (0.5, 0.51, 0.99, 0.991, 1.0)],
                         [10, 20, 20, 90, 90])  # fmt: skip

    def test_limits(self) -> None:
        """1.5 times and 5 ms; a route without times has none."""
        total = {"a": RouteMeasure(Side(), Side(latency={bucket_of(0.1): 100})), "b": RouteMeasure(Side(), Side())}
        limits = limits_of(total)
        self.assertEqual(set(limits), {"a"})
        self.assertTrue(0.155 * 0.95 < edge_s(limits["a"][0]) < 0.155 * 1.2)


class JudgeTests(SynchronousTestCase):
    """Measurements written down."""

    looks = 40

    def judge(self, new: Side, old: Side, route: str = "api GET things") -> Finding | None:
        return judge({route: RouteMeasure(new, old)}, self.looks)

    def test_nothing(self) -> None:
        """Without requests on both sides nothing is said."""
        self.assertIsNone(judge({}, self.looks))
        self.assertIsNone(self.judge(Side(), Side(requests=9)))
        self.assertIsNone(self.judge(Side(requests=9, failures={500: 9}), Side()))

    def test_errors(self) -> None:
        """A few are enough, in words that tell the operator where to look."""
        found = self.judge(Side(requests=15, failures={500: 14}, connections=2, failing=2), Side(requests=290))
        self.assertEqual(
            found,
            Finding(
                "errors", "api GET things", "api GET things answered 500 in 14 of 15 requests (old code: 0 of 290)"
            ),
        )
        found = self.judge(Side(requests=15, failures={0: 14}, connections=1, failing=1), Side(requests=290))
        self.assertIn("broke off its answer", found.cause if found else "")

    def test_errors_of_one_connection_among_several(self) -> None:
        """One client that always fails is no bad code, if others of the canary do well."""
        new = Side(requests=30, failures={500: 14}, connections=2, failing=1)
        self.assertIsNone(self.judge(new, Side(requests=290)))

    def test_too_few_or_too_little(self) -> None:
        """Two errors are none yet, nor is what is a little more."""
        self.assertIsNone(self.judge(Side(requests=2, failures={500: 2}, connections=2, failing=2), Side(requests=990)))
        new = Side(requests=100_000, failures={500: 1_500}, connections=9, failing=9)
        self.assertIsNone(self.judge(new, Side(requests=900_000, failures={500: 9_000})))

    def test_refusals(self) -> None:
        """404 for everybody is found; for the few who get it anyway it is theirs."""
        old = Side(requests=290, connections=38)
        found = self.judge(Side(requests=15, refusals={404: 15}, connections=2, refused=2), old)
        self.assertIn("answered 404 in 15 of 15 requests (old code: 0 of 290)", found.cause if found else "")
        self.assertIsNone(self.judge(Side(requests=900, refusals={404: 900}, connections=1, refused=1), old))
        old = Side(requests=290, refusals={401: 30}, connections=38, refused=4)
        self.assertIsNone(self.judge(Side(requests=900, refusals={401: 900}, connections=2, refused=2), old))

    def test_slow(self) -> None:
        """100 ms more are found in the typical request, or in the slowest."""
        fast, late = bucket_of(0.004), bucket_of(0.104)
        old = Side(requests=1000, latency={fast: 1000}, connections=100)
        found = self.judge(Side(requests=30, latency={late: 30}, connections=5, slow=5, tail=5), old)
        self.assertEqual((found and found.kind) in {"slow", "tail"}, True)
        self.assertIn("on 5 of 5 connections (old code: 0 of 100)", found.cause if found else "")
        new = Side(requests=300, latency={fast: 280, late: 20}, connections=20, tail=15)
        found = self.judge(new, Side(requests=9000, latency={fast: 9000}, connections=200, tail=2))
        self.assertEqual(found and found.kind, "tail")

    def test_hardly_slower(self) -> None:
        """What is within 1.5 times and 5 ms is no reason, however sure it is."""
        old = Side(requests=90_000, latency={bucket_of(0.020): 90_000}, connections=900)
        new = Side(requests=9_000, latency={bucket_of(0.030): 9_000}, connections=90)
        self.assertIsNone(self.judge(new, old))

    def test_a_route_that_was_lost(self) -> None:
        """Code that no longer knows a route answers under another one: the face's sum tells."""
        lost = Side(requests=40, refusals={404: 40}, connections=10, refused=10)
        rest = Side(requests=900, connections=190)
        total = {
            "api GET things": RouteMeasure(Side(), rest),
            "api GET unknown": RouteMeasure(lost, Side()),
            "api *": RouteMeasure(lost, rest),
        }
        found = judge(total, self.looks)
        assert found is not None
        self.assertEqual(found.route, "api *")
        self.assertTrue(found.cause.endswith("; most of these: api GET unknown"), found.cause)

    def test_figures(self) -> None:
        """Both sides in a sentence; sums are not counted twice."""
        new = Side(requests=812, latency={bucket_of(0.0041): 812})
        old = Side(requests=15_200, failures={500: 3}, latency={bucket_of(0.004): 15_200})
        text = figures({"api GET a": RouteMeasure(new, old), "api *": RouteMeasure(new, old)})
        self.assertRegex(
            text, r"^812 requests, 0 errors \(old code: 15,200, 3\); p99 4\.\d+ ms \(old code: 4\.\d+ ms\)$"
        )

    def test_wire(self) -> None:
        """What a worker tells survives JSON, and workers add up."""
        side = Side(3, {500: 1}, {404: 2}, {7: 3}, 2, 1, 1, 1, 1)
        told = msgspec.json.decode(msgspec.json.encode({"a": RouteMeasure(side, Side(requests=4))}))
        measure = msgspec.convert(told, dict[str, RouteMeasure], str_keys=True)
        total = add_up([measure, measure])
        self.assertEqual(total["a"].new, Side(6, {500: 2}, {404: 4}, {7: 6}, 4, 2, 2, 2, 2))
        self.assertEqual(total["a"].old.requests, 8)
        self.assertEqual(measure["a"].new, side, "adding up changes nothing that was told")


class ChanceTests(SynchronousTestCase):
    """Whole canaries, of busy and of quiet hosts."""

    def found(self, behaviour: Behaviour, count: int, **facts: int | float) -> list[SimulatedCanary]:
        """Canaries that ended with a finding."""
        played = [SimulatedCanary(seed, behaviour, **facts) for seed in range(count)]  # type: ignore[arg-type]
        return [canary for canary in played if canary.play() is not None]

    def test_equal_code(self) -> None:
        """At most 1 % of canaries of equal code end with a finding; differing clients are no reason either."""
        for behaviour in (equal, different_clients):
            for facts in ({"connections": 200}, {"connections": 30, "share": 0.1}):
                self.assertLessEqual(len(self.found(behaviour, CANARIES, **facts)), 2, (behaviour, facts))

    def test_errors_on_one_route(self) -> None:
        """500 on one of 20 routes is found at every seed, before the new code has answered 300 requests."""

        def failing(chance: Random, route: int, is_new: bool, client: Client) -> tuple[int, float]:
            status, seconds = different_clients(chance, route, is_new, client)
            return (500 if is_new and route == 3 else status), seconds

        found = self.found(failing, 30)
        self.assertEqual(len(found), 30)
        self.assertLess(max(canary.new_requests for canary in found), 300)

    def test_refusals_on_one_route(self) -> None:
        """404 on one of 20 routes, with 1,000 connections."""

        def refusing(chance: Random, route: int, is_new: bool, client: Client) -> tuple[int, float]:
            status, seconds = different_clients(chance, route, is_new, client)
            return (404 if is_new and route == 3 else status), seconds

        found = self.found(refusing, 20, connections=1000, requests=1000)
        self.assertEqual(len(found), 20)
        self.assertLess(max(canary.new_requests for canary in found), 500)

    def test_a_slow_route(self) -> None:
        """100 ms more on one of 20 routes, with 1,000 connections on a busy machine."""

        def slow(chance: Random, route: int, is_new: bool, client: Client) -> tuple[int, float]:
            status, seconds = different_clients(chance, route, is_new, client)
            return status, seconds + (0.1 if is_new and route == 3 else 0.0)

        found = self.found(slow, 20, connections=1000, requests=1000)
        self.assertEqual(len(found), 20)
        self.assertLess(max(canary.new_requests for canary in found), 1000)
