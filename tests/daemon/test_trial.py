"""A canary inside a worker: who is in it, and what is counted of whom."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.trial.unittest import SynchronousTestCase

from cloudd.daemon import _trial
from cloudd.daemon._comparison import NEVER, RouteMeasure, Side, bucket_of
from cloudd.daemon._trial import Trial

from .simulated_canary import AskedRequest, Running, measured

IN, CONTROL, BESIDE = 0.05, 0.5, 0.99  # lots, of a canary of 9 % whose shift is nothing


class TrialCase(SynchronousTestCase):
    warm_up = 0

    def setUp(self) -> None:
        self.patch(_trial, "WARM_UP", self.warm_up)
        self.now = 0.0
        running: Any = Running(0)
        self.trial = Trial(running, 0.09, lambda: self.now)

    def ask(self, lot: float, seconds: float = 0.001, **facts: Any) -> AskedRequest:
        request = AskedRequest(lot=lot, **facts)
        self.trial.begins(request)
        self.trial.ended(request, seconds)
        return request

    def found(self, route: str = "api GET things", limits: tuple[int, int] = (NEVER, NEVER)) -> RouteMeasure:
        return measured(self.trial, {route: limits})[route]


class PlaceTests(TrialCase):
    def test_stable(self) -> None:
        """A connection stays where it is, and another canary takes others."""
        self.assertTrue(all(self.trial.takes(IN) for _ in range(5)))
        self.assertFalse(self.trial.takes(CONTROL))
        lots = [number / 1000 for number in range(1000)]
        for number in range(1, 20):
            running: Any = Running(number)
            other = Trial(running, 0.05, lambda: 0.0)
            taken = {lot for lot in lots if other.takes(lot)}
            self.assertIn(len(taken), (49, 50, 51))
            self.assertNotEqual(taken, {lot for lot in lots if lot < 0.05})

    def test_sides(self) -> None:
        """Requests of all count; connections of the canary and of the control alone are compared."""
        for lot in (IN, IN, CONTROL, BESIDE):
            self.ask(lot)
        found = self.found()
        self.assertEqual((found.new.requests, found.old.requests), (2, 2))
        self.assertEqual((found.new.connections, found.old.connections), (1, 1))
        self.assertEqual(self.found("api *").old.requests, 2)


class CountTests(TrialCase):
    def test_what_came_of_them(self) -> None:
        """Errors, broken answers and refusals, each by status; a client that left is none of them."""
        for facts in ({"status": 500}, {"status": 503}, {"broken": True}, {"status": 404}, {"status": 499}, {}):
            self.ask(IN, **facts)
        new = self.found().new
        self.assertEqual((new.requests, new.failures, new.refusals), (6, {500: 1, 503: 1, 0: 1}, {404: 1}))
        self.assertEqual((new.errors, new.failing, new.refused), (3, 1, 0))
        for _ in range(6):
            self.ask(IN, status=401)
        self.assertEqual(self.found().new.refused, 1)

    def test_times(self) -> None:
        """Small requests are timed; half of a connection's decide of ``slow``, one of ``tail``."""
        limits = (bucket_of(0.01), bucket_of(0.1))
        for seconds in (0.001, 0.001, 0.02):
            self.ask(IN, seconds)
        self.ask(IN, 50.0, sent_bytes=10_000_000)
        self.ask(IN, 50.0, received_bytes=10_000_000)
        new = self.found(limits=limits).new
        self.assertEqual((sum(new.latency.values()), new.slow, new.tail), (3, 0, 0))
        self.ask(IN, 0.2)
        self.assertEqual((self.found(limits=limits).new.slow, self.found(limits=limits).new.tail), (0, 1))
        self.ask(IN, 0.02)
        self.assertEqual(self.found(limits=limits).new.slow, 1)

    def test_routes(self) -> None:
        """A route is told apart by face and method; odd methods are one."""
        for facts in ({"method": b"PUT"}, {"face": "s3"}, {"method": b"BREW"}, {"method": b"\xff"}):
            self.ask(IN, **facts)
        routes = {"api PUT things", "s3 GET things", "api OTHER things", "api *", "s3 *"}
        self.assertEqual(set(measured(self.trial, {})), routes)

    def test_bounds(self) -> None:
        """What clients can make many of is bounded; both sides stop to take connections at the same moment."""
        self.patch(_trial, "MAX_ROUTES", 3)
        self.patch(_trial, "MAX_CONNECTIONS", 4)
        for number in range(10):
            self.ask(IN, route=f"route-{number}")
            self.ask(CONTROL)
        self.assertIn("other routes *", measured(self.trial, {}))
        self.assertLessEqual(len(measured(self.trial, {})), 4)
        sides = [side for found in measured(self.trial, {}).values() for side in (found.new, found.old)]
        self.assertEqual(sum(side.connections for side in sides), 4)

    def test_before_the_canary(self) -> None:
        """A request that began before it is not counted."""
        self.trial.ended(AskedRequest(lot=IN), 1.0)
        self.assertEqual(measured(self.trial, {}), {})


