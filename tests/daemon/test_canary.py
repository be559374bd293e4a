"""The canary of an upgrade: how it goes, how it ends, and what is told of it."""

from __future__ import annotations

from typing import Any

import msgspec
from attrs import evolve
from twisted.internet.defer import Deferred

from cloudd.control import Outcome
from cloudd.daemon._canary_work import Report, WorkMeasure
from cloudd.daemon._comparison import RouteMeasure, Side, bucket_of
from cloudd.daemon._link import LinkLost, LinkTimeout, RemoteError
from cloudd.interfaces.settings import UpgradeSettings

from .test_swap_metrics import MetricsCase
from .test_upgrade import ANN

ROUTE = "api GET /v3/projects"


class Front:
    """A worker with connections that answers as the tests say."""

    def __init__(self, takes_part: bool = True, work: tuple[str, ...] = ()) -> None:
        self.takes_part = takes_part
        self.work = work
        self.over: dict[str, WorkMeasure] = {}  # kinds that have gone over
        self.route = RouteMeasure(Side(), Side())
        self.descriptors = 30
        self.errors: dict[str, Exception | None] = {}
        self.asked: list[dict[str, Any]] = []

    def traffic(self, new: int, old: int, status: int = 200) -> None:
        """So many more requests; ``status``: the new code's answers."""
        for side, count in ((self.route.new, new), (self.route.old, old)):
            side.requests += count
            side.connections += count
            side.latency[bucket_of(0.004)] = side.requests
        if status >= 500:
            self.route.new.failures[status] = self.route.new.failures.get(status, 0) + new
            self.route.new.failing += new

    def __call__(self, call: str, body: dict[str, Any]) -> Any:
        if call in self.errors:
            return self.errors[call]
        if call == "begin_canary":
            self.asked.append(body)
            return {"connections": self.takes_part, "work": list(self.work)}
        if call == "move_work" and body["kind"] in self.work:
            self.over[body["kind"]] = WorkMeasure(Report(), Report(attempts=20))
        if call == "measure_canary":
            told: dict[str, Any] = {"routes": {}, "work": self.over}
            if self.takes_part:
                told = {"routes": {ROUTE: self.route}, "work": {}, "descriptors": self.descriptors, "limit": 1000}
            return msgspec.json.decode(msgspec.json.encode(told))
        return None


class CanaryCase(MetricsCase):
    def setUp(self) -> None:
        super().setUp()
        self.fronts = {"front-1": Front(), "front-2": Front()}
        self.workers.answers.update(self.fronts)
        self.workers.answers["agent"] = Front(takes_part=False)
        self.settings = evolve(
            self.settings, upgrade=UpgradeSettings(canary_percent=5.0, canary_period_s=4.0, canary_min_requests=50)
        )
        self.upgrades = self.boot()
        self.version(2)

    def begin(self) -> Deferred[Outcome]:
        """An upgrade whose canary has begun."""
        waiting = self.upgrades.upgrade("", "", ANN, self.listen)
        self.assertNoResult(waiting)
        self.assertEqual(
            self.workers.calls, [("check_apart", 2), ("prepare", 2), ("prepare_late", 2), ("begin_canary", 2)]
        )
        return waiting

    def looks(self, count: int = 1, new: int = 0, old: int = 0, status: int = 200) -> None:
        """Some looks, with traffic before each."""
        for _ in range(count):
            for front in self.fronts.values():
                front.traffic(new, old, status)
            self.clock.advance(0.25)


