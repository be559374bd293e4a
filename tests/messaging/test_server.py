"""Servers and calls in a time of their own: what is late, cut off, cannot be answered, comes twice."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from cloudd.daemon._metrics import WorkerMetrics
from cloudd.messaging import (
    Bus,
    Call,
    DeadlinePassed,
    Fields,
    Form,
    Hub,
    Interrupted,
    Limits,
    Method,
    NoSuchVersion,
    RemoteFailure,
)
from cloudd.messaging._transport import Parcel, Way
from cloudd.messaging._words import Answer, Failed, Question, packed

ECHO = Form(name="test.echo")
HOLD = Form(name="test.hold")
STUBBORN = Form(name="test.stubborn")
LIMITS = Limits(attempts=3, first_wait_s=1.0, longest_wait_s=2.0, rest_s=5.0)


class ServerTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1e9)
        self.hub = Hub(self.clock, LIMITS)
        self.bus, self.metrics = self.make_bus("host-1")
        self.begun: list[str] = []
        self.held: list[Deferred[Any]] = []

    def make_bus(self, node: str) -> tuple[Bus, WorkerMetrics]:
        metrics = WorkerMetrics()
        bus = Bus(self.clock, self.hub.transport(node), metrics, LIMITS, lambda: 1.0)
        bus.start()
        return bus, metrics

    async def echo(self, call: Call) -> Fields:
        self.begun.append("echo")
        return call.fields["give"]  # type: ignore[no-any-return]

    async def hold(self, call: Call) -> Fields:
        self.begun.append("hold")
        self.held.append(Deferred())
        given: Fields = await self.held[-1]
        return given

    async def stubborn(self, call: Call) -> Fields:
        self.begun.append("stubborn")
        try:
            await Deferred()
        except CancelledError:
            return {"after": "all"}
        raise AssertionError("it was not cancelled")

    def serve(self, bus: Bus, parallel: int = 4, *, repeatable: bool = False) -> Any:
        methods = [Method(ECHO, self.echo, repeatable), Method(HOLD, self.hold), Method(STUBBORN, self.stubborn)]
        return bus.serve("t", methods, parallel)

    def turn(self, seconds: float = 0.0) -> None:
        """Let time pass, and what has become due in it happen."""
        self.clock.advance(seconds)
        for _ in range(6):
            self.clock.advance(0)

    def counted(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(name, labels) or 0.0

    def test_answer_that_cannot_be_sent(self) -> None:
        """The caller hears so, at once."""
        self.serve(self.bus)
        for give in ([1], "text"):
            call = self.bus.call("t", ECHO, {"give": give}, 5.0)
            self.turn()
            self.assertIn("its answer cannot be sent", str(self.failureResultOf(call, Exception).value))
        self.assertEqual(self.begun, ["echo", "echo"])

    def test_no_plain_data(self) -> None:
        """What another program says in words of its own: a call is answered, a cast set aside, and it goes on."""
        self.serve(self.bus)
        for number, give in enumerate((datetime.now(UTC), float("nan"))):
            for way, reply_to in ((Way.CALL, "host-2"), (Way.WORK, "")):
                name = f"{way.value}-{number}"
                question = Question(name, "t", "test.echo", 1, {"give": give}, "host-2", 0.0, None, reply_to)
                self.hub.put(Parcel(way, "t", name, packed(question)))
                self.turn()
        self.assertEqual(self.begun, [])
        self.assertEqual(self.counted("cloudd_messages_served_total", topic="t", how="unknown"), 2)
        self.assertEqual(self.counted("cloudd_messages_served_total", topic="t", how="apart"), 2)
        call = self.bus.call("t", ECHO, {"give": {"a": 1}}, 5.0)
        self.turn()
        self.assertEqual(self.successResultOf(call), {"a": 1})

    def test_late_cast(self) -> None:
        """One whose deadline passes while it runs is cut off and not tried again; it is counted."""
        self.serve(self.bus)
        self.bus.cast("t", HOLD, {}, 3.0)
        self.turn()
        self.turn(3.0)
        self.assertTrue(self.held[0].called)
        self.turn(60.0)
        self.assertEqual(self.begun, ["hold"])
        self.assertEqual(self.counted("cloudd_messages_served_total", topic="t", how="late"), 1)

    def test_attempts_wait(self) -> None:
        """A cast that fails is begun again after its wait, which doubles."""
        self.serve(self.bus)
        self.bus.cast("t", ECHO, {}, None)  # KeyError: it has nothing to give
        self.turn()
        begun = [len(self.begun)]
        for _ in range(4):
            self.turn(1.0)
            begun.append(len(self.begun))
        self.assertEqual(begun, [1, 2, 2, 3, 3])
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 3)
        self.assertEqual(self.bus._transport.set_aside().parked, 1)

    def test_rest_while_a_cast_waits(self) -> None:
        """It goes to others at once, and they know how often it was tried."""
        server = self.serve(self.bus)
        other, _ = self.make_bus("host-2")
        self.bus.cast("t", ECHO, {})
        self.turn()
        attempts: list[int] = []

        async def take(call: Call) -> None:
            attempts.append(call.attempt)

        other.serve("t", [Method(ECHO, take)])
        rested = Deferred.fromCoroutine(self.bus.retire(server))
        self.turn()
        self.successResultOf(rested)
        self.assertEqual(attempts, [2])
        self.flushLoggedErrors(KeyError)

    def test_rest_is_bounded(self) -> None:
        """By what runs for too long; asked twice, it ends for both."""
        server = self.serve(self.bus)
        call = self.bus.call("t", HOLD, {}, 60.0)
        self.turn()
        first, second = server.rest(), server.rest()
        self.turn(4.0)
        self.assertNoResult(first)
        self.turn(1.0)
        self.successResultOf(first)
        self.successResultOf(second)
        self.successResultOf(server.rest())
        self.assertTrue(self.failureResultOf(call, Interrupted).value.begun)
        self.assertEqual(self.counted("cloudd_messages_served_total", topic="t", how="interrupted"), 1)

    def test_cut_off_but_done(self) -> None:
        """A method that answers although it was cancelled has answered."""
        server = self.serve(self.bus)
        call = self.bus.call("t", STUBBORN, {}, 60.0)
        self.turn()
        server.rest()
        self.turn(5.0)
        self.assertEqual(self.successResultOf(call), {"after": "all"})

    def test_redelivered_call(self) -> None:
        """From a process that has gone it is begun again only where the method allows that."""
        for repeatable, begun in ((False, []), (True, ["echo"])):
            self.begun.clear()
            held: list[Any] = []
            gone = self.hub.transport("host-0").listen("t", held.append, 1)
            call = self.bus.call("t", ECHO, {"give": {}}, 5.0)
            self.turn()
            self.assertEqual(len(held), 1)
            server = self.serve(self.bus, repeatable=repeatable)
            gone.close()
            self.turn()
            if repeatable:
                self.assertEqual(self.successResultOf(call), {})
            else:
                self.assertTrue(self.failureResultOf(call, Interrupted).value.begun)
            self.assertEqual(self.begun, begun)
            server.rest()
            self.turn()

    def test_waits_are_counted(self) -> None:
        """A call that has waited on its way has so much less time left, though the clocks of the hosts differ."""
        lefts: list[float | None] = []

        async def look(call: Call) -> None:
            lefts.append(call.left_s())

        methods = [Method(ECHO, look, repeatable=True)]
        server = self.bus.serve("t", methods)
        self.bus.call("t", ECHO, {}, 10.0)
        self.turn()
        held: list[Any] = []
        slow = self.hub.transport("host-0").listen("t", held.append, 10)
        server.rest()
        self.bus.call("t", ECHO, {}, 10.0)
        self.turn(3.0)
        slow.close()
        self.bus.serve("t", methods)
        self.turn()
        self.assertEqual((len(held), lefts), (1, [10.0, 7.0]))

    def test_odd_answers(self) -> None:
        """What cannot be read leaves the call to its deadline; what nobody waits for, or comes twice, does nothing."""
        self.hub.transport("host-0").listen("t", lambda delivery: delivery.done(), 10)
        call = self.bus.call("t", ECHO, {}, 5.0)
        (message_id,) = self.bus._calls._waiting
        for body in (b"", b"\xc1", packed(Answer("other")), packed(Failed("other", "fault", "x"))):
            self.bus._calls.answered(body)
        self.assertNoResult(call)
        self.bus._calls.answered(packed(Failed(message_id, "NoSuchVersion", "too new")))
        self.failureResultOf(call, NoSuchVersion)
        self.bus._calls.answered(packed(Answer(message_id)))
        self.assertEqual(len(self.bus._calls), 0)

    def test_later_kinds_of_errors(self) -> None:
        """Are taken for an interruption, with what they say of having begun."""
        self.hub.transport("host-0").listen("t", lambda delivery: delivery.done(), 10)
        call = self.bus.call("t", ECHO, {}, 5.0)
        (message_id,) = self.bus._calls._waiting
        self.bus._calls.answered(packed(Failed(message_id, "Tired", "I sleep", begun=False)))
        error = self.failureResultOf(call, Interrupted).value
        self.assertEqual((str(error), error.begun), ("I sleep", False))

    def test_deadline_counts(self) -> None:
        """In metrics, at both ends."""
        self.serve(self.bus)
        call = self.bus.call("t", HOLD, {}, 5.0)
        self.turn()
        self.turn(5.0)
        self.failureResultOf(call, DeadlinePassed)
        self.assertEqual(self.counted("cloudd_messages_sent_total", way="call", how="DeadlinePassed"), 1)
        self.assertEqual(self.counted("cloudd_messages_served_total", topic="t", how="late"), 1)
        self.assertEqual(self.counted("cloudd_messages_under_way"), 0)

    def test_remote_failure(self) -> None:
        """Has the class and the words of what was raised."""
        self.serve(self.bus)
        call = self.bus.call("t", ECHO, {}, 5.0)
        self.turn()
        self.assertEqual(self.failureResultOf(call, RemoteFailure).value.cause, "KeyError: 'give'")
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)
