# -*- test-case-name: tests.nodes.test_topic -*-
"""
What a node answers to others over messaging, and what it asks them: the topic ``node``, in the agent's worker.

Its server belongs to a generation.  In a swap the next one's gets messages before this one takes no more; in a
hand-over the next process's does, which is the anchor's matter.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from attrs import define, field
from twisted.internet.defer import Deferred, gatherResults, succeed
from twisted.logger import Logger

from cloudd.interfaces.application import OrderTaker, PartHealth, Resources, SelfCheckFailed
from cloudd.interfaces.orders import NoSuchOrder, OrderAction, OrderRefused
from cloudd.messaging import Bus, Call, Fault, Fields, MessagingError, Method, Server

from ._errors import NodeError
from ._forms import PLAN, ROLLBACK, STATUS, TOPIC, UPGRADE, UPGRADE_STATUS, Refused, Unknown
from ._orders import NO_BUS, Orders
from ._rows import Node
from ._service import Nodes

STATUS_S = 4.0
OVERLAP_S = 3.0  # so long a server that is followed by another waits for that
STATUS_KEPT = ("version", "started_at", "code", "upgrade")

log = Logger()


@define(eq=False)
class NodeTopic:
    """
    One part of a generation.

    :param nodes: by whose registry nodes are named
    """

    _resources: Resources
    _nodes: Nodes
    _server: Server | None = field(init=False, default=None)
    _retired: bool = field(init=False, default=False)
    _resting: Deferred[None] | None = field(init=False, default=None)

    @property
    def orders(self) -> Orders:
        """To all nodes."""
        return Orders(self._resources.bus)

    # ---- serving

    def _methods(self, taker: OrderTaker) -> list[Method]:
        async def plan(call: Call) -> Fields:
            fields = call.fields
            return await _refusing(taker.plan(fields["tree"], fields["how"], fields["canary"]))

        async def status(call: Call) -> Fields:
            ask = taker.withdraw if call.fields.get("withdraw") else taker.status
            return await _refusing(ask(call.fields["order_id"]))

        def change(action: OrderAction) -> Callable[[Call], Awaitable[Fields]]:
            async def begin(call: Call) -> Fields:
                sender = self._nodes.name_of(call.sender)
                return await _refusing(taker.begin(action, call.fields["order"], sender))

            return begin

        return [
            Method(STATUS, self._status, repeatable=True),
            Method(PLAN, plan, repeatable=True),
            Method(UPGRADE, change("upgrade"), repeatable=True),
            Method(ROLLBACK, change("rollback"), repeatable=True),
            Method(UPGRADE_STATUS, status, repeatable=True),
        ]

    async def _status(self, _call: Call) -> Fields:
        host, bus = self._resources.host, self._resources.bus
        told, health = await gatherResults([host.status(), host.health()], consumeErrors=True)
        return {
            "id": "" if bus is None else bus.node,
            "status": {name: told[name] for name in STATUS_KEPT if name in told},
            "health": health,
        }

    # ---- asking

    def calls(self) -> dict[str, Callable[..., Awaitable[dict[str, Any]]]]:
        """What operators may ask, as of ``Nodes.calls``."""
        return {"nodes.live": self._live}

    async def _live(self, node: str = "") -> dict[str, Any]:
        """
        What nodes say of themselves at this moment.

        :param node: name or id; empty: all that were not removed
        """
        rows = await self._nodes.rows()
        asked = [await self._nodes.find(node)] if node else [each for each in rows if each.state != "removed"]
        answers = await gatherResults([Deferred.fromCoroutine(self._ask(each)) for each in asked])
        return {"nodes": answers}

    async def _ask(self, node: Node) -> dict[str, Any]:
        bus = self._resources.bus
        facts: dict[str, Any] = {"id": node.id, "name": node.name, "answers": False}
        began = self._resources.reactor.seconds()
        try:
            if bus is None:
                raise NodeError(NO_BUS)
            answer = await bus.call(TOPIC, STATUS, {}, STATUS_S, node=node.id)
            return {
                **facts,
                **{name: answer[name] for name in ("status", "health")},
                "answers": True,
                "took_ms": round((self._resources.reactor.seconds() - began) * 1000, 3),
            }
        except (MessagingError, NodeError) as error:
            return {**facts, "cause": self._why(node, error, bus)}

    def _why(self, node: Node, error: Exception, bus: Bus | None) -> str:
        if bus is not None and not self._resources.settings.messaging.url and node.id != bus.node:
            return "there is no broker between the nodes: set [messaging] url on each (docs/messaging.md)"
        said = "never said anything" if node.age_s is None else f"said something {node.age_s:.0f} s ago"
        return f"it does not answer ({error}); it {said}"

    # ---- life

    async def self_check(self) -> None:
        """
        Look whether the methods have names that messaging takes, once each.

        :raises SelfCheckFailed:
        """
        taker = self._resources.orders
        names = [method.form.name for method in self._methods(taker)] if taker is not None else []
        if len(set(names)) != len(names):
            raise SelfCheckFailed("cloudd.nodes", f"the topic {TOPIC} has a method twice: {', '.join(names)}")

    def start(self, state: Mapping[str, Any]) -> None:
        """Nothing yet: code that only tries itself does not speak for its node."""

    def lead(self) -> None:
        """Answer from now on.  Safe to call again."""
        bus, taker = self._resources.bus, self._resources.orders
        if bus is not None and taker is not None and self._server is None and not self._retired:
            self._server = bus.serve(TOPIC, self._methods(taker))

    def snapshot(self) -> dict[str, Any]:
        """Nothing is kept here."""
        return {}

    def retire(self) -> None:
        """Another generation follows: let it answer first."""
        self._retired = True
        self.rest()

    def rest(self) -> Deferred[None]:
        """Answer no more; fires when what was asked has been answered.  Safe to call again."""
        bus, server = self._resources.bus, self._server
        if bus is None or server is None:
            return succeed(None)
        if self._resting is None:
            self._resting = Deferred.fromCoroutine(bus.give_over(server, OVERLAP_S if self._retired else 0.0))
            self._resting.addErrback(lambda failure: log.failure("the topic of nodes does not end well", failure))
        waiting: Deferred[None] = Deferred()
        self._resting.addCallback(_passed_on, waiting)
        return waiting

    def health(self) -> list[PartHealth]:
        """The worker tells of messaging itself."""
        return []


async def _refusing(answer: Deferred[dict[str, Any]]) -> Fields:
    """
    :raises Fault: it was refused
    """
    fault: type[Fault]
    try:
        return await answer
    except OrderRefused as error:
        fault = Unknown if isinstance(error, NoSuchOrder) else Refused
        raise fault(str(error)) from None


def _passed_on(result: None, waiting: Deferred[None]) -> None:
    waiting.callback(None)
