"""
Very many connections, held over swaps and hand-overs: what others notice of those, and whether all are still there.

    python -m bench.connections                                             # 10,000 idle ones, two front workers
    python -m bench.connections --idle 50000 --front 5 --swaps 2 --hand-overs 2
    python -m bench.connections --idle 0 --streams 100000 --front 7 --swaps 0 --hand-overs 1

Starts its own cloudd.  Client processes open keep-alive connections from addresses all over 127.0.0.0/8, use each once
before, after the swaps and after the hand-overs; event streams hear of an object every ``--event-every`` seconds.
A few more connections ask at ``--rate``: their latencies are the pauses, as in ``bench.upgrade``.  A process may have
20,000 descriptors on many machines: take as many ``--front`` workers as that needs, since they share unevenly;
clients are forked as needed.

Prints one JSON object; ``kib_per_connection`` is what the workers' PSS (shared pages divided among their users) grew by
for each held connection.  Exits with 1 when a connection was lost or heard something wrong.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from typing import Any

from bench import nginx_upgrade
from bench.clients import (
    SETTLE_S,
    Client,
    Clients,
    Latencies,
    RequestLoad,
    RequestResult,
    StreamLoad,
    StreamResult,
    Target,
    Tick,
    get,
    pauses,
    requests_table,
    run_requests,
    run_streams,
    run_ticker,
    stream_errors,
    stream_pauses,
    streams_table,
)
from bench.memory import pss_kib
from bench.swap import log_in, put
from bench.upgrading import How, Phases, UpgradedCloud, ended_by_signals, log, said_by_anchor

CONTAINER = "connections"
PER_CLIENT = 15_000  # connections of one client process
STREAMS_FROM = 1_000_000  # numbers of connections, from which their addresses are made
CLIENT_NICE = -5


def shares(count: int) -> list[int]:
    """``count`` divided among client processes."""
    clients = -(-count // PER_CLIENT)
    return [count // clients + (number < count % clients) for number in range(clients)] if count else []


class Held:
    """The connections that are only there."""

    def __init__(self, options: argparse.Namespace, clients: Clients) -> None:
        self.options = options
        self.clients = clients
        self.idle: list[Client] = []
        self.streams: list[Client] = []

    def open(self, code: UpgradedCloud, token: str) -> None:
        """Open all of them, one client process after the other."""
        options, number = self.options, 100_000
        for count in shares(options.idle):
            rate = options.touch_rate * count / options.idle
            target = (Target(code.cloud.ports["object"], get("/healthcheck"), b"OK"),)
            load = RequestLoad(target, 0, count, 0.0, first=number, touch_rate=rate)
            self.idle.append(self.clients.start(run_requests, load))
            number += count
        number = STREAMS_FROM
        for count in shares(options.streams):
            stream = StreamLoad(code.cloud.ports["api"], token, "/events?types=object.created", count, first=number)
            self.streams.append(self.clients.start(run_streams, stream))
            log(f"{number + count - STREAMS_FROM} streams")
            number += count

    def touch(self) -> None:
        """Use every idle connection once."""
        if self.idle:
            for client in self.idle:
                client.order("touch")
            time.sleep(self.options.idle / self.options.touch_rate + 1)


def workers_kib(code: UpgradedCloud) -> int:
    return sum(pss_kib(pid) for pid in code.processes())


def spread(code: UpgradedCloud) -> dict[str, int]:
    """Connections of each worker."""
    return {
        worker["name"]: sum(generation["connections"] for generation in worker["generations"])
        for worker in code.status()["workers"]
    }


def upgrades(code: UpgradedCloud, how: How, count: int, options: argparse.Namespace) -> None:
    for _ in range(count):
        code.try_upgrade(how)
        time.sleep(SETTLE_S + options.gap + (options.window if how == "hand-over" else 0))


def drive(
    options: argparse.Namespace, code: UpgradedCloud, clients: Clients, token: str, folder: str
) -> dict[str, Any]:
    before_kib = workers_kib(code)
    held = Held(options, clients)
    held.open(code, token)
    time.sleep(1)
    found: dict[str, Any] = {
        "kib_per_connection": round((workers_kib(code) - before_kib) / max(1, options.idle + options.streams), 2),
        "connections_by_worker": spread(code),
    }
    ticker = clients.start(run_ticker, code.cloud.ports["object"], folder, token, options.event_every)
    targets = (
        Target(code.cloud.ports["object"], get("/healthcheck"), b"OK"),
        Target(code.cloud.ports["object"], get(f"{folder}/small", token), b"s"),
        Target(code.cloud.ports["api"], get("/identity/v3"), b"{"),
    )
    asking = clients.start(run_requests, RequestLoad(targets, options.active, 0, options.rate), nice=CLIENT_NICE)
    log("all clients are connected")
    phases = Phases()
    phases.rest(options.quiet)
    upgrades(code, "swap", options.swaps, options)
    held.touch()
    phases.rest(options.quiet)
    upgrades(code, "hand-over", options.hand_overs, options)
    held.touch()
    phases.rest(options.quiet)
    found["connections_by_worker_after"] = spread(code)
    ticks: list[Tick] = ticker.finish()
    asked: RequestResult = asking.finish()
    idle: list[RequestResult] = [client.finish() for client in held.idle]
    for client in held.streams:
        client.order(f"finish {len(ticks)}")
    heard: list[StreamResult] = [client.result() for client in held.streams]
    events = streams_table(heard, ticks, options.streams)
    errors = {
        "active": asked.errors,
        "idle": sum(result.errors for result in idle),
        "idle_unanswered": 2 * options.idle - sum(result.touched for result in idle),
        "streams": stream_errors(events) if options.streams else 0,
        "upgrades": len(code.failures),
    }
    latencies = Latencies.of([(asked.due, asked.asked, asked.done)])
    found |= {
        "errors": sum(errors.values()),
        "errors_by_kind": errors,
        "failures": code.failures,
        "requests": requests_table(asked),
        "idle_examples": [example for result in idle for example in result.examples][:10],
        "streams": events,
        "none": {**latencies.table(phases.quiet), **stream_pauses(heard, ticks, phases.quiet)},
    }
    kinds: tuple[How, ...] = ("swap", "hand-over")
    for how in kinds:
        windows = code.windows_of(how)
        if windows:
            found[how] = {
                **pauses(latencies, phases.quiet, windows, asked.stolen),
                **stream_pauses(heard, ticks, windows),
                "anchor": said_by_anchor(code.outcomes_of(how)),
            }
    return found


def measure_cloudd(options: argparse.Namespace) -> dict[str, Any]:
    settings = f"[upgrade]\nwindow_s = {options.window}\n[workers]\nfront = {options.front}\n"
    settings += "[http]\nidle_timeout_s = 86400.0\nwrite_timeout_s = 3600.0\n"
    code, clients = UpgradedCloud.create(settings), Clients()
    try:
        code.cloud.start()
        token, account = log_in(code.cloud)
        folder = f"{account}/{CONTAINER}"
        put(code.cloud, folder, token, b"")
        put(code.cloud, f"{folder}/small", token, b"s" * 1024)
        return drive(options, code, clients, token, folder)
    finally:
        clients.kill()
        code.remove()


def measure_nginx(options: argparse.Namespace) -> dict[str, Any]:
    """The same idle connections and requests, through nginx's binary upgrades."""
    clients = Clients()
    with nginx_upgrade.running(workers=max(2, options.front)) as nginx:
        try:
            target, number, idle = (Target(nginx.port, get("/"), b"OK"),), 100_000, []
            for count in shares(options.idle):
                rate = options.touch_rate * count / options.idle
                load = RequestLoad(target, 0, count, 0.0, first=number, touch_rate=rate, reconnect=True)
                idle.append(clients.start(run_requests, load))
                number += count
            load = RequestLoad(target, options.active, 0, options.rate, reconnect=True)
            asking = clients.start(run_requests, load, nice=CLIENT_NICE)
            phases = Phases()
            phases.rest(options.quiet)
            for _ in range(options.nginx_upgrades):
                nginx.upgrade()
                time.sleep(SETTLE_S + options.gap)
                for client in idle:
                    client.order("touch")
                time.sleep(options.idle / options.touch_rate + 1)
            phases.rest(options.quiet)
            asked: RequestResult = asking.finish()
            held: list[RequestResult] = [client.finish() for client in idle]
        finally:
            clients.kill()
    latencies = Latencies.of([(asked.due, asked.asked, asked.done)])
    return {
        "upgrades": options.nginx_upgrades,
        "connections_closed": asked.closed + sum(result.closed for result in held),
        "requests_lost": asked.lost + sum(result.lost for result in held),
        "none": latencies.table(phases.quiet),
        "upgrade": pauses(latencies, phases.quiet, nginx.windows),
    }


