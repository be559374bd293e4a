"""
A process that is on the bus as a node would be, and asks nodes: ``python -m tests.nodes.caller URL NAME``.

Each line of its input is JSON, ``{"do", "node", …}``, and each line of its output the answer to one:

- ``stream``: call ``node.status`` of a node again and again, from now on;
- ``stop``: end that; the answer is ``answered``, ``failed`` (causes) and ``longest_s``;
- ``upgrade``, ``rollback``: with the fields of an ``Order`` in ``order``; ``status``: with ``order_id``; ``plan``: with
  ``tree``: the answer is that of ``NodeOrders``, or ``refused``, or ``silent``;
- ``hear``: how many tasks nodes have told of so far.
"""

from __future__ import annotations

import json
import sys
from typing import Any, cast

from attrs import asdict, define, field
from twisted.internet import reactor as installed
from twisted.internet import stdio
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.protocols.basic import LineReceiver

from cloudd.daemon._metrics import WorkerMetrics
from cloudd.interfaces.orders import NodeSilent, Order, OrderRefused
from cloudd.messaging import Bus, MessagingError
from cloudd.nodes import Orders
from cloudd.nodes._forms import STATUS, TOPIC
from cloudd.protocols.amqp import Address
from cloudd.protocols.bus import BrokerTransport
from cloudd.tasks._told import KEY, SUBMITTED

reactor = cast(Any, installed)
DEADLINE_S = 15.0


@define
class Stream:
    """Calls one after the other."""

    bus: Bus
    node: str
    going: bool = True
    answered: int = 0
    failed: list[str] = field(factory=list)
    longest_s: float = 0.0
    ended: Deferred[None] = field(factory=Deferred)

    async def run(self) -> None:
        while self.going:
            began = reactor.seconds()
            try:
                await self.bus.call(TOPIC, STATUS, {}, DEADLINE_S, node=self.node)
                self.answered += 1
            except MessagingError as error:
                self.failed.append(f"{type(error).__name__}: {error}")
            self.longest_s = max(self.longest_s, reactor.seconds() - began)
            await deferLater(reactor, 0.01)
        self.ended.callback(None)


class Caller(LineReceiver):
    """Lines in, lines out."""

    delimiter = b"\n"

    def __init__(self, bus: Bus) -> None:
        self.bus, self.orders = bus, Orders(bus)
        self.heard = 0
        self.connected_once = False
        self.streams: list[Stream] = []
        bus.subscribe(KEY, [SUBMITTED], self.hear)

    def hear(self, _event: object) -> None:
        self.heard += 1

    def lineReceived(self, line: bytes) -> None:
        Deferred.fromCoroutine(self.answer(json.loads(line)))

    def connectionLost(self, reason: Any = None) -> None:
        reactor.stop()

    async def answer(self, asked: dict[str, Any]) -> None:
        while not self.bus.health()[0].ok and not self.connected_once:
            await deferLater(reactor, 0.01)
        self.connected_once = True
        try:
            said = await self.do(asked)
        except NodeSilent as error:
            said = {"silent": str(error), "begun": error.begun}
        except OrderRefused as error:
            said = {"refused": str(error), "as": type(error).__name__}
        self.sendLine(json.dumps(said).encode())

    async def do(self, asked: dict[str, Any]) -> Any:
        what, node = asked["do"], asked.get("node", "")
        if what == "stream":
            self.streams.append(Stream(self.bus, node))
            Deferred.fromCoroutine(self.streams[-1].run())
            return {}
        if what == "stop":
            stream = self.streams.pop()
            stream.going = False
            await stream.ended
            return {"answered": stream.answered, "failed": stream.failed, "longest_s": stream.longest_s}
        if what == "hear":
            return {"heard": self.heard}
        if what == "plan":
            return await self.orders.plan(node, asked["tree"])
        if what == "status":
            return asdict(await self.orders.status(node, asked["order_id"]))
        return asdict(await getattr(self.orders, what)(node, Order(**asked["order"])))


def main() -> None:
    bus = Bus(reactor, BrokerTransport(reactor, [Address.from_uri(sys.argv[1])], sys.argv[2]), WorkerMetrics())
    bus.start()
    stdio.StandardIO(Caller(bus))
    reactor.run()


if __name__ == "__main__":
    main()
