"""Agents of other nodes hear of a task that was submitted; many are told of once; nobody hears himself."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from cloudd.daemon._metrics import WorkerMetrics
from cloudd.messaging import Bus, Hub
from cloudd.tasks._told import GATHER_S, Told


class ToldTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.hub = Hub(self.clock)
        self.poked: list[str] = []
        self.one, self.two = self.node("one"), self.node("two")

    def node(self, name: str) -> Told:
        bus = Bus(self.clock, self.hub.transport(name), WorkerMetrics())
        bus.start()
        told = Told(self.clock, bus, lambda: self.poked.append(name))
        told.start()
        told.start()  # safe
        return told

    def pass_on(self) -> None:
        self.clock.advance(GATHER_S)
        self.clock.pump([0.001] * 3)

    def test_told(self) -> None:
        """Once for many, and again later."""
        for _ in range(5):
            self.one.tell()
        self.pass_on()
        self.assertEqual(self.poked, ["two"])
        self.two.tell()
        self.pass_on()
        self.assertEqual(self.poked, ["two", "one"])

    def test_stopped(self) -> None:
        """What was about to be told is told, nothing is heard any more, and no timer is left."""
        self.one.tell()
        self.successResultOf(self.one.stop())
        self.two.tell()
        self.pass_on()
        self.assertEqual(self.poked, ["two"])
        self.successResultOf(self.two.stop())
        self.successResultOf(self.two.stop())
        self.clock.advance(0)  # what the hub itself had to do
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_no_messages(self) -> None:
        """A hint that cannot be sent harms nobody: others look for tasks all the same."""
        self.successResultOf(self.one._bus._transport.stop())
        self.one.tell()
        self.pass_on()
        self.assertEqual(self.poked, [])
