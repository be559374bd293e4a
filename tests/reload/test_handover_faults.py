"""Accidents at every step of a hand-over: each connection is served by exactly one side, which knows all of it."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, fail
from twisted.trial.unittest import SynchronousTestCase

from reload import Converters
from reload._handover_interfaces import HandoverError
from reload._handover_kinds import Kinds
from reload._handover_side import HandoverFailed

from .handover_model import KIND, Process, World, own_descriptors

Setup = Callable[[World], object]


def play(setup: Setup, *, connections: int = 5, then: Setup | None = None, seed: int = 1) -> World:
    """A whole life: half a second of moving, then ``then``, then everything until it is over."""
    world = World(connections, chance=random.Random(seed))
    with own_descriptors(world):
        setup(world)
        world.start()
        world.run(0.5)
        if then is not None:
            then(world)
        world.run(200)
        world.check()
    return world


def take_back(world: World) -> None:
    """The old process wants everything back."""
    world.old.do(lambda: world.old.side.take_back("worse").addErrback(lambda _: None))


def give_back(world: World) -> None:
    """The new process hands everything back."""
    world.new.do(lambda: world.new.side.give_back("worse").addErrback(lambda _: None))


def steps_of(then: Setup | None) -> dict[str, int]:
    """How many steps each process makes when nothing happens."""
    world = play(lambda _: None, then=then)
    return {name: process.steps for name, process in world.processes.items()}


class MoveTests(SynchronousTestCase):
    """What happens when nothing goes wrong."""

    def test_move(self) -> None:
        """All connections move; both sides end in order when the window is over."""
        world = play(lambda _: None)
        self.assertEqual({name: ending.how for name, ending in world.endings.items()}, {"old": "moved", "new": "moved"})
        self.assertEqual(len(world.new.served), 5)
        self.assertEqual(world.old.side.progress.moved, 5)
        self.assertEqual(world.old.side.progress.batches, 3)
        assert world.accepting is not None
        self.assertEqual(list(world.accepting), ["api"])

    def test_nothing_to_move(self) -> None:
        """A process without connections hands over too."""
        world = play(lambda _: None, connections=0)
        self.assertEqual(world.endings["old"].how, "moved")

    def test_nothing_is_frozen_while_deciding(self) -> None:
        """The rehearsed batch is served by the old process until the decision is there."""
        decision: Deferred[None] = Deferred()
        world = World(5)
        with own_descriptors(world):
            world.decide = lambda: decision
            world.start()
            world.run(0.5)
            world.check()
            self.assertEqual([len(c.servers & {"old"}) for c in world.connections], [1] * 5)
            self.assertIsNone(world.accepting)
            decision.callback(None)
            world.run(0.5)
            world.check()
        self.assertEqual(len(world.new.served), 5)

    def test_back(self) -> None:
        """Either side can begin the way back, and everything is as before."""
        for then in (take_back, give_back):
            world = play(lambda _: None, then=then)
            self.assertEqual(len(world.old.served), 5)
            hows = {name: ending.how for name, ending in world.endings.items()}
            self.assertEqual(hows, {"old": "returned", "new": "returned"})

    def test_back_during_moving(self) -> None:
        """Taking back is possible before everything has moved."""
        world = World(9, batch=1)
        with own_descriptors(world):
            world.start()
            while not 2 <= world.old.side.progress.moved < 9:
                world.clock.advance(0)
                world.deliver_one()
            take_back(world)
            world.run(10)
            world.check()
        self.assertEqual(len(world.old.served), 9)

    def test_later(self) -> None:
        """What is busy stays with its reason, and follows when its owner says so."""
        world = World(5)
        with own_descriptors(world):
            world.connections[3].busy = True
            world.start()
            world.run(20)
            world.check()
            (movable,) = world.old.side.later
            self.assertIs(movable.connection, world.connections[3])
            self.assertEqual(world.endings, {})
            world.connections[3].busy = False
            world.old.side.ready(movable)
            world.run(20)
            world.check()
        self.assertEqual(len(world.new.served), 5)
        self.assertEqual(world.endings["old"].how, "moved")

    def test_later_that_ended(self) -> None:
        """What had to stay and has ended holds up nothing."""
        world = World(2)
        with own_descriptors(world):
            world.connections[1].busy = True
            world.start()
            world.run(20)
            movable = world.old.served.pop(1)
            movable.connection.servers.clear()
            world.old.side.ready(movable)
            world.run(1)
        self.assertEqual(world.endings["old"].how, "moved")

    def test_restless(self) -> None:
        """What changes while it is offered is tried again, and has to wait when it never holds still."""
        world = World(3)
        with own_descriptors(world):
            world.connections[0].restless = 2
            world.connections[1].restless = 100
            world.start()
            world.run(0.5)
            world.check()
            self.assertEqual(sorted(world.new.served), [0, 2])
            (reason, _) = next(iter(world.old.side.later.values()))
            self.assertEqual(reason.name, "CHANGED")

    def test_refused_by_adopter(self) -> None:
        """What the new process cannot adopt goes on in the old one, with the cause."""
        world = World(3)
        with own_descriptors(world):
            world.new.unwanted.add(1)
            world.start()
            world.run(0.5)
            world.check()
            ((reason, detail),) = world.old.side.later.values()
        self.assertEqual(reason.name, "REFUSED")
        self.assertIn("not connected", detail)

    def test_finish(self) -> None:
        """The owner can end the session though something could still follow."""
        world = World(3)
        with own_descriptors(world):
            world.connections[1].busy = True
            world.start()
            world.run(0.5)
            world.old.do(world.old.side.finish)
            world.run(0.1)
            world.check()
        self.assertEqual([world.endings[name].how for name in ("old", "new")], ["moved", "moved"])


class DecisionTests(SynchronousTestCase):
    """Up to the decision everything can be given up."""

    def assert_untouched(self, world: World, how: str) -> None:
        self.assertEqual(len(world.old.served), 5)
        self.assertEqual(world.endings["old"].how, how)
        self.assertIsNone(world.accepting)

    def test_declined(self) -> None:
        """A decision that fails leaves everything as it was."""
        world = play(lambda world: setattr(world, "decide", lambda: fail(RuntimeError("disk full"))))
        self.assert_untouched(world, "declined")
        self.assertIn("disk full", world.endings["old"].cause)
        self.assertEqual(world.endings["new"].how, "aborted")

    def test_too_late(self) -> None:
        """A decision that takes too long is cancelled."""
        self.assert_untouched(play(lambda world: setattr(world, "decide", Deferred)), "declined")

    def test_taken_though_cancelled(self) -> None:
        """A decision that was made when it is cancelled counts."""

        def decide() -> Deferred[None]:
            return Deferred(lambda decision: decision.callback(None))

        world = play(lambda world: setattr(world, "decide", decide))
        self.assertEqual(len(world.new.served), 5)

    def test_aborted_by_owner(self) -> None:
        """The owner can give up while its decision is open."""

        def abort(world: World) -> None:
            world.old.do(world.old.side.abort, "changed my mind")

        world = play(lambda world: setattr(world, "decide", Deferred), then=abort)
        self.assert_untouched(world, "failed")

    def test_decided_after_the_end(self) -> None:
        """A decision that comes when the new process is gone is known to the owner."""
        decision: Deferred[None] = Deferred()
        self.patch(decision, "cancel", lambda: None)
        world = World(5)
        with own_descriptors(world):
            world.decide = lambda: decision
            world.start()
            world.run(0.5)
            world.kill(world.new)
            world.run(0.5)
            decision.callback(None)
            world.run(0.5)
            world.check()
        self.assert_untouched(world, "lost")
        self.assertTrue(world.old.side.decided)

    def test_nothing_to_take_back(self) -> None:
        """Before the decision there is nothing to take back, after the end neither."""
        for decide in (Deferred, lambda: fail(RuntimeError())):
            world = World(1)
            with own_descriptors(world):
                world.decide = decide
                world.start()
                world.run(0.5)
                self.failureResultOf(world.old.side.take_back("why not"), HandoverError)
                self.failureResultOf(world.new.side.give_back("why not"), HandoverError)

    def test_start_fails(self) -> None:
        """Who waits for the moving hears of the end."""
        world = World(1)
        with own_descriptors(world):
            world.decide = lambda: fail(RuntimeError("no"))
            moved = world.old.side.start()
            taken = world.new.side.start()
            world.run(1)
        self.assertEqual(self.failureResultOf(moved, HandoverFailed).value.ending.how, "declined")
        self.failureResultOf(taken, HandoverFailed)


def newer(*, down: bool) -> Kinds:
    """Code of the next version."""
    converters = Converters()
    converters.add(KIND, 1, up=lambda old: {**old, "new": True}, down=dict if down else None)
    return Kinds({KIND: 2}, converters)


class VersionTests(SynchronousTestCase):
    """What the two can read of each other is known before anything is touched."""

    def test_newer_code(self) -> None:
        """Snapshots are converted on receipt, and back before they return."""
        world = World(3, new_kinds=newer(down=True))
        with own_descriptors(world):
            world.start()
            world.run(0.5)
            world.check()
            (snapshot, *_) = world.new.side._exchange._adopter.got
            self.assertEqual((snapshot.version, snapshot.fields["new"]), (2, True))
        self.assertEqual(len(world.new.served), 3)

    def test_refused(self) -> None:
        """A kind that the new process does not read is refused by its name, and no connection was frozen."""
        for kinds in (Kinds({}), Kinds({KIND: 2}), Kinds({"other": 1})):
            world = World(3, new_kinds=kinds)
            with own_descriptors(world):
                freezes: list[object] = []
                for movable in world.old.served.values():
                    self.patch(movable, "freeze", lambda freezes=freezes: freezes.append(1))
                world.start()
                world.run(1)
                world.check()
            self.assertEqual((world.endings["old"].how, freezes), ("refused", []))
            self.assertIn(KIND, world.endings["old"].cause)
            self.assertEqual(set(world.endings), {"old", "new"})

    def test_no_way_back(self) -> None:
        """Without a step down it moves, unless the owner insists on a way back."""
        for must_return, how in ((False, "moved"), (True, "refused")):
            world = World(3, new_kinds=newer(down=False), must_return=must_return)
            with own_descriptors(world):
                world.start()
                world.run(10)
                world.check()
            self.assertEqual(world.endings["old"].how, how)

    def test_no_greeting(self) -> None:
        """A process that never greets is not waited for."""
        for name in ("old", "new"):
            world = World(3)
            with own_descriptors(world):
                world.other(name).stopped = True
                world.start(name)
                world.run(40)
                self.assertEqual(world.endings[name].how, "failed")
                world.check()


class DeathTests(SynchronousTestCase):
    """A process dies, in the middle of anything."""

    def each_step(self, name: str, then: Setup | None) -> None:
        for fuse in range(steps_of(then)[name]):

            def setup(world: World, fuse: int = fuse) -> None:
                world.processes[name].fuse = fuse

            world = play(setup, then=then)
            self.assertFalse(world.processes[name].alive)
            self.assertIn(world.other(name).name, world.endings)

    def test_old_dies(self) -> None:
        """The old process dies at each step: what it had offered and not taken back is served by the new one."""
        self.each_step("old", None)

    def test_new_dies(self) -> None:
        """The new process dies at each step: what it had not begun to serve is served by the old one."""
        self.each_step("new", None)

    def test_old_dies_on_the_way_back(self) -> None:
        """The same in the other direction."""
        self.each_step("old", take_back)

    def test_new_dies_on_the_way_back(self) -> None:
        """The same in the other direction."""
        self.each_step("new", give_back)


class TroubleTests(SynchronousTestCase):
    """A process hangs, says garbage, or has no descriptors left, at each message in both directions."""

    def each_message(self, accident: Callable[[World, Process, Any], Any], *, fence: bool = True) -> list[World]:
        worlds = []
        for then in (None, take_back):
            for index in range(1, play(lambda _: None, then=then).delivered + 1):

                def setup(world: World, index: int = index) -> None:
                    world.accident = lambda receiver, at, item: accident(world, receiver, item) if at == index else item
                    if not fence:
                        world.old.side._fence_call = world.new.side._fence_call = None

                worlds.append(play(setup, then=then))
        return worlds

    def test_hangs_and_goes_on(self) -> None:
        """A process that hangs for long and wakes up finds its place; nobody serves what the other one serves."""

        def hang(world: World, receiver: Process, item: Any) -> Any:
            receiver.stopped = True
            world.clock.callLater(100, receiver.go_on)
            return item

        worlds = self.each_message(hang, fence=False)
        self.assertEqual({name for world in worlds for name in world.endings}, {"old", "new"})

    def test_hangs_for_good(self) -> None:
        """Whoever keeps silent about what it was given is ended; nothing waits for ever."""

        def hang(world: World, receiver: Process, item: Any) -> Any:
            receiver.stopped = True
            world.clock.callLater(150, world.kill, receiver)
            return item

        worlds = self.each_message(hang)
        self.assertTrue(any(world.fenced for world in worlds))

    def test_no_message(self) -> None:
        """Bytes that are no message end the session, and nothing else."""

        def garble(_: World, __: Process, item: Any) -> Any:
            return b"\xc1garbage", item[1]

        for world in self.each_message(garble):
            self.assertEqual(set(world.endings), {"old", "new"})

    def test_wrong_message(self) -> None:
        """A message that has no place ends the session, and nothing else."""
        texts = (
            b"\x82\xa4type\xa6commit\xa5batch\x63",
            b"\x82\xa4type\xa9committed\xa5batch\x01",
            b"\x81\xa4type\xa3end",
        )
        for text in texts:

            def wrong(_: World, __: Process, item: Any, text: bytes = text) -> Any:
                return text, item[1]

            for world in self.each_message(wrong):
                alive = {name for name, process in world.processes.items() if process.alive}
                self.assertEqual(set(world.endings), alive)

    def test_message_twice(self) -> None:
        """A message that comes twice does no harm, whatever it is."""

        def twice(world: World, receiver: Process, item: Any) -> Any:
            world.queues[receiver.name].appendleft((item[0], []))
            return item

        self.each_message(twice)

    def test_no_frame(self) -> None:
        """A link that is out of step ends the session, and nothing else."""

        def broken(_: World, receiver: Process, __: Any) -> Any:
            receiver.do(receiver.side.link_broken, "a frame begins with garbage")

        self.each_message(broken)

    def test_no_descriptors_left(self) -> None:
        """What the new process has no descriptors for stays with the old one."""

        def exhaust(world: World, receiver: Process, item: Any) -> Any:
            if len(item[1]) < 2:
                return item
            world.exhausted(receiver, item)
            return None

        for world in self.each_message(exhaust):
            self.assertEqual(len(world.old.served) + len(world.new.served), 5)


class ScheduleTests(SynchronousTestCase):
    """Anything at any time."""

    @settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
    @given(st.data())
    def test_any_schedule(self, data: st.DataObject) -> None:
        """Deaths, stops, refusals, busy and restless connections, ways back, in any order."""
        draw = data.draw
        world = World(draw(st.integers(0, 7)), draw(st.integers(1, 3)), random.Random(draw(st.integers(0, 999))))
        numbers = st.sets(st.integers(0, 6), max_size=3)
        for connection in world.connections:
            connection.busy = connection.number in draw(numbers)
            connection.restless = draw(st.integers(0, 4))
        world.new.unwanted = draw(numbers)
        for process in world.processes.values():
            process.fuse = draw(st.integers(-1, 90))
        with own_descriptors(world):
            world.start()
            for _ in range(draw(st.integers(0, 4))):
                self._happen(world, draw)
            world.run(300)
            for process in world.processes.values():
                if process.stopped:
                    process.go_on()
            world.run(300)
            world.check()

    def _happen(self, world: World, draw: Any) -> None:
        process = world.processes[draw(st.sampled_from(["old", "new"]))]
        match draw(st.sampled_from(["run", "run", "ready", "back", "stop", "kill", "abort"])):
            case "run":
                world.run(draw(st.sampled_from([0.0, 0.3, 2.0, 40.0])))
            case "ready":
                for connection in world.connections:
                    connection.busy = False
                process.do(lambda: [process.side.ready(movable) for movable in process.side.later])
            case "back":
                (take_back if process is world.old else give_back)(world)
            case "stop":
                process.stopped = True
            case "kill":
                world.kill(process)
            case "abort":
                process.do(process.side.abort, "enough")
