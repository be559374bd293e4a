"""Messaging gets over whatever happens to its broker: nothing that was accepted is lost, nothing is done twice."""

from __future__ import annotations

import os
import signal
import sys
from collections import Counter
from typing import Any
from unittest import SkipTest

from attrs import define, field
from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.protocol import ProcessProtocol
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from cloudd.messaging import (
    Away,
    Bus,
    Call,
    Fields,
    Interrupted,
    ITransport,
    Limits,
    MessagingError,
    Method,
    NobodyThere,
    Overloaded,
    Parcel,
    Way,
)
from cloudd.protocols.amqp import Address
from cloudd.protocols.bus import BrokerTransport, _transport
from tests.contracts.messaging import ECHO, HOLD, NOTE, MessagingHouse, Worker
from tests.ports import free_port
from tests.protocols.amqp.broker import PROGRAMS, Broker, shared_broker

from .test_contract import HEARTBEAT_S, empty

REJOIN_S = 5.0
TAKEN_OVER_S = 10.0  # a queue's other replicas have agreed on a leader, and lost connections are known as such
SETTLED_S = 6.0  # RabbitMQ itself loses a quorum queue that is younger than some seconds when it is killed


@define(eq=False)
class Load:
    """
    Calls and casts without end, and what became of each.

    :ivar accepted: numbers of casts that were accepted
    :ivar done: how often each cast was done, and each call
    :ivar errors: with which calls and casts ended
    """

    asking: Bus
    topic: str
    going: bool = True
    accepted: set[int] = field(factory=set)
    casts_done: Counter[int] = field(factory=Counter)
    calls_done: Counter[int] = field(factory=Counter)
    answered: int = 0
    errors: list[MessagingError] = field(factory=list)
    unknown: list[BaseException] = field(factory=list)
    _number: int = 0
    _running: list[Deferred[None]] = field(factory=list)

    @property
    def methods(self) -> list[Method]:
        async def echo(call: Call) -> Fields:
            self.calls_done[call.fields["say"]] += 1
            return dict(call.fields)

        async def note(call: Call) -> None:
            await deferLater(reactor, 0.002)
            self.casts_done[call.fields["number"]] += 1

        return [Method(ECHO, echo), Method(NOTE, note)]

    def start(self) -> None:
        self._running = [Deferred.fromCoroutine(self._run()) for _ in range(8)]

    async def _run(self) -> None:
        while self.going:
            self._number += 1
            number = self._number
            try:
                await self.asking.call(self.topic, ECHO, {"say": number}, 5.0)
                self.answered += 1
                await self.asking.cast(self.topic, NOTE, {"number": number})
                self.accepted.add(number)
            except MessagingError as error:
                self.errors.append(error)
                await deferLater(reactor, 0.02)
            except BaseException as error:
                self.unknown.append(error)
                raise

    async def stop(self) -> None:
        self.going = False
        await gatherResults(self._running)


class FaultCase(MessagingHouse, TestCase):
    timeout = 180

    async def setUp(self) -> None:  # type: ignore[override]
        if not PROGRAMS.is_dir():
            raise SkipTest("RabbitMQ is not installed")
        self.patch(_transport, "LOOK_EVERY_S", 0.3)
        self.broker = self.find_broker()
        await empty(self.broker)
        self.build()

    def find_broker(self) -> Broker:
        return shared_broker()

    def make_transport(self, node: str, limits: Limits) -> ITransport:
        return BrokerTransport(reactor, [Address(port=self.broker.port, heartbeat_s=HEARTBEAT_S)], node, limits)

    async def loaded(self) -> Load:
        """One process asks, two serve."""
        load = Load(await self.bus("asking"), self.topic)
        for node in ("host-1", "host-2"):
            await (await self.bus(node)).serve(self.topic, load.methods).ready
        load.start()
        await self.until(lambda: load.answered > 20)
        return load

    async def works_again(self, load: Load, seconds: float = REJOIN_S) -> None:
        """It goes on; then all is looked at."""
        await self.goes_on(load, seconds)
        await load.stop()
        await self.until(
            lambda: load.accepted <= set(load.casts_done), what=lambda: load.accepted - set(load.casts_done)
        )
        self.assertEqual(load.unknown, [])
        self.assertEqual([error for error in load.errors if not error.retryable], [])
        self.assertEqual({number: times for number, times in load.calls_done.items() if times > 1}, {})
        self.assertLessEqual(load.answered, len(load.calls_done))

    async def goes_on(self, load: Load, seconds: float) -> None:
        """Calls and casts that began later have got through."""
        answered, accepted = load.answered, len(load.accepted)
        await self.until(
            lambda: load.answered > answered + 20 and len(load.accepted) > accepted + 20,
            seconds,
            lambda: load.errors[-3:],
        )


