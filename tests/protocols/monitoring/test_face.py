"""``/health`` and ``/metrics``."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any, cast

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase

from cloudd.interfaces.application import PartHealth, Resources
from cloudd.protocols.http import Request
from cloudd.protocols.monitoring import monitoring_face
from tests.http_client import HTTPClient


class FakeHost:
    """A host whose answers a test decides."""

    def __init__(self) -> None:
        self.health_answer: Deferred[dict[str, Any]] = succeed({"status": "ok", "parts": {}})
        self.metrics_answer: Deferred[bytes] = succeed(b"a 1\n")

    def health(self) -> Deferred[dict[str, Any]]:
        return self.health_answer

    def metrics(self) -> Deferred[bytes]:
        return self.metrics_answer


class FakeRequest:
    """What the face touches of a request."""

    def __init__(self, method: bytes, path: bytes) -> None:
        self.method = method
        self.path = path
        self.route = "unknown"
        self.answers: list[tuple[int, dict[bytes, bytes], bytes]] = []

    def respond(self, status: int, headers: Any = (), body: bytes = b"") -> None:
        self.answers.append((status, dict(headers), body))


class MonitoringTests(TestCase):
    """``monitoring_face``."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.host = FakeHost()
        self.local = [PartHealth("database", ok=True), PartHealth("objects", ok=False, cause="The disk is full.")]
        resources = cast(Resources, SimpleNamespace(host=self.host, reactor=self.clock))
        self.face = monitoring_face(resources, lambda: self.local)

    def ask(self, path: bytes, method: bytes = b"GET") -> FakeRequest:
        request = FakeRequest(method, path)
        running = self.face(cast(Request, request))
        if running is not None:
            self.running = Deferred.fromCoroutine(running)
        return request

    def test_well(self) -> None:
        """Everything well: 200 with the parts."""
        report = {"status": "ok", "parts": {"database": {"status": "ok", "cause": ""}}}
        self.host.health_answer = succeed(report)
        request = self.ask(b"/health")
        [(status, headers, body)] = request.answers
        self.assertEqual((status, json.loads(body)), (200, report))
        self.assertEqual(headers, {b"Content-Type": b"application/json", b"Cache-Control": b"no-store"})
        self.assertEqual(request.route, "/health")

    def test_who_answers(self) -> None:
        """An address may be a load balancer's, so other nodes are told whose answer it is."""
        self.host.health_answer = succeed({"status": "ok", "parts": {}})
        resources = cast(Resources, SimpleNamespace(host=self.host, reactor=self.clock))
        self.face = monitoring_face(resources, lambda: self.local, "a" * 32)
        [(_, headers, _)] = self.ask(b"/health").answers
        self.assertEqual(headers[b"X-Cloudd-Node"], b"a" * 32)

    def test_failing(self) -> None:
        """A part that fails anywhere: 503, with its cause."""
        report = {"status": "failing", "parts": {"objects": {"status": "failing", "cause": "The disk is full."}}}
        self.host.health_answer = succeed(report)
        [(status, _, body)] = self.ask(b"/health").answers
        self.assertEqual((status, json.loads(body)), (503, report))

    def test_unknown_status_is_not_well(self) -> None:
        """Only ``ok`` is ready: a host that is still starting gets no traffic."""
        self.host.health_answer = succeed({"status": "starting", "parts": {}})
        self.assertEqual(self.ask(b"/health").answers[0][0], 503)

    def test_silent_host(self) -> None:
        """No answer from the host: after four seconds 503 with this worker's parts and the cause."""
        self.host.health_answer = Deferred()
        request = self.ask(b"/health")
        self.clock.advance(3.9)
        self.assertEqual(request.answers, [])
        self.clock.advance(0.2)
        [(status, _, body)] = request.answers
        report = json.loads(body)
        self.assertEqual((status, report["status"]), (503, "failing"))
        self.assertEqual(report["parts"]["objects"], {"status": "failing", "cause": "The disk is full."})
        self.assertEqual(report["parts"]["database"], {"status": "ok", "cause": ""})
        self.assertIn("no answer within 4 s", report["parts"]["host"]["cause"])

    def test_a_host_that_comes_again(self) -> None:
        """A silent host that was well a moment ago is well, if this worker is; half a minute later it is not."""
        self.local = [PartHealth("objects", ok=True)]
        parts = {"objects": {"status": "ok", "cause": "of two workers"}, "disk": {"status": "ok", "cause": ""}}
        self.host.health_answer = succeed({"status": "ok", "parts": parts})
        self.ask(b"/health")
        self.clock.advance(2)

        self.host.health_answer = Deferred()
        silent = self.ask(b"/health")
        self.clock.advance(4)
        [(status, _, body)] = silent.answers
        report = json.loads(body)
        self.assertEqual((status, report["status"]), (200, "ok"))
        self.assertEqual(set(report["parts"]), {"objects", "disk", "host"})
        self.assertIn("its last report is 6 s old", report["parts"]["host"]["cause"])

        self.local = [PartHealth("objects", ok=False, cause="The disk is full.")]
        self.host.health_answer = Deferred()
        sick = self.ask(b"/health")
        self.clock.advance(4)
        [(status, _, body)] = sick.answers
        self.assertEqual((status, json.loads(body)["parts"]["objects"]["cause"]), (503, "The disk is full."))

        self.local = [PartHealth("objects", ok=True)]
        self.clock.advance(20)
        self.host.health_answer = Deferred()
        old = self.ask(b"/health")
        self.clock.advance(4)
        [(status, _, body)] = old.answers
        self.assertEqual(status, 503)
        self.assertIn("no answer within 4 s", json.loads(body)["parts"]["host"]["cause"])

    def test_broken_host(self) -> None:
        """An error in asking the host is in the answer, and in the log."""
        self.host.health_answer = fail(OSError("socket gone"))
        [(status, _, body)] = self.ask(b"/health").answers
        self.assertEqual(status, 503)
        self.assertIn("OSError: socket gone", json.loads(body)["parts"]["host"]["cause"])
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 1)

    def test_broken_everywhere(self) -> None:
        """Health answers even when this worker cannot tell its own."""
        self.host.health_answer = fail(OSError("gone"))
        resources = cast(Resources, SimpleNamespace(host=self.host, reactor=self.clock))

        def broken() -> list[PartHealth]:
            raise KeyError("x")

        self.face = monitoring_face(resources, broken)
        [(status, _, body)] = self.ask(b"/health").answers
        self.assertEqual(status, 503)
        self.assertEqual(json.loads(body)["parts"]["worker"]["status"], "failing")
        self.assertEqual(len(self.flushLoggedErrors(OSError, KeyError)), 2)

    def test_metrics(self) -> None:
        """The exposition as it came, with the type Prometheus wants."""
        request = self.ask(b"/metrics")
        [(status, headers, body)] = request.answers
        self.assertEqual((status, body), (200, b"a 1\n"))
        self.assertEqual(headers[b"Content-Type"], b"text/plain; version=0.0.4; charset=utf-8")
        self.assertEqual(request.route, "/metrics")

    def test_metrics_fail(self) -> None:
        """No metrics: 503, so that a scrape counts as failed."""
        self.host.metrics_answer = fail(OSError("gone"))
        [(status, _, body)] = self.ask(b"/metrics").answers
        self.assertEqual((status, body), (503, b"Metrics could not be gathered: OSError: gone.\n"))

    def test_cancelled(self) -> None:
        """A client that leaves cancels the asking; nothing is answered or logged."""
        self.host.health_answer = Deferred()
        request = self.ask(b"/health")
        self.running.addErrback(lambda _: None)
        self.running.cancel()
        self.assertEqual(request.answers, [])

    def test_methods(self) -> None:
        """HEAD is GET; anything else is refused with what is allowed."""
        self.assertEqual(self.ask(b"/health", b"HEAD").answers[0][0], 200)
        [(status, headers, _)] = self.ask(b"/health", b"POST").answers
        self.assertEqual((status, headers[b"Allow"]), (405, b"GET, HEAD"))

    def test_elsewhere(self) -> None:
        """Other paths are not here, and are no label."""
        request = self.ask(b"/healthz")
        self.assertEqual((request.answers[0][0], request.route), (404, "unknown"))

    async def test_over_http(self) -> None:
        """On the real server: no token, GET and HEAD alike, a route name each."""
        client = HTTPClient(self.face)
        get = await client.request("GET", "/metrics?name=x")
        head = await client.request("HEAD", "/metrics")
        self.assertEqual((get.status, get.body, head.status, head.body), (200, b"a 1\n", 200, b""))
        self.assertEqual(head.headers["content-length"], get.headers["content-length"])
        self.assertEqual((await client.request("GET", "/health")).json(), {"status": "ok", "parts": {}})
        self.assertEqual([request.route for request in client.site.requests], ["/metrics", "/metrics", "/health"])