def measure(options: argparse.Namespace) -> dict[str, Any]:
    found = {"load_average": os.getloadavg()[0], "options": vars(options), "cloudd": measure_cloudd(options)}
    if options.nginx_upgrades:
        found["nginx"] = measure_nginx(options)
    return found


def arguments(words: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--idle", type=int, default=10_000, help="idle keep-alive connections")
    parser.add_argument("--touch-rate", type=float, default=2000.0, help="how many of those are used a second")
    parser.add_argument("--streams", type=int, default=0, help="event streams")
    parser.add_argument("--event-every", type=float, default=10.0, help="seconds between events for all streams")
    parser.add_argument("--active", type=int, default=200, help="connections that share --rate")
    parser.add_argument("--rate", type=float, default=500.0, help="requests a second in sum")
    parser.add_argument("--front", type=int, default=2, help="front workers")
    parser.add_argument("--swaps", type=int, default=10)
    parser.add_argument("--hand-overs", type=int, default=10)
    parser.add_argument("--gap", type=float, default=1.0, help="seconds between upgrades")
    parser.add_argument("--quiet", type=float, default=15.0, help="seconds without upgrade before, between and after")
    parser.add_argument("--window", type=float, default=1.0, help="[upgrade] window_s of the daemon")
    parser.add_argument("--nginx-upgrades", type=int, default=0, help="then the same idle connections through nginx")
    return parser.parse_args(words)


if __name__ == "__main__":
    ended_by_signals()
    result = measure(arguments())
    print(json.dumps(result, indent=2))
    sys.exit(1 if result["cloudd"]["errors"] else 0)
