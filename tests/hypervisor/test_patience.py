"""Waiting, but not for ever."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from cloudd.hypervisor import at_most


class AtMostTests(SynchronousTestCase):
    def test_in_time(self) -> None:
        """Also where it fails, which is for whoever has it."""
        for result in ("well", ValueError("badly")):
            clock, done = Clock(), Deferred[object]()
            waited = at_most(clock, 5, done)
            self.assertNoResult(waited)
            done.callback(result) if isinstance(result, str) else done.errback(result)
            self.assertTrue(self.successResultOf(waited))
            self.assertEqual(clock.getDelayedCalls(), [])
            self.successResultOf(done) if isinstance(result, str) else self.failureResultOf(done, ValueError)

    def test_too_late(self) -> None:
        """What was waited for goes on."""
        clock, done = Clock(), Deferred[object]()
        waited = at_most(clock, 5, done)
        clock.advance(5)
        self.assertFalse(self.successResultOf(waited))
        done.callback("late")
        self.assertEqual(self.successResultOf(done), "late")
