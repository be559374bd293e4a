"""``bench.cluster walks``: all clients through each node in turn, while node after node is upgraded."""

from __future__ import annotations

import argparse
import itertools
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from attrs import define, field

from bench.upgrading import log
from bench.walks_under_upgrades import ROUND_TIMEOUT_S, Walked
from tests.cluster.clients import Clients
from tests.cluster.cloud import Cluster, Node
from tests.cluster.history import History, judge
from tests.cluster.walking import Held, let_log_in
from tests.event_stream import log_in
from tests.running_cloud import CHECKOUT, described

ROUNDS = (("swap", False), ("hand-over", False), ("swap", True), ("hand-over", True))  # how, by --rolling


@define
class Upgrades:
    """
    Upgrades and ways back of all nodes, one after the other, in a thread.

    :ivar made: how each ended
    :ivar rounds: that all nodes went through, there and back
    """

    cluster: Cluster
    every_s: float
    made: dict[str, int] = field(factory=dict)
    failures: list[str] = field(factory=list)
    rounds: int = 0
    _ended: threading.Event = field(factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """After the one that is under way."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        for number, (how, rolling) in enumerate(itertools.cycle(ROUNDS)):
            words = ("upgrade", "--to", str(self.cluster.tree()), "--how", how, "--yes")
            if rolling:
                asked = self.cluster.nodes[number % len(self.cluster.nodes)]
                self._one(asked, f"rolling {how}", *words, "--rolling", "--settle", "1s")
                self._one(asked, "rolling rollback", "rollback", "--rolling", "--yes")
            else:
                self._all(how, *words)
                self._all("rollback", "rollback", "--yes")
            if self._ended.is_set():
                return
            self.rounds = number + 1

    def _all(self, how: str, *words: str) -> None:
        for node in self.cluster.nodes:
            if self._ended.wait(self.every_s):
                return
            self._one(node, how, *words)

    def _one(self, node: Node, how: str, *words: str) -> None:
        try:
            told = node.ctl(*words)
        except (AssertionError, ValueError, subprocess.SubprocessError) as error:
            self.failures.append(f"{node.name}, {how}: {error}"[:3000])
            log(self.failures[-1])
            return
        result = told.get("result") or told["state"]
        self.made[f"{how} {result}"] = self.made.get(f"{how} {result}", 0) + 1


def walk_through(cluster: Cluster, options: argparse.Namespace) -> tuple[dict[str, Any], bool]:
    """Bar 3."""
    token, _project = log_in(cluster.nodes[0], "cloudd-admin")
    for node in cluster.nodes:
        let_log_in(node, cluster.nodes[0])
    clients = Clients(cluster, History(cluster.folder / "history"), options.rate, 10**6, token=token)
    held, upgrades, walked = Held(cluster, options.held), Upgrades(cluster, options.every), dict[str, Walked]()
    began = time.monotonic()
    for each in (held, clients, upgrades):
        each.start()
    for node in itertools.cycle(cluster.nodes):
        if len(walked) == len(cluster.nodes) and (upgrades.rounds >= len(ROUNDS) or upgrades.failures):
            break
        one = walked.setdefault(node.name, Walked())
        _walk(node, options, one)
        log(f"{node.name}: {one.passed}, not: {one.others}; upgrades {upgrades.made}")
    for each in (upgrades, clients, held):
        each.stop()
    cluster.wait(lambda: cluster.count_open() == 0, "all tasks have ended")
    verdict = judge(clients.history.entries, cluster.ending())
    unanswered = [entry for entry in clients.history.entries if entry.fate == "unknown"]
    told = {
        "seconds": round(time.monotonic() - began, 1),
        "walks_passed": {name: sum(one.passed.values()) for name, one in walked.items()},
        "walks_not_passed": {name: one.others for name, one in walked.items()},
        "problems": [problem for one in walked.values() for problem in one.problems][:10],
        "upgrades": upgrades.made,
        "upgrades_failed": upgrades.failures,
        "connections_held": options.held * len(cluster.nodes),
        "connections_opened": held.opened,
        "requests_on_them": dict(held.seen),
        "requests_on_them_wrong": held.wrong[:5],
        "slowest_s": round(held.slowest_s, 3),
        "requests_without_an_answer": [f"{entry.what} {entry.node} {entry.said}" for entry in unanswered][:5],
        **verdict.told(),
    }
    passed = all(one.passed and not one.others for one in walked.values())
    return told, passed and held.is_good and verdict.is_good and not (upgrades.failures or unanswered)


def _walk(node: Node, options: argparse.Namespace, walked: Walked) -> None:
    """All clients, through one node."""
    with tempfile.TemporaryDirectory(prefix="cloudd-walks-") as folder:
        program = str(Path(sys.executable).parent / "trial")
        result = subprocess.run(
            [program, "--reporter=verbose", f"--temp-directory={folder}/trial"]
            + [f"tests.clients.test_{walk}" for walk in options.walks],
            cwd=CHECKOUT,
            env={**os.environ, **described(node), "PYTHONPATH": str(CHECKOUT)},
            capture_output=True,
            text=True,
            timeout=ROUND_TIMEOUT_S,
            check=False,
        )
    walked.add(result.stdout + result.stderr)
