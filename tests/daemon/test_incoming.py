"""How long a hand-over waits for its connections to come back, and whom it kills meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from attrs import define, field
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from cloudd.daemon._incoming import MOVE_S, RETURN_S, HandOver, Pair
from cloudd.daemon._link import LinkError


@define
class Worker:
    """A worker that answers what it is asked, or nothing; the other half of its pair is told by hand."""

    name: str
    answers: bool = True
    role: str = "front"
    is_ready: bool = True
    runs: bool = True
    killed: bool = False
    casts: list[str] = field(factory=list)

    @property
    def link(self) -> Worker:
        return self

    def cast(self, name: str, **_facts: Any) -> None:
        self.casts.append(name)

    async def call(self, name: str, timeout_s: float) -> Any:
        if not self.answers:
            raise LinkError(f"{name}: no answer within {timeout_s:g} s")
        return {}

    def signal(self, _number: int) -> None:
        self.killed = True


class Pool:
    stop_timeout_s = 1.0

    def demote(self) -> list[Any]:
        return []

    def end(self, slot: Worker, _timeout_s: float) -> None:
        raise AssertionError(f"{slot.name} is ended")


class HandBackTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.new = [Worker("slow"), Worker("silent")]
        pool: Any = Pool()
        unused: Any = None
        self.hand_over = HandOver(
            self.clock, pool, unused, Path(), unused, lambda: succeed({}), lambda _: "", lambda *_: None
        )
        slots: list[tuple[Any, Any]] = [(Worker(f"old {new.name}"), new) for new in self.new]
        self.pairs = [Pair(old, new) for old, new in slots]
        self.hand_over._pairs = self.pairs
        self.warnings: Deferred[list[str]] = Deferred.fromCoroutine(self.hand_over.hand_back("it is worse"))

    def test_slow_worker_is_not_killed(self) -> None:
        """A new worker that answers is waited for: its connections would die with it."""
        self.pairs[1].heard("returned", {})
        self.clock.advance(RETURN_S)
        self.clock.advance(RETURN_S)
        self.assertFalse(self.new[0].killed)
        self.assertNoResult(self.warnings)
        self.pairs[0].heard("returned", {})
        self.assertEqual(self.successResultOf(self.warnings), [])

    def test_silent_worker_is_killed(self) -> None:
        """One that answers nothing any more is, and the other is waited for on."""
        self.new[1].answers = False
        self.clock.advance(RETURN_S)
        self.assertEqual([new.killed for new in self.new], [False, True])
        self.pairs[1].heard("ended", {"how": "returned"})
        self.assertNoResult(self.warnings)
        self.pairs[0].heard("returned", {})
        self.assertIn("silent", self.successResultOf(self.warnings)[0])

    def test_not_for_ever(self) -> None:
        """After the longest time all that have not given back are killed."""
        for _ in range(int(MOVE_S / RETURN_S) + 1):
            self.clock.advance(RETURN_S)
        self.assertEqual([new.killed for new in self.new], [True, True])
        self.assertIn("did not end", self.successResultOf(self.warnings)[0])


class AgentTests(SynchronousTestCase):
    def test_the_new_agent_serves_first(self) -> None:
        """The old one is told to end when the new one has said that messages come to it: a call finds one of them."""
        told: list[str] = []
        gate: Deferred[Any] = Deferred()

        class Agent:
            name = role = "agent"

            @property
            def link(self) -> Agent:
                return self

            async def call(self, name: str, timeout_s: float) -> Any:
                told.append(name)
                return await gate

        old, new = Agent(), Agent()

        class AgentPool:
            stop_timeout_s = 1.0

            def promote(self, _decided: Any) -> list[Any]:
                return [old]

            def end(self, slot: Agent, _timeout_s: float) -> None:
                told.append("end the old" if slot is old else "end the new")

        pool: Any = AgentPool()
        unused: Any = None
        hand_over = HandOver(Clock(), pool, unused, Path(), unused, unused, lambda _: "", lambda *_: None)
        hand_over._crew = [cast(Any, new)]
        committed = Deferred.fromCoroutine(hand_over.commit())
        self.assertEqual(told, ["take_over"])
        gate.callback(None)
        self.assertEqual(self.successResultOf(committed), [])
        self.assertEqual(told, ["take_over", "end the old"])


class SupervisionTests(SynchronousTestCase):
    """What ends it, and what comes in its last moment."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.asked: list[str] = []
        self.health: list[Any] = []  # what is told, or raised, look after look; then all is well
        self.at_last: Callable[[], object] = lambda: None
        pool: Any = self
        unused: Any = None
        self.hand_over = HandOver(
            self.clock, pool, unused, Path(), unused, self.tell_health, lambda _: "", lambda *_: None
        )
        self.pair = Pair(cast(Any, Worker("front-1")), cast(Any, Worker("front-1")))
        self.hand_over._pairs = [self.pair]

    is_stopping = False

    async def ask_all(self, call: str) -> dict[str, Any]:
        self.asked.append(call)
        if call == "answers" and self.clock.seconds() >= 1.0:
            self.at_last()
        return {}

    async def tell_health(self) -> Any:
        told = self.health.pop(0) if self.health else {}
        if isinstance(told, Exception):
            raise told
        return {"parts": {name: {"status": "failing", "cause": cause} for name, cause in told.items()}}

    def supervise(self) -> str:
        watching = Deferred.fromCoroutine(self.hand_over.supervise(1.0))
        for _ in range(8):
            self.clock.advance(0.5)
        return self.successResultOf(watching)

    def test_well(self) -> None:
        """Nothing is wrong until the end; once is looked at again."""
        self.assertEqual(self.supervise(), "")
        self.health = [{}, {}, {"objects": "full"}]
        self.assertEqual(self.supervise(), "")

    def test_a_part_that_fails(self) -> None:
        """Twice in a row; not one that failed before."""
        self.health = [{"objects": "full"}] * 2
        self.assertEqual(self.supervise(), "objects fails under the new code: full")
        self.hand_over._sick_before = {"objects"}
        self.health = [{"objects": "full"}] * 4
        self.assertEqual(self.supervise(), "")

    def test_looks_that_cannot_be_made(self) -> None:
        """One is made up for, two in a row are a cause."""
        self.health = [OSError("no descriptor"), {}, OSError("no descriptor")]
        self.assertEqual(self.supervise(), "")
        self.health = [OSError("no descriptor")] * 2
        self.assertEqual(self.supervise(), "they cannot be looked after: OSError: no descriptor")
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 4)

    def test_a_rollback_in_the_last_moment(self) -> None:
        """Whoever was told that it is done has it done."""
        accepted: list[bool] = []
        self.at_last = lambda: accepted.append(self.hand_over.ask_back("ann asked"))
        self.assertEqual((self.supervise(), accepted[0]), ("ann asked", True))
        self.assertFalse(self.hand_over.ask_back("too late"))

    def test_an_old_worker_that_does_not_give(self) -> None:
        """It still has its connections and would cut them off at the end."""
        for how in ("failed", "aborted", "declined", "refused"):
            self.pair.heard("ended", {"how": how, "cause": "why"})
            self.assertEqual(self.supervise(), "worker front-1 could not give its connections: why")

    def test_a_decision_that_comes_too_late(self) -> None:
        """The old worker says that it no longer waits for it: a warning, and nobody waits."""
        moving = Deferred.fromCoroutine(self.hand_over._move(self.pair))
        self.assertIn("had given up waiting for the decision", self.successResultOf(moving))
