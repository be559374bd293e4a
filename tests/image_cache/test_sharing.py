"""Work that several wait for."""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.trial.unittest import SynchronousTestCase

from cloudd.image_cache._sharing import Shared


class SharedTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.ended = 0
        self.cancelled = 0
        self.work: Deferred[None] = Deferred(lambda _: self.count())
        self.shared = Shared(self.work, self.end)

    def count(self) -> None:
        self.cancelled += 1

    def end(self) -> None:
        self.ended += 1

    def test_all_hear(self) -> None:
        """All that wait hear of the end, after it was noted; so does who comes later."""
        waiting = [self.shared.wait(), self.shared.wait()]
        self.work.callback(None)
        for each in [*waiting, self.shared.wait()]:
            self.assertIsNone(self.successResultOf(each))
        self.assertEqual((self.ended, self.cancelled), (1, 0))

    def test_fails(self) -> None:
        """All hear why."""
        waiting = [self.shared.wait(), self.shared.wait()]
        self.work.errback(ValueError("x"))
        for each in waiting:
            self.failureResultOf(each, ValueError)

    def test_one_leaves(self) -> None:
        """The work goes on for who still waits."""
        leaving, staying = self.shared.wait(), self.shared.wait()
        leaving.cancel()
        self.failureResultOf(leaving, CancelledError)
        self.assertEqual(self.cancelled, 0)
        self.work.callback(None)
        self.successResultOf(staying)

    def test_all_leave(self) -> None:
        """The last one ends it."""
        for each in [self.shared.wait(), self.shared.wait()]:
            each.cancel()
            self.failureResultOf(each, CancelledError)
        self.assertEqual((self.cancelled, self.ended), (1, 1))

    def test_ended_at_once(self) -> None:
        """Work that was done before anybody waited."""
        self.successResultOf(Shared(succeed(None), self.end).wait())
        self.failureResultOf(Shared(fail(ValueError("x")), self.end).wait(), ValueError)
        self.assertEqual(self.ended, 2)
