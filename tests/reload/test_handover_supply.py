"""What is still to be given, and what has to stay."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from reload._handover_interfaces import Reason
from reload._handover_supply import Supply


class SupplyTests(SynchronousTestCase):
    """``Supply``."""

    def setUp(self) -> None:
        self.served = {"a", "b", "c"}
        self.supply = Supply(lambda: self.served)

    def test_batches(self) -> None:
        """Each is given once, in batches; the source is asked again when they are through."""
        given = self.supply.next(2) + self.supply.next(2)
        self.assertEqual(sorted(given), ["a", "b", "c"])
        self.served = {"d"}
        self.assertEqual(self.supply.next(2), ["d"])

    def test_later(self) -> None:
        """What stays is not offered again before it is ready, and forgotten when it has ended."""
        self.supply.keep("a", Reason.BUSY, "at work")
        self.assertEqual(sorted(self.supply.next(9)), ["b", "c"])
        self.assertEqual(self.supply.later, {"a": (Reason.BUSY, "at work")})
        self.served = {"a"}
        self.assertEqual(self.supply.next(9), [])
        self.assertFalse(self.supply.empty)
        self.supply.ready("a")
        self.assertEqual(self.supply.next(9), ["a"])
        self.supply.keep("a", Reason.BUSY, "again")
        self.served = set()
        self.assertEqual(self.supply.next(9), [])
        self.assertTrue(self.supply.empty)

    def test_changed(self) -> None:
        """What changed is tried three times."""
        self.served = {"a"}
        for _ in range(3):
            self.assertEqual(self.supply.next(9), ["a"])
            self.supply.keep("a", Reason.CHANGED, "")
        self.assertEqual(self.supply.next(9), [])
        self.assertIn("a", self.supply.later)

    def test_begin_again(self) -> None:
        """An order can be forgotten; nothing is lost by it."""
        self.supply.next(1)
        self.supply.forget_order()
        self.assertEqual(sorted(self.supply.next(9)), ["a", "b", "c"])

    def test_put_back(self) -> None:
        """What was not tried comes next, in its order."""
        first = self.supply.next(9)
        self.supply.put_back(first[1:])
        self.assertEqual(self.supply.next(9), first[1:])
