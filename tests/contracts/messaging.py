"""
What messaging does over every ``ITransport``: a mixin of tests with one hook, ``make_transport``.

    class InProcessTests(MessagingContract, TestCase):
        def make_transport(self, node: str, limits: Limits) -> ITransport:
            return self.hub.transport(node)
"""

from __future__ import annotations

import gc
import os
import weakref
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred, DeferredList, gatherResults
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase
from zope.interface.verify import verifyObject

from cloudd.daemon._metrics import WorkerMetrics
from cloudd.messaging import (
    Away,
    BadMessage,
    Bus,
    Call,
    DeadlinePassed,
    Event,
    Fault,
    Fields,
    Form,
    IListening,
    Interrupted,
    ITransport,
    Limits,
    Method,
    NobodyThere,
    NoSuchMethod,
    NoSuchVersion,
    Overloaded,
    Parcel,
    RemoteFailure,
    Server,
    Way,
)
from reload import Converters, NotPlainData

PATIENCE_S = 30.0
QUICK = Limits(first_wait_s=0.05, longest_wait_s=0.1, attempts=3, rest_s=1.0)


class NoSpace(Fault):
    name = "no-space"


ECHO = Form(name="test.echo", faults=(NoSpace,))
NOTE = Form(name="test.note")
HOLD = Form(name="test.hold")


def renamed() -> Converters:
    """From version 1 on ``size`` is ``size_gib``, in questions and answers."""
    converters = Converters()
    for kind in ("test.resize", "test.resize.answer"):
        converters.add(
            kind,
            1,
            up=lambda old: {"size_gib": old["size"]},
            down=lambda new: {"size": new["size_gib"]},
        )
    return converters


OLD = Form(name="test.resize", version=1)
NEW = Form(name="test.resize", version=2, emits=1, converters=renamed())
NEWEST = Form(name="test.resize", version=2, converters=renamed())


class Worker:
    """
    Methods that tell what they did.

    :ivar noted: numbers of casts that were done
    :ivar begun: how often ``hold`` has begun
    """

    def __init__(self, name: str = "") -> None:
        self.name = name
        self.noted: list[Any] = []
        self.calls: list[Call] = []
        self.failing = 0
        self.held: list[Deferred[None]] = []

    async def echo(self, call: Call) -> Fields:
        self.calls.append(call)
        if call.fields.get("say") == "full":
            raise NoSpace("there is no space", {"largest_gib": 12})
        if call.fields.get("say") == "crash":
            raise ZeroDivisionError("by zero")
        return {"say": call.fields.get("say"), "by": self.name, "request": call.request_id, "from": call.sender}

    async def note(self, call: Call) -> None:
        self.calls.append(call)
        if self.failing:
            self.failing -= 1
            raise RuntimeError("not now")
        if call.fields.get("bad"):
            raise Fault("it is bad", {})
        self.noted.append(call.fields["number"])

    def hear(self, event: Event) -> None:
        self.noted.append(event.fields["number"])

    async def hold(self, _call: Call) -> Fields:
        self.held.append(Deferred())
        await self.held[-1]
        return {"by": self.name}

    def let_go(self) -> None:
        held, self.held = self.held, []
        for each in held:
            if not each.called:
                each.callback(None)

    @property
    def methods(self) -> list[Method]:
        return [Method(ECHO, self.echo), Method(NOTE, self.note), Method(HOLD, self.hold)]


if TYPE_CHECKING:
    _Base = TestCase
else:
    _Base = object


