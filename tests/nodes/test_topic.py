"""What nodes answer each other, and orders that go over messaging; two machines of one cloud in this process."""

from __future__ import annotations

import json
from typing import Any, cast

from attrs import define, evolve, field
from twisted.internet import reactor
from twisted.internet.defer import Deferred, fail, succeed
from twisted.trial.unittest import TestCase

from cloudd.daemon._metrics import WorkerMetrics
from cloudd.database import tables
from cloudd.interfaces.application import OrderTaker
from cloudd.interfaces.orders import NodeOrders, NodeSilent, NoSuchOrder, Order, OrderRefused, OrderStatus
from cloudd.interfaces.settings import MessagingSettings
from cloudd.messaging import Bus, Call, Fields, Hub, Method, NoSuchVersion
from cloudd.nodes import NodeTopic, _service
from cloudd.nodes._orders import status_in
from tests.contracts.messaging import NEWEST, OLD

from .house import House, Machine


@define(eq=False)
class FakeTaker:
    """An anchor that remembers orders; ``error`` is what it raises."""

    asked: list[Any] = field(factory=list)
    error: Exception | None = None

    def plan(self, tree: str, how: str = "", canary: float | None = None) -> Deferred[dict[str, Any]]:
        return self._answer({"tree": tree, "kind": "swap", "canary": ""}, "plan", tree, how, canary)

    def begin(self, action: str, order: Any, sender: str) -> Deferred[dict[str, Any]]:
        running = {"id": order["id"], "action": action, "state": "running", "warnings": ["w"], "of_later_code": 1}
        return self._answer(running, action, dict(order), sender)

    def status(self, order_id: str) -> Deferred[dict[str, Any]]:
        ended = {"id": order_id, "action": "upgrade", "state": "ended", "result": "committed", "generation": 4}
        return self._answer(ended, "status", order_id)

    def withdraw(self, order_id: str) -> Deferred[dict[str, Any]]:
        refused = {"id": order_id, "action": "upgrade", "state": "ended", "result": "refused"}
        return self._answer(refused, "withdraw", order_id)

    def _answer(self, answer: dict[str, Any], *asked: Any) -> Deferred[dict[str, Any]]:
        self.asked.append(asked)
        return fail(self.error) if self.error is not None else succeed(answer)


class FakeHost:
    """An anchor that tells more than others want to know."""

    def status(self) -> Deferred[dict[str, Any]]:
        code = {"hash": "c" * 64, "generation": 3}
        return succeed({"version": "0.1.0", "started_at": 5.0, "code": code, "upgrade": None, "workers": [1, 2]})

    def health(self) -> Deferred[dict[str, Any]]:
        return succeed({"status": "failing", "parts": {"disk": {"status": "failing", "cause": "full"}}})


@define(eq=False)
class Member:
    """One machine with its topic."""

    machine: Machine
    bus: Bus
    taker: FakeTaker
    topic: NodeTopic
    id: str


class TopicCase(TestCase):
    timeout = 60

    async def setUp(self) -> None:  # type: ignore[override]
        self.house = House.built(self)
        self.hub = Hub(reactor)
        self.one = await self.member("one")
        self.two = await self.member("two")

    async def member(self, name: str, *, leads: bool = True, url: str = "amqp://cloudd@mq") -> Member:
        resources = evolve(self.house.resources(name), host=cast(Any, FakeHost()))
        machine = self.house.machine(name, resources=resources)
        await machine.nodes._beat()
        own = machine.nodes._presence.node
        assert own is not None
        bus = Bus(reactor, self.hub.transport(own.id), WorkerMetrics())
        bus.start()
        self.addCleanup(bus.stop)
        taker = FakeTaker()
        lent = evolve(
            resources,
            bus=bus,
            orders=cast(OrderTaker, taker),
            settings=evolve(resources.settings, messaging=MessagingSettings(url=url)),
        )
        topic = NodeTopic(lent, machine.nodes)
        await topic.self_check()
        if leads:
            topic.start({})
            topic.lead()
            topic.lead()  # safe
        return Member(machine, bus, taker, topic, own.id)


