"""The four machines: no input is unexpected in any state, and the checks before them."""

from __future__ import annotations

import inspect
from typing import Any

from automat._typed import TypedState
from twisted.trial.unittest import SynchronousTestCase

from reload import _handover_giving, _handover_new_phases, _handover_old_phases, _handover_taking
from reload._handover_effects import Adopt, AnswerPrepared, BatchOver, Effects, Fail, Fence, Send, Thaw
from reload._handover_giving import Batch, Giver
from reload._handover_messages import Commit, Committed, Discard, Item, Prepare, Prepared
from reload._handover_new_phases import NewClock
from reload._handover_old_phases import OldClock
from reload._handover_taking import Held, Taker

ARGUMENTS = {
    "slots": (0,),
    "rehearsal": False,
    "now": 1.0,
    "refused": {},
    "changed": (),
    "cause": "why",
    "part": Prepare(1, (), last=True),
    "message": Commit(1),
}


def kinds(effects: Effects) -> list[str]:
    """The names of effects."""
    return [type(effect).__name__ for effect in effects]


def part(batch: int, *slots: int, last: bool = True) -> Prepare:
    """A part of a batch."""
    return Prepare(batch, tuple(Item(slot, b"", 1) for slot in slots), last)


class TableTests(SynchronousTestCase):
    """Each machine knows every input in every state."""

    def assert_total(self, module: Any, inputs: type, core: Any) -> None:
        states = [value for value in vars(module).values() if isinstance(value, TypedState)]
        self.assertGreaterEqual(len(states), 3)
        for state in states:
            for name, method in inspect.getmembers(inputs, inspect.isfunction):
                if name.startswith("_"):
                    continue
                parameters = list(inspect.signature(method).parameters)[1:]
                machine = module._build(core(), state)
                effects = getattr(machine, name)(*(ARGUMENTS[parameter] for parameter in parameters))
                self.assertIsInstance(effects, list, f"{name} in {state.name}")

    def test_total(self) -> None:
        """No transition is missing."""
        self.assert_total(_handover_old_phases, _handover_old_phases.OldPhases, lambda: OldClock(1, 1, None))
        self.assert_total(_handover_new_phases, _handover_new_phases.NewPhases, lambda: NewClock(None))
        self.assert_total(_handover_taking, _handover_taking.Taking, lambda: Held(1))

    def test_giving(self) -> None:
        """The giver's too; only a batch during a batch is its owner's error, which has no place to go."""
        for state in (_handover_giving._idle, _handover_giving._offered, _handover_giving._given):
            for name, arguments in (
                ("rehearsed", ()),
                ("prepared", ({}, (), 1.0)),
                ("committed", ()),
                ("timed_out", ()),
                ("give_up", ("why",)),
                ("lost", ()),
            ):
                machine = _handover_giving._build(Batch(1, 1), state)
                self.assertIsInstance(getattr(machine, name)(*arguments), list)


