"""Orders of other nodes: done once by their id, written down before, and ended by what was decided when cut off."""

from __future__ import annotations

from typing import Any, get_args

import attrs
import msgspec
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from cloudd.control import Result
from cloudd.daemon._orders import FILE_NAME, KEPT, Asked, Kept, Orders
from cloudd.interfaces.orders import NoSuchOrder, Order, OrderRefused, OrderStatus

from .code_trees import ThreadsAtOnce
from .test_upgrade import UpgradeCase


class OrderCase(UpgradeCase):
    def setUp(self) -> None:
        super().setUp()
        self.orders = self.anchor()
        self.settle()

    def anchor(self) -> Orders:
        """As after a start of the anchor."""
        return Orders(self.upgrades, self.state, ThreadsAtOnce(), lambda: 200.0 + self.clock.seconds())

    def settle(self) -> None:
        self.successResultOf(Deferred.fromCoroutine(self.orders.settle()))

    def ask(self, name: str, **body: Any) -> Any:
        """What a worker's call gives, at once, or raises."""
        results: list[Any] = []
        Deferred.fromCoroutine(self.orders.callees()[name](**body)).addBoth(results.append)
        [result] = results
        if isinstance(result, Failure):
            result.raiseException()
        return result

    def begin(self, action: str = "upgrade", sender: str = "two", **order: Any) -> OrderStatus:
        asked = attrs.asdict(Order(**{"id": "o-1", "who": "ann", **order}))
        answer = self.ask("order_begin", action=action, order=asked, sender=sender)
        return self.read(answer)

    def status(self, order_id: str = "o-1") -> OrderStatus:
        return self.read(self.ask("order_status", order_id=order_id))

    def read(self, answer: dict[str, Any]) -> OrderStatus:
        """As it is after a way through JSON."""
        return OrderStatus(**msgspec.json.decode(msgspec.json.encode(answer)))

    def refused(self, kind: type[OrderRefused] = OrderRefused, **asked: Any) -> str:
        """Why ``begin`` with these is refused."""
        with self.assertRaises(kind) as caught:
            self.begin(**asked)
        return str(caught.exception)

    def hold(self, step: str = "prepare") -> Deferred[None]:
        self.workers.gates[step] = Deferred()
        return self.workers.gates[step]


