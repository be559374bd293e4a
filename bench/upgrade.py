"""
Upgrade under all kinds of load at once, count what clients see, and do the same with nginx's binary upgrade.

    python -m bench.upgrade [--swaps 20] [--hand-overs 20] [--active 1000] [--rate 1000] [--idle 1000] [--uploads 20]
        [--downloads 20] [--mb 100] [--streams 1000] [--no-nginx]

Starts its own cloudd on a copy of this checkout.  Connections that share ``--rate`` requests a second (health check, a
small object with a token, a klein route), idle keep-alive connections (used once before and after every upgrade), slow
uploads and downloads whose bytes are compared, and event streams whose ids must be complete stay open over all
upgrades: nobody opens a connection twice, and every loss is an error.  Each upgrade changes code and is loaded by
``cloudctl upgrade``.  nginx gets the same requests and idle connections afterwards; its clients may reconnect.

Prints one JSON object.  ``pause_ms`` is the longest latency of an upgrade above the p99 of the same run's quiet phases,
``noise_ms`` the same for stretches of those phases themselves.  Latencies count from when a request was asked;
``client_lag_ms`` is how late the client was with that, and ``pause_from_due_ms`` counts it in.  Exits with 1 when a
client of cloudd saw an error.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path
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
    TransferLoad,
    TransferResult,
    content,
    get,
    pauses,
    requests_table,
    run_requests,
    run_streams,
    run_ticker,
    run_transfers,
    stream_errors,
    stream_pauses,
    streams_table,
)
from bench.swap import log_in, put
from bench.upgrading import KERNEL, How, Phases, UpgradedCloud, ended_by_signals, log, said_by_anchor

SMALL = b"s" * 1024
CONTAINER = "upgrades"
CLIENT_NICE = -5


def upgrades(code: UpgradedCloud, how: How, count: int, requests: Client, options: argparse.Namespace) -> None:
    for _ in range(count):
        code.try_upgrade(how)
        touch_idle(requests, options)
        if how == "hand-over":
            time.sleep(options.window)


def touch_idle(requests: Client, options: argparse.Namespace) -> None:
    """After an upgrade: use each idle connection once, when the upgrade's figures are taken."""
    time.sleep(SETTLE_S)
    requests.order("touch")
    time.sleep(options.idle / touch_rate(options) + options.gap)


