"""A worker asks its anchor, and when that goes, the next one."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from cloudd.daemon._anchor_link import CHANGE_S, HOST_TIMEOUT_S, AnchorLink, LinkedHost, LinkedOrders
from cloudd.daemon._link import Frames, LinkLost, LinkTimeout, Message, RemoteError, frame
from cloudd.interfaces.orders import NoSuchOrder, OrderRefused


class AnchorLinkTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.lost = 0
        self.anchor = AnchorLink({}, self.clock, self.count)
        self.host = LinkedHost(self.anchor)
        self.wire = self.connect()

    def count(self) -> None:
        self.lost += 1

    def connect(self) -> StringTransport:
        wire = StringTransport()
        self.anchor.link.makeConnection(wire)
        return wire

    def answer(self, wire: StringTransport, answer: Any) -> str:
        """Answer the one call; gives its name."""
        (call,) = Frames().feed(wire.value())
        self.anchor.link.dataReceived(frame(Message(id=call.id, answer=answer)))
        return call.call

    def test_asked(self) -> None:
        """The usual case; metrics come as bytes."""
        metrics = self.host.metrics()
        self.assertEqual(self.answer(self.wire, "text"), "host_metrics")
        self.assertEqual(self.successResultOf(metrics), b"text")

    def test_the_next_anchor_answers(self) -> None:
        """A question that an anchor takes to its grave is put to the one that comes."""
        health = self.host.health()
        self.anchor.link.connectionLost()
        self.assertEqual(self.lost, 1)
        self.assertNoResult(health)
        self.clock.advance(1)
        self.anchor.renew()
        wire = self.connect()
        self.anchor.renewed()
        self.answer(wire, {"status": "ok"})
        self.assertEqual(self.successResultOf(health), {"status": "ok"})

    def test_nobody_comes(self) -> None:
        """The time counts over all anchors."""
        health: Deferred[Any] = self.host.health()
        self.anchor.link.connectionLost()
        late = self.host.health()
        self.clock.advance(HOST_TIMEOUT_S)
        self.failureResultOf(health, LinkLost)
        self.failureResultOf(late, LinkLost)
        self.anchor.renew()
        self.connect()
        self.anchor.renewed()
        self.assertEqual(self.lost, 1)

    def test_one_that_comes_again(self) -> None:
        """While an anchor becomes other code, what it was asked waits for its next self, which has the whole time."""
        self.anchor.announced()
        health = self.host.health()
        self.anchor.link.connectionLost()
        self.clock.advance(CHANGE_S - 1)
        self.assertNoResult(health)
        self.anchor.renew()
        wire = self.connect()
        self.anchor.renewed()
        self.clock.advance(HOST_TIMEOUT_S - 0.1)
        self.answer(wire, {"status": "ok"})
        self.assertEqual(self.successResultOf(health), {"status": "ok"})
        late = self.host.health()
        self.clock.advance(HOST_TIMEOUT_S)
        self.failureResultOf(late, LinkTimeout)

    def test_one_that_does_not_come_again(self) -> None:
        """An announcement is believed for so long."""
        self.anchor.announced()
        health = self.host.health()
        self.anchor.link.connectionLost()
        self.clock.advance(CHANGE_S)
        self.failureResultOf(health, LinkLost)

    def test_a_silent_anchor(self) -> None:
        """One that is there and does not answer is not asked again."""
        health = self.host.health()
        self.clock.advance(HOST_TIMEOUT_S)
        self.failureResultOf(health, LinkTimeout)


class OrderTests(AnchorLinkTests):
    def setUp(self) -> None:
        super().setUp()
        self.orders = LinkedOrders(self.anchor)

    def refuse(self, kind: str, cause: str) -> None:
        (call,) = Frames().feed(self.wire.value())
        self.wire.clear()
        self.anchor.link.dataReceived(frame(Message(id=call.id, error=(kind, cause))))

    def test_orders(self) -> None:
        """They go to the anchor as they are, and its refusals are the same here."""
        begun = self.orders.begin("upgrade", {"id": "o"}, "two")
        (call,) = Frames().feed(self.wire.value())
        self.assertEqual(call.body, {"action": "upgrade", "order": {"id": "o"}, "sender": "two"})
        self.refuse("OrderRefused", "busy")
        self.assertEqual(str(self.failureResultOf(begun, OrderRefused).value), "busy")
        asked = self.orders.status("o")
        self.refuse("NoSuchOrder", "none")
        self.failureResultOf(asked, NoSuchOrder)
        planned = self.orders.plan("/t")
        self.assertEqual(self.answer(self.wire, {"kind": "swap"}), "order_plan")
        self.assertEqual(self.successResultOf(planned), {"kind": "swap"})

    def test_withdraw(self) -> None:
        """An anchor of before that could be asked says how far the order is."""
        asked = self.orders.withdraw("o")
        self.assertEqual(self.answer(self.wire, {"result": "refused"}), "order_withdraw")
        self.assertEqual(self.successResultOf(asked), {"result": "refused"})
        self.wire.clear()
        asked = self.orders.withdraw("o")
        self.refuse("LookupError", "order_withdraw: this process knows no such call")
        self.assertEqual(self.answer(self.wire, {"result": "committed"}), "order_status")
        self.assertEqual(self.successResultOf(asked), {"result": "committed"})
        self.wire.clear()
        asked = self.orders.withdraw("O")
        self.refuse("OrderRefused", "this is no order")
        self.failureResultOf(asked, OrderRefused)

    def test_other_code(self) -> None:
        """An anchor of before there were orders refuses them in words; what else it raises is not hidden."""
        asked = self.orders.status("o")
        self.refuse("LookupError", "order_status: this process knows no such call")
        self.failureResultOf(asked, OrderRefused)
        asked = self.orders.status("o")
        self.refuse("KeyError", "a bug")
        self.failureResultOf(asked, RemoteError)