class OrderTests(OrderCase):
    def test_words(self) -> None:
        """What is asked has the fields of ``Order``, and results are those of the control protocol."""
        self.assertEqual(
            {each.name for each in attrs.fields(Order)}, {each.name for each in msgspec.structs.fields(Asked)}
        )
        self.assertLessEqual({"committed", "unchanged", "refused", "failed", "busy"}, set(get_args(Result)))

    async def test_upgrade(self) -> None:
        """It is answered at once, goes on, ends, and names who wanted it and the node that said so."""
        new, gate = self.version(2), self.hold()
        begun = self.begin(expected_hash=new.hash, canary=0.0)
        self.assertEqual((begun.state, begun.action, begun.began), ("running", "upgrade", 200.0))
        self.clock.advance(3)
        running = self.status()
        self.assertEqual((running.step, running.result, running.ended), ("prepare", "", 0.0))
        gate.callback(None)
        ended = self.status()
        self.assertEqual((ended.state, ended.result, ended.how, ended.ended), ("ended", "committed", "swap", 203.0))
        self.assertEqual((ended.old_hash, ended.new_hash, ended.generation), (self.old.hash, new.hash, 2))
        (entry,) = await self.entries()
        self.assertEqual((entry.who.user, entry.who.origin), ("ann", "order o-1 over messaging from node two"))

    def test_once(self) -> None:
        """The same order again changes nothing, while it runs, afterwards, and at another anchor."""
        new, gate = self.version(2), self.hold()
        self.begin(expected_hash=new.hash)
        self.assertEqual(self.begin(expected_hash=new.hash).state, "running")
        gate.callback(None)
        ended = self.status()
        self.assertEqual(self.begin(expected_hash=new.hash), ended)
        self.orders = self.anchor()
        self.settle()
        self.assertEqual(self.begin(expected_hash=new.hash), ended)
        self.assertEqual([call for call, _ in self.workers.calls].count("commit"), 1)
        self.assertEqual((self.state / FILE_NAME).stat().st_mode & 0o777, 0o600)

    def test_rollback(self) -> None:
        """It loads what ran before, unless something else is expected."""
        new = self.version(2)
        self.begin(expected_hash=new.hash)
        self.assertIn("a rollback would load", self.refused(action="rollback", id="o-2", expected_hash=new.hash))
        back = self.begin("rollback", id="o-2", expected_hash=self.old.hash)
        self.assertEqual((back.action, back.result, back.new_hash), ("rollback", "committed", self.old.hash))
        self.assertEqual(self.upgrades.current.tree.hash, self.old.hash)

    def test_rollback_under_supervision(self) -> None:
        """It ends the upgrade that another order has begun: that one says that it failed."""
        new, gate = self.version(2), Deferred[None]()
        self.hand_over.gates["supervise"] = gate
        self.begin(expected_hash=new.hash, how="hand-over")
        self.assertEqual(self.status().step, "supervise")
        back = self.begin("rollback", id="o-2", expected_hash=self.old.hash)
        self.assertEqual((back.result, back.new_hash), ("committed", self.old.hash))
        self.assertEqual((self.status().result, self.status().new_hash), ("failed", new.hash))

    def test_how_it_ends(self) -> None:
        """What the upgrade says; a refusal of the tree is the outcome of an order that was taken."""
        self.assertEqual(self.begin().result, "unchanged")
        self.version(2)
        other = self.begin(id="o-2", expected_hash="0" * 64)
        self.assertEqual(other.result, "refused")
        self.assertIn("the tree has changed", other.cause)
        self.workers.errors["prepare"] = RuntimeError("front-1: no")
        self.assertIn("front-1: no", self.begin(id="o-3").cause)

    def test_busy(self) -> None:
        """While another change is under way it is refused, with the same id to be asked again."""
        self.version(2)
        gate = self.hold()
        under_way = self.upgrade()
        self.assertIn("another change is under way: prepare", self.refused())
        self.assertIn("another change", self.refused(action="rollback"))
        gate.callback(None)
        self.successResultOf(under_way)
        self.assertEqual(self.begin().result, "unchanged")

    def test_refused(self) -> None:
        """Words that are no order, and another order of a known id; nothing is kept of them."""
        for bad in (
            {"id": ""},
            {"id": "A"},
            {"id": "x" * 65},
            {"expected_hash": "abc"},
            {"how": "soon"},
            {"canary": 95.0},
        ):
            self.assertIn("this is no order", self.refused(**bad), bad)
        self.begin()
        self.assertIn("another order", self.refused(who="bob"))
        self.assertIn("another order", self.refused(action="rollback"))
        with self.assertRaises(NoSuchOrder):
            self.status("o-2")

    def test_withdrawn(self) -> None:
        """What comes after it was withdrawn is not begun, also at another anchor."""
        new = self.version(2)
        told = self.read(self.ask("order_withdraw", order_id="o-1"))
        self.assertEqual((told.state, told.result, told.began, told.ended), ("ended", "refused", 200.0, 200.0))
        for _ in range(2):
            self.assertEqual(self.begin(expected_hash=new.hash), told)
            self.orders = self.anchor()
            self.settle()
        self.assertIn("withdrawn", told.cause)
        self.assertEqual(self.workers.calls, [])
        with self.assertRaises(OrderRefused):
            self.ask("order_withdraw", order_id="O")
        self.begin(id="o-2", expected_hash=new.hash)
        self.assertEqual(self.read(self.ask("order_withdraw", order_id="o-2")).result, "committed")

    def test_withdrawn_on_a_full_disk(self) -> None:
        """What cannot be written down is not withdrawn."""
        (self.state / FILE_NAME).mkdir()
        with self.assertRaises(OrderRefused):
            self.ask("order_withdraw", order_id="o-1")
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 1)
        (self.state / FILE_NAME).rmdir()
        with self.assertRaises(NoSuchOrder):
            self.status()

    def test_plan(self) -> None:
        """What an upgrade would do, as the control socket says it."""
        new = self.version(2)
        plan = self.ask("order_plan", tree="", how="", canary=None)
        self.assertEqual((plan["kind"], plan["target_hash"]), ("swap", new.hash))
        for wrong in ({"tree": 7}, {"how": "fly"}, {"canary": 101}, {"more": 1}):
            with self.assertRaises(OrderRefused):
                self.ask("order_plan", **wrong)


