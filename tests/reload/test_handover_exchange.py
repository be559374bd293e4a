"""Batches with things that misbehave: one thing's trouble is not the others'."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from reload import Snapshot
from reload._handover_effects import Fail
from reload._handover_exchange import BATCH_BYTES, MAX_SNAPSHOT_BYTES, Exchange
from reload._handover_giving import Giver
from reload._handover_interfaces import NotMovable, Offer, Reason
from reload._handover_kinds import Agreement, Kinds
from reload._handover_ledger import Ledger
from reload._handover_messages import Commit, Committed, Item, Prepare, Prepared
from reload._handover_supply import Supply
from reload._handover_taking import Taker


def _raise(error: Exception) -> Any:
    raise error


class Thing:
    """A movable that writes down what it is told; any call can be made to do something else."""

    def __init__(self, **calls: Callable[[], Any]) -> None:
        self.told: list[str] = []
        self.fields: dict[str, Any] = {}
        self.descriptors: tuple[int, ...] = (0,)
        self.kind = "thing"
        self._calls = calls

    def __getattr__(self, name: str) -> Callable[[], Any]:
        def call() -> Any:
            self.told.append(name)
            default: Callable[[], Any] = self._offer if name == "offer" else lambda: None
            return self._calls.get(name, default)()

        return call

    def _offer(self) -> Offer:
        return Offer(Snapshot(self.kind, 1, self.fields), self.descriptors)


class Adopter:
    """Adopts things."""

    versions = {"thing": 1}

    def __init__(self, thing: Thing) -> None:
        self.thing = thing

    def adopt(self, snapshot: Snapshot, descriptors: Sequence[int]) -> Thing:
        self.thing.told.append(f"adopt {len(descriptors)}")
        return self.thing


class ExchangeTests(SynchronousTestCase):
    """``Exchange``."""

    def setUp(self) -> None:
        self.sent: list[tuple[Any, tuple[int, ...]]] = []
        self.supply = Supply(list)
        self.adopted = Thing()
        self.exchange = Exchange(
            lambda message, descriptors=(): self.sent.append((message, descriptors)),
            lambda: 0.0,
            Kinds({"thing": 1}),
            Adopter(self.adopted),
            self.supply,
            Ledger(),
            Giver(1, 1),
            Taker(1),
        )
        self.exchange.agreement = Agreement({"thing": 1}, (), ())
        self.addCleanup(self.exchange.close)

    def offer(self, *things: Thing) -> None:
        self.perform(self.exchange.offer(things, rehearsal=False))

    def perform(self, effects: list[Any]) -> None:
        for effect in effects:
            self.exchange.perform(effect)

    def reason(self, thing: Thing) -> Reason:
        return self.supply.later[thing][0]

    def test_cannot_freeze(self) -> None:
        """It stays with its reason and was not touched; an accident is logged."""
        busy = Thing(freeze=lambda: _raise(NotMovable(Reason.CLOSING)))
        broken = Thing(freeze=lambda: _raise(KeyError("x")))
        self.offer(busy, broken)
        self.assertEqual((self.reason(busy), self.reason(broken)), (Reason.CLOSING, Reason.FAILED))
        self.assertEqual((busy.told, broken.told), (["freeze"], ["freeze"]))
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)
        self.assertEqual((self.sent, self.exchange.giving), ([], False))

    def test_cannot_tell(self) -> None:
        """It is thawed at once, and the others move."""
        cases = {
            Thing(offer=lambda: _raise(NotMovable(Reason.BUSY, "at work"))): Reason.BUSY,
            Thing(offer=lambda: _raise(KeyError("x"))): Reason.FAILED,
            self.thing_with(fields={"x": b"x" * MAX_SNAPSHOT_BYTES}): Reason.TOO_LARGE,
            self.thing_with(descriptors=()): Reason.TOO_LARGE,
            self.thing_with(kind="other"): Reason.REFUSED,
        }
        good = Thing()
        self.offer(*cases, good)
        for thing, reason in cases.items():
            self.assertIs(self.reason(thing), reason)
            self.assertEqual(thing.told, ["freeze", "offer", "thaw"])
        ((message, descriptors),) = self.sent
        self.assertEqual((len(message.items), descriptors), (1, (0,)))
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)

    def thing_with(self, **attributes: Any) -> Thing:
        thing = Thing()
        vars(thing).update(attributes)
        return thing

    def test_parts(self) -> None:
        """A batch is cut where its descriptors or bytes would not fit into one message."""
        self.offer(*(self.thing_with(descriptors=(0,) * 100) for _ in range(5)))
        self.assertEqual([len(descriptors) for _, descriptors in self.sent], [200, 200, 100])
        self.assertEqual([message.last for message, _ in self.sent], [False, False, True])
        self.assertEqual([item.slot for message, _ in self.sent for item in message.items], [0, 1, 2, 3, 4])

    def test_large_parts(self) -> None:
        """Large snapshots go in messages of their own."""
        self.offer(*(self.thing_with(fields={"x": b"x" * 2_000_000}) for _ in range(3)))
        self.assertEqual([len(message.items) for message, _ in self.sent], [1, 1, 1])

    def test_many_bytes(self) -> None:
        """A batch ends where its snapshots are large: what follows is not even frozen, and comes with the next one."""
        things = [Thing() for _ in range(5)]
        for thing in things:
            thing.fields = {"a": bytes(BATCH_BYTES // 3)}
        self.exchange.offer(things, rehearsal=False)
        self.assertEqual([thing.told for thing in things], [["freeze", "offer"]] * 3 + [[]] * 2)
        self.assertEqual(self.supply.next(9), things[3:])

    def test_troubled_thaw_and_release(self) -> None:
        """An error in one does not keep the others; who cannot tell whether it changed has changed."""
        troubled = Thing(thaw=lambda: _raise(KeyError("x")), changed=lambda: _raise(KeyError("x")))
        unforgettable = Thing(release=lambda: _raise(KeyError("x")), changed=lambda: False)
        fine = Thing(changed=lambda: False)
        self.offer(troubled, unforgettable, fine)
        changed = self.exchange.changed()
        self.assertEqual(changed, (0,))
        self.perform(self.exchange.giver.prepared(Prepared(1), changed, 0.0))
        self.perform(self.exchange.giver.machine.committed())
        self.assertEqual((troubled.told[-1], unforgettable.told[-1], fine.told[-1]), ("thaw", "release", "release"))
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 3)
        self.assertEqual(self.exchange.progress.moved, 2)

    # ---- taking

    def prepare(self, *, data: bytes | None = None, announced: int = 2) -> tuple[list[Any], tuple[int, ...]]:
        descriptors = (os.dup(0), os.dup(0))
        packed = Snapshot("thing", 1, {}).pack() if data is None else data
        effects = self.exchange.prepare(Prepare(1, (Item(0, packed, 2),), last=True), descriptors, announced)
        self.perform(effects)
        return effects, descriptors

    def assert_closed(self, descriptors: tuple[int, ...]) -> None:
        for descriptor in descriptors:
            self.assertRaises(OSError, os.fstat, descriptor)

    def test_adopt(self) -> None:
        """All descriptors of a thing go to it."""
        _, descriptors = self.prepare()
        self.assertEqual(self.adopted.told, ["adopt 2"])
        self.assertEqual(self.sent, [(Prepared(1), ())])
        for descriptor in descriptors:
            os.close(descriptor)

    def test_not_adopted(self) -> None:
        """What cannot be read is refused with its cause; its descriptors are closed."""
        for data in (b"garbage", Snapshot("other", 1, {}).pack(), Snapshot("thing", 9, {}).pack()):
            self.setUp()
            _, descriptors = self.prepare(data=data)
            self.assert_closed(descriptors)
            ((message, _),) = self.sent
            self.assertEqual(list(message.refused), [0])

    def test_too_few_descriptors(self) -> None:
        """A thing whose descriptors could not all be opened is refused, and is not adopted with the rest of them."""
        descriptors = (os.dup(0), os.dup(0), os.dup(0))
        items = tuple(Item(slot, Snapshot("thing", 1, {}).pack(), 2) for slot in range(3))
        self.perform(self.exchange.prepare(Prepare(1, items, last=True), descriptors, announced=6))
        self.assertEqual(self.adopted.told, ["adopt 2"])
        self.assertEqual(self.sent, [(Prepared(1, dict.fromkeys((1, 2), "OSError: too many open files")), ())])
        self.assert_closed(descriptors[2:])
        for descriptor in descriptors[:2]:
            os.close(descriptor)

    def test_other_count(self) -> None:
        """A batch whose descriptors are not those that it names is a violation."""
        effects, descriptors = self.prepare(announced=3)
        self.assertEqual([type(effect) for effect in effects], [Fail])
        self.assert_closed(descriptors)

    def test_nothing_is_taken(self) -> None:
        """Nor is one where nothing is adopted."""
        self.exchange._adopter = None
        effects, descriptors = self.prepare()
        self.assertEqual([type(effect) for effect in effects], [Fail])
        self.assert_closed(descriptors)

    def test_cannot_resume(self) -> None:
        """A thing that cannot be served is dropped and reported; it is nobody's any more."""
        self.adopted._calls["resume"] = lambda: _raise(KeyError("x"))
        _, descriptors = self.prepare()
        self.perform(self.exchange.taker.commit(Commit(1)))
        self.assertEqual(self.sent[-1], (Committed(1, (0,)), ()))
        self.assertEqual(self.adopted.told[1:], ["resume", "discard"])
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)
        self.assertEqual(self.exchange.progress.lost, 1)
        for descriptor in descriptors:
            os.close(descriptor)
