"""
Memory and descriptors of a whole cloudd after many swaps under light load.

    python -m bench.memory_swaps [--swaps 200] [--hand-overs 0] [--first 10]

After ``--first`` swaps and every ``--every`` from then on the processes are looked at, when all have freed the old
generations: PSS (shared pages divided among their users), RSS, open descriptors.  Memory at the end must be within 5 %
of that after the first swaps, and descriptors must be as many.

Prints one JSON object; exits with 1 when that does not hold, or a client saw an error.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from bench.clients import (
    Clients,
    Latencies,
    RequestLoad,
    RequestResult,
    Target,
    Window,
    get,
    pauses,
    requests_table,
    run_requests,
)
from bench.memory import pss_kib
from bench.swap import log_in, put
from bench.upgrading import How, Phases, UpgradedCloud, ended_by_signals, log

LIMIT = 1.05
FREED_PATIENCE_S = 30.0
AT_ONCE = 32  # requests, to fill pools


def rss_kib(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    return 0


def descriptors(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def roles(code: UpgradedCloud) -> dict[str, int]:
    """Name of each process -> its number."""
    named = {worker["pid"]: worker["name"] for worker in code.status()["workers"]}
    assert code.cloud.process is not None
    named[code.cloud.process.pid] = "anchor"
    found: dict[str, int] = {}
    for pid in code.processes():
        name = named.get(pid, "loader")
        while name in found:
            name += "+"
        found[name] = pid
    return found


def wait_freed(code: UpgradedCloud) -> list[str]:
    """Wait until each worker has one generation, and give what holds others when they stay."""
    deadline = time.monotonic() + FREED_PATIENCE_S
    while True:
        workers = code.status()["workers"]
        left = [(worker["name"], g) for worker in workers for g in worker["generations"] if g["state"] != "serving"]
        if not left or time.monotonic() > deadline:
            return [
                f"{name}, generation {g['number']}: {g['state']}, {g['requests_running']} requests, {g['holders']}"
                for name, g in left
            ]
        time.sleep(0.2)


def look(code: UpgradedCloud, number: int) -> dict[str, Any]:
    """All processes as they are now."""
    found = roles(code)
    row = {
        "upgrades": number,
        "pss_mib": round(sum(pss_kib(pid) for pid in found.values()) / 1024, 2),
        "rss_mib": round(sum(rss_kib(pid) for pid in found.values()) / 1024, 2),
        "descriptors": sum(descriptors(pid) for pid in found.values()),
        "by_process": {
            name: [round(pss_kib(pid) / 1024, 2), round(rss_kib(pid) / 1024, 2), descriptors(pid)]
            for name, pid in found.items()
        },
    }
    log(f"after {number}: PSS {row['pss_mib']} MiB, {row['descriptors']} descriptors, {row['by_process']}")
    return row


def fill_pools(urls: list[str], token: str) -> None:
    """Ask so much at once that each worker opens all database connections and threads that it may have."""

    def ask(number: int) -> None:
        request = urllib.request.Request(urls[number % len(urls)], headers={"X-Auth-Token": token})
        with urllib.request.urlopen(request, timeout=60) as answer:
            answer.read()

    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(ask, range(AT_ONCE * 40)))


def drive(options: argparse.Namespace, code: UpgradedCloud, clients: Clients) -> dict[str, Any]:
    token, account = log_in(code.cloud)
    put(code.cloud, f"{account}/memory", token, b"")
    put(code.cloud, f"{account}/memory/small", token, b"s" * 1024)
    targets = (
        Target(code.cloud.ports["object"], get("/healthcheck"), b"OK"),
        Target(code.cloud.ports["object"], get(f"{account}/memory/small", token), b"s"),
        Target(code.cloud.ports["api"], get("/identity/v3"), b"{"),
    )
    asking = clients.start(run_requests, RequestLoad(targets, options.active, options.idle, options.rate))
    listed = f"{code.cloud.url('object')}{account}/memory", f"{code.cloud.url('api')}/identity/v3/auth/projects"
    fill_pools(list(listed), token)
    phases, rows, kept = Phases(), [], []
    phases.rest(options.quiet)
    kinds: list[How] = ["swap"] * options.swaps
    kinds += ["hand-over"] * options.hand_overs
    rows.append(look(code, 0))
    for number, how in enumerate(kinds, 1):
        code.upgrade_directly(how)
        time.sleep(options.gap + (options.window if how == "hand-over" else 0))
        if (number >= options.first and (number - options.first) % options.every == 0) or number == len(kinds):
            kept += wait_freed(code)
            rows.append(look(code, number))
    phases.rest(options.quiet)
    asked: RequestResult = asking.finish()
    latencies = Latencies.of([(asked.due, asked.asked, asked.done)])
    by_kind: dict[str, list[Window]] = {}
    for window in code.windows:
        by_kind.setdefault(window.kind, []).append(window)
    base = next(row for row in rows if row["upgrades"] >= min(options.first, len(kinds)))
    last = rows[-1]
    return {
        "options": vars(options),
        "times_pss": round(last["pss_mib"] / base["pss_mib"], 4),
        "times_rss": round(last["rss_mib"] / base["rss_mib"], 4),
        "descriptors": [base["descriptors"], last["descriptors"]],
        "not_freed": kept[:10],
        "errors": asked.errors,
        "requests": requests_table(asked),
        "none": latencies.table(phases.quiet),
        "upgrades": {how: pauses(latencies, phases.quiet, windows) for how, windows in by_kind.items()},
        "rows": rows,
    }


def measure(options: argparse.Namespace) -> dict[str, Any]:
    settings = f"[upgrade]\nwindow_s = {options.window}\n[http]\nidle_timeout_s = 86400.0\n"
    code, clients = UpgradedCloud.create(settings), Clients()
    code.alternate = options.alternate
    try:
        code.cloud.start()
        return drive(options, code, clients)
    finally:
        clients.kill()
        code.remove()


def holds(found: dict[str, Any]) -> bool:
    base, last = found["descriptors"]
    return found["times_pss"] <= LIMIT and base == last and not found["errors"] and not found["not_freed"]


def arguments(words: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--swaps", type=int, default=200)
    parser.add_argument("--hand-overs", type=int, default=0, help="after the swaps")
    parser.add_argument("--first", type=int, default=10, help="upgrades after which memory is what it is compared with")
    parser.add_argument("--every", type=int, default=10, help="upgrades between two looks")
    parser.add_argument("--alternate", action="store_true", help="to and fro between two codes; else each is a new one")
    parser.add_argument("--gap", type=float, default=0.3, help="seconds between upgrades")
    parser.add_argument("--quiet", type=float, default=10.0, help="seconds without upgrade before and after")
    parser.add_argument("--window", type=float, default=1.0, help="[upgrade] window_s of the daemon")
    parser.add_argument("--active", type=int, default=50, help="connections that share --rate")
    parser.add_argument("--idle", type=int, default=50)
    parser.add_argument("--rate", type=float, default=100.0, help="requests a second in sum")
    return parser.parse_args(words)


if __name__ == "__main__":
    ended_by_signals()
    result = measure(arguments())
    print(json.dumps(result, indent=2))
    sys.exit(0 if holds(result) else 1)