class CutOffTests(OrderCase):
    def test_decided(self) -> None:
        """An anchor that was killed behind the decision finds that it was carried out."""
        new = self.version(2)
        self.hold("commit")
        self.begin(expected_hash=new.hash)
        self.upgrades = self.boot()
        self.orders = self.anchor()
        self.settle()
        status = self.status()
        self.assertEqual((status.state, status.result, status.new_hash), ("ended", "committed", new.hash))
        self.assertEqual(self.begin(expected_hash=new.hash), status)

    def test_not_decided(self) -> None:
        """Before it, that nothing was changed; that is kept."""
        new = self.version(2)
        self.hold("prepare")
        self.begin(expected_hash=new.hash)
        for _ in range(2):
            self.version(1)
            self.upgrades = self.boot()
            self.orders = self.anchor()
            self.settle()
            status = self.status()
            self.assertEqual((status.state, status.result), ("ended", "failed"))
            self.assertIn("before anything was decided", status.cause)

    def test_other_code(self) -> None:
        """Where other code than it wanted was decided for meanwhile it has failed."""
        new = self.version(2)
        self.hold("prepare")
        self.begin(expected_hash=new.hash)
        self.upgrades = self.boot()
        self.version(3)
        self.workers.gates.clear()
        self.successResultOf(self.upgrade())
        self.orders = self.anchor()
        self.settle()
        status = self.status()
        self.assertEqual((status.state, status.result, status.new_hash), ("ended", "failed", ""))
        self.assertIn("before anything was decided", status.cause)

    def test_asked_too_early(self) -> None:
        """Who asks while the anchor starts waits until it knows."""
        self.begin()
        self.orders = self.anchor()
        asked = Deferred.fromCoroutine(self.orders.callees()["order_status"](order_id="o-1"))
        self.assertNoResult(asked)
        self.settle()
        self.assertEqual(self.successResultOf(asked)["result"], "unchanged")

    def test_unreadable(self) -> None:
        """A damaged file is told in the log, and orders are taken all the same."""
        for number, damaged in enumerate((b"[{]", b'[{"sender":"\xff"}]', b"[" * 100_000)):
            (self.state / FILE_NAME).write_bytes(damaged)
            self.orders = self.anchor()
            self.settle()
            self.assertEqual(self.begin(id=f"o-{number}").result, "unchanged")

    def test_not_written_down(self) -> None:
        """What cannot be written down is not begun, and may be asked for again."""
        self.version(2)
        (self.state / FILE_NAME).mkdir()
        self.assertIn("cannot be written down", self.refused())
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 1)
        self.assertEqual(self.workers.calls, [])
        (self.state / FILE_NAME).rmdir()
        self.assertEqual(self.begin().result, "committed")

    def test_forgotten(self) -> None:
        """The oldest that have ended, when there are too many."""
        for number in range(KEPT + 3):
            self.clock.advance(1)
            self.begin(id=f"o-{number}")
        kept = msgspec.json.decode((self.state / FILE_NAME).read_bytes(), type=list[Kept])
        self.assertEqual(len(kept), KEPT)
        self.assertEqual(self.status(f"o-{KEPT + 2}").result, "unchanged")
        with self.assertRaises(NoSuchOrder):
            self.status("o-0")