class MessagingHouse(_Base):
    """Buses on transports of one kind, for a test."""

    topic: str
    buses: list[Bus]

    def make_transport(self, node: str, limits: Limits) -> ITransport:
        raise AssertionError("a test-case says which")

    def build(self) -> None:
        self.topic = f"t{os.urandom(4).hex()}"
        self.buses = []
        self.addCleanup(self.stop_all)

    async def stop_all(self) -> None:
        await gatherResults([Deferred.fromCoroutine(bus.stop()) for bus in self.buses])

    async def bus(self, node: str = "host-1", limits: Limits = QUICK) -> Bus:
        """One that is connected."""
        bus = Bus(reactor, self.make_transport(node, limits), WorkerMetrics(), limits)
        bus.start()
        self.buses.append(bus)
        await self.until(lambda: self.healthy(bus))
        return bus

    def healthy(self, bus: Bus) -> bool:
        return bus.health()[0].ok

    async def served(self, bus: Bus, worker: Worker, parallel: int | None = None) -> Server:
        server = bus.serve(self.topic, worker.methods, parallel)
        await server.ready
        return server

    async def until(self, condition: Callable[[], Any], seconds: float = PATIENCE_S, what: Any = "") -> None:
        deadline = reactor.seconds() + seconds
        while not condition():
            if reactor.seconds() > deadline:
                self.fail(f"it did not come about in time {what() if callable(what) else what}")
            await deferLater(reactor, 0.01)

    async def fails(self, error: type[BaseException], doing: Any) -> Any:
        try:
            given = await doing
        except error as raised:
            return raised
        self.fail(f"no {error.__name__}, but {given!r}")


