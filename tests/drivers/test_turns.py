"""Calls for one guest, one after the other, and cut off."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from cloudd.drivers._turns import Turn, Turns
from cloudd.interfaces.servers import DriverError, DriverStopped


def canonical(server_id: str) -> str:
    if not server_id:
        raise DriverError("id: none", "Give one")
    return server_id.lower()


class TurnsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.log: list[str] = []
        self.looks: list[Deferred[None]] = []
        self.events: list[Deferred[Any]] = []
        self.calls: list[Deferred[None]] = []
        self.turns = Turns(canonical, self.look)
        self.addCleanup(self.end_all)

    def end_all(self) -> None:
        self.turns.close()
        while waiting := [each for each in (*self.events, *self.looks) if not each.called]:
            waiting[0].callback(None)
        for done in self.calls:
            done.addErrback(lambda _: None)

    def look(self, server_id: str) -> Deferred[None]:
        self.log.append(f"look at {server_id}")
        looked: Deferred[None] = Deferred()
        self.looks.append(looked)
        return looked

    def call(self, name: str, server_id: str = "a") -> tuple[Deferred[None], Deferred[Any]]:
        """One that takes a step, as a thread would, then waits for an event, then takes another one."""
        step: Deferred[Any] = Deferred()
        event: Deferred[Any] = Deferred()

        async def work(turn: Turn) -> None:
            self.log.append(f"{name} steps")
            await step
            await turn.wait(event)
            turn.check()
            self.log.append(f"{name} ends")

        done = self.turns.take(server_id, work)
        step.addCallback(lambda _: self.log.append(f"{name} stepped"))
        self.event = event
        self.events += [step, event]
        self.calls.append(done)
        return done, step

    def test_in_order(self) -> None:
        """The next one begins when the one before has been looked at; another guest's waits for nothing."""
        first, first_step = self.call("first")
        first_event = self.event
        _, _ = self.call("second", "A")
        _, _ = self.call("other", "b")
        self.assertEqual(self.log, ["first steps", "other steps"])
        first_step.callback(None)
        first_event.callback(None)
        self.assertEqual(self.log[2:], ["first stepped", "first ends", "look at a"])
        self.assertNoResult(first)
        self.looks[0].callback(None)
        self.successResultOf(first)
        self.assertEqual(self.log[-1], "second steps")

    def test_closed(self) -> None:
        """What steps ends its step, what waits ends at once, what has not begun never does."""
        steps, step = self.call("first")
        waiting, _ = self.call("second")
        waits, other_step = self.call("third", "b")
        other_step.callback(None)
        closed = self.turns.close()
        for done in (waiting, waits):
            self.failureResultOf(done, DriverStopped)
        self.assertNoResult(closed)
        step.callback(None)
        self.failureResultOf(steps, DriverStopped)
        self.successResultOf(closed)
        self.assertNotIn("second steps", self.log)
        self.assertEqual([line for line in self.log if "ends" in line or "look" in line], [])
        self.failureResultOf(self.call("late")[0], DriverStopped)
        self.turns.open()
        self.assertNoResult(self.call("again")[0])
        self.assertEqual(self.log[-1], "again steps")

    def test_cancelled(self) -> None:
        """Who has cancelled is told at once; the next call waits for the step that runs."""
        first, step = self.call("first")
        self.call("second")
        first.cancel()
        self.failureResultOf(first, CancelledError)
        self.assertNotIn("second steps", self.log)
        step.callback(None)
        self.looks[0].callback(None)
        self.assertEqual(self.log[-1], "second steps")
        self.assertNotIn("first ends", self.log)

    def test_no_id(self) -> None:
        self.failureResultOf(self.call("first", "")[0], DriverError)

    def test_nothing_is_kept(self) -> None:
        done, step = self.call("first")
        step.callback(None)
        self.event.callback(None)
        self.assertTrue(self.turns.busy("a"))
        self.looks[0].callback(None)
        self.successResultOf(done)
        self.assertFalse(self.turns.busy("a"))
