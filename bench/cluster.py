"""
A cloud of three nodes on hosts of their own (network namespaces), with PostgreSQL and RabbitMQ on theirs.

    python -m bench.cluster tasks [--tasks 1000] [--kill-every 1] [--kinds KIND ...] [--seed 1]

    python -m bench.cluster faults [--only NAME ...]
    python -m bench.cluster walks [--walks openstack swift rclone aws boto3] [--held 20] [--every 2]

``tasks`` orders tasks through all nodes while a random process is killed with signal 9 every second: anchors, loaders,
workers, TLS fronts, sessions of the database, the broker.  Other clients make projects through one node and look for
them at the next.  Kills stop when ``--tasks`` are accepted and half of them have ended, or after ``--kill-for``; 60 s
later nothing may be open.  Then what clients were told is compared with what is there (``tests/cluster/history.py``).

``faults`` plays faults between the nodes, one after the other, under clients (``tests/cluster/faults.py``).

``walks`` lets the client walks of ``tests/clients`` go through each node in turn while all nodes are upgraded and taken
back under keep-alive connections and orders: each by its own ``cloudctl upgrade``, swaps and then hand-overs, and all
by ``cloudctl upgrade --rolling``, likewise.  It walks on until each of these four was done.  Nothing may fail.

Prints one JSON object; exits with 1 when anything is lost, doubled, stuck, failed, torn, stale or there without an
order.  Needs root.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from pathlib import Path
from typing import Any

from bench._cluster_walks import walk_through
from bench.upgrading import ended_by_signals, log
from bench.walks_under_upgrades import WALKS
from tests.cluster.clients import Clients, answers, unwell
from tests.cluster.cloud import Cluster
from tests.cluster.faults import FAULTS, play
from tests.cluster.history import History, judge
from tests.cluster.kills import KINDS, Killer
from tests.event_stream import log_in

STUCK_S = 60.0
WELL_S = 100.0  # a worker that was killed often waits 30 s, and is well when it has served for 60 s


def tasks(options: argparse.Namespace) -> tuple[dict[str, Any], bool]:
    """Bar 4."""
    cluster = Cluster(more=options.settings, secure=True)
    try:
        cluster.make()
        cluster.start()
        return _tasks(cluster, options)
    except BaseException:
        for node in cluster.nodes:
            log(f"{node.name}: {node.log()[-3000:]}")
        raise
    finally:
        cluster.remove()


def _tasks(cluster: Cluster, options: argparse.Namespace) -> tuple[dict[str, Any], bool]:
    token, _project = log_in(cluster.nodes[0], "cloudd-admin")
    history = History(Path(options.history or cluster.folder / "history"))
    clients = Clients(cluster, history, options.rate, options.tasks, token=token)
    killer = Killer(cluster, random.Random(options.seed), tuple(options.kinds))
    began = time.monotonic()
    clients.start()
    next_kill, last_kill = began + options.kill_every, began
    while (now := time.monotonic()) - began < options.kill_for:
        cluster.tend()
        if now >= next_kill:
            killer.kill_one()
            last_kill, next_kill = now, max(next_kill + options.kill_every, now)
        if clients.is_done and cluster.count_open() <= options.tasks // 20:
            break
        time.sleep(0.1)
    log(f"{sum(killer.killed.values())} kills, {clients.accepted} accepted, {cluster.count_open()} open")
    while cluster.count_open() != 0 and time.monotonic() - last_kill < STUCK_S:
        cluster.tend()
        time.sleep(0.1)
    drained_s = time.monotonic() - last_kill
    clients.stop()
    ended_s = _drain(cluster)
    verdict = judge(history.entries, cluster.ending())
    well = {node.name: answers(node, WELL_S) for node in cluster.nodes}
    slowest = max((entry.ended - entry.began for entry in history.entries), default=0.0)
    told = {
        "tasks": options.tasks,
        "nodes": len(cluster.nodes),
        "kills": sum(killer.killed.values()),
        "killed": dict(killer.killed),
        "seconds": round(last_kill - began, 1),
        "open_after_last_kill_s": round(drained_s, 1),
        "slowest_request_s": round(slowest, 1),
        "well_afterwards": well,
        "unwell": {node.name: unwell(node) for node in cluster.nodes if not well[node.name]},
        **verdict.told(),
        "late_orders_ended_s": round(ended_s, 1),
    }
    good = verdict.is_good and clients.accepted >= options.tasks and all(well.values())
    return told, good


def walks(options: argparse.Namespace) -> tuple[dict[str, Any], bool]:
    """Bar 3."""
    cluster = Cluster(more=options.settings)
    try:
        cluster.make()
        cluster.start()
        return walk_through(cluster, options)
    finally:
        cluster.remove()


def faults(options: argparse.Namespace) -> tuple[dict[str, Any], bool]:
    """Each on the cloud that the one before has left; on a new one where it has not left it well."""
    rows: list[dict[str, Any]] = []
    cluster: Cluster | None = None
    try:
        for fault in FAULTS:
            if fault.__name__ not in options.only:
                continue
            if cluster is None:
                cluster = Cluster(more=options.settings)
                cluster.make()
                cluster.start()
            try:
                rows.append(play(cluster, fault, cluster.folder / f"history-{fault.__name__}").told())
            except (AssertionError, OSError) as error:
                rows.append({"fault": fault.__name__, "good": False, "error": str(error)[-6000:]})
                cluster.remove()
                cluster = None
            log(json.dumps(rows[-1]))
    finally:
        if cluster is not None:
            cluster.remove()
    return {"faults": rows}, all(row["good"] for row in rows)


def _drain(cluster: Cluster) -> float:
    """Until what was ordered last has ended, for as long as a task may be stuck."""
    began = time.monotonic()
    while cluster.count_open() != 0 and time.monotonic() - began < STUCK_S:
        cluster.tend()
        time.sleep(0.1)
    return time.monotonic() - began


def arguments(words: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    bar = commands.add_parser("tasks", help="1,000 tasks while processes are killed")
    bar.add_argument("--tasks", type=int, default=1000)
    bar.add_argument("--rate", type=float, default=15.0, help="orders a second")
    bar.add_argument("--kill-every", type=float, default=1.0, help="seconds")
    bar.add_argument("--kill-for", type=float, default=300.0, help="seconds at most")
    bar.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS), help="what may be killed")
    bar.add_argument("--seed", type=int, default=1)
    bar.add_argument("--settings", default="", help="more settings of each node, TOML")
    bar.add_argument("--history", default="", help="a file in which what clients asked for and were told is kept")
    names = [fault.__name__ for fault in FAULTS]
    played = commands.add_parser("faults", help="faults between the nodes, one after the other")
    played.add_argument("--only", nargs="+", choices=names, default=names)
    played.add_argument("--settings", default="", help="more settings of each node, TOML")
    walk = commands.add_parser("walks", help="all clients through each node, under upgrades of all")
    walk.add_argument("--walks", nargs="+", choices=WALKS, default=list(WALKS), help="s3cmd is in aws")
    walk.add_argument("--held", type=int, default=20, help="keep-alive connections to each node")
    walk.add_argument("--rate", type=float, default=6.0, help="orders of tasks a second")
    walk.add_argument("--every", type=float, default=2.0, help="seconds between two upgrades")
    walk.add_argument("--settings", default="", help="more settings of each node, TOML")
    return parser.parse_args(words)


def main(words: list[str] | None = None) -> int:
    options = arguments(words)
    ended_by_signals()
    told, good = {"tasks": tasks, "faults": faults, "walks": walks}[options.command](options)
    print(json.dumps(told, indent=1))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