class WarmUpTests(TrialCase):
    warm_up = 2

    def test_first_requests(self) -> None:
        """The new code's first two on a route are counted, but not timed; the old code's are."""
        for lot in (IN, CONTROL):
            for _ in range(3):
                self.ask(lot, 0.001)
        for name in ("api GET things", "api *"):
            found = self.found(name)
            self.assertEqual((found.new.requests, sum(found.new.latency.values())), (3, 1))
            self.assertEqual((found.old.requests, sum(found.old.latency.values())), (3, 3))


class OpenTests(TrialCase):
    def begin(self, **facts: Any) -> AskedRequest:
        request = AskedRequest(lot=IN, began=self.now, **facts)
        self.trial.begins(request)
        return request

    def test_one_that_waits(self) -> None:
        """It counts with its age for as long as it waits, and then with its time."""
        request = self.begin()
        self.now = 3.0
        limits = (bucket_of(0.01), bucket_of(0.1))
        new = self.found(limits=limits).new
        self.assertEqual((new.requests, new.connections, new.slow, new.tail), (0, 1, 1, 1))
        self.assertEqual(new.latency, {bucket_of(3.0): 1})
        self.trial.ended(request, 3.5)
        self.assertEqual(self.found().new.latency, {bucket_of(3.5): 1})

    def test_one_whose_client_is_slow(self) -> None:
        """As long as its body is not there nobody is to blame."""
        self.begin(unread_body=object())
        self.now = 30.0
        self.assertEqual(measured(self.trial, {}), {})

    def test_a_stream(self) -> None:
        """It counts once, by its start, and is not timed; that it breaks off later is an error."""
        request = self.begin(started=True)
        for _ in range(2):
            new = self.found().new
            self.assertEqual((new.requests, new.errors, new.latency), (1, 0, {}))
        request.broken = True
        self.trial.ended(request, 9.0)
        new = self.found().new
        self.assertEqual((new.requests, new.errors, new.failing, new.latency), (1, 1, 1, {}))

    def test_slices_of_open_ones(self) -> None:
        """What ends while the reactor has its turn is counted once, as what it was."""
        self.patch(_trial, "MAX_ENTRIES_A_SLICE", 1)
        streams = [self.begin(started=True) for _ in range(4)]

        def pause() -> Deferred[None]:
            if streams:
                self.trial.ended(streams.pop(), 0.5)
            return succeed(None)

        Deferred.fromCoroutine(self.trial.measure({}, pause))
        self.assertEqual(self.found().new.requests, 4)

    def test_slices(self) -> None:
        """With many connections the reactor has its turn in between, and what comes then is no harm."""
        self.patch(_trial, "MAX_ENTRIES_A_SLICE", 1)
        for lot in (0.01, 0.02, 0.03):
            self.ask(lot, route=f"route-{lot}")
        pauses: list[Deferred[None]] = []

        def pause() -> Deferred[None]:
            self.ask(0.04, route=f"route-{len(pauses)}")
            pauses.append(succeed(None))
            return pauses[-1]

        told: list[dict[str, RouteMeasure]] = []
        Deferred.fromCoroutine(self.trial.measure({}, pause)).addCallback(told.append)
        self.assertGreater(len(pauses), 0)
        self.assertIn("api GET route-0.03", told[0])
        self.assertIsInstance(told[0]["api *"].new, Side)