class CutTests(FaultCase):
    async def test_connections_cut(self) -> None:
        """By an operator, three times under load: accepted casts are done, calls once or not at all."""
        load = await self.loaded()
        for _ in range(3):
            self.broker.control("close_all_connections", "maintenance")
            await deferLater(reactor, 1.0)
        await self.works_again(load)
        self.assertNotEqual(load.errors, [])

    async def test_redelivered_to_the_same_process(self) -> None:
        """Its connection was cut while it did a cast and a call: neither is begun again, and the cast is settled."""
        asking, serving = await self.bus("asking"), await self.bus("host-1")
        await self.served(serving, worker := Worker())
        await asking.cast(self.topic, HOLD, {})
        await asking.cast(self.topic, NOTE, {"number": 1})
        call = asking.call(self.topic, HOLD, {}, 20.0)
        await self.until(lambda: len(worker.held) == 2 and worker.noted == [1])
        serving._transport._session._connection.end(ConnectionError("cut"))  # type: ignore[attr-defined]
        await self.until(lambda: not self.healthy(serving))
        await self.until(lambda: self.healthy(serving), REJOIN_S)
        self.assertEqual((await asking.call(self.topic, ECHO, {"say": 1}, 10.0))["say"], 1)
        await deferLater(reactor, 0.5)
        self.assertEqual((len(worker.held), worker.noted), (2, [1]))
        worker.let_go()
        self.assertEqual(await call, {"by": ""})  # by way of the new connection
        await self.until(lambda: self.messages_of(f"cloudd.work.{self.topic}") == 0)

    def messages_of(self, queue: str) -> int:
        found = self.broker.control("list_queues", "name", "messages").split()
        return int(found[found.index(queue) + 1])

    async def test_caller_cut(self) -> None:
        """Its calls that wait end at once, with an error that says they may have begun."""
        asking, serving = await self.bus("asking"), await self.bus("host-1")
        await self.served(serving, worker := Worker())
        call = asking.call(self.topic, HOLD, {}, 20.0)
        await self.until(lambda: worker.held)
        asking._transport._session._connection.end(ConnectionError("cut"))  # type: ignore[attr-defined]
        error = await self.fails(Interrupted, call)
        self.assertTrue(error.retryable and error.begun)
        await self.until(lambda: self.healthy(asking), REJOIN_S)
        worker.let_go()
        self.assertEqual((await asking.call(self.topic, ECHO, {"say": 1}, 5.0))["say"], 1)

    async def test_queues_deleted(self) -> None:
        """They are declared again, and consumed."""
        bus = await self.bus("host-1")
        await self.served(bus, worker := Worker())
        for queue in (f"calls.{self.topic}", f"node.{self.topic}@host-1", f"work.{self.topic}"):
            await self.deleted(f"cloudd.{queue}")
        began = reactor.seconds()

        async def works() -> None:
            while True:
                try:
                    await bus.call(self.topic, ECHO, {"say": 1}, 1.0)
                    await bus.cast(self.topic, NOTE, {"number": 1})
                    await bus.fan_out(self.topic, NOTE, {"number": 2})
                    return
                except MessagingError as error:
                    self.assertTrue(error.retryable, error)
                    await deferLater(reactor, 0.05)

        await works()
        await self.until(lambda: {1, 2} <= set(worker.noted))
        self.assertLess(reactor.seconds() - began, REJOIN_S)

    async def deleted(self, queue: str) -> None:
        """Delete it as soon as it is there: the loss of one has all of them declared again."""
        missing = True
        deadline = reactor.seconds() + 6 * REJOIN_S
        while missing:
            try:
                await deferToThread(self.broker.control, "delete_queue", queue)
                missing = False
            except AssertionError as error:
                if "not found" not in str(error) or reactor.seconds() > deadline:
                    raise

    async def test_reply_queue_deleted(self) -> None:
        """It is declared again, and later calls are answered."""
        bus = await self.bus("host-1")
        await self.served(bus, Worker())
        self.broker.control("delete_queue", bus._transport.reply_to)
        answer: Fields = {}
        deadline = reactor.seconds() + REJOIN_S
        while not answer and reactor.seconds() < deadline:
            try:
                answer = await bus.call(self.topic, ECHO, {"say": 1}, 0.5)
            except MessagingError:
                await deferLater(reactor, 0.05)
        self.assertEqual(answer.get("say"), 1)

    async def test_exchanges_deleted(self) -> None:
        """The broker closes the channel over the next message; then all is there again, with its bindings."""
        bus = await self.bus("host-1")
        await self.served(bus, worker := Worker())
        got: list[Any] = []
        await bus.subscribe("a.b", [NOTE], got.append).ready
        deleting = await bus._transport._session.open_channel()  # type: ignore[attr-defined]
        for exchange in ("cloudd.events", "cloudd.all"):
            await deleting.exchange_delete(exchange=exchange)
        failed = await self.fails(MessagingError, bus.publish("a.b", NOTE, {}))
        self.assertTrue(failed.retryable)

        async def works() -> None:
            while not (got and worker.noted):
                try:
                    await bus.publish("a.b", NOTE, {})
                    await bus.fan_out(self.topic, NOTE, {"number": 1})
                except (Away, Interrupted, NobodyThere):
                    pass
                await deferLater(reactor, 0.02)

        await Deferred.fromCoroutine(works()).addTimeout(REJOIN_S, reactor)
        self.assertTrue(self.healthy(bus))


