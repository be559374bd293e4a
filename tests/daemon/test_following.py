"""Requests without an end go on in the generation that serves, in slices; one that cannot is asked again."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from attrs import define
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from cloudd.daemon._following import AGAIN_S, REST_S, SLICE_S, Following
from cloudd.protocols.http import NotExportable


@define(eq=False)
class Stream:
    """A request that follows, or not."""

    generation: int
    follows: bool = True
    finished: bool = False


class Connection:
    """A connection with a request, which the test lets begin again."""

    def __init__(self, request: Stream | None, answers: list[Exception] | None = None, cost: Any = None) -> None:
        self.request = request
        self.answers = answers or []
        self._cost = cost
        self.tried = 0

    def begin_again(self, request: Stream, convert: Any) -> None:
        self.tried += 1
        if self._cost is not None:
            self._cost()
        if self.answers:
            raise self.answers.pop(0)
        self.request = Stream(2)


class FollowingTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()

    def follow(self, *connections: Connection) -> Any:
        factory: Any = type("Factory", (), {"connections": set(connections)})()
        return Following(self.clock, {"api": factory}, lambda state: state).follow(1)

    def test_who_follows(self) -> None:
        """Those of that generation alone that said so and go on."""
        staying = [
            Connection(None),
            Connection(Stream(1, follows=False)),
            Connection(Stream(1, finished=True)),
            Connection(Stream(2)),
        ]
        going = [Connection(Stream(1)) for _ in range(3)]
        following = self.follow(*staying, *going)
        self.clock.advance(0)
        self.assertEqual(self.successResultOf(following), 3)
        self.assertEqual([connection.tried for connection in (*staying, *going)], [0] * 4 + [1] * 3)

    def test_not_now(self) -> None:
        """It is asked again, and what fails is logged and does not keep the others."""
        later = Connection(Stream(1), [NotExportable("a chunk is on its way")] * 2)
        broken = Connection(Stream(1), [ValueError("no state")])
        following = self.follow(later, broken, Connection(Stream(1)))
        self.clock.advance(0)
        self.assertEqual((later.tried, broken.tried), (1, 1))
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        self.assertNoResult(following)
        for wait_s in AGAIN_S[:2]:
            self.clock.advance(wait_s)
        self.assertEqual((self.successResultOf(following), later.tried), (3, 3))

    def test_never(self) -> None:
        """In the end it stays where it is."""
        stuck = Connection(Stream(1), [NotExportable("never")] * 99)
        following = self.follow(stuck)
        self.clock.advance(0)
        self.clock.pump(AGAIN_S)
        self.assertEqual((self.successResultOf(following), stuck.tried), (0, len(AGAIN_S) + 1))

    def test_slices(self) -> None:
        """The reactor has its turn after a few milliseconds."""

        def work() -> None:
            self.clock.rightNow += 0.001

        turns: list[float] = []
        later = self.clock.callLater

        def call_later(delay: float, call: Any, *args: Any) -> Any:
            turns.append(self.clock.seconds())
            return later(delay, call, *args)

        self.patch(self.clock, "callLater", call_later)
        following = self.follow(*[Connection(Stream(1), cost=work) for _ in range(100)])
        self.clock.pump([REST_S] * 60)
        self.assertEqual(self.successResultOf(following), 100)
        gaps = [after - before for before, after in pairwise(turns)]
        self.assertGreater(len(gaps), 10)
        self.assertLess(max(gaps), SLICE_S + REST_S + 0.010, "work and rest")
