"""
Calls over RabbitMQ: round trip and rate, beside the broker's own limit in the same run.

    python -m bench.messaging [--calls 20000] [--window 64] [--bytes 200] [--rounds 3]

Starts a RabbitMQ of its own, and one process that serves a topic.  In each round, in turns:

- ``one at a time``: a call is made when the one before was answered; milliseconds, p50 and p99.
- ``calls``: ``--window`` of them under way, from one process to the other: calls a second.
- ``raw``: the same two messages for each call without messaging: one process publishes a message of as many bytes, the
  other one publishes it back, transient, both with ``cloudd.protocols.amqp`` and neither with confirms; round trips a
  second.  That is what the broker and this client allow.

Prints one JSON object with the medians of the rounds, microseconds of CPU for each call in the process that asks, in
the one that serves and in the broker (which are the same on a busy machine), and ``ratio``: calls in raw round trips.
Exits with 1 when a call failed.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import react

from bench.amqp import keep_window
from cloudd.daemon._metrics import WorkerMetrics
from cloudd.messaging import Bus, Call, Fields, Form, Method
from cloudd.protocols.amqp import Address, Delivery, connect
from cloudd.protocols.bus import BrokerTransport
from tests.protocols.amqp.broker import Broker

TOPIC = "bench"
ECHO = Form(name="bench.echo")
THERE, BACK = "bench-there", "bench-back"
SINGLE = 2_000  # calls one at a time
DEADLINE_S = 30.0


def quantile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


async def make_bus(port: int, node: str) -> Bus:
    transport = BrokerTransport(reactor, [Address(port=port)], node)
    bus = Bus(reactor, transport, WorkerMetrics())
    bus.start()
    while transport.cause:
        await wait(0.01)
    return bus


def group_cpu_s(group: int) -> float:
    """CPU seconds of the broker's processes so far."""
    ticks = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parts = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it has just ended
        if int(parts[2]) == group:
            ticks += int(parts[11]) + int(parts[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def wait(seconds: float) -> Deferred[None]:
    waiting: Deferred[None] = Deferred()
    reactor.callLater(seconds, waiting.callback, None)
    return waiting


async def serve(port: int) -> None:
    """Calls and raw messages, until the process is ended; tells its CPU seconds when asked."""

    async def echo(call: Call) -> Fields:
        return {"body": call.fields["body"], "cpu_s": time.process_time()}

    bus = await make_bus(port, "serving")
    await bus.serve(TOPIC, [Method(ECHO, echo)]).ready
    connection = await connect(reactor, Address(port=port))
    channel = await connection.open_channel()
    for queue in (THERE, BACK):
        await channel.queue_declare(queue=queue)
    await channel.basic_qos(prefetch_count=200)

    def back(delivery: Delivery) -> None:
        delivery.ack()
        channel.publish("", BACK, delivery.body)

    await channel.consume(THERE, back)
    print("ready", flush=True)
    await Deferred()


async def measure(port: int, options: argparse.Namespace) -> dict[str, Any]:
    body = b"x" * options.bytes
    bus = await make_bus(port, "asking")

    def call() -> Deferred[Fields]:
        return bus.call(TOPIC, ECHO, {"body": body}, DEADLINE_S)

    async def server_cpu_s() -> float:
        answer = await call()
        return float(answer["cpu_s"])

    await keep_window(call, 2_000, options.window)
    singles = []
    for _ in range(SINGLE):
        began = time.perf_counter()
        await call()
        singles.append((time.perf_counter() - began) * 1000)
    there, broker = await server_cpu_s(), group_cpu_s(options.broker)
    began, cpu = time.perf_counter(), time.process_time()
    await keep_window(call, options.calls, options.window)
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    broker, there = group_cpu_s(options.broker) - broker, await server_cpu_s() - there
    await bus.stop()
    raw_per_s, raw_broker = await measure_raw(port, options, body)
    return {
        "p50_ms": quantile(singles, 0.5),
        "p99_ms": quantile(singles, 0.99),
        "calls_per_s": options.calls / seconds,
        "asking_cpu_us": cpu / options.calls * 1e6,
        "serving_cpu_us": there / options.calls * 1e6,
        "broker_cpu_us": broker / options.calls * 1e6,
        "raw_per_s": raw_per_s,
        "raw_broker_cpu_us": raw_broker / options.calls * 1e6,
    }


async def measure_raw(port: int, options: argparse.Namespace, body: bytes) -> tuple[float, float]:
    """Round trips a second, and CPU seconds of the broker."""
    connection = await connect(reactor, Address(port=port))
    channel = await connection.open_channel()
    await channel.basic_qos(prefetch_count=200)
    waiting: list[Deferred[None]] = []

    def come(delivery: Delivery) -> None:
        delivery.ack()
        waiting.pop(0).callback(None)

    def trip() -> Deferred[None]:
        waiting.append(Deferred())
        channel.publish("", THERE, body)
        return waiting[-1]

    await channel.consume(BACK, come)
    began, cpu = time.perf_counter(), group_cpu_s(options.broker)
    await keep_window(trip, options.calls, options.window)
    seconds, cpu = time.perf_counter() - began, group_cpu_s(options.broker) - cpu
    await connection.leave()
    return float(options.calls / seconds), cpu


def play(doing: Callable[[], Any]) -> None:
    """In this process."""
    found: dict[str, Any] = {}

    async def run() -> None:
        found.update(await doing() or {})

    react(lambda _: Deferred.fromCoroutine(run()).addCallback(lambda _: print(json.dumps(found))))


def child(words: list[str]) -> list[str]:
    return [sys.executable, "-m", "bench.messaging", "--child", *words]


def run_rounds(options: argparse.Namespace) -> dict[str, Any]:
    broker = Broker()
    serving = None
    try:
        broker.start()
        serving = subprocess.Popen(child(["serve", str(broker.port)]), stdout=subprocess.PIPE, text=True)
        assert serving.stdout is not None
        if serving.stdout.readline().strip() != "ready":
            raise SystemExit("the serving process did not begin")
        words = ["ask", str(broker.port), str(options.calls), str(options.window), str(options.bytes)]
        words.append(str(broker.group))
        rounds = []
        for _ in range(options.rounds):
            done = subprocess.run(child(words), capture_output=True, text=True, check=False, timeout=500)
            if done.returncode != 0:
                raise SystemExit(f"a round failed: {done.stderr[-2000:]}")
            rounds.append(json.loads(done.stdout))
    finally:
        if serving is not None:
            serving.kill()
            serving.wait()
        broker.remove()
    medians = {key: round(statistics.median(each[key] for each in rounds), 3) for key in rounds[0]}
    ratio = round(medians["calls_per_s"] / medians["raw_per_s"], 3)
    return {"options": vars(options), **medians, "ratio": ratio, "rounds": rounds}


def main() -> int:
    words = sys.argv[1:]
    if words[:2] == ["--child", "serve"]:
        play(lambda: serve(int(words[2])))
        return 0
    if words[:2] == ["--child", "ask"]:
        numbers = [int(word) for word in words[2:]]
        options = argparse.Namespace(calls=numbers[1], window=numbers[2], bytes=numbers[3], broker=numbers[4])
        play(lambda: measure(numbers[0], options))
        return 0
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=20_000, help="in each round, with a window")
    parser.add_argument("--window", type=int, default=64, help="calls under way")
    parser.add_argument("--bytes", type=int, default=200, help="in the fields of a call, and of its answer")
    parser.add_argument("--rounds", type=int, default=3)
    print(json.dumps(run_rounds(parser.parse_args()), indent=1))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
