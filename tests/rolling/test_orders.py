"""The orders of the small cloud and those that a daemon's anchor takes keep one contract."""

from __future__ import annotations

from typing import Any

from attrs import asdict
from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from cloudd.daemon._orders import Orders
from cloudd.interfaces.orders import Order, OrderStatus
from cloudd.nodes._orders import status_in
from tests.contracts.node_orders import NodeOrdersContract
from tests.daemon.code_trees import ThreadsAtOnce
from tests.daemon.test_upgrade import UpgradeCase

from .small_cloud import NEW, OLD, SmallCloud


class SmallCloudTests(NodeOrdersContract, TestCase):
    def setUp(self) -> None:
        self.orders, self.node, self.tree, self.old_hash, self.new_hash = SmallCloud(["a"]), "a", "/srv/new", OLD, NEW


class Direct:
    """The anchor's orders without messaging in between."""

    def __init__(self, orders: Orders) -> None:
        self._calls = orders.callees()

    def plan(self, _node: str, tree: str, how: str = "", canary: float | None = None) -> Deferred[dict[str, Any]]:
        return Deferred.fromCoroutine(self._calls["order_plan"](tree=tree, how=how, canary=canary))

    def upgrade(self, _node: str, order: Order) -> Deferred[OrderStatus]:
        return self._begin("upgrade", order)

    def rollback(self, _node: str, order: Order) -> Deferred[OrderStatus]:
        return self._begin("rollback", order)

    def status(self, _node: str, order_id: str) -> Deferred[OrderStatus]:
        return Deferred.fromCoroutine(self._calls["order_status"](order_id)).addCallback(status_in)

    def withdraw(self, _node: str, order_id: str) -> Deferred[OrderStatus]:
        return Deferred.fromCoroutine(self._calls["order_withdraw"](order_id)).addCallback(status_in)

    def _begin(self, action: str, order: Order) -> Deferred[OrderStatus]:
        begun: Deferred[dict[str, Any]] = Deferred.fromCoroutine(
            self._calls["order_begin"](action, asdict(order), "node-1")
        )
        return begun.addCallback(status_in)


class AnchorTests(NodeOrdersContract, UpgradeCase):
    def setUp(self) -> None:
        super().setUp()
        new = self.version(2)
        self.node, self.tree, self.old_hash, self.new_hash = "", "", self.old.hash, new.hash
        orders = Orders(self.upgrades, self.state, ThreadsAtOnce(), lambda: 200.0)
        self.successResultOf(Deferred.fromCoroutine(orders.settle()))
        self.orders = Direct(orders)