class PinnedTests(TopicCase):
    async def test_questions(self) -> None:
        """Nodes ask in a version that every live node reads, as of the last beat."""

        async def run(call: Call) -> Fields:
            return {"size": call.fields["size"] + 1}

        await self.two.bus.serve("old", [Method(OLD, run)]).ready
        await self.assertFailure(self.ask(), NoSuchVersion)
        self.patch(_service, "FORMS", (NEWEST,))
        nodes = self.one.machine.nodes
        nodes._resources = evolve(nodes._resources, bus=self.one.bus)
        await self.house.set(tables.node, payloads=json.dumps({NEWEST.name: [1]}))
        await nodes._beat()
        self.assertEqual(await self.ask(), {"size_gib": 2})
        await self.house.set(tables.node, payloads=json.dumps({NEWEST.name: [1, 2]}))
        await nodes._beat()
        await self.assertFailure(self.ask(), NoSuchVersion)

    def ask(self) -> Deferred[Any]:
        """The second node's old code, by the first's."""
        return self.one.bus.call("old", NEWEST, {"size_gib": 1}, 5.0)


class LiveTests(TopicCase):
    async def test_live(self) -> None:
        """By name or id, or all; what is of interest to others, and how long it took."""
        for named in ("two", self.two.id):
            [live] = (await self.one.topic.calls()["nodes.live"](node=named))["nodes"]
            self.assertTrue(live["answers"])
            self.assertEqual((live["id"], live["name"]), (self.two.id, "two"))
            self.assertEqual(set(live["status"]), {"version", "started_at", "code", "upgrade"})
            self.assertEqual(live["health"]["parts"]["disk"]["cause"], "full")
            self.assertLess(live["took_ms"], 5_000)
        everybody = (await self.one.topic.calls()["nodes.live"]())["nodes"]
        self.assertEqual([(each["name"], each["answers"]) for each in everybody], [("one", True), ("two", True)])

    async def test_silent(self) -> None:
        """Why, and when it was heard of last; others are told of all the same."""
        await self.two.topic.rest()
        one, two = (await self.one.topic.calls()["nodes.live"]())["nodes"]
        self.assertTrue(one["answers"])
        self.assertFalse(two["answers"])
        self.assertIn("nobody serves node", two["cause"])
        self.assertIn("it said something 0 s ago", two["cause"])

    async def test_no_broker(self) -> None:
        """Where there is none, that is the cause; this machine answers itself."""
        alone = await self.member("alone", url="")
        [two] = (await alone.topic.calls()["nodes.live"](node="two"))["nodes"]
        # The hub of this test reaches it all the same; without it nobody would answer.
        self.assertTrue(two["answers"])
        await self.two.topic.rest()
        [two] = (await alone.topic.calls()["nodes.live"](node="two"))["nodes"]
        self.assertIn("there is no broker between the nodes", two["cause"])
        [own] = (await alone.topic.calls()["nodes.live"](node="alone"))["nodes"]
        self.assertTrue(own["answers"])

    async def test_other_workers(self) -> None:
        """A front worker has no bus: it serves nothing, and says that it cannot ask."""
        resources = self.house.resources("one")
        topic = NodeTopic(resources, self.one.machine.nodes)
        topic.lead()
        await topic.self_check()
        self.assertIsNone(topic._server)
        [two] = (await topic.calls()["nodes.live"](node="two"))["nodes"]
        self.assertIn("only that of the agent has", two["cause"])
        await self.assertFailure(topic.orders.status(self.two.id, "x"), NodeSilent)
        await topic.rest()