class LimitTests(FaultCase):
    async def test_memory_alarm(self) -> None:
        """The broker takes nothing: refused at once, and health says why; then it goes on."""
        bus = await self.bus("host-1")
        await self.served(bus, Worker())
        self.broker.control("set_vm_memory_high_watermark", "0.0000001")
        self.addCleanup(self.broker.control, "set_vm_memory_high_watermark", "0.4")

        async def refused() -> None:
            while True:
                try:
                    await bus.call(self.topic, ECHO, {}, 0.2)
                except MessagingError as error:
                    if isinstance(error, Away) and "memory" in str(error):
                        return  # before that, on a busy machine, that it did not answer
                    await deferLater(reactor, 0.05)  # what is refused at once lets nobody else run

        await Deferred.fromCoroutine(refused()).addTimeout(20, reactor)
        part = bus.health()[0]
        self.assertFalse(part.ok)
        self.assertRegex(part.cause, "since 20.*the broker takes no messages: .*memory")
        self.broker.control("set_vm_memory_high_watermark", "0.4")
        await self.until(lambda: self.healthy(bus), REJOIN_S)
        self.assertEqual((await bus.call(self.topic, ECHO, {"say": 1}, 5.0))["say"], 1)

    async def test_outgoing_bytes(self) -> None:
        """More than may wait for the broker is refused, and room comes back."""
        bus = await self.bus("host-1", Limits(outgoing_bytes=10_000))
        await self.served(bus, worker := Worker())
        casts = [bus.cast(self.topic, NOTE, {"number": 1, "pad": "x" * 6_000}) for _ in range(5)]
        errors = [await self.fails(Overloaded, cast) for cast in casts[1:]]
        self.assertEqual(len(errors), 4)
        await casts[0]
        await bus.cast(self.topic, NOTE, {"number": 2, "pad": "x" * 6_000})
        await self.until(lambda: worker.noted == [1, 2])

    async def test_full_queue(self) -> None:
        """The broker refuses more casts than may wait for a topic."""
        bus = await self.bus("host-1", Limits(queued=5))
        await bus.retire(await self.served(bus, Worker()))
        results = [await bus.cast(self.topic, NOTE, {"number": n}).addErrback(lambda why: why.value) for n in range(40)]
        refused = [number for number, result in enumerate(results) if isinstance(result, Overloaded)]
        self.assertNotEqual(refused, [])
        await self.served(bus, worker := Worker())
        accepted = [number for number in range(40) if number not in refused]
        await self.until(lambda: len(worker.noted) >= len(accepted))
        self.assertEqual(sorted(worker.noted), accepted)

    async def test_given_back_too_often(self) -> None:
        """Whoever gets it dies over it: the broker gives it up, and health shows it with its cause."""
        bus = await self.bus("host-1")
        await bus.retire(await self.served(bus, Worker()))
        got: list[int] = []

        def take(delivery: Any) -> None:
            got.append(delivery.attempts)
            delivery.again()

        listening = bus._transport.listen(self.topic, take, 1)
        await bus._transport.send(Parcel(Way.WORK, self.topic, os.urandom(8).hex(), b"deadly"))
        await self.until(lambda: bus._transport.set_aside().dead == 1)
        await listening.close()
        self.assertEqual(got, list(range(21)))
        self.assertIn(f"cloudd.work.{self.topic}: whoever got it died over it", bus.health()[1].cause)

    async def test_next_address(self) -> None:
        """A broker that is not there is left for the next one."""
        addresses = [Address(port=free_port()), Address(port=self.broker.port)]
        transport = BrokerTransport(reactor, addresses, "host-1")
        transport.start(lambda _: None, lambda: None)
        self.addCleanup(transport.stop)
        await self.until(lambda: not transport.cause, REJOIN_S)
        self.assertRaises(ValueError, BrokerTransport, reactor, [], "host-1")


