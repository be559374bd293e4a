# -*- test-case-name: tests.rolling.test_drive -*-
"""
One node's next bit: order it to change, ask how far that is, look whether it is well; and the way back.

Each call does one thing and changes the node's ``NodeProgress``, which the caller saves.  What is kept here besides
(since when a node is silent or busy, and the gates) may be lost: who takes over begins to count anew.
"""

from __future__ import annotations

from collections.abc import Mapping

from attrs import define, field, frozen

from cloudd.interfaces.orders import NodeSilent, NoSuchOrder, Order, OrderRefused, OrderStatus
from cloudd.nodes import Node

from ._cloud import Cloud
from ._gate import Gate
from ._progress import AWAY, BACK, DONE, FAILED, GONE, ORDERED, RETURNING, SETTLING, STUCK, WAITING, NodeProgress

BUSY_S = 300.0
"""So long a node may be at another change, which is waited for."""

SILENT_S = 600.0
"""So long a node may answer nothing that still writes to the registry: the broker is away, then."""


@frozen(kw_only=True)
class Wanted:
    """
    What all nodes are ordered.

    :ivar prefix: with which orders' ids begin
    """

    prefix: str
    tree: str
    target_hash: str
    how: str
    canary: float | None
    settle_s: float
    who: str


@define(eq=False)
class Drive:
    """Does the next bit for one node after the other."""

    _cloud: Cloud
    _wanted: Wanted
    _since: dict[tuple[str, str], float] = field(init=False, factory=dict)
    _gates: dict[str, Gate] = field(init=False, factory=dict)

    async def forward(self, node: NodeProgress, rows: Mapping[str, Node]) -> None:
        """
        Towards the new code.

        :param rows: the registry, by node id
        """
        row = rows.get(node.id)
        if row is None:
            node.enter(GONE)
        elif node.state == WAITING:
            self._take_turn(node, row)
        elif node.state == ORDERED:
            await self._change(node, row)
        elif node.state == SETTLING:
            await self._settle(node, row)

    async def back(self, node: NodeProgress, rows: Mapping[str, Node]) -> None:
        """Towards the code that it had; one whose order still runs is waited for first."""
        row = rows.get(node.id)
        if row is None:
            node.enter(GONE)
        elif node.state == ORDERED:
            await self._await_order(node, row)
        elif node.state == RETURNING:
            await self._return(node, row)

    # ---- forward

    def _take_turn(self, node: NodeProgress, row: Node) -> None:
        if row.is_lost(self._cloud.lost_s):
            node.enter(AWAY, f"it has said nothing for {row.age_s or 0:.0f} s: it is left out")
        else:
            node.enter(ORDERED)

    async def _change(self, node: NodeProgress, row: Node) -> None:
        try:
            status = await self._cloud.orders.upgrade(node.id, self._order(node))
        except OrderRefused as error:
            self._wait_or_enter(node, "busy", str(error), BUSY_S, FAILED)
            return
        except NodeSilent as error:
            self._silent(node, row, error, FAILED)
            return
        self._answers(node, status)
        if status.state == "running":
            node.tell_status(status)
        elif status.result in {"committed", "unchanged"}:
            node.changed = status.result == "committed"
            node.enter(SETTLING)
        elif status.result == "busy":
            node.number += 1
            self._wait_or_enter(node, "busy", status.cause, BUSY_S, FAILED)
        else:
            node.enter(FAILED, status.cause)

    async def _settle(self, node: NodeProgress, row: Node) -> None:
        gate = self._gates.setdefault(node.id, Gate(self._wanted.settle_s))
        trouble = await self._trouble(row)
        now = self._cloud.seconds()
        verdict = gate.note(now, trouble)
        node.tell(trouble or f"it has been well for {gate.well_for_s(now):.0f} s of {self._wanted.settle_s:.0f}")
        if verdict == "failed":
            node.enter(FAILED, f"it is not well with the new code: {trouble}")
        elif verdict == "passed":
            del self._gates[node.id]
            node.enter(DONE)

    async def _trouble(self, row: Node) -> str:
        if row.code_hash != self._wanted.target_hash:
            return f"it has not said yet that it runs {self._wanted.target_hash[:12]}"
        return await self._cloud.trouble(row) or await self._cloud.unreadable(row.payloads)

    # ---- back

    async def _await_order(self, node: NodeProgress, row: Node) -> None:
        try:
            # One that never came there is not to come later: who gave it may have been stopped for a while.
            status = await self._cloud.orders.withdraw(node.id, self._order(node).id)
        except NoSuchOrder:  # a node of older code
            node.enter(BACK)
            return
        except (OrderRefused, NodeSilent) as error:
            self._silent(node, row, error, STUCK)
            return
        if status.state == "running":
            node.tell_status(status)
            return
        node.changed = status.result == "committed"
        node.enter(RETURNING if node.changed else BACK)

    async def _return(self, node: NodeProgress, row: Node) -> None:
        order = Order(id=f"{self._order(node).id}.back", expected_hash=node.before, who=self._wanted.who)
        try:
            status = await self._cloud.orders.rollback(node.id, order)
        except OrderRefused as error:
            self._refused_return(node, row, error)
            return
        except NodeSilent as error:
            self._silent(node, row, error, STUCK)
            return
        self._answers(node, status)
        self._returned(node, status)

    def _returned(self, node: NodeProgress, status: OrderStatus) -> None:
        if status.state == "running":
            node.tell_status(status)
        elif status.result in {"committed", "unchanged"}:
            node.changed = False
            node.enter(BACK)
        elif status.result == "busy":
            node.number += 1
            self._wait_or_enter(node, "busy", status.cause, BUSY_S, STUCK)
        else:
            node.enter(STUCK, status.cause)

    def _refused_return(self, node: NodeProgress, row: Node, error: OrderRefused) -> None:
        if row.code_hash == node.before:
            node.changed = False
            node.enter(BACK)
        else:
            self._wait_or_enter(node, "busy", str(error), BUSY_S, STUCK)

    # ---- both

    def _order(self, node: NodeProgress) -> Order:
        wanted = self._wanted
        return Order(
            id=f"{wanted.prefix}.{node.id[:12]}.{node.number}",
            tree=wanted.tree,
            expected_hash=wanted.target_hash,
            how=wanted.how,
            canary=wanted.canary,
            who=wanted.who,
        )

    def _silent(self, node: NodeProgress, row: Node, error: Exception, then: str) -> None:
        """A node that the registry has lost has failed; one that is there is waited for."""
        if row.is_lost(self._cloud.lost_s):
            node.enter(then, f"it was lost meanwhile: {error}")
        else:
            self._wait_or_enter(node, "silent", f"it does not answer: {error}", SILENT_S, then)
        if node.state == FAILED:
            node.changed = True  # perhaps: on the way back it is asked

    def _wait_or_enter(self, node: NodeProgress, what: str, cause: str, longest_s: float, then: str) -> None:
        now = self._cloud.seconds()
        if now - self._since.setdefault((node.id, what), now) > longest_s:
            node.enter(then, cause)
        else:
            node.tell(cause)

    def _answers(self, node: NodeProgress, status: OrderStatus) -> None:
        """What was waited for is over."""
        self._since.pop((node.id, "silent"), None)
        if status.state == "ended" and status.result != "busy":
            self._since.pop((node.id, "busy"), None)
