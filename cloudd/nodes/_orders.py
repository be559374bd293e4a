# -*- test-case-name: tests.nodes.test_topic -*-
"""Orders to other nodes, over messaging."""

from __future__ import annotations

from typing import Any

from attrs import asdict, define, fields
from twisted.internet.defer import Deferred

from cloudd.interfaces.orders import NodeSilent, NoSuchOrder, Order, OrderRefused, OrderStatus
from cloudd.messaging import Bus, Form, MessagingError

from ._forms import PLAN, ROLLBACK, TOPIC, UPGRADE, UPGRADE_STATUS, Refused, Unknown

ASK_S = 20.0  # longer than the other node waits for its anchor
PLAN_S = 35.0
NO_BUS = "this worker has no way to other nodes: only that of the agent has"

_KNOWN = {each.name for each in fields(OrderStatus)}


@define(eq=False)
class Orders:
    """
    ``cloudd.interfaces.orders.NodeOrders``.

    :param bus: of the agent's worker; None: all nodes are silent
    """

    _bus: Bus | None

    def plan(self, node_id: str, tree: str, how: str = "", canary: float | None = None) -> Deferred[dict[str, Any]]:
        """See ``NodeOrders``."""
        return self._asked(node_id, PLAN, {"tree": tree, "how": how, "canary": canary}, PLAN_S)

    def upgrade(self, node_id: str, order: Order) -> Deferred[OrderStatus]:
        """See ``NodeOrders``."""
        return self._asked(node_id, UPGRADE, {"order": asdict(order)}, ASK_S).addCallback(status_in)

    def rollback(self, node_id: str, order: Order) -> Deferred[OrderStatus]:
        """See ``NodeOrders``."""
        return self._asked(node_id, ROLLBACK, {"order": asdict(order)}, ASK_S).addCallback(status_in)

    def status(self, node_id: str, order_id: str) -> Deferred[OrderStatus]:
        """See ``NodeOrders``."""
        return self._asked(node_id, UPGRADE_STATUS, {"order_id": order_id}, ASK_S).addCallback(status_in)

    def withdraw(self, node_id: str, order_id: str) -> Deferred[OrderStatus]:
        """See ``NodeOrders``."""
        asked = {"order_id": order_id, "withdraw": True}
        return self._asked(node_id, UPGRADE_STATUS, asked, ASK_S).addCallback(status_in)

    def _asked(self, node_id: str, form: Form, asked: dict[str, Any], deadline_s: float) -> Deferred[dict[str, Any]]:
        return Deferred.fromCoroutine(self._ask(node_id, form, asked, deadline_s))

    async def _ask(self, node_id: str, form: Form, asked: dict[str, Any], deadline_s: float) -> dict[str, Any]:
        if self._bus is None:
            raise NodeSilent(NO_BUS)
        try:
            return await self._bus.call(TOPIC, form, asked, deadline_s, node=node_id)
        except Unknown as error:
            raise NoSuchOrder(error.cause) from None
        except Refused as error:
            raise OrderRefused(error.cause) from None
        except MessagingError as error:
            raise NodeSilent(f"{type(error).__name__}: {error}", begun=error.begun) from None


def status_in(answer: dict[str, Any]) -> OrderStatus:
    """
    From plain data; what later code has added is left out.

    :raises NodeSilent: it is no status of an order
    """
    known = {name: value for name, value in answer.items() if name in _KNOWN}
    try:
        return OrderStatus(**{**known, "warnings": tuple(known.get("warnings", ()))})
    except TypeError as error:
        raise NodeSilent(f"its answer cannot be read: {error}", begun=True) from None