class GoodCodeTests(CanaryCase):
    def test_compared(self) -> None:
        """It is tried for the period in all workers with connections, checked once more, and committed."""
        waiting = self.begin()
        self.assertEqual(self.fronts["front-1"].asked, [{"number": 2, "share": 0.05}])
        self.looks(15, 5, 95)
        progress = self.upgrades.progress
        assert progress is not None
        self.assertEqual((progress.step, progress.done, progress.total), ("canary", 3, 4))
        self.assertRegex(
            progress.text, r"^5 % of the connections: 120 requests, 0 errors \(old code: 2,280, 0\); p99 4"
        )
        self.looks(1, 5, 95)
        outcome = self.successResultOf(waiting)
        self.assertEqual((outcome.result, outcome.rollback_s), ("committed", 0.0))
        self.assertRegex(outcome.canary, r"^judged by comparison: 5 % of the connections: 160 requests, 0 errors")
        looks = ["measure_canary"] * 16
        self.assertEqual(
            [call for call, _number in self.workers.calls],
            [
                "check_apart",
                "prepare",
                "prepare_late",
                "begin_canary",
                *looks,
                "check_canary",
                "prepare_late",
                "commit",
            ],
        )
        self.assertEqual(self.steps.count("canary"), 1 + 4 + 1)

    async def test_audit(self) -> None:
        """By what it was judged is in the audit log."""
        waiting = self.begin()
        self.looks(16)
        outcome = await waiting
        (entry,) = await self.entries()
        self.assertEqual((entry.result, entry.canary), ("committed", outcome.canary))

    def test_little_traffic(self) -> None:
        """Too few requests are not compared, and that is said; the check alone decides."""
        waiting = self.begin()
        self.looks(12, 1, 9)
        self.looks(4)
        outcome = self.successResultOf(waiting)
        self.assertEqual(outcome.result, "committed")
        self.assertEqual(outcome.canary, "judged by self-checks: 24 requests were too few to compare")

    def test_no_traffic(self) -> None:
        """Where nobody asks at all nobody is waited for."""
        waiting = self.begin()
        self.looks(11)
        self.assertNoResult(waiting)
        self.looks(1)
        outcome = self.successResultOf(waiting)
        self.assertEqual(outcome.result, "committed")
        self.assertEqual(outcome.canary, "judged by self-checks: there were no requests to compare")
        self.assertEqual(self.workers.calls[-3:], [("check_canary", 2), ("prepare_late", 2), ("commit", 2)])

    def test_a_busy_machine(self) -> None:
        """Looks that take long do not make it longer."""
        waiting = self.begin()
        for _ in range(5):
            for front in self.fronts.values():
                front.traffic(5, 95)
            self.clock.advance(0.9)
        self.assertEqual(self.successResultOf(waiting).result, "committed")

    def test_enough_traffic(self) -> None:
        """After so many requests it ends before its time."""
        waiting = self.begin()
        self.looks(3, 1000, 19_000)
        self.assertEqual(self.successResultOf(waiting).result, "committed")

    def test_nobody_has_connections(self) -> None:
        """Without a worker that takes part there is nothing to compare."""
        for front in self.fronts.values():
            front.takes_part = False
        waiting = self.begin()
        self.looks(16)
        self.assertIn("no worker has connections", self.successResultOf(waiting).canary)

    def test_at_once(self) -> None:
        """0 is none, whatever the settings say; and a rollback has none."""
        self.assertEqual(self.successResultOf(self.upgrade(canary=0)).canary, "")
        self.assertEqual(self.successResultOf(self.rollback()).result, "committed")
        self.assertEqual([call for call, _number in self.workers.calls], ["check_apart", "prepare", "commit"] * 2)

    def test_who_waits_may_leave(self) -> None:
        """It goes on when nobody listens any more."""
        waiting = self.begin()
        waiting.addErrback(lambda _failure: None)
        waiting.cancel()
        self.looks(16)
        self.assertEqual(self.upgrades.current.generation, 2)


