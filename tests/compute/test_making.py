"""How many keys are made at once, and what becomes of those who ask for more."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from cloudd.compute import SSH, ComputeBusy, KeyMaker
from cloudd.compute.keypairs._making import CONCURRENT, WAITING_LIMIT


class HeldThreads:
    """Threads whose work is done when the test says so."""

    def __init__(self) -> None:
        self.held: list[tuple[Deferred[Any], Any, tuple[Any, ...]]] = []

    def run(self, function: Any, *arguments: Any) -> Deferred[Any]:
        done: Deferred[Any] = Deferred()
        self.held.append((done, function, arguments))
        return done

    def let_go(self) -> None:
        done, function, arguments = self.held.pop(0)
        done.callback(function(*arguments))


class MakingTests(TestCase):
    async def test_bounded(self) -> None:
        """A few are made, some wait, and the rest is refused at once; whoever has waited gets one."""
        threads: Any = HeldThreads()
        maker = KeyMaker(threads)
        asked = [Deferred.fromCoroutine(maker.make(SSH, "u")) for _ in range(CONCURRENT + WAITING_LIMIT)]
        self.assertEqual(len(threads.held), CONCURRENT)
        with self.assertRaises(ComputeBusy):
            await maker.make(SSH, "u")
        threads.held[0][0].errback(ValueError("no"))
        threads.held.pop(0)
        self.failureResultOf(asked[0], ValueError)
        for _ in range(2):
            threads.let_go()
        self.assertEqual(len({self.successResultOf(each).public_key for each in asked[1:3]}), 2)
        self.assertEqual(len(threads.held), CONCURRENT)
        for each in asked[3:]:
            each.addErrback(lambda _: None)
            each.cancel()