class GiverTests(SynchronousTestCase):
    """``Giver``."""

    def setUp(self) -> None:
        self.giver = Giver(prepare_s=5, commit_s=7)

    def offer(self, rehearsal: bool = False) -> None:
        self.giver.machine.offer((0, 1, 2), rehearsal, 10.0)

    def test_whole_life(self) -> None:
        """Offered, given but for what was refused and what changed, released."""
        self.offer()
        self.assertEqual(self.giver.deadline, 15.0)
        thaw, send = self.giver.prepared(Prepared(1, {0: "full"}), (2,), 11.0)
        assert isinstance(thaw, Thaw)
        assert isinstance(send, Send)
        self.assertEqual((thaw.slots, send.message), ((0, 2), Commit(1, (2,))))
        self.assertTrue(self.giver.in_doubt)
        self.assertEqual(self.giver.deadline, 18.0)
        release, over = self.giver.committed(Committed(1))
        self.assertEqual((kinds([release]), getattr(release, "slots", None)), (["Release"], (1,)))
        self.assertEqual(over, BatchOver(1, rehearsal=False))
        self.assertIsNone(self.giver.deadline)

    def test_rehearsal(self) -> None:
        """Taken back when it was adopted; the ledger is first."""
        self.offer(rehearsal=True)
        effects = self.giver.prepared(Prepared(1), (), 11.0)
        self.assertEqual(kinds(effects), ["Thaw", "Send", "BatchOver"])
        self.assertEqual(effects[-1], BatchOver(1, rehearsal=True))

    def test_refused_rehearsal(self) -> None:
        """Code that cannot adopt ends the session before the decision; a client that has left does not."""
        self.offer(rehearsal=True)
        (failed,) = self.giver.prepared(Prepared(1, {0: "ValueError: no", 1: "OSError: [Errno 107] gone"}), (), 11.0)
        self.assertEqual(failed, Fail("1 of 3 could not be adopted for a try: ValueError: no"))
        effects = self.giver.prepared(Prepared(1, {1: "OSError: [Errno 107] gone"}), (), 11.0)
        self.assertEqual(kinds(effects), ["Thaw", "Send", "BatchOver"])

    def test_time(self) -> None:
        """Nothing before the deadline; a thaw for what was offered, a fence, once, for what was given."""
        self.offer()
        self.assertEqual(self.giver.tick(14.9), [])
        self.assertEqual(kinds(self.giver.tick(15.0)), ["Thaw", "Send", "BatchOver", "Fail"])
        self.giver.machine.offer((0,), False, 20.0)
        self.giver.prepared(Prepared(2), (), 21.0)
        (fence,) = self.giver.tick(28.0)
        self.assertIsInstance(fence, Fence)
        self.assertEqual(self.giver.tick(99.0), [])
        self.assertEqual(kinds(self.giver.machine.lost()), ["Reclaim", "BatchOver"])

    def test_wrong_answers(self) -> None:
        """An answer for another batch or another slot is no answer; the batch goes on being offered."""
        self.offer()
        for effects in (
            self.giver.prepared(Prepared(2), (), 11.0),
            self.giver.prepared(Prepared(1, {9: "what"}), (), 11.0),
            self.giver.committed(Committed(1)),
            self.giver.committed(Committed(7)),
        ):
            self.assertEqual(kinds(effects), ["Fail"])
        self.assertEqual(kinds(self.giver.machine.give_up("enough")), ["Thaw", "Send", "BatchOver"])


class TakerTests(SynchronousTestCase):
    """``Taker``."""

    def setUp(self) -> None:
        self.taker = Taker(hold_s=30)

    def test_parts(self) -> None:
        """Parts are adopted as they come; the answer follows the last."""
        first, last = part(1, 0, 1, last=False), part(1, 2)
        self.assertEqual(self.taker.prepare(first, 1.0), [Adopt(first)])
        self.assertEqual(self.taker.prepare(last, 2.0), [Adopt(last), AnswerPrepared(1)])
        self.assertEqual(self.taker.deadline, 32.0)
        self.assertEqual(kinds(self.taker.commit(Commit(1, (2,)))), ["Resume"])
        self.assertIsNone(self.taker.deadline)

    def test_wrong(self) -> None:
        """Another batch in between, an old one, one slot twice, and answers that fit nothing."""
        self.taker.prepare(part(3, 0), 1.0)
        wrong = [
            self.taker.prepare(part(4, 0), 1.0),
            self.taker.prepare(part(3, 1), 1.0),
            self.taker.prepare(part(3, 0), 1.0),
            self.taker.commit(Commit(4)),
            self.taker.commit(Commit(3, (8,))),
            self.taker.discard(Discard(2)),
        ]
        self.assertEqual(kinds(self.taker.discard(Discard(3))), ["Drop"])
        wrong += [
            self.taker.prepare(part(3, 0), 2.0),
            self.taker.prepare(part(4, 1, 1), 2.0),
            self.taker.commit(Commit(3)),
            self.taker.discard(Discard(3)),
        ]
        for effects in wrong:
            self.assertEqual([type(effect) for effect in effects], [Fail])

    def test_time(self) -> None:
        """A giver that hangs does not hold the taker for ever."""
        self.taker.prepare(part(1, 0, last=False), 1.0)
        self.assertEqual(self.taker.tick(30.9), [])
        self.assertEqual(kinds(self.taker.tick(31.0)), ["Drop", "Fail"])