class BadCodeTests(CanaryCase):
    def assertTakenBack(self, waiting: Deferred[Outcome], reason: str) -> Outcome:
        """All is as before, and everybody is told why."""
        outcome = self.successResultOf(waiting)
        self.assertEqual(outcome.result, "failed")
        self.assertIn("rolled back by the canary: ", outcome.cause)
        self.assertEqual(self.workers.calls[-1], ("abort", 2))
        self.assertNotIn(("commit", 2), self.workers.calls)
        self.assertEqual(self.rollbacks(), {reason: 1})
        (entry,) = self.successResultOf(self.upgrades.audit(9)).entries
        self.assertEqual((entry.result, entry.cause, entry.canary), ("failed", outcome.cause, outcome.canary))
        self.assertIsNone(self.upgrades.progress)
        self.assertEqual(self.upgrades.current.generation, 1)
        return outcome

    def test_errors(self) -> None:
        """It ends with the look that shows it, and a restart does not bring the code in."""
        waiting = self.begin()
        self.looks(2, 2, 40)
        self.looks(1, 5, 95, status=500)
        outcome = self.assertTakenBack(waiting, "canary_errors")
        self.assertIn(f"{ROUTE} answered 500 in 10 of 18 requests (old code: 0 of 350)", outcome.cause)
        self.assertRegex(outcome.canary, r"^5 % of the connections: 18 requests, 10 errors")
        self.assertIn("rolled back by the canary", self.upgrades.committed.held_back[0].cause)

    def test_time_to_roll_back(self) -> None:
        """From the look to the last worker's answer."""
        waiting = self.begin()
        self.workers.gates["abort"] = Deferred()
        self.looks(1, 5, 95, status=500)
        self.clock.advance(0.125)
        self.workers.gates["abort"].callback(None)
        self.assertEqual(self.assertTakenBack(waiting, "canary_errors").rollback_s, 0.125)

    def test_a_worker_that_dies(self) -> None:
        """It may be the new code's doing: taken back."""
        for answer, words in (
            (LinkLost("the process ended"), "the process ended"),
            (None, "it ended"),
        ):
            self.setUp()
            waiting = self.begin()
            self.looks(2, 5, 95)
            self.fronts["front-2"].errors["measure_canary"] = answer
            self.looks(1)
            outcome = self.assertTakenBack(waiting, "canary_crash")
            self.assertIn(f"worker front-2 did not come through it: {words}", outcome.cause)

    def test_a_worker_that_hangs(self) -> None:
        """Once may be the machine: what it told before counts.  Twice in a row it is taken back."""
        waiting = self.begin()
        self.looks(2, 5, 95)
        front = self.fronts["front-2"]
        for _ in range(2):
            front.errors["measure_canary"] = LinkTimeout("no answer")
            self.looks(1)
            self.assertNoResult(waiting)
            front.errors.clear()
            self.looks(1)
        assert self.upgrades.progress is not None
        self.assertIn("20 requests", self.upgrades.progress.text)
        front.errors["measure_canary"] = LinkTimeout("no answer")
        self.looks(2)
        outcome = self.assertTakenBack(waiting, "canary_crash")
        self.assertIn("worker front-2 did not come through it: no answer", outcome.cause)

    def test_a_worker_that_dies_at_the_begin_or_at_the_end(self) -> None:
        """The same, when it cannot answer that it has begun, or that it is still well."""
        self.fronts["front-1"].errors["begin_canary"] = LinkLost("the process ended")
        self.assertTakenBack(self.upgrade(canary=5), "canary_crash")
        self.setUp()
        waiting = self.begin()
        self.fronts["front-1"].errors["check_canary"] = LinkLost("the process ended")
        self.looks(16)
        self.assertTakenBack(waiting, "canary_crash")
        self.setUp()
        waiting = self.begin()
        self.looks(11)
        self.workers.gates["check_canary"] = Deferred()
        self.looks(1)
        self.workers.answers.pop("front-2")
        self.workers.gates["check_canary"].callback(None)
        self.assertTakenBack(waiting, "canary_crash")

    def test_a_daemon_that_stops(self) -> None:
        """Workers that end with the daemon are no sign of bad code."""
        waiting = self.begin()
        self.workers.is_stopping = True
        self.fronts["front-2"].errors["measure_canary"] = LinkLost("the process ended")
        self.looks(1)
        outcome = self.successResultOf(waiting)
        self.assertEqual((outcome.result, outcome.cause), ("failed", "the daemon is stopping"))
        self.assertEqual(self.upgrades.committed.held_back, ())

    def test_it_does_not_start(self) -> None:
        """A worker that cannot start it ends it, before any request."""
        self.fronts["front-1"].errors["begin_canary"] = RemoteError("PrepareFailed", "_g2.cloudd.x line 3: no")
        outcome = self.assertTakenBack(self.upgrade(canary=5), "canary_start")
        self.assertIn("worker front-1: cloudd.x line 3: no", outcome.cause)

    def test_the_last_check(self) -> None:
        """What no longer passes its check after it has served is not committed."""
        waiting = self.begin()
        self.fronts["front-1"].errors["check_canary"] = RemoteError("PrepareFailed", "face api: no")
        self.looks(16)
        self.assertIn("when it had served: face api: no", self.assertTakenBack(waiting, "canary_check").cause)

    def test_a_leak(self) -> None:
        """Descriptors that grow with the new code's requests alone."""
        waiting = self.begin()
        for look in range(12):
            for number, front in enumerate(self.fronts.values()):
                new = (look * 7 + number * 3) % 10
                front.traffic(new, 80 + (look * 13 + number) % 30)
                front.descriptors += new
            self.clock.advance(0.25)
        self.assertIn("descriptors more are open", self.assertTakenBack(waiting, "canary_descriptors").cause)

    def test_a_late_worker_that_cannot_prepare(self) -> None:
        """A worker that was started during the canary and cannot load the code ends it too."""
        waiting = self.begin()
        self.workers.errors["prepare_late"] = RuntimeError("gone")
        self.looks(16)
        outcome = self.successResultOf(waiting)
        self.assertEqual((outcome.result, self.workers.calls[-1]), ("failed", ("abort", 2)))
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    def test_one_at_a_time(self) -> None:
        """A second change is refused with the canary's figures."""
        self.begin()
        self.looks(4, 5, 95)
        for second in (self.upgrade(), self.rollback()):
            outcome = self.successResultOf(second)
            self.assertEqual(outcome.result, "busy")
            self.assertIn("canary: 5 % of the connections: 40 requests", outcome.cause)