class RestartTests(FaultCase):
    def find_broker(self) -> Broker:
        broker = Broker()
        self.addCleanup(broker.remove)
        broker.start()
        return broker

    async def restarted(self, sign: signal.Signals) -> None:
        load = await self.loaded()
        await deferLater(reactor, SETTLED_S)
        self.broker.stop(sign)
        await self.until(lambda: not any(self.healthy(bus) for bus in self.buses))
        self.assertIn("since", self.buses[0].health()[0].cause)
        await self.fails(Away, self.buses[0].cast(self.topic, NOTE, {"number": 0}))
        self.broker.start()
        await self.until(lambda: all(self.healthy(bus) for bus in self.buses), REJOIN_S)
        await self.works_again(load, 15.0)

    async def test_stopped_and_started(self) -> None:
        """Under load, in order."""
        await self.restarted(signal.SIGTERM)

    async def test_killed_and_started(self) -> None:
        """Under load, by kill -9."""
        await self.restarted(signal.SIGKILL)


class ClusterTests(FaultCase):
    """Three brokers."""

    def find_broker(self) -> Broker:
        self.brokers = [Broker()]
        self.brokers += [Broker(seed=self.brokers[0]) for _ in range(2)]
        for broker in self.brokers:
            self.addCleanup(broker.remove)  # the first one last: the others meet by its name server
            broker.start()
        return self.brokers[0]

    def make_transport(self, node: str, limits: Limits) -> ITransport:
        addresses = [Address(port=broker.port, heartbeat_s=HEARTBEAT_S) for broker in self.brokers]
        self.brokers.append(self.brokers.pop(0))  # each begins at another one
        return BrokerTransport(reactor, addresses, node, limits)

    async def test_one_killed(self) -> None:
        """Under load, each in turn, and started again: what was accepted is done, nothing twice."""
        load = await self.loaded()
        for broker in list(self.brokers):
            await deferLater(reactor, SETTLED_S)
            broker.stop(signal.SIGKILL)
            await self.goes_on(load, TAKEN_OVER_S)
            await self.until(lambda: all(self.healthy(bus) for bus in self.buses), REJOIN_S)
            broker.start()
        await self.works_again(load)


