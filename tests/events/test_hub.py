"""The hub: everybody gets what it may see, once, in order, in slices, whatever happens meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any, cast

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from cloudd.events import Position
from cloudd.events import _hub as hub_module
from cloudd.events._grants import Grants
from cloudd.events._hub import CHUNK_BYTES, LOOK_S, RECENT, RESTS, RETIRED_S, ROUNDS, SLICE_S, SLOW_BYTES, Hub
from cloudd.identity import InvalidToken

from .logs import START_S, IdentityDouble, Listener, MemoryLogs, access, event

HEARTBEAT_S = 25.0


class House:
    """A hub with its logs and its clock."""

    def __init__(self, clock: Clock | None = None) -> None:
        self.clock = clock or Clock()
        self.clock.rightNow = START_S
        self.logs = MemoryLogs()
        self.identity = IdentityDouble()
        self.grants = Grants(cast(Any, self.identity), self.clock)
        self.fresh = True
        self.count = 0
        self.hub = Hub(self.clock, cast(Any, self.logs), self.grants, lambda: self.fresh, HEARTBEAT_S, self.counted)

    def counted(self, change: int) -> None:
        self.count += change

    def listener(
        self, project: str | None = "p", *, at: str = "", types: tuple[str, ...] = (), token: str = "", **who: Any
    ) -> Listener:
        """A subscriber that has joined."""
        everything = project is None
        by = access(project, "u", "admin", **who) if everything else access(project, **who)
        grant = self.grants.take(token or f"token of {project}", by)
        self.identity.answers.setdefault(grant.token, by)
        position = Position.parse(at) if at else None
        listener = Listener(grant, grant.view(everything=everything), types, position)
        self.hub.join(listener)
        return listener

    def tick(self, count: int = 3) -> None:
        """Time for the hub to look and to send."""
        for _ in range(count):
            self.clock.advance(LOOK_S)
            self.clock.advance(0)


class DeliveryTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.house = House()
        self.logs, self.hub = self.house.logs, self.house.hub

    def test_beginning(self) -> None:
        """Who asks for no position hears from where the logs end, and nothing of before."""
        self.logs.add("p", "p")
        listener = self.house.listener()
        self.house.tick()
        self.assertEqual(listener.text, "id: c0.o2\n\n")
        self.logs.add("p")
        self.logs.add("p", in_store=False)
        self.house.tick()
        self.assertEqual(listener.ids, ["c0.o3", "c1.o3"] if listener.ids[0] == "c0.o3" else ["c1.o2", "c1.o3"])

    def test_projects(self) -> None:
        """Each project's events reach its own subscribers; an administrator who asks gets all."""
        one, two, all_of_them = self.house.listener("p"), self.house.listener("q"), self.house.listener(None)
        self.house.tick()
        self.logs.add("p", "q", None, "q", "r")
        self.house.tick()
        self.assertEqual(one.ids, ["c0.o1"])
        self.assertEqual(two.ids, ["c0.o2", "c0.o4"])
        self.assertEqual(all_of_them.ids, [f"c0.o{number}" for number in range(1, 6)])

    def test_types(self) -> None:
        """What was not asked for does not come, also from before."""
        self.logs.add("p")
        self.logs.add("p", in_store=False)
        listener = self.house.listener(types=("identity",), at="c0.o0")
        self.house.tick()
        self.logs.add("p")
        self.logs.add("p", in_store=False)
        self.house.tick()
        self.assertEqual([each[:2] for each in listener.ids], ["c1", "c2"])

    def test_read_once(self) -> None:
        """A thousand subscribers cost one read, and nothing is read while nothing is committed."""
        listeners = [self.house.listener() for _ in range(1000)]
        self.house.tick()
        before = len(self.logs.reads)
        self.house.tick(20)
        self.assertLessEqual(len(self.logs.reads), before + 1)
        self.house.tick(20)
        before = len(self.logs.reads)
        self.logs.add("p")
        self.house.tick(20)
        self.assertEqual(len(self.logs.reads), before + 1)
        self.assertEqual({tuple(each.ids) for each in listeners}, {("c0.o1",)})

    def test_nobody(self) -> None:
        """Without subscribers there is no timer; with the next one all begins anew."""
        listener = self.house.listener()
        self.house.tick()
        self.hub.leave(listener)
        self.hub.leave(listener)
        self.assertEqual((self.clock_calls(), self.hub.count, self.house.count), ([], 0, 0))
        self.logs.add("p")
        again = self.house.listener(at="c0.o0")
        self.house.tick()
        self.assertEqual((again.ids, listener.ids), (["c0.o1"], []))

    def clock_calls(self) -> list[Any]:
        return list(self.house.clock.getDelayedCalls())

    def test_leaves_while_the_logs_are_read(self) -> None:
        """An answer that comes too late harms nobody."""
        self.logs.waiting = Deferred()
        first = self.house.listener()
        self.house.clock.advance(0)
        self.hub.leave(first)
        second = self.house.listener()
        self.house.clock.advance(0)
        self.logs.waiting.callback(None)
        self.logs.waiting = None
        self.house.tick()
        self.assertEqual((first.sent, second.text), ([], "id: c0.o0\n\n"))

    def test_logs_that_cannot_be_read(self) -> None:
        """It is said once, shown in health, and made up for."""
        listener = self.house.listener()
        self.house.tick()
        self.logs.failing = OSError("no disk")
        self.logs.add("p")
        self.house.tick(10)
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 1)
        self.assertIn("no disk", self.hub.cause)
        self.logs.failing = None
        self.house.tick()
        self.assertEqual((listener.ids, self.hub.cause), (["c0.o1"], ""))

    def test_cause_goes_with_who_had_it(self) -> None:
        """What hindered a subscriber is no fault of the host any more when it has left, or could be read after all."""
        self.logs.add(*["p"] * (RECENT + 1))
        self.logs.version += 1
        for remedy in ("leaves", "is read", "is alone"):
            others = [] if remedy == "is alone" else [self.house.listener()]
            self.house.tick()
            self.logs.failing = OSError(f"no disk: {remedy}")
            behind = self.house.listener(at="c0.o0")
            self.house.tick()
            self.assertIn(remedy, self.hub.cause)
            self.assertEqual(len(self.flushLoggedErrors(OSError)), 1)
            if remedy != "is read":
                self.hub.leave(behind)
            self.logs.failing = None
            self.house.tick()
            self.assertEqual(self.hub.cause, "", remedy)
            for each in {behind, *others}:
                self.hub.leave(each)

    def test_cause_of_a_look_that_was_asked_for(self) -> None:
        """A look for somebody who is ahead is made again when it fails, though nothing is committed meanwhile."""
        self.house.listener()
        self.house.tick()
        self.logs.failing = OSError("no disk")
        ahead = self.house.listener(at="c9.o9")
        self.house.tick()
        self.assertIn("no disk", self.hub.cause)
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 1)
        self.logs.failing = None
        self.house.tick()
        self.assertEqual(self.hub.cause, "")
        self.assertIn("reset", ahead.text)

    def test_broken_subscriber(self) -> None:
        """One whose connection raises is ended; the others do not notice."""
        bad, good = self.house.listener(), self.house.listener()
        self.house.tick()
        bad.breaks = True
        self.logs.add("p")
        self.house.tick()
        self.assertEqual((bad.is_ended, good.ids, self.hub.count), (True, ["c0.o1"], 1))
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 1)


class ResumeTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.house = House()
        self.logs = self.house.logs

    def test_from_memory(self) -> None:
        """Exactly what came after the position, then what comes."""
        self.house.listener()
        self.logs.add(*["p", "q"] * 10)
        self.house.tick()
        reads = len(self.logs.reads)
        listener = self.house.listener(at="c0.o7")
        self.house.tick()
        self.assertEqual(listener.ids, [f"c0.o{number}" for number in range(9, 20, 2)])
        self.assertEqual(len(self.logs.reads), reads)

    def test_from_the_databases(self) -> None:
        """Who is further behind than memory reaches is read for, its own project only, in pages."""
        self.logs.add(*["p", "q"] * RECENT)
        listener = self.house.listener(at="c0.o1")
        self.house.tick(60)
        self.assertEqual(listener.ids, [f"c0.o{number}" for number in range(3, 2 * RECENT, 2)])
        self.assertIn((Position(0, 1), "p"), self.logs.reads)
        self.logs.add("p")
        self.house.tick()
        self.assertEqual(listener.ids[-1], f"c0.o{2 * RECENT + 1}")

    def test_few_read_at_one_time(self) -> None:
        """However many come back at once, only some reads are under way, and all are served in the end."""
        self.logs.add(*["p"] * 2 * RECENT)
        self.house.listener()
        self.house.tick()
        self.logs.waiting = Deferred()
        before = len(self.logs.reads)
        listeners = [self.house.listener(at=f"c0.o{2 * RECENT - 1200}") for _ in range(20)]
        self.house.tick(10)
        self.assertEqual(len(self.logs.reads) - before, hub_module.OLDER_READS)
        waiting, self.logs.waiting = self.logs.waiting, None
        waiting.callback(None)
        self.house.tick(100)
        self.assertEqual({len(each.ids) for each in listeners}, {1200})

    def test_no_longer_kept(self) -> None:
        """A reset says so, and what comes afterwards comes."""
        self.logs.add(*["p"] * 50)
        self.logs.forgotten = Position(0, 40)
        listener, kept = self.house.listener(at="c0.o39"), self.house.listener(at="c0.o40")
        self.house.tick()
        self.assertIn("id: c0.o50\nevent: reset\ndata: {", listener.text)
        self.assertEqual(kept.ids, [f"c0.o{number}" for number in range(41, 51)])
        self.logs.add("p")
        self.house.tick()
        self.assertEqual(listener.ids, ["c0.o50", "c0.o51"])

    def test_never_reached(self) -> None:
        """A position of a future that was taken back (a restored backup) is reset, too."""
        self.logs.add("p")
        listener = self.house.listener(at="c0.o9")
        self.house.tick(6)
        self.assertIn("id: c0.o1\nevent: reset\n", listener.text)

    def test_ahead_of_this_worker(self) -> None:
        """Who has read more elsewhere than this worker knows of sees nothing twice, and is not reset."""
        other = self.house.listener()
        self.house.tick()
        self.logs.stored.extend(event(number) for number in (1, 2, 3))  # committed, and this hub has not looked yet
        listener = self.house.listener(at="c0.o2")
        self.house.tick(6)
        self.assertEqual(listener.ids, ["c0.o3"])
        self.assertEqual(other.ids, ["c0.o1", "c0.o2", "c0.o3"])

    @settings(max_examples=60, deadline=None)
    @given(st.data())
    def test_any_cut(self, data: st.DataObject) -> None:
        """Wherever a stream breaks off, what came before and after together is what one that never broke off has."""
        house = House()
        listener, whole = house.listener(at="c0.o0"), house.listener(at="c0.o0")
        came: list[str] = []
        for _ in range(data.draw(st.integers(1, 8))):
            house.logs.add(
                *data.draw(st.lists(st.sampled_from(["p", "q"]), max_size=5)), in_store=data.draw(st.booleans())
            )
            house.tick(data.draw(st.integers(0, 3)))
            if data.draw(st.booleans()):
                position = house.hub.position_of(listener) or Position(0, 0)
                house.hub.leave(listener)
                came += numbers(listener)
                listener = house.listener(at=str(position))
        house.tick(5)
        self.assertEqual(sorted(came + numbers(listener)), sorted(numbers(whole)))
        self.assertEqual(
            len(numbers(whole)), sum(each.project_id == "p" for each in house.logs.stored + house.logs.control)
        )