class WorkTests(CanaryCase):
    def setUp(self) -> None:
        super().setUp()
        self.agent = self.workers.answers["agent"] = Front(takes_part=False, work=("a", "b"))

    def test_one_kind_at_a_time(self) -> None:
        """Each kind has its part of the period; then the result tells of them."""
        waiting = self.begin()
        for over in (["a"], ["a", "b"]):
            self.looks(1)
            self.assertEqual(list(self.agent.over), over)
            self.agent.over[over[-1]].new = Report(attempts=4, running=1)
            self.looks(7, 5, 95)
        assert self.upgrades.progress is not None
        self.assertIn("; tasks: 2 of 2 kinds went over, now b", self.upgrades.progress.text)
        self.looks(1)
        outcome = self.successResultOf(waiting)
        self.assertEqual(outcome.result, "committed")
        self.assertTrue(outcome.canary.endswith("; tasks of 2 of 2 kinds went over: 8 ended, 0 failed, 2 running"))

    def test_nothing_to_be_done(self) -> None:
        """Kinds of which there are no tasks are not waited for, and neither are connections that do not ask."""
        waiting = self.begin()
        self.looks(12)
        outcome = self.successResultOf(waiting)
        none = "judged by self-checks: there were no requests to compare"
        self.assertEqual(outcome.canary, f"{none}; tasks of 2 of 2 kinds went over: there were none")

    def test_worse(self) -> None:
        """Three attempts that failed end it, with the kind and the last cause."""
        waiting = self.begin()
        self.looks(1)
        self.agent.over["a"].new = Report(attempts=3, troubles=3, cause="ValueError: no")
        self.looks(1)
        outcome = self.successResultOf(waiting)
        self.assertEqual((outcome.result, self.rollbacks()), ("failed", {"canary_work": 1}))
        self.assertIn("tasks of the kind a failed in 3 of 3 attempts (old code: 0 of 20)", outcome.cause)
        self.assertIn("the last one with: ValueError: no", outcome.cause)
        self.assertEqual(self.workers.calls[-1], ("abort", 2))

    def test_it_cannot_go_over(self) -> None:
        """New code that raises when it is given work."""
        self.agent.errors["move_work"] = RemoteError("PrepareFailed", "cloudd.x line 3: no")
        waiting = self.begin()
        self.looks(1)
        self.assertIn("of the kind a cannot go over: cloudd.x line 3", self.successResultOf(waiting).cause)
        self.assertEqual(self.rollbacks(), {"canary_work": 1})

    def test_an_agent_that_is_slow(self) -> None:
        """One answer that comes too late is no sign of anything."""
        waiting = self.begin()
        self.agent.errors["move_work"] = LinkTimeout("no answer")
        self.looks(1)
        self.agent.errors.clear()
        self.agent.over["a"] = WorkMeasure(Report(), Report())
        self.looks(16)
        self.assertEqual(self.successResultOf(waiting).result, "committed")

    def test_an_agent_that_dies(self) -> None:
        """It may be the new code's doing; where it had no work it is not."""
        for call in ("measure_canary", "move_work"):
            self.setUp()
            waiting = self.begin()
            self.agent.errors[call] = LinkLost("the process ended")
            self.looks(1)
            self.assertIn("worker agent did not come through it", self.successResultOf(waiting).cause)
        self.setUp()
        self.agent.work = ()
        waiting = self.begin()
        self.agent.errors["measure_canary"] = LinkLost("the process ended")
        self.looks(16)
        self.assertEqual(self.successResultOf(waiting).result, "committed")
