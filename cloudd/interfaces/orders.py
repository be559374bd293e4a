"""
Orders: a node's code is changed because another node asks for it.  The ground of a rolling upgrade.

The order goes over messaging to the agent's worker of the node (topic ``node``: ``node.plan``, ``node.upgrade``,
``node.rollback``, ``node.upgrade_status``) and is carried out by its anchor, as if ``cloudctl`` had asked there.
``cloudd.nodes.Orders`` provides ``NodeOrders``::

    status = await orders.upgrade(node, Order(id="rolling-7.node-2", tree="/srv/cloudd-2", expected_hash=hash, who=who))
    while status.state == "running":
        await pause()
        try:
            status = await orders.status(node, status.id)
        except NodeSilent:
            continue                                 # an agent that is just being replaced: ask again
    if status.result not in {"committed", "unchanged"}:
        ...                                          # status.cause

**An order is done at most once.**  Its id is chosen by who orders; the node writes it down before it begins, so that
the same order sent again, to whichever process of that node, gives how the first one goes on or has ended.
It outlives a swap, a hand-over and a kill of the agent's worker, and the anchor as far as the change does: see
``OrderStatus.result``.
"""

from __future__ import annotations

from typing import Any, Literal, Protocol

from attrs import field, frozen
from twisted.internet.defer import Deferred

OrderAction = Literal["upgrade", "rollback"]
OrderState = Literal["running", "ended"]


@frozen(kw_only=True)
class Order:
    """
    What is asked of one node.

    :ivar id: 1 to 64 of a-z, 0-9, _, . and -; unique in the cloud, for good
    :ivar tree: of an upgrade: absolute path on that node; empty: the tree that its daemon was started from
    :ivar expected_hash: the code that must be loaded, else it is refused; empty: any
    :ivar how: of an upgrade: ``swap``, ``hand-over``, or empty: whichever is enough
    :ivar canary: of an upgrade: percent of the connections; 0: none; None: as that node's settings say
    :ivar who: the person who wants it; goes with the ordering node's name into that node's audit log
    """

    id: str
    tree: str = ""
    expected_hash: str = ""
    how: str = ""
    canary: float | None = None
    who: str = ""


@frozen(kw_only=True)
class OrderStatus:
    """
    How far an order is.

    :ivar state: ``running`` or ``ended``
    :ivar result: of one that has ended, as of ``cloudd.control.Outcome``: ``committed``, ``unchanged``, ``refused``,
        ``failed`` or ``busy`` (another change was under way: order again, under another id).  Where the node's daemon
        was killed meanwhile, it says when it is back what was decided: ``committed``, or ``failed``
    :ivar step: of one that runs, as of ``cloudd.control.Progress``, with ``text``, ``done``, ``total``
    :ivar began: seconds since the epoch, by that node's clock; ``ended`` likewise, 0 while it runs
    """

    id: str
    action: OrderAction
    state: OrderState
    result: str = ""
    cause: str = ""
    step: str = ""
    text: str = ""
    done: int = 0
    total: int = 0
    began: float = 0.0
    ended: float = 0.0
    old_hash: str = ""
    new_hash: str = ""
    generation: int = 0
    how: str = ""
    warnings: tuple[str, ...] = field(factory=tuple)


class OrderRefused(Exception):
    """
    The node does not take the order, and says why; nothing was begun.

    Another change is under way there, it is starting, or the id is that of another order.
    """

    expected = True


class NoSuchOrder(OrderRefused):
    """The node knows no order of this id: it never came there, or it is one of long ago."""


class NodeSilent(Exception):
    """
    There is no answer from the node, or no way to it: the text says why.  Ask again.

    :ivar begun: the order may have got there all the same
    """

    def __init__(self, cause: str, *, begun: bool = False) -> None:
        super().__init__(cause)
        self.begun = begun


class NodeOrders(Protocol):
    """
    Orders to the nodes of the cloud, by node id (``cloudd.nodes``); one's own node is one of them.

    All raise ``NodeSilent`` and ``OrderRefused``.
    """

    def plan(self, node_id: str, tree: str, how: str = "", canary: float | None = None) -> Deferred[dict[str, Any]]:
        """
        What an upgrade to a tree would do there: ``cloudd.control.Plan`` as plain data; changes nothing.

        What stands against it is in there (``kind`` is ``refused``), not raised.
        """

    def upgrade(self, node_id: str, order: Order) -> Deferred[OrderStatus]:
        """
        Begin it; fires when it was taken down, not when it has ended.

        An order that is known there changes nothing: its status is given.
        """

    def rollback(self, node_id: str, order: Order) -> Deferred[OrderStatus]:
        """
        Load what ran there before the last change, likewise.

        :param order: with ``expected_hash`` it is refused when that is not what ran before
        """

    def status(self, node_id: str, order_id: str) -> Deferred[OrderStatus]:
        """
        How far an order is, or how it has ended.

        :raises NoSuchOrder: see there
        """

    def withdraw(self, node_id: str, order_id: str) -> Deferred[OrderStatus]:
        """
        The same; one that the node does not know will never be begun there: it has ended as ``refused``.

        So an order that comes late, from who was stopped for a while and is no longer to order anything, does nothing.

        :raises NoSuchOrder: the node's code is older than this, and may begin it yet
        """