def numbers(listener: Listener) -> list[str]:
    """What says which events came, whatever the order of the two logs."""
    return [line for line in listener.text.split("\n") if line.startswith("data: ")]


class ApartTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.house = House()
        self.logs, self.hub = self.house.logs, self.house.hub
        self.listener, self.other = self.house.listener(), self.house.listener()
        self.house.tick()

    def test_slow(self) -> None:
        """Who does not take what it is sent is sent no more until it has, then exactly the rest; others go on."""
        self.listener.queued = SLOW_BYTES + 1
        self.logs.add("p", "p")
        self.house.tick()
        self.logs.add("p")
        self.house.tick()
        self.assertEqual((self.listener.ids, len(self.other.ids)), ([], 3))
        self.assertEqual(self.hub.position_of(self.listener), Position(0, 0))
        self.listener.queued = 0
        self.house.tick()
        self.assertEqual(self.listener.ids, ["c0.o1", "c0.o2", "c0.o3"])

    def test_held(self) -> None:
        """While a connection is about to be moved its position stays; if it stays here after all, nothing is lost."""
        self.listener.is_held = True
        self.logs.add("p")
        self.house.tick(10)
        self.assertEqual(self.hub.position_of(self.listener), Position(0, 0))
        self.listener.is_held = False
        self.logs.add("p")
        self.house.tick()
        self.assertEqual(self.listener.ids, ["c0.o1", "c0.o2"])

    def test_much_at_once(self) -> None:
        """A burst goes out in pieces, whole events each."""
        self.logs.add(*["p"] * 500, note="x" * 300)
        self.house.tick(10)
        for listener in (self.listener, self.other):
            self.assertEqual(listener.ids, [f"c0.o{number}" for number in range(1, 501)])
        self.assertGreater(len(self.listener.sent), 10)
        self.assertLess(max(len(piece) for piece in self.listener.sent), CHUNK_BYTES + 2_000)  # ids are not counted
        self.assertTrue(all(piece.endswith(b"\n\n") for piece in self.listener.sent))

    def test_slow_in_the_middle_of_a_burst(self) -> None:
        """No more than a piece is queued for who takes nothing; then the rest comes."""
        taken = self.listener.send

        def keep(data: bytes) -> None:
            taken(data)
            self.listener.queued += len(data)

        self.listener.send = keep  # type: ignore[method-assign]
        self.logs.add(*["p"] * 500, note="x" * 300)
        self.house.tick(10)
        self.assertLess(self.listener.queued, SLOW_BYTES + CHUNK_BYTES + 2_000)
        self.assertEqual(len(self.other.ids), 500)
        for _ in range(40):
            self.listener.queued = 0
            self.house.tick()
        self.assertEqual(self.listener.ids, [f"c0.o{number}" for number in range(1, 501)])

    def test_hub_overtaken(self) -> None:
        """When what the hub had not read is gone, each subscriber is told so."""
        self.logs.add(*["p"] * 10)
        self.logs.forgotten = Position(0, 5)
        self.house.tick(6)
        for listener in (self.listener, self.other):
            self.assertIn("id: c0.o10\nevent: reset\n", listener.text)
            self.assertEqual(listener.ids, ["c0.o10"])


class GrantTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.house = House()
        self.logs, self.hub = self.house.logs, self.house.hub
        self.listener, self.other = self.house.listener(token="a"), self.house.listener(token="b", audit_ids=("other",))
        self.house.tick()

    def suspect(self) -> None:
        self.hub.suspect(lambda access: access.audit_ids == ("audit",))
        self.house.clock.advance(0)

    def test_expired(self) -> None:
        """No event goes out after the token's end; the stream ends in order and says why."""
        self.house.clock.advance(3600)
        self.logs.add("p")
        self.house.tick()
        self.assertEqual((self.listener.ids, self.listener.is_ended, self.hub.count), ([], True, 0))
        self.assertIn(": the token has expired\n\n", self.listener.text)

    def test_expired_in_silence(self) -> None:
        """Without an event it ends with the next heartbeat."""
        self.house.clock.advance(3600)
        for _ in range(ROUNDS + 1):
            self.house.clock.advance(HEARTBEAT_S / ROUNDS)
            self.house.clock.advance(0)
        self.assertTrue(self.listener.is_ended)

    def test_revoked(self) -> None:
        """From the word on nothing is sent under the token until it was verified again, and then nothing more."""
        answer: Deferred[Any] = Deferred()
        self.house.identity.answers["a"] = answer
        self.suspect()
        self.logs.add("p")
        self.house.tick()
        self.assertEqual((self.listener.ids, self.other.ids), ([], ["c0.o1"]))
        answer.callback(InvalidToken("revoked"))
        self.house.tick()
        self.assertEqual((self.listener.ids, self.listener.is_ended, self.hub.count), ([], True, 1))
        self.assertIn(": revoked\n\n", self.listener.text)
        self.assertEqual(self.house.identity.asked, ["a"])

    def test_still_good(self) -> None:
        """A suspicion that was wrong costs a delay."""
        self.suspect()
        self.logs.add("p")
        self.house.tick()
        self.assertEqual((self.listener.ids, self.listener.is_ended), (["c0.o1"], False))

    def test_another_access(self) -> None:
        """A token that gives something else now: the stream ends, and what begins anew shows that."""
        self.house.identity.answers["a"] = access("p", "u", "auditor")
        self.suspect()
        self.house.tick()
        self.logs.add("p")
        self.house.tick(30)
        self.assertEqual((self.listener.ids, self.listener.is_ended), ([], True))

    def test_identity_out_of_reach(self) -> None:
        """Nothing goes out while revocations cannot be read."""
        self.house.fresh = False
        self.logs.add("p")
        self.house.tick(10)
        self.assertEqual(self.listener.ids, [])
        self.house.fresh = True
        self.house.tick()
        self.assertEqual(self.listener.ids, ["c0.o1"])


class LifeTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.house = House()
        self.logs, self.hub = self.house.logs, self.house.hub

    def test_heartbeats(self) -> None:
        """Everybody hears something once a period, spread over it; who missed a position learns it."""
        listeners = [self.house.listener() for _ in range(100)]
        self.house.tick()
        self.logs.add("q")
        self.house.tick()
        most = 0
        for _ in range(ROUNDS + 1):
            before = sum(len(each.sent) for each in listeners)
            self.house.clock.advance(HEARTBEAT_S / ROUNDS)
            self.house.clock.advance(LOOK_S)
            most = max(most, sum(len(each.sent) for each in listeners) - before)
        self.assertLessEqual(most, 8)
        self.assertTrue(all(each.text.startswith("id: c0.o0\n\n: \nid: c0.o1\n\n") for each in listeners))
        self.assertTrue(all(each.ids == [] for each in listeners))

    def test_process_ends(self) -> None:
        """All streams end in order."""
        listeners = [self.house.listener() for _ in range(10)]
        self.house.tick()
        for each in listeners:
            each.must_end = True
        self.house.tick()
        self.assertTrue(all(each.is_ended for each in listeners))
        self.assertEqual(self.house.clock.getDelayedCalls(), [])

    def test_retired(self) -> None:
        """A generation that was replaced serves until its streams have moved; one that cannot is ended."""
        stays, moves = self.house.listener(), self.house.listener()
        self.house.tick()
        self.hub.retire()
        self.logs.add("p")
        self.house.tick()
        self.hub.leave(moves)
        self.house.clock.advance(RETIRED_S + 1)
        self.house.tick()
        self.assertEqual((stays.ids, stays.is_ended, moves.is_ended, self.hub.count), (["c0.o1"], True, False, 0))


class StepClock(Clock):
    """Time passes by being asked for."""

    step_s = 0.0

    def seconds(self) -> float:
        self.rightNow += self.step_s
        return self.rightNow


class SliceTests(SynchronousTestCase):
    """Each look at the clock takes 0.1 ms, as sending to one subscriber might."""

    def setUp(self) -> None:
        self.clock = StepClock()
        self.house = House(self.clock)
        self.listeners = [self.house.listener() for _ in range(2000)]
        self.house.tick(10)
        self.clock.step_s = 0.0001
        self.turns: list[tuple[float, float]] = []  # begin and end
        self.lasted: list[float] = []
        self.after_turn: Callable[[], object] = lambda: None
        hub: Any = self.house.hub
        turn = hub._turn

        def measured() -> None:
            before = self.clock.rightNow
            turn()
            self.turns.append((before, self.clock.rightNow))
            self.lasted.append(self.clock.rightNow - before)
            self.after_turn()

        hub._turn = measured
        self.house.tick(2)

    def run_on(self) -> None:
        """Time enough for all that there is to do."""
        for _ in range(600):
            self.clock.advance(0.002)

    def test_no_turn_is_long(self) -> None:
        """A broadcast to many lets the reactor work in between."""
        self.house.logs.add("p")
        self.run_on()
        self.assertGreater(len([each for each in self.lasted if each >= SLICE_S]), 20)
        self.assertLess(max(self.lasted), SLICE_S + 0.002)
        pauses = [after - end for (begun, end), (after, _) in pairwise(self.turns) if end - begun >= SLICE_S]
        self.assertGreater(min(pauses), SLICE_S * RESTS, "most of the time is for others")
        self.assertEqual({tuple(each.ids) for each in self.listeners}, {("c0.o1",)})

    def test_position_in_the_middle(self) -> None:
        """A stream that moves while a broadcast goes round takes along what it was sent, no more and no less."""
        self.house.logs.add("p")
        different = set()

        def compare() -> None:
            found = [self.house.hub.position_of(each) for each in self.listeners]
            self.assertEqual(found, [Position(0, len(each.ids)) for each in self.listeners])
            different.add(len(set(found)))

        self.after_turn = compare
        self.run_on()
        self.assertEqual(different, {1, 2}, "the test looked while it went round")

    def test_leaves_in_the_middle(self) -> None:
        """Those that have gone get nothing; the others all."""
        self.house.logs.add("p")
        gone: list[Listener] = []

        def leave() -> None:
            missing = [each for each in self.listeners if not each.ids]
            if not gone and len(missing) < 1500:
                gone.extend(missing[:500])
                for each in gone:
                    self.house.hub.leave(each)

        self.after_turn = leave
        self.run_on()
        self.assertEqual(sum(len(each.ids) for each in self.listeners), 1500)
        self.assertEqual(sum(len(each.ids) for each in gone), 0)

    def test_fault_in_the_middle(self) -> None:
        """When a job fails, who had not got its events is served all the same."""
        hub: Any = self.house.hub
        deliver, count = hub._deliver, []

        def fail(*args: Any) -> None:
            count.append(1)
            if len(count) == 700:
                raise ZeroDivisionError
            deliver(*args)

        hub._deliver = fail
        self.house.logs.add(*["p"] * 3, note="x" * 10_000)  # in three pieces
        for _ in range(8):
            self.run_on()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual({tuple(each.ids) for each in self.listeners}, {("c0.o1", "c0.o2", "c0.o3")})
