"""
Confirmed publishing and consuming over RabbitMQ: this project's client beside pika's adapter for Twisted, in one run.

    python -m bench.amqp [--messages 20000] [--bytes 1024] [--rounds 5] [--queue classic|quorum] [--window 200]

Starts a RabbitMQ of its own.  In each round every client, in a process of its own and in turns, publishes all messages
(persistent, with confirms, ``--window`` of them under way) into an empty queue and then consumes them, with so many not
acknowledged at a time and each acknowledged by itself.  pika is no dependency of cloudd: install it beside it
(``pip install pika``).

Prints one JSON object: messages a second and microseconds of the client's CPU a message, the median of the rounds, and
``ratio``, which is cloudd's rate in pika's.  Exits with 1 when a message was lost.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

from attrs import frozen
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import react

from cloudd.protocols.amqp import Address, Delivery, connect
from tests.protocols.amqp.broker import Broker

QUEUE = "bench"
CLIENTS = ("cloudd", "pika")
DEEDS = ("publish", "consume")


@frozen
class Work:
    """
    :ivar window: most messages that wait for an answer at one time
    """

    port: int
    messages: int
    size: int
    window: int

    @property
    def body(self) -> bytes:
        return b"x" * self.size


class Clock:
    """Seconds and CPU seconds of this process since it was made."""

    def __init__(self) -> None:
        self._began = time.monotonic(), time.process_time()

    def figures(self, messages: int) -> dict[str, float]:
        seconds, cpu = time.monotonic() - self._began[0], time.process_time() - self._began[1]
        return {"per_s": messages / seconds, "cpu_us": cpu / messages * 1e6}


async def keep_window(publish: Callable[[], Deferred[Any]], messages: int, window: int) -> None:
    """Have as many under way as there may be, whenever one is answered for."""
    done: Deferred[None] = Deferred()
    left, under_way = messages, 0

    def answered(result: Any) -> Any:
        nonlocal under_way
        under_way -= 1
        go_on()
        return result

    def go_on() -> None:
        nonlocal left, under_way
        while left and under_way < window:
            left -= 1
            under_way += 1
            publish().addCallback(answered).addErrback(failed)
        if not left and not under_way and not done.called:
            done.callback(None)

    def failed(failure: Any) -> None:
        if not done.called:
            done.errback(failure)

    go_on()
    await done


async def cloudd_publish(work: Work) -> dict[str, float]:
    connection = await connect(reactor, Address.from_uri(f"amqp://guest:guest@127.0.0.1:{work.port}"))
    channel = await connection.open_channel()
    await channel.confirm()
    body, properties = work.body, {"delivery-mode": 2}
    clock = Clock()
    await keep_window(lambda: channel.publish("", QUEUE, body, properties), work.messages, work.window)
    figures = clock.figures(work.messages)
    await connection.leave()
    return figures


async def cloudd_consume(work: Work) -> dict[str, float]:
    connection = await connect(reactor, Address.from_uri(f"amqp://guest:guest@127.0.0.1:{work.port}"))
    channel = await connection.open_channel()
    await channel.basic_qos(prefetch_count=work.window)
    done: Deferred[None] = Deferred()
    left = work.messages

    def take(delivery: Delivery) -> None:
        nonlocal left
        delivery.ack()
        left -= 1
        if not left:
            done.callback(None)

    clock = Clock()
    await channel.consume(QUEUE, take)
    await done
    figures = clock.figures(work.messages)
    await connection.leave()
    return figures


async def pika_connection(work: Work) -> Any:
    import pika
    from pika.adapters.twisted_connection import TwistedProtocolConnection
    from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol

    parameters = pika.ConnectionParameters("127.0.0.1", work.port)
    protocol = await connectProtocol(
        TCP4ClientEndpoint(reactor, "127.0.0.1", work.port), TwistedProtocolConnection(parameters)
    )
    return await protocol.ready


async def pika_publish(work: Work) -> dict[str, float]:
    import pika

    connection = await pika_connection(work)
    channel = await connection.channel()
    await channel.confirm_delivery()
    body, properties = work.body, pika.BasicProperties(delivery_mode=2)
    clock = Clock()
    await keep_window(
        lambda: channel.basic_publish(exchange="", routing_key=QUEUE, body=body, properties=properties),
        work.messages,
        work.window,
    )
    figures = clock.figures(work.messages)
    await connection.close()
    return figures


async def pika_consume(work: Work) -> dict[str, float]:
    connection = await pika_connection(work)
    channel = await connection.channel()
    await channel.basic_qos(prefetch_count=work.window)
    clock = Clock()
    queue, _tag = await channel.basic_consume(queue=QUEUE, auto_ack=False)
    for _ in range(work.messages):
        _channel, method, _properties, _body = await queue.get()
        channel.basic_ack(delivery_tag=method.delivery_tag)
    figures = clock.figures(work.messages)
    await connection.close()
    return figures


WORK: dict[tuple[str, str], Callable[[Work], Awaitable[dict[str, float]]]] = {
    ("cloudd", "publish"): cloudd_publish,
    ("cloudd", "consume"): cloudd_consume,
    ("pika", "publish"): pika_publish,
    ("pika", "consume"): pika_consume,
}


def play(client: str, deed: str, work: Work) -> dict[str, float]:
    """In a process of its own."""
    words = [client, deed, str(work.port), str(work.messages), str(work.size), str(work.window)]
    done = subprocess.run(
        [sys.executable, "-m", "bench.amqp", "--child", *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    if done.returncode != 0:
        raise SystemExit(f"{client} {deed}: {done.stderr[-2000:]}")
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


def be_child(words: list[str]) -> None:
    work, figures = Work(*map(int, words[2:])), {}

    async def run(_: Any) -> None:
        doing = declare(work, words[1]) if words[0] == "declare" else WORK[words[0], words[1]](work)
        figures.update(await doing)

    react(lambda clock: Deferred.fromCoroutine(run(clock)).addCallback(lambda _: print(json.dumps(figures))))


def messages_in_queue(broker: Broker) -> int:
    """What lies there now; a quorum queue counts late."""
    for _ in range(20):
        found = broker.control("list_queues", "name", "messages").split()
        if int(found[found.index(QUEUE) + 1]) == 0:
            return 0
        time.sleep(0.5)
    return int(found[found.index(QUEUE) + 1])


async def declare(work: Work, kind: str) -> dict[str, float]:
    """The queue that all use."""
    connection = await connect(reactor, Address.from_uri(f"amqp://guest:guest@127.0.0.1:{work.port}"))
    channel = await connection.open_channel()
    await channel.queue_declare(queue=QUEUE, durable=True, arguments={"x-queue-type": kind})
    await connection.leave()
    return {}


def measure(options: argparse.Namespace) -> dict[str, Any]:
    broker = Broker()
    try:
        broker.start()
        work = Work(broker.port, options.messages, options.bytes, options.window)
        words = ["declare", options.queue, str(work.port), "0", "0", "0"]
        subprocess.run(
            [sys.executable, "-m", "bench.amqp", "--child", *words], check=True, timeout=60, stdout=subprocess.DEVNULL
        )
        found: dict[str, dict[str, list[dict[str, float]]]] = {
            client: {deed: [] for deed in DEEDS} for client in CLIENTS
        }
        lost = 0
        for number in range(options.rounds):
            for client in CLIENTS if number % 2 else reversed(CLIENTS):
                for deed in DEEDS:
                    found[client][deed].append(play(client, deed, work))
                lost += messages_in_queue(broker)
        return table(options, found, lost)
    finally:
        broker.remove()


def table(
    options: argparse.Namespace, found: dict[str, dict[str, list[dict[str, float]]]], lost: int
) -> dict[str, Any]:
    medians = {
        client: {
            deed: {key: round(statistics.median(row[key] for row in rows), 1) for key in ("per_s", "cpu_us")}
            for deed, rows in by_deed.items()
        }
        for client, by_deed in found.items()
    }
    ratio = {deed: round(medians["cloudd"][deed]["per_s"] / medians["pika"][deed]["per_s"], 3) for deed in DEEDS}
    return {"options": vars(options), **medians, "ratio": ratio, "left_in_queue": lost}


def main() -> int:
    if sys.argv[1:2] == ["--child"]:
        be_child(sys.argv[2:])
        return 0
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=20_000, help="in each round")
    parser.add_argument("--bytes", type=int, default=1024, help="of a body")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--queue", choices=("classic", "quorum"), default="classic")
    parser.add_argument("--window", type=int, default=200, help="messages under way, and prefetch")
    result = measure(parser.parse_args())
    print(json.dumps(result, indent=1))
    return 1 if result["left_in_queue"] else 0


if __name__ == "__main__":
    raise SystemExit(main())
