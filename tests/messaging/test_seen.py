"""What a process remembers of messages, and for how long."""

from __future__ import annotations

from attrs import define, field
from twisted.trial.unittest import SynchronousTestCase

from cloudd.messaging._seen import Seen


@define(eq=False)
class FakeDelivery:
    attempts: int = 0
    told: list[str] = field(factory=list)

    def done(self) -> None:
        self.told.append("done")

    def again(self) -> None:
        self.told.append("again")

    def set_aside(self, cause: str) -> None:
        self.told.append(cause)


class SeenTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.seen = Seen(3, 10.0)

    def test_redelivered_while_it_runs(self) -> None:
        """Both are settled when it is done, not before; one that comes later at once."""
        first, second, third = FakeDelivery(), FakeDelivery(), FakeDelivery()
        entry = self.seen.add("a", first, 0.0)
        self.assertIs(self.seen.find("a"), entry)
        entry.once_more(second)
        self.assertEqual((first.told, second.told), ([], []))
        entry.finish()
        entry.once_more(third)
        self.assertEqual((first.told, second.told, third.told), (["done"], ["done"], ["done"]))

    def test_handed_back(self) -> None:
        """One of several goes back, and how often it was tried is remembered."""
        first, second = FakeDelivery(), FakeDelivery()
        entry = self.seen.add("a", first, 0.0)
        entry.once_more(second)
        entry.hand_back(2)
        self.assertEqual((first.told, second.told), (["done"], ["again"]))
        self.assertEqual(self.seen.add("a", FakeDelivery(attempts=1), 1.0).attempts, 2)
        self.assertEqual(self.seen.add("b", FakeDelivery(attempts=7), 1.0).attempts, 7)

    def test_set_aside(self) -> None:
        """One of several, and it is done with."""
        first, second, third = FakeDelivery(), FakeDelivery(), FakeDelivery()
        entry = self.seen.add("a", first, 0.0)
        entry.once_more(second)
        entry.set_aside("why")
        entry.once_more(third)
        self.assertEqual((first.told, second.told, third.told), (["done"], ["why"], ["done"]))

    def test_bounded(self) -> None:
        """The oldest go first when there are too many, and all after their time."""
        for number in range(5):
            self.seen.add(f"m{number}", FakeDelivery(), float(number)).finish()
        self.assertEqual([name for name in ("m0", "m1", "m2", "m3", "m4") if self.seen.find(name)], ["m2", "m3", "m4"])
        self.seen.add("late", FakeDelivery(), 14.0)
        self.assertEqual(len(self.seen), 1)

    def test_running_stays(self) -> None:
        """However old, and however many come meanwhile; the number may be exceeded by what runs alone."""
        self.seen.add("runs", FakeDelivery(), 0.0)
        for number in range(100):
            self.seen.add(f"m{number}", FakeDelivery(), number * 5.0).finish()
        self.assertIsNotNone(self.seen.find("runs"))
        self.assertLessEqual(len(self.seen), 4)
        for number in range(10):
            self.seen.add(f"long{number}", FakeDelivery(), 1_000.0)
        self.assertTrue(all(self.seen.find(f"long{number}") for number in range(10)))
