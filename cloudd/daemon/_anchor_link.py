# -*- test-case-name: tests.daemon.test_anchor_link -*-
"""
A worker's way to its anchor, which may change: to one that comes after a killed one, or that has become other code.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from cloudd.interfaces.orders import NoSuchOrder, OrderAction, OrderRefused

from ._link import Callee, Link, LinkLost, RemoteError

HOST_TIMEOUT_S = 3.0
PAGE_TIMEOUT_S = 6.0  # people wait longer than probes, and workers may be loaded
PLAN_TIMEOUT_S = 30.0  # a tree is read and copied for it
ORDER_TIMEOUT_S = 15.0
CHANGE_S = 20.0  # an anchor that becomes other code is away for a second, on a busy machine for several

_REFUSALS = {refusal.__name__: refusal for refusal in (OrderRefused, NoSuchOrder)}


class AnchorLink:
    """
    The link of now.

    :param callees: what the anchor may call
    :param lost: called each time the anchor has gone
    """

    def __init__(self, callees: Mapping[str, Callee], clock: Any, lost: Callable[[], None]) -> None:
        self._callees = dict(callees)
        self._clock = clock
        self._lost = lost
        self._waiting: list[Deferred[None]] = []
        self._comes_again_by = 0.0
        self.link = Link(self._callees, clock, lost)

    def renew(self) -> Link:
        """A link to another anchor takes the place of this one; the caller connects it."""
        old, self.link = self.link, Link(self._callees, self._clock, self._lost)
        old.forsake()
        return self.link

    def announced(self) -> None:
        """The anchor goes, and has said that it comes again: what is asked meanwhile waits for that."""
        self._comes_again_by = self._clock.seconds() + CHANGE_S

    def renewed(self) -> None:
        """The new link is connected: who waits for an anchor may ask it."""
        self._comes_again_by = 0.0
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            each.callback(None)

    def cast(self, name: str, **body: Any) -> None:
        """Tell the anchor something; without effect while there is none."""
        self.link.cast(name, **body)

    async def call(self, name: str, *, timeout_s: float, **body: Any) -> Any:
        """
        Ask the anchor; when it goes meanwhile, the next one, within the same time.  Only for what changes nothing.

        While one is away that has said so, the time stands still.

        :raises LinkError: no answer
        """
        deadline = self._clock.seconds() + timeout_s
        while True:
            left_s = max(0.0, deadline - self._clock.seconds())
            try:
                return await self.link.call(name, timeout_s=left_s, **body)
            except LinkLost:
                away_s = self._comes_again_by - self._clock.seconds()
                if not await self._await_anchor(max(left_s, away_s)):
                    raise
                if away_s > 0:
                    deadline = self._clock.seconds() + timeout_s

    async def _await_anchor(self, limit_s: float) -> bool:
        waiting: Deferred[None] = Deferred()
        self._waiting.append(waiting)
        timer = self._clock.callLater(limit_s, lambda: None if waiting.called else waiting.callback(None))
        await waiting
        came = bool(timer.active())
        if came:
            timer.cancel()
        else:
            self._waiting.remove(waiting)
        return came


class LinkedHost:
    """``cloudd.interfaces.application.Host``: the anchor gathers from every worker."""

    def __init__(self, anchor: AnchorLink) -> None:
        self._anchor = anchor

    def health(self) -> Deferred[dict[str, Any]]:
        """Health over all workers."""
        return self._ask("host_health")

    def metrics(self) -> Deferred[bytes]:
        """The Prometheus text exposition over all workers."""
        return self._ask("host_metrics").addCallback(str.encode)

    def status(self) -> Deferred[dict[str, Any]]:
        """Code, workers and their generations, and the change under way."""
        return self._ask("host_status", PAGE_TIMEOUT_S)

    def code(self) -> Deferred[dict[str, Any]]:
        """Version and code of the host."""
        return self._ask("host_code")

    def audit(self, limit: int) -> Deferred[dict[str, Any]]:
        """The last entries of the audit log."""
        return self._ask("host_audit", PAGE_TIMEOUT_S, limit=limit)

    def plan(self) -> Deferred[dict[str, Any]]:
        """What an upgrade to the start tree would do."""
        return self._ask("host_plan", PLAN_TIMEOUT_S)

    def rates(self, without: str = "") -> Deferred[dict[str, Any]]:
        """Requests, errors and milliseconds of the last minutes."""
        return self._ask("host_rates", PAGE_TIMEOUT_S, without=without)

    def _ask(self, name: str, timeout_s: float = HOST_TIMEOUT_S, **body: Any) -> Deferred[Any]:
        return Deferred.fromCoroutine(self._anchor.call(name, timeout_s=timeout_s, **body))


class LinkedOrders:
    """``cloudd.interfaces.application.OrderTaker``.  An order is known by its id, so the next anchor may be asked."""

    def __init__(self, anchor: AnchorLink) -> None:
        self._anchor = anchor

    def plan(self, tree: str, how: str = "", canary: float | None = None) -> Deferred[dict[str, Any]]:
        """What an upgrade would do."""
        return self._ask("order_plan", PLAN_TIMEOUT_S, tree=tree, how=how, canary=canary)

    def begin(self, action: OrderAction, order: Mapping[str, Any], sender: str) -> Deferred[dict[str, Any]]:
        """Change the code of this host."""
        return self._ask("order_begin", ORDER_TIMEOUT_S, action=action, order=dict(order), sender=sender)

    def status(self, order_id: str) -> Deferred[dict[str, Any]]:
        """What became of it."""
        return self._ask("order_status", ORDER_TIMEOUT_S, order_id=order_id)

    def withdraw(self, order_id: str) -> Deferred[dict[str, Any]]:
        """The same, of one that is not to be begun."""
        return Deferred.fromCoroutine(self._withdraw(order_id))

    async def _withdraw(self, order_id: str) -> dict[str, Any]:
        try:
            return await self._ask("order_withdraw", ORDER_TIMEOUT_S, order_id=order_id)
        except NoSuchCall:
            return await self.status(order_id)

    def _ask(self, name: str, timeout_s: float, **body: Any) -> Deferred[dict[str, Any]]:
        asked = Deferred.fromCoroutine(self._anchor.call(name, timeout_s=timeout_s, **body))
        return asked.addErrback(_as_refusal)


class NoSuchCall(OrderRefused):
    """The anchor is of code that does not know what is asked."""


def _as_refusal(failure: Failure) -> Failure:
    """What the anchor has raised, as the same here."""
    error = failure.value
    if isinstance(error, RemoteError) and error.kind in _REFUSALS:
        return Failure(_REFUSALS[error.kind](error.cause))
    if isinstance(error, RemoteError) and error.kind == LookupError.__name__:
        return Failure(NoSuchCall("the code of this host's anchor takes no such orders"))
    return failure
