"""How long a hand-over waits for its connections to come back, and whom it kills meanwhile."""

from __future__ import annotations

from pathlib import Path
from typing import Any

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