def touch_rate(options: argparse.Namespace) -> float:
    return float(max(500, options.idle // 10))


def measure_cloudd(options: argparse.Namespace) -> dict[str, Any]:
    settings = f"[upgrade]\nwindow_s = {options.window}\n[http]\nidle_timeout_s = 86400.0\nwrite_timeout_s = 3600.0\n"
    settings += f"body_timeout_s = 3600.0\n[workers]\nfront = {options.front}\n"
    code = UpgradedCloud.create(settings, Path(options.kernel))
    clients = Clients()
    try:
        code.cloud.start()
        token, account = log_in(code.cloud)
        folder = f"{account}/{CONTAINER}"
        put(code.cloud, folder, token, b"")
        put(code.cloud, f"{folder}/small", token, SMALL)
        put(code.cloud, f"{folder}/large", token, content(options.mb * 1_000_000))
        return drive(options, code, clients, token, folder)
    finally:
        clients.kill()
        code.remove()


def drive(
    options: argparse.Namespace, code: UpgradedCloud, clients: Clients, token: str, folder: str
) -> dict[str, Any]:
    ports, size = code.cloud.ports, options.mb * 1_000_000
    streams = None
    if options.streams:
        load = StreamLoad(ports["api"], token, "/events?types=object.created", options.streams, first=200_000)
        streams = clients.start(run_streams, load)
    ticker = clients.start(run_ticker, ports["object"], folder, token, options.event_every)
    each_s = options.idle / touch_rate(options) + options.gap + SETTLE_S + 2
    expected_s = (options.swaps + options.hand_overs) * each_s + options.hand_overs * options.window
    seconds = options.transfer_seconds or expected_s + 3 * options.quiet
    transfers = clients.start(
        run_transfers,
        TransferLoad(ports["object"], folder, token, options.uploads, options.downloads, size, seconds),
    )
    targets = (
        Target(ports["object"], get("/healthcheck"), b"OK"),
        Target(ports["object"], get(f"{folder}/small", token), SMALL),
        Target(ports["api"], get("/identity/v3"), b"{"),
    )
    asking = RequestLoad(targets, options.active, options.idle, options.rate, touch_rate=touch_rate(options))
    requests = clients.start(run_requests, asking, nice=CLIENT_NICE)
    log("all clients are connected")
    phases, began = Phases(), time.monotonic()
    phases.rest(options.quiet)
    upgrades(code, "swap", options.swaps, requests, options)
    phases.rest(options.quiet)
    upgrades(code, "hand-over", options.hand_overs, requests, options)
    phases.rest(options.quiet)
    seconds = time.monotonic() - began
    asked: RequestResult = requests.finish()
    moved: TransferResult = transfers.finish()
    ticks: list[Tick] = ticker.finish()
    heard: list[StreamResult] = [streams.finish(len(ticks))] if streams else []
    return table(options, code, asked, moved, ticks, heard, phases, seconds)


def table(
    options: argparse.Namespace,
    code: UpgradedCloud,
    asked: RequestResult,
    moved: TransferResult,
    ticks: list[Tick],
    heard: list[StreamResult],
    phases: Phases,
    seconds: float,
) -> dict[str, Any]:
    latencies = Latencies.of([(asked.due, asked.asked, asked.done)])
    events = streams_table(heard, ticks, options.streams)
    untouched = code.number * options.idle - asked.touched
    errors = {
        "requests": asked.errors,
        "idle": untouched,
        "transfers": len(moved.errors)
        + max(0, options.uploads - moved.uploads)
        + max(0, options.downloads - moved.downloads),
        "streams": stream_errors(events) if options.streams else 0,
        "upgrades": len(code.failures),
    }
    found: dict[str, Any] = {
        "seconds": round(seconds, 1),
        "failures": code.failures,
        "errors": sum(errors.values()),
        "reconnects": asked.reconnects,
        "errors_by_kind": errors,
        "versions_seen": len(asked.bodies[0]),
        "versions": len(code.windows) + 1,
        "requests": requests_table(asked),
        "transfers": {
            "uploads": moved.uploads,
            "downloads": moved.downloads,
            "gigabytes": round(moved.bytes_moved / 1e9, 2),
            "errors": moved.errors[:10],
        },
        "streams": events,
        "none": latencies.table(phases.quiet),
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
    found["none"].update(stream_pauses(heard, ticks, phases.quiet))
    return found


def measure_nginx(options: argparse.Namespace) -> dict[str, Any]:
    clients = Clients()
    with nginx_upgrade.running() as nginx:
        try:
            targets = (Target(nginx.port, get("/"), b"OK"),)
            load = RequestLoad(
                targets, options.active, options.idle, options.rate, reconnect=True, touch_rate=touch_rate(options)
            )
            requests = clients.start(run_requests, load, nice=CLIENT_NICE)
            phases = Phases()
            phases.rest(options.quiet)
            for number in range(options.nginx_upgrades):
                nginx.upgrade()
                log(f"nginx {number + 1} of {options.nginx_upgrades}: {nginx.windows[-1].seconds:.2f} s")
                touch_idle(requests, options)
            phases.rest(options.quiet)
            asked: RequestResult = requests.finish()
        finally:
            clients.kill()
    latencies = Latencies.of([(asked.due, asked.asked, asked.done)])
    return {
        "upgrades": options.nginx_upgrades,
        "connections_closed": asked.closed,
        "requests_lost": asked.lost,
        "reconnects": asked.reconnects,
        "requests": requests_table(asked),
        "none": latencies.table(phases.quiet),
        "upgrade": pauses(latencies, phases.quiet, nginx.windows, asked.stolen),
    }


def measure(options: argparse.Namespace) -> dict[str, Any]:
    if options.nginx:
        nginx_upgrade.find()
    found = {"load_average": os.getloadavg()[0], "options": vars(options), "cloudd": measure_cloudd(options)}
    if options.nginx:
        found["nginx"] = measure_nginx(options)
    return found


def arguments(words: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--swaps", type=int, default=20)
    parser.add_argument("--hand-overs", type=int, default=20)
    parser.add_argument("--active", type=int, default=1000, help="connections that share --rate")
    parser.add_argument("--rate", type=float, default=1000.0, help="requests a second in sum")
    parser.add_argument("--idle", type=int, default=1000, help="idle keep-alive connections")
    parser.add_argument("--uploads", type=int, default=20)
    parser.add_argument("--downloads", type=int, default=20)
    parser.add_argument("--mb", type=int, default=100, help="size of each slow transfer, MB")
    parser.add_argument("--transfer-seconds", type=float, default=0.0, help="how long one takes; 0: the whole run")
    parser.add_argument("--streams", type=int, default=1000, help="event streams")
    parser.add_argument("--event-every", type=float, default=1.0, help="seconds between events for all streams")
    parser.add_argument(
        "--gap", type=float, default=1.0, help="seconds between upgrades, beside those for idle connections"
    )
    parser.add_argument("--quiet", type=float, default=15.0, help="seconds without upgrade before, between and after")
    parser.add_argument("--window", type=float, default=1.0, help="[upgrade] window_s of the daemon")
    parser.add_argument("--front", type=int, default=0, help="front workers; 0: one per core")
    parser.add_argument("--kernel", default=str(KERNEL), help="the kernel module that a hand-over changes")
    parser.add_argument("--nginx-upgrades", type=int, default=20)
    parser.add_argument("--nginx", action=argparse.BooleanOptionalAction, default=True)
    return parser.parse_args(words)


if __name__ == "__main__":
    ended_by_signals()
    result = measure(arguments())
    print(json.dumps(result, indent=2))
    sys.exit(1 if result["cloudd"]["errors"] else 0)