class SwapTests(TopicCase):
    async def test_the_next_answers_first(self) -> None:
        """Calls without end find somebody at every moment, and what runs in the old generation ends there."""
        next_one = NodeTopic(self.two.topic._resources, self.two.machine.nodes)
        answered = 0
        self.two.topic.retire()
        resting = self.two.topic.rest()
        for _ in range(5):
            await self.one.topic.orders.status(self.two.id, "x")
            answered += 1
        self.assertNoResult(resting)
        next_one.lead()
        while not resting.called:
            await self.one.topic.orders.status(self.two.id, "x")
            answered += 1
        await self.one.topic.orders.status(self.two.id, "x")
        self.assertGreater(answered, 5)
        self.assertEqual(len(self.two.bus._servers), 1)
        self.two.topic.lead()  # retired: it must not come back
        self.assertEqual(len(self.two.bus._servers), 1)
        await next_one.rest()

    async def test_process_ends(self) -> None:
        """Without a next one nobody waits for it."""
        clock = cast(Any, reactor)
        began = clock.seconds()
        await self.two.topic.rest()
        self.assertLess(clock.seconds() - began, 2.0)


class OrderTests(TopicCase):
    async def test_orders(self) -> None:
        """Each reaches that node's anchor as it was given, with the name of the node that gave it."""
        orders: NodeOrders = self.one.topic.orders
        order = Order(id="r-1.two", tree="/t", expected_hash="e" * 64, how="swap", canary=5.0, who="ann")
        begun = await orders.upgrade(self.two.id, order)
        self.assertEqual(begun, OrderStatus(id="r-1.two", action="upgrade", state="running", warnings=("w",)))
        self.assertEqual((await orders.rollback(self.two.id, Order(id="r-2"))).action, "rollback")
        self.assertEqual((await orders.status(self.two.id, "r-1.two")).generation, 4)
        self.assertEqual((await orders.plan(self.two.id, "/t", "swap", 1.0))["kind"], "swap")
        plain = {"id": "r-1.two", "tree": "/t", "expected_hash": "e" * 64, "how": "swap", "canary": 5.0, "who": "ann"}
        self.assertEqual(self.two.taker.asked[0], ("upgrade", plain, "one"))
        self.assertEqual(self.two.taker.asked[3], ("plan", "/t", "swap", 1.0))
        self.assertEqual((await orders.withdraw(self.two.id, "r-3")).result, "refused")
        self.assertEqual(self.two.taker.asked[4], ("withdraw", "r-3"))
        self.assertEqual(self.one.taker.asked, [])
        await orders.status(self.one.id, "own")
        self.assertEqual(self.one.taker.asked, [("status", "own")])

    async def test_refused(self) -> None:
        """With its cause; that it is not known is told apart."""
        orders, order = self.one.topic.orders, Order(id="r")
        for error, kind in ((OrderRefused("busy: look"), OrderRefused), (NoSuchOrder("none"), NoSuchOrder)):
            self.two.taker.error = error
            for asked in (
                orders.upgrade(self.two.id, order),
                orders.rollback(self.two.id, order),
                orders.status(self.two.id, "r"),
            ):
                raised = await self.assertFailure(asked, OrderRefused)
                self.assertIs(type(raised), kind)
                self.assertEqual(str(raised), str(error))

    async def test_silent(self) -> None:
        """No answer says whether the order may have got there."""
        orders, order = self.one.topic.orders, Order(id="r")
        nobody: Any = await self.assertFailure(orders.upgrade("f" * 32, order), NodeSilent)
        self.assertFalse(nobody.begun)
        self.two.taker.error = ZeroDivisionError("a bug")
        broken: Any = await self.assertFailure(orders.upgrade(self.two.id, order), NodeSilent)
        self.assertTrue(broken.begun)
        self.assertIn("a bug", str(broken))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    async def test_answer_that_cannot_be_read(self) -> None:
        """Nothing is known then."""
        with self.assertRaises(NodeSilent):
            status_in({"id": "r"})
