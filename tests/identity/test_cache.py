"""The bounded cache and shared work."""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from cloudd.identity._cache import Entry, Remembered
from cloudd.identity._shared import Shared


class RememberedTests(SynchronousTestCase):
    def test_expiry(self) -> None:
        cache: Remembered[str] = Remembered(8)
        cache.put("a", Entry(10.0, "A", frozenset()))
        self.assertEqual(cache.get("a", 9.9), "A")
        self.assertIsNone(cache.get("a", 10.0))
        self.assertNotIn("a", cache.entries)

    def test_bounded(self) -> None:
        """At the limit the oldest eighth makes room."""
        cache: Remembered[int] = Remembered(16)
        for number in range(17):
            cache.put(str(number), Entry(10.0, number, frozenset()))
        self.assertEqual(list(cache.entries), [str(number) for number in range(2, 17)])

    def test_forget(self) -> None:
        """Only entries with one of the subjects go."""
        cache: Remembered[str] = Remembered(8)
        cache.put("a", Entry(10.0, "A", frozenset({"x", "y"})))
        cache.put("b", Entry(10.0, "B", frozenset({"z"})))
        cache.forget(frozenset({"y", "q"}))
        self.assertEqual(list(cache.entries), ["b"])
        cache.clear()
        self.assertIsNone(cache.get("b", 0.0))


class SharedTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.shared: Shared[str] = Shared()
        self.begun: list[Deferred[str]] = []

    async def work(self) -> str:
        self.begun.append(Deferred())
        return await self.begun[-1]

    def test_once_for_all(self) -> None:
        first, second = self.shared.call("k", self.work), self.shared.call("k", self.work)
        other = self.shared.call("q", self.work)
        self.assertEqual(len(self.begun), 2)
        self.begun[0].callback("done")
        self.assertEqual([self.successResultOf(first), self.successResultOf(second)], ["done", "done"])
        self.assertNoResult(other)
        self.assertFalse(self.shared.under_way("k"))
        self.begun[1].callback("")
        self.successResultOf(other)

    def test_one_leaves(self) -> None:
        """Who leaves does not take the result from the others."""
        first, second = self.shared.call("k", self.work), self.shared.call("k", self.work)
        first.cancel()
        self.failureResultOf(first, CancelledError)
        self.begun[0].callback("done")
        self.assertEqual(self.successResultOf(second), "done")

    def test_failure_reaches_everybody(self) -> None:
        waiting = [self.shared.call("k", self.work) for _ in range(3)]
        self.begun[0].errback(ValueError())
        for deferred in waiting:
            self.failureResultOf(deferred, ValueError)
        again = self.shared.call("k", self.work)
        self.assertEqual(len(self.begun), 2)
        self.begun[1].callback("done")
        self.successResultOf(again)