class RightsTests(FaultCase):
    async def test_stated_rights(self) -> None:
        """Those of docs/messaging.md are enough for all of it."""
        user = f"u{os.urandom(4).hex()}"
        self.broker.control("add_user", user, "secret")
        self.addCleanup(self.broker.control, "delete_user", user)
        self.broker.control("set_permissions", user, r"^cloudd\.", r"^(cloudd\.|amq\.default$)", r"^cloudd\.")
        address = Address(port=self.broker.port, user=user, password="secret")
        self.make_transport = lambda node, limits: BrokerTransport(  # type: ignore[method-assign]
            reactor, [address], node, limits
        )
        bus = await self.bus("host-1")
        await self.served(bus, worker := Worker())
        got: list[Any] = []
        await bus.subscribe("a.*", [NOTE], got.append).ready
        self.assertEqual((await bus.call(self.topic, ECHO, {"say": 1}, 5.0))["say"], 1)
        await bus.cast(self.topic, NOTE, {"number": 1})
        await bus.fan_out(self.topic, NOTE, {"number": 2})
        await bus.publish("a.b", NOTE, {})
        await bus.cast(self.topic, NOTE, {"number": 3, "bad": True})
        await self.until(lambda: sorted(worker.noted) == [1, 2] and got and bus._transport.set_aside().parked == 1)


SERVING = """
import sys
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater, react
from cloudd.daemon._metrics import WorkerMetrics
from cloudd.messaging import Bus, Method
from cloudd.protocols.amqp import Address
from cloudd.protocols.bus import BrokerTransport
from tests.contracts.messaging import ECHO, NOTE

async def main(port, topic, node):
    bus = Bus(reactor, BrokerTransport(reactor, [Address(port=port)], node), WorkerMetrics())
    async def echo(call):
        print("call", call.fields["say"], flush=True)
        await deferLater(reactor, 0.01)
        return dict(call.fields)
    async def note(call):
        await deferLater(reactor, 0.01)
        print("cast", call.fields["number"], flush=True)
    bus.start()
    await bus.serve(topic, [Method(ECHO, echo), Method(NOTE, note)], 8).ready
    print("ready", flush=True)
    await Deferred()

react(lambda _: Deferred.fromCoroutine(main(int(sys.argv[1]), *sys.argv[2:])))
"""


class KilledProcess(ProcessProtocol):
    """
    One that serves, to be killed.

    :ivar calls: numbers of calls that it began, ``casts`` that it did
    """

    def __init__(self) -> None:
        self.ready: Deferred[None] = Deferred()
        self.ended: Deferred[None] = Deferred()
        self.calls: list[int] = []
        self.casts: list[int] = []
        self._rest = b""

    def outReceived(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            if line == b"ready":
                self.ready.callback(None)
            else:
                what, number = line.split()
                (self.calls if what == b"call" else self.casts).append(int(number))

    async def kill(self) -> None:
        """And wait for its end."""
        self.transport.signalProcess("KILL")  # type: ignore[union-attr]
        await self.ended

    def processEnded(self, reason: Any) -> None:
        self.ended.callback(None)


class KillTests(FaultCase):
    async def spawned(self, node: str) -> KilledProcess:
        process = KilledProcess()
        words = [sys.executable, "-c", SERVING, str(self.broker.port), self.topic, node]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        reactor.spawnProcess(process, sys.executable, words, environment)
        await process.ready
        return process

    async def test_servers_killed(self) -> None:
        """By kill -9 under load, five times: accepted casts are done, and no call is begun twice."""
        load = Load(await self.bus("asking"), self.topic)
        processes = [await self.spawned("host-1"), await self.spawned("host-2")]
        load.start()
        for number in range(5):
            await deferLater(reactor, 1.0)
            dying = processes[-2]
            processes.append(await self.spawned(f"host-{number + 3}"))
            await dying.kill()
        await load.stop()

        def lost() -> set[int]:
            return load.accepted - {number for process in processes for number in process.casts}

        await self.until(lambda: not lost(), what=lost)
        for process in processes[-2:]:
            await process.kill()
        begun = Counter(number for process in processes for number in process.calls)
        self.assertEqual({number: times for number, times in begun.items() if times > 1}, {})
        self.assertEqual([error for error in load.errors if not error.retryable], [])
        self.assertEqual(load.unknown, [])
        self.assertGreater(load.answered, 100)
