"""A worker's metrics, and their sum over workers."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families
from twisted.trial.unittest import SynchronousTestCase

from cloudd.daemon._health import merge_metrics
from cloudd.daemon._metrics import WorkerMetrics


def samples(text: bytes) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


def worker(requests: int, connections: int) -> WorkerMetrics:
    metrics = WorkerMetrics()
    for _ in range(requests):
        metrics.requests.add("api", "/v3/projects", b"GET", 204, 0.003, 5, 7)
    metrics.gauge_callback("open_connections", "x", ("face",), lambda: [(("api",), connections)])
    metrics.counter_callback("accepted", "x", (), lambda: [((), 2)])
    metrics.counter("cached", "x").inc(3)
    metrics.histogram("taken_seconds", "x", ("kind",)).labels("a").observe(0.02)
    return metrics


class MetricsTests(SynchronousTestCase):
    def test_same_name_same_object(self) -> None:
        """A later generation gets what an earlier one registered; another kind or other labels are refused."""
        metrics = WorkerMetrics()
        self.assertIs(metrics.counter("a", "x"), metrics.counter("a", "x"))
        self.assertIs(metrics.histogram("h", "x", ("l",)), metrics.histogram("h", "y", ("l",)))
        self.assertIs(metrics.gauge("g", "x"), metrics.gauge("g", "x"))
        self.assertRaises(ValueError, metrics.gauge, "a", "x")
        self.assertRaises(ValueError, metrics.counter, "a", "x", ("label",))

    def test_buckets(self) -> None:
        """A request counts in every bucket that it fits in, the sum is exact."""
        metrics = WorkerMetrics()
        for seconds in (0.0001, 0.0005, 0.3, 1000.0):
            metrics.requests.add("s3", "object", b"PUT", 200, seconds, 0, 0)
        found = samples(merge_metrics({"w": metrics.export()}))
        labels = (("face", "s3"), ("route", "object"))

        def bucket(bound: str) -> float:
            return found["cloudd_request_seconds_bucket", tuple(sorted([*labels, ("le", bound)]))]

        self.assertEqual([bucket(bound) for bound in ("0.0005", "0.25", "0.5", "60", "+Inf")], [2, 2, 3, 3, 4])
        self.assertAlmostEqual(found["cloudd_request_seconds_sum", labels], 1000.3006)

    def test_odd_requests(self) -> None:
        """A request that never got a status, or has a strange method, breaks nothing."""
        metrics = WorkerMetrics()
        metrics.requests.add("api", "unknown", b"\xff", 0, 0.0, 0, 0)
        found = samples(merge_metrics({"w": metrics.export()}))
        self.assertEqual([value for (name, _), value in found.items() if name == "cloudd_requests_total"], [1])

    def test_merge(self) -> None:
        """Counters and histograms are summed over workers; gauges say which worker."""
        found = samples(merge_metrics({"front-1": worker(2, 10).export(), "front-2": worker(3, 20).export()}))
        labels = (("face", "api"), ("method", "GET"), ("route", "/v3/projects"), ("status", "2xx"))
        self.assertEqual(found["cloudd_requests_total", labels], 5)
        self.assertEqual(found["cloudd_received_bytes_total", (("face", "api"),)], 25)
        self.assertEqual(found["cloudd_sent_bytes_total", (("face", "api"),)], 35)
        self.assertEqual(found["accepted_total", ()], 4)
        self.assertEqual(found["cached_total", ()], 6)
        self.assertEqual(found["taken_seconds_count", (("kind", "a"),)], 2)
        self.assertEqual(found["open_connections", (("face", "api"), ("worker", "front-1"))], 10)
        self.assertEqual(found["open_connections", (("face", "api"), ("worker", "front-2"))], 20)
