"""What orders to a node promise, whoever takes them: ``cloudd.interfaces.orders``."""

from __future__ import annotations

from typing import Any

from cloudd.interfaces.orders import NoSuchOrder, Order, OrderRefused, OrderStatus


class NodeOrdersContract:
    """
    Mix into a ``TestCase`` whose ``setUp`` sets these.

    :ivar orders: the provider
    :ivar node: id of a node that runs ``old_hash``
    :ivar tree: where it finds other code, of the hash ``new_hash``
    """

    orders: Any
    node: str
    tree: str
    old_hash: str
    new_hash: str

    async def ended(self: Any, status: OrderStatus) -> OrderStatus:
        for _ in range(1_000):
            if status.state == "ended":
                return status
            status = await self.orders.status(self.node, status.id)
        raise AssertionError("the order does not end")

    def order(self: Any, order_id: str = "o-1", **facts: Any) -> Order:
        return Order(**{"id": order_id, "tree": self.tree, "expected_hash": self.new_hash, "canary": 0.0, **facts})

    def back(self: Any, order_id: str = "o-1.back", expected: str | None = None) -> Order:
        return Order(id=order_id, expected_hash=self.old_hash if expected is None else expected)

    async def test_there_and_back(self: Any) -> None:
        """An upgrade, and a rollback to what ran before."""
        up = await self.ended(await self.orders.upgrade(self.node, self.order()))
        self.assertEqual((up.action, up.result, up.new_hash), ("upgrade", "committed", self.new_hash))
        down = await self.ended(await self.orders.rollback(self.node, self.back()))
        self.assertEqual((down.action, down.result, down.new_hash), ("rollback", "committed", self.old_hash))

    async def test_done_once(self: Any) -> None:
        """The same order sent again tells how it has ended, also when that is no longer what runs."""
        await self.ended(await self.orders.upgrade(self.node, self.order()))
        await self.ended(await self.orders.rollback(self.node, self.back()))
        again = await self.orders.upgrade(self.node, self.order())
        self.assertEqual((again.state, again.result), ("ended", "committed"))
        plan = await self.orders.plan(self.node, self.tree)
        self.assertEqual(plan["running_hash"], self.old_hash)

    async def test_one_id_for_one_order(self: Any) -> None:
        await self.ended(await self.orders.upgrade(self.node, self.order()))
        for wrong in (
            self.orders.upgrade(self.node, self.order(who="x")),
            self.orders.rollback(self.node, self.order()),
        ):
            await self.assertFailure(wrong, OrderRefused)

    async def test_unknown(self: Any) -> None:
        await self.assertFailure(self.orders.status(self.node, "o-9"), NoSuchOrder)

    async def test_withdrawn(self: Any) -> None:
        """An order that comes after it was withdrawn is not done; one that was begun goes on."""
        early = await self.orders.withdraw(self.node, "o-1")
        late = await self.orders.upgrade(self.node, self.order())
        self.assertEqual([(each.state, each.result) for each in (early, late)], [("ended", "refused")] * 2)
        plan = await self.orders.plan(self.node, self.tree)
        self.assertEqual(plan["running_hash"], self.old_hash)
        await self.ended(await self.orders.upgrade(self.node, self.order("o-2")))
        self.assertEqual((await self.orders.withdraw(self.node, "o-2")).result, "committed")

    async def test_what_runs_already(self: Any) -> None:
        await self.ended(await self.orders.upgrade(self.node, self.order()))
        again = await self.ended(await self.orders.upgrade(self.node, self.order("o-2")))
        self.assertEqual(again.result, "unchanged")

    async def test_back_to_something_else(self: Any) -> None:
        """A rollback that would load other code than expected is refused, and changes nothing."""
        await self.ended(await self.orders.upgrade(self.node, self.order()))
        wrong = self.orders.rollback(self.node, self.back(expected="f" * 64))
        await self.assertFailure(wrong, OrderRefused)
        plan = await self.orders.plan(self.node, self.tree)
        self.assertEqual(plan["running_hash"], self.new_hash)

    async def test_plan(self: Any) -> None:
        """It says what would be loaded, and that there is nothing to do afterwards."""
        plan = await self.orders.plan(self.node, self.tree)
        self.assertEqual(
            (plan["kind"], plan["target_hash"], plan["running_hash"]), ("swap", self.new_hash, self.old_hash)
        )
        await self.ended(await self.orders.upgrade(self.node, self.order()))
        self.assertEqual((await self.orders.plan(self.node, self.tree))["kind"], "nothing")