class MessagingContract(MessagingHouse):
    """See the module."""

    async def test_provides(self) -> None:
        """The interface, with what is listened to."""
        transport = self.make_transport("host-1", QUICK)
        verifyObject(ITransport, transport)
        bus = await self.bus()
        server = await self.served(bus, Worker())
        verifyObject(IListening, server._listening)

    # ---- calls

    async def test_call(self) -> None:
        """Reaches who serves the topic, with what belongs to it, and is answered."""
        asking, serving = await self.bus("host-1"), await self.bus("host-2")
        await self.served(serving, worker := Worker("w"))
        said = {"text": "Grüße", "bytes": b"\0\xff", "list": [1, 2.5, None, True], "deep": {"a": {}}}
        answer = await asking.call(self.topic, ECHO, {"say": said}, 5.0, request_id="req-1")
        self.assertEqual(answer, {"say": said, "by": "w", "request": "req-1", "from": "host-1"})
        left_s = worker.calls[0].left_s()
        assert left_s is not None
        self.assertLessEqual(left_s, 5.0)

    async def test_calls_are_shared(self) -> None:
        """Between those who serve a topic; and one on a host goes to that host."""
        asking, one, two = await self.bus("a"), await self.bus("host-1"), await self.bus("host-2")
        await self.served(one, Worker("one"))
        await self.served(two, Worker("two"))
        answers = await gatherResults([asking.call(self.topic, ECHO, {"say": n}, 5.0) for n in range(40)])
        self.assertEqual({answer["by"] for answer in answers}, {"one", "two"})
        self.assertEqual([answer["say"] for answer in answers], list(range(40)))
        there = await gatherResults([asking.call(self.topic, ECHO, {}, 5.0, node="host-2") for _ in range(10)])
        self.assertEqual({answer["by"] for answer in there}, {"two"})

    async def test_faults(self) -> None:
        """Arrive as the class that the form names; others by their name; what should not happen as a failure."""
        bus = await self.bus()
        await self.served(bus, Worker())
        error = await self.fails(NoSpace, bus.call(self.topic, ECHO, {"say": "full"}, 5.0))
        self.assertEqual(
            (error.name, error.cause, error.detail), ("no-space", "there is no space", {"largest_gib": 12})
        )
        plain = Form(name=ECHO.name)
        error = await self.fails(Fault, bus.call(self.topic, plain, {"say": "full"}, 5.0))
        self.assertEqual((type(error), error.name), (Fault, "no-space"))
        error = await self.fails(RemoteFailure, bus.call(self.topic, ECHO, {"say": "crash"}, 5.0))
        self.assertEqual(error.cause, "ZeroDivisionError: by zero")
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    async def test_no_such_method(self) -> None:
        """It says so at once."""
        bus = await self.bus()
        await self.served(bus, Worker())
        await self.fails(NoSuchMethod, bus.call(self.topic, Form(name="test.other"), {}, 5.0))

    async def test_nobody(self) -> None:
        """Of the topic, or on that host, or not any more: at once, for all ways that need somebody now."""
        bus = await self.bus()
        await self.fails(NobodyThere, bus.call(self.topic, ECHO, {}, 5.0))
        await self.fails(NobodyThere, bus.cast(self.topic, NOTE, {}))
        await self.fails(NobodyThere, bus.fan_out(self.topic, NOTE, {}))
        server = await self.served(bus, Worker())
        await self.fails(NobodyThere, bus.call(self.topic, ECHO, {}, 5.0, node="host-9"))
        await self.fails(NobodyThere, bus.cast(self.topic, NOTE, {}, node="host-9"))
        await bus.retire(server)
        await self.fails(NobodyThere, bus.call(self.topic, ECHO, {}, 5.0))

    async def test_deadline(self) -> None:
        """Ends the wait here, and the method there."""
        bus = await self.bus()
        await self.served(bus, worker := Worker())
        began = reactor.seconds()
        error = await self.fails(DeadlinePassed, bus.call(self.topic, HOLD, {}, 0.3))
        self.assertTrue(error.begun)
        self.assertLess(reactor.seconds() - began, 2.0)
        (held,) = worker.held
        await self.until(lambda: held.called)  # cancelled

    async def test_late(self) -> None:
        """What waits at a busy server beyond its deadline is not begun."""
        bus = await self.bus()
        server = await self.served(bus, worker := Worker(), parallel=1)
        first = bus.call(self.topic, HOLD, {}, 10.0)
        await self.until(lambda: worker.held)
        await self.fails(DeadlinePassed, bus.call(self.topic, ECHO, {"say": 1}, 0.2))
        await deferLater(reactor, 0.1)
        worker.let_go()
        await first
        self.assertEqual((await bus.call(self.topic, ECHO, {"say": 2}, 5.0))["say"], 2)
        self.assertEqual([call.fields["say"] for call in worker.calls], [2])
        self.assertEqual(server.running, 0)

    async def test_cancel(self) -> None:
        """Ends the wait; the answer, when it comes, disturbs nobody."""
        bus = await self.bus()
        await self.served(bus, worker := Worker())
        call = bus.call(self.topic, HOLD, {}, 5.0)
        await self.until(lambda: worker.held)
        call.cancel()
        await self.fails(CancelledError, call)
        worker.let_go()
        self.assertEqual((await bus.call(self.topic, ECHO, {"say": 1}, 5.0))["say"], 1)

    async def test_most_calls(self) -> None:
        """More than may wait for answers are refused, not kept."""
        limits = Limits(calls=3)
        bus = await self.bus(limits=limits)
        await self.served(bus, worker := Worker())
        calls = [bus.call(self.topic, HOLD, {}, 10.0) for _ in range(3)]
        await self.fails(Overloaded, bus.call(self.topic, ECHO, {}, 5.0))
        await self.until(lambda: len(worker.held) == 3)
        worker.let_go()
        await gatherResults(calls)
        self.assertEqual((await bus.call(self.topic, ECHO, {"say": 1}, 5.0))["say"], 1)

    async def test_bad_fields(self) -> None:
        """What does not cross processes, or is too long, is refused where it comes from."""
        bus = await self.bus()
        await self.served(bus, Worker())
        await self.fails(NotPlainData, bus.call(self.topic, ECHO, {"say": object()}, 5.0))
        await self.fails(NotPlainData, bus.cast(self.topic, NOTE, {"say": {1: 2}}))
        await self.fails(BadMessage, bus.call(self.topic, ECHO, {"say": "x" * 2_000_000}, 5.0))
        self.assertRaises(ValueError, bus.serve, "Not a name", [])

    async def test_parallel(self) -> None:
        """So many methods run at a time, the others wait."""
        bus = await self.bus()
        server = await self.served(bus, worker := Worker(), parallel=2)
        calls = [bus.call(self.topic, HOLD, {}, 10.0) for _ in range(5)]
        await self.until(lambda: len(worker.held) == 2)
        await deferLater(reactor, 0.1)
        self.assertEqual((len(worker.held), server.running), (2, 2))
        while not all(call.called for call in calls):
            worker.let_go()
            await deferLater(reactor, 0.01)
        await gatherResults(calls)

    # ---- casts, fan-out

    async def test_casts(self) -> None:
        """All are done, once, by whoever serves the topic."""
        asking, one, two = await self.bus("a"), await self.bus("host-1"), await self.bus("host-2")
        workers = Worker(), Worker()
        await self.served(one, workers[0])
        await self.served(two, workers[1])
        await gatherResults([asking.cast(self.topic, NOTE, {"number": n}) for n in range(50)])
        await self.until(lambda: sum(len(worker.noted) for worker in workers) >= 50)
        self.assertEqual(sorted(workers[0].noted + workers[1].noted), list(range(50)))

    async def test_cast_waits(self) -> None:
        """For somebody to serve its topic again."""
        bus = await self.bus()
        await bus.retire(await self.served(bus, Worker()))
        await bus.cast(self.topic, NOTE, {"number": 1})
        await self.served(bus, worker := Worker())
        await self.until(lambda: worker.noted == [1])

    async def test_cast_to_a_host(self) -> None:
        """Is done there."""
        asking, one, two = await self.bus("a"), await self.bus("host-1"), await self.bus("host-2")
        await self.served(one, first := Worker())
        await self.served(two, second := Worker())
        for number in range(4):
            await asking.cast(self.topic, NOTE, {"number": number}, node="host-2")
        await self.until(lambda: second.noted == [0, 1, 2, 3])
        self.assertEqual(first.noted, [])

    async def test_fan_out(self) -> None:
        """Once on each host, though two processes serve the topic on one of them."""
        asking = await self.bus("a")
        workers = [Worker(), Worker(), Worker()]
        for node, worker in zip(("host-1", "host-2", "host-2"), workers, strict=True):
            await self.served(await self.bus(node), worker)
        for number in range(10):
            await asking.fan_out(self.topic, NOTE, {"number": number})
        await self.until(lambda: sum(len(worker.noted) for worker in workers) >= 20)
        self.assertEqual(workers[0].noted, list(range(10)))
        self.assertEqual(sorted(workers[1].noted + workers[2].noted), list(range(10)))

    async def test_cast_that_fails(self) -> None:
        """Is tried again, and is done once."""
        bus = await self.bus()
        await self.served(bus, worker := Worker())
        worker.failing = 2
        await bus.cast(self.topic, NOTE, {"number": 7})
        await self.until(lambda: worker.noted)
        self.assertEqual((worker.noted, [call.attempt for call in worker.calls]), ([7], [1, 2, 3]))
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 2)

    async def test_cast_that_goes_on_failing(self) -> None:
        """Is set aside after so many attempts, with its cause; to a host too, where nobody counts but we."""
        bus = await self.bus()
        await self.served(bus, worker := Worker())
        worker.failing = 100
        before = await self.apart(bus)
        await bus.cast(self.topic, NOTE, {"number": 1})
        await bus.cast(self.topic, NOTE, {"number": 2}, node=bus.node)
        await self.until(lambda: bus._transport.set_aside().parked == before + 2)
        self.assertEqual(len(worker.calls), 6)
        self.assertIn(f"{self.topic} test.note: RuntimeError: not now (attempt 3)", bus.health()[1].cause)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 6)

    async def test_poison(self) -> None:
        """What cannot be decoded, has a method or version that is not known, or is refused, is set aside at once."""
        bus = await self.bus()
        await self.served(bus, worker := Worker())
        before = await self.apart(bus)
        await bus._transport.send(Parcel(Way.WORK, self.topic, os.urandom(8).hex(), b"\xc1 no message"))
        await bus.cast(self.topic, Form(name="test.unknown"), {})
        await bus.cast(self.topic, Form(name="test.note", version=2), {"number": 1})
        await bus.cast(self.topic, NOTE, {"bad": True, "number": 1})
        await self.until(lambda: bus._transport.set_aside().parked == before + 4)
        causes = bus.health()[1].cause
        for part in ("no question", "no method 'test.unknown'", "version 2 cannot become version 1", "it is bad"):
            self.assertIn(part, causes)
        self.assertTrue(bus.health()[1].ok)
        await bus.cast(self.topic, NOTE, {"number": 5})
        await self.until(lambda: worker.noted == [5])

    async def apart(self, bus: Bus) -> int:
        """So many are apart already, in a broker that others use too."""
        found: int = bus._transport.set_aside().parked
        return found

    async def test_cast_expires(self) -> None:
        """One with a deadline that nobody does in time is given up, and counted."""
        bus = await self.bus()
        await bus.retire(await self.served(bus, Worker()))
        before = bus._transport.set_aside().dead
        await bus.cast(self.topic, NOTE, {"number": 1}, 0.1)
        await deferLater(reactor, 0.3)
        await self.served(bus, worker := Worker())
        await bus.cast(self.topic, NOTE, {"number": 2})
        await self.until(lambda: worker.noted == [2])
        await self.until(lambda: bus._transport.set_aside().dead == before + 1)

    # ---- versions

    async def test_versions(self) -> None:
        """A question and its answer cross between neighbours in both directions; what is too new is refused."""
        bus = await self.bus()

        async def old_run(call: Call) -> Fields:
            return {"size": call.fields["size"] + 1}

        async def new_run(call: Call) -> Fields:
            return {"size_gib": call.fields["size_gib"] + 1}

        old_topic, new_topic = f"{self.topic}-old", f"{self.topic}-new"
        await bus.serve(old_topic, [Method(OLD, old_run)]).ready
        await bus.serve(new_topic, [Method(NEW, new_run)]).ready
        self.assertEqual(await bus.call(old_topic, NEW, {"size_gib": 1}, 5.0), {"size_gib": 2})
        self.assertEqual(await bus.call(new_topic, OLD, {"size": 1}, 5.0), {"size": 2})
        self.assertEqual(await bus.call(new_topic, NEWEST, {"size_gib": 1}, 5.0), {"size_gib": 2})
        await self.fails(NoSuchVersion, bus.call(old_topic, NEWEST, {"size_gib": 1}, 5.0))
        bus.pin(NEWEST.name, 1)  # an old node lives
        self.assertEqual(await bus.call(old_topic, NEWEST, {"size_gib": 1}, 5.0), {"size_gib": 2})
        bus.pin(NEWEST.name, None)
        await self.fails(NoSuchVersion, bus.call(old_topic, NEWEST, {"size_gib": 1}, 5.0))

    # ---- events

    async def test_events(self) -> None:
        """Reach those whose pattern fits, each once, from when they are ready until they end."""
        bus, other = await self.bus("host-1"), await self.bus("host-2")
        got: Counter[tuple[str, str]] = Counter()

        def listen(name: str) -> Callable[[Event], object]:
            return lambda event: got.update([(name, event.key)])

        patterns = {"all": f"{self.topic}.#", "one": f"{self.topic}.*.made", "none": f"{self.topic}.x"}
        subscriptions = [other.subscribe(pattern, [NOTE], listen(name)) for name, pattern in patterns.items()]
        for subscription in subscriptions:
            await subscription.ready
        await bus.publish(f"{self.topic}.volume.made", NOTE, {"number": 1})
        await bus.publish(f"{self.topic}.volume", NOTE, {"number": 2})
        await bus.publish(f"{self.topic}.volume", HOLD, {})  # a form that nobody here knows
        await self.until(lambda: sum(got.values()) == 3)
        made, plain = f"{self.topic}.volume.made", f"{self.topic}.volume"
        self.assertEqual(got, {("all", made): 1, ("all", plain): 1, ("one", made): 1})
        await subscriptions[0].end()
        await bus.publish(f"{self.topic}.volume.made", NOTE, {"number": 3})
        await self.until(lambda: got["one", made] == 2)
        self.assertEqual(got["all", made], 1)

    async def test_event_fields(self) -> None:
        """As they were published, in the version of who listens; what fails over one gets the next."""
        bus = await self.bus()
        got: list[Event] = []

        def take(event: Event) -> None:
            got.append(event)
            if len(got) == 1:
                raise ZeroDivisionError

        subscription = bus.subscribe(self.topic, [NEW], take)
        await subscription.ready
        await bus.publish(self.topic, OLD, {"size": 1}, request_id="req-1")
        await bus.publish(self.topic, Form(name="test.resize", version=9), {"size": 1})
        await bus.publish(self.topic, OLD, {"size": 2})
        await self.until(lambda: len(got) == 2)
        self.assertEqual([event.fields for event in got], [{"size_gib": 1}, {"size_gib": 2}])
        self.assertEqual((got[0].name, got[0].sender, got[0].request_id), ("test.resize", bus.node, "req-1"))
        self.assertEqual(subscription.missed, 2)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    # ---- moves

    async def test_moves(self) -> None:
        """Through 20 moves between two processes of a host under load: each call is answered, each cast done once."""
        asking = await self.bus("a")
        processes = [await self.bus("host-1"), await self.bus("host-1")]
        worker = Worker()
        serving = await self.served(processes[0], worker, parallel=8)
        answered: list[int] = []
        casts = 0
        moving = True

        async def ask() -> None:
            nonlocal casts
            while moving:
                number = len(answered)
                answered.append(number)
                answer = await asking.call(self.topic, ECHO, {"say": number}, 10.0)
                self.assertEqual(answer["say"], number)
                await asking.call(self.topic, ECHO, {"say": number}, 10.0, node="host-1")
                casts += 1
                await asking.cast(self.topic, NOTE, {"number": casts})

        load = [Deferred.fromCoroutine(ask()) for _ in range(16)]
        for move in range(20):
            target = processes[(move + 1) % 2]
            following = await self.served(target, worker, parallel=8)
            await processes[move % 2].retire(serving)
            serving = following
            await deferLater(reactor, 0.05)
        moving = False
        for succeeded, result in await DeferredList(load, consumeErrors=True):
            self.assertTrue(succeeded, result)
        await self.until(lambda: len(worker.noted) >= casts)
        self.assertEqual(sorted(worker.noted), list(range(1, casts + 1)))
        self.assertEqual(sum(call.fields.get("say") is not None for call in worker.calls), 2 * len(answered))
        self.assertGreater(casts, 20)

    async def test_give_over(self) -> None:
        """In one process a server leaves when another one gets messages; without another one after a while."""
        asking, bus = await self.bus("a"), await self.bus("host-1")
        first = await self.served(bus, Worker("first"))
        giving = Deferred.fromCoroutine(bus.give_over(first, 20.0))
        await deferLater(reactor, 0.05)
        self.assertFalse(giving.called)
        self.assertEqual((await asking.call(self.topic, ECHO, {"say": 1}, 5.0, node="host-1"))["by"], "first")
        second = bus.serve(self.topic, Worker("second").methods)
        self.assertTrue(await bus.settled(20.0))
        await giving
        self.assertEqual((await asking.call(self.topic, ECHO, {"say": 1}, 5.0, node="host-1"))["by"], "second")
        await bus.give_over(second, 0.05)
        await self.fails(NobodyThere, asking.call(self.topic, ECHO, {"say": 1}, 5.0, node="host-1"))

    async def test_nothing_is_kept(self) -> None:
        """A server and a subscription that have ended hold nothing alive: their code may be freed."""
        bus = await self.bus("host-1")
        kept = await self.come_and_gone(bus)
        await self.until(lambda: gc.collect() >= 0 and not any(each() for each in kept))

    async def come_and_gone(self, bus: Bus) -> list[weakref.ref[Worker]]:
        """Who has served, and who has listened."""
        worker, heard = Worker(), Worker()
        server = await self.served(bus, worker)
        subscription = bus.subscribe(self.topic, [NOTE], heard.hear)
        await subscription.ready
        await bus.call(self.topic, ECHO, {"say": 1}, 5.0)
        await bus.cast(self.topic, NOTE, {"number": 1})
        await bus.publish(self.topic, NOTE, {"number": 2})
        await self.until(lambda: worker.noted == [1] and heard.noted == [2])
        await bus.retire(server)
        await subscription.end()
        return [weakref.ref(worker), weakref.ref(heard)]

    async def test_settled(self) -> None:
        """At once where nothing serves; not at all without a connection."""
        bus = await self.bus("host-1")
        self.assertTrue(await bus.settled(0.0))
        await bus.stop()
        bus.serve(self.topic, Worker().methods)._listening.ready.addErrback(lambda _: None)
        if not bus._servers[0].ready.called:
            self.assertFalse(await bus.settled(20.0))

    async def test_rest(self) -> None:
        """What runs is finished; what has not begun goes to others; what takes too long is cut off and told so."""
        asking, old, new = await self.bus("a"), await self.bus("host-1"), await self.bus("host-2")
        server = await self.served(old, leaving := Worker("old"), parallel=1)
        held = asking.call(self.topic, HOLD, {}, 20.0)
        await self.until(lambda: leaving.held)
        await asking.cast(self.topic, NOTE, {"number": 1})
        waiting = asking.call(self.topic, ECHO, {"say": 1}, 20.0)
        await deferLater(reactor, 0.2)
        await self.served(new, staying := Worker("new"))
        began = reactor.seconds()
        resting = Deferred.fromCoroutine(old.retire(server))
        await self.until(lambda: staying.noted == [1])
        self.assertEqual(leaving.noted, [])
        await resting
        self.assertLess(reactor.seconds() - began, 5.0)
        error = await self.fails(Interrupted, held)
        self.assertTrue(error.begun and error.retryable)
        error = await self.fails(Interrupted, waiting)
        self.assertFalse(error.begun)
        self.assertEqual((await asking.call(self.topic, ECHO, {"say": 1}, 5.0))["by"], "new")

    async def test_rest_cuts_a_cast_off(self) -> None:
        """And it is done by another one."""
        old, new = await self.bus("host-1"), await self.bus("host-2")
        server = await self.served(old, leaving := Worker())
        await old.cast(self.topic, HOLD, {})
        await self.until(lambda: leaving.held)
        await self.served(new, staying := Worker())
        await old.retire(server)
        await self.until(lambda: staying.held)
        staying.let_go()

    async def test_server_killed(self) -> None:
        """Without a rest: casts that it had are done by others; a call that waited at it is not begun elsewhere."""
        asking, old, new = await self.bus("a"), await self.bus("host-1"), await self.bus("host-2")
        server = await self.served(old, dying := Worker(), parallel=1)
        await asking.cast(self.topic, HOLD, {})
        await self.until(lambda: dying.held)
        call = asking.call(self.topic, ECHO, {"say": 1}, 20.0)
        await deferLater(reactor, 0.2)
        await self.served(new, staying := Worker("new"))
        await server._listening.close()
        await self.until(lambda: staying.held)
        staying.let_go()
        error = await self.fails(Interrupted, call)
        self.assertTrue(error.begun)
        self.assertEqual(staying.calls, [])

    # ---- the end

    async def test_stopped(self) -> None:
        """What waits fails, and what is new too, without anything sent; health says so."""
        bus = await self.bus()
        await self.served(bus, Worker())
        other = await self.bus("host-2")
        await self.served(other, worker := Worker())
        calls = [bus.call(self.topic, HOLD, {}, 20.0, node="host-2")]
        await self.until(lambda: worker.held)
        await bus.stop()
        error = await self.fails(Interrupted, calls[0])
        self.assertTrue(error.retryable)
        await self.fails(Away, bus.call(self.topic, ECHO, {}, 5.0))
        await self.fails(Away, bus.cast(self.topic, NOTE, {}))
        part = bus.health()[0]
        self.assertFalse(part.ok)
        self.assertIn("stopped", part.cause)
        worker.let_go()
