"""
A cloud in memory: nodes that take orders, say how they are, and stand in a registry.

``tests.contracts.node_orders`` is what its orders and those of the daemon have in common.  With a file it outlives the
process, for walks that kill it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from attrs import asdict, evolve
from twisted.internet.defer import Deferred, fail, succeed

from cloudd.interfaces.orders import NodeSilent, NoSuchOrder, Order, OrderRefused, OrderStatus
from cloudd.nodes import Node

OLD, NEW = "0" * 64, "1" * 64
LOST_S = 60.0
ROW = Node(
    id="a", name="a", roles=("api", "tasks"), address="", state="ready", state_s=0, state_by="", version="1",
    code_hash=OLD, generation=1, payloads={"test.work": (1, 2)}, load={}, beat_s=5, age_s=1, certificate=0, created=0,
)  # fmt: skip


class SmallCloud:
    """
    ``cloudd.rolling._cloud.Cloud`` and ``cloudd.interfaces.orders.NodeOrders``.

    :ivar facts: node id -> ``hash``, ``previous``, ``orders``; and what a test sets: ``results`` of its next orders,
        ``polls`` that an order takes, ``silent``, ``lost``, ``removed``, ``refuses``, ``trouble`` with the new code
    """

    lost_s = LOST_S

    def __init__(self, names: Sequence[str] = (), file: Path | None = None, target: str = NEW) -> None:
        self._file, self.target, self.now = file, target, 0.0
        self.log: list[str] = []
        self.bad_tasks = ""
        self.facts: dict[str, dict[str, Any]] = {}
        if file is not None and file.exists():
            self.facts = json.loads(file.read_text())
        for name in names:
            self.facts.setdefault(name, {"hash": OLD, "previous": "", "orders": {}})
        self.keep()

    def keep(self) -> None:
        """As a node's own disk does."""
        if self._file is not None:
            work = self._file.with_suffix(".new")
            work.write_text(json.dumps(self.facts))
            work.replace(self._file)

    # ---- the registry, and health

    @property
    def orders(self) -> SmallCloud:
        return self

    async def nodes(self) -> list[Node]:
        return [self.row(name) for name in sorted(self.facts) if not self.facts[name].get("removed")]

    def row(self, name: str) -> Node:
        facts = self.facts[name]
        age_s = 2 * LOST_S if facts.get("lost") else 1.0
        return evolve(ROW, id=name, name=name.upper(), code_hash=facts["hash"], age_s=age_s)

    async def trouble(self, node: Node) -> str:
        facts = self.facts[node.id]
        return str(facts.get("trouble", "")) if facts["hash"] == self.target else ""

    async def unreadable(self, payloads: Mapping[str, Sequence[int]]) -> str:
        return self.bad_tasks

    def seconds(self) -> float:
        return self.now

    def pause(self, seconds: float) -> Deferred[None]:
        self.now += seconds
        return succeed(None)

    # ---- orders

    def plan(self, node_id: str, tree: str, how: str = "", canary: float | None = None) -> Deferred[dict[str, Any]]:
        facts = self.facts[node_id]
        if facts.get("silent") or facts.get("lost"):
            return fail(NodeSilent("nobody is there"))
        kind = "nothing" if facts["hash"] == self.target else "swap"
        return succeed({"kind": kind, "target_hash": self.target, "running_hash": facts["hash"], "warnings": []})

    def upgrade(self, node_id: str, order: Order) -> Deferred[OrderStatus]:
        return self._ordered(node_id, order, "upgrade")

    def rollback(self, node_id: str, order: Order) -> Deferred[OrderStatus]:
        return self._ordered(node_id, order, "rollback")

    def status(self, node_id: str, order_id: str) -> Deferred[OrderStatus]:
        facts = self.facts[node_id]
        if self._is_silent(facts):
            return fail(NodeSilent("nobody is there"))
        if order_id not in facts["orders"]:
            return fail(NoSuchOrder("it never came here"))
        return succeed(self._told(facts, order_id))

    def withdraw(self, node_id: str, order_id: str) -> Deferred[OrderStatus]:
        facts = self.facts[node_id]
        if self._is_silent(facts):
            return fail(NodeSilent("nobody is there"))
        if order_id not in facts["orders"]:
            facts["orders"][order_id] = {"action": "upgrade", "asked": None, "left": 0, "result": "refused"}
            self.keep()
        return succeed(self._told(facts, order_id))

    def _is_silent(self, facts: dict[str, Any]) -> bool:
        """Always, or for so many questions."""
        left = facts.get("silent", 0)
        if left and left is not True:
            facts["silent"] = left - 1
        return bool(left or facts.get("lost"))

    def _ordered(self, node_id: str, order: Order, action: Any) -> Deferred[OrderStatus]:
        facts = self.facts[node_id]
        if self._is_silent(facts):
            return fail(NodeSilent("nobody is there"))
        known = facts["orders"].get(order.id)
        if known is None:
            refusal = self._refusal(facts, order, action)
            if refusal:
                return fail(OrderRefused(refusal))
            facts["orders"][order.id] = {"action": action, "asked": asdict(order), "left": facts.get("polls", 1)}
            self.log.append(f"{node_id} {action}")
            self.keep()
        elif known["asked"] is not None and (known["action"], known["asked"]) != (action, asdict(order)):
            return fail(OrderRefused(f"{order.id} is the id of another order"))
        return succeed(self._told(facts, order.id))

    def _refusal(self, facts: dict[str, Any], order: Order, action: str) -> str:
        if facts.get("refuses"):
            return str(facts["refuses"])
        if action == "rollback" and order.expected_hash and order.expected_hash != facts["previous"]:
            return f"a rollback would load {facts['previous'] or 'nothing'}"
        return ""

    def _told(self, facts: dict[str, Any], order_id: str) -> OrderStatus:
        """Where the order is; each question brings it on."""
        kept = facts["orders"][order_id]
        if kept["left"] > 0:
            kept["left"] -= 1
            self.keep()
            return OrderStatus(id=order_id, action=kept["action"], state="running", step="prepare", text="it loads")
        if "result" not in kept:
            kept["result"] = self._carried_out(facts, kept)
            self.keep()
        result = kept["result"]
        cause = "" if result in {"committed", "unchanged"} else f"{result} on purpose"
        return OrderStatus(
            id=order_id, action=kept["action"], state="ended", result=result, cause=cause, new_hash=facts["hash"]
        )

    def _carried_out(self, facts: dict[str, Any], kept: dict[str, Any]) -> str:
        results = facts.get("results", [])
        result = str(results.pop(0)) if results else "committed"
        wanted = facts["previous"] if kept["action"] == "rollback" else self.target
        if result == "committed" and wanted == facts["hash"]:
            return "unchanged"
        if result == "committed":
            facts["previous"], facts["hash"] = facts["hash"], wanted
        return result
