# -*- test-case-name: tests.cluster.test_kills -*-
"""Signal 9 to processes of every kind, one at random at a time."""

from __future__ import annotations

import os
import random
import signal
from collections import Counter
from contextlib import suppress
from pathlib import Path

from attrs import define, field, frozen

from .cloud import Cluster, Node

KINDS = ("anchor", "loader", "front", "agent", "tls front", "postgres backend", "broker")
_LOADER, _TLS_FRONT = b"cloudd.daemon._loader", b"cloudd.tls_front"


@frozen
class Target:
    """
    :ivar host: name
    :ivar group: the whole group of processes goes
    """

    kind: str
    host: str
    pid: int
    group: bool = False


def targets_of(node: Node) -> list[Target]:
    """All processes of a node, by kind; of workers that it has not told of yet none."""
    roles = node.workers()
    found = []
    for pid in node.host.processes():
        words = _words(pid)
        if node.process is not None and pid == node.process.pid:
            kind = "anchor"
        elif pid in roles:
            kind = roles[pid]
        elif _TLS_FRONT in words:
            kind = "tls front"
        elif _LOADER in words and node.process is not None and _parent(pid) == node.process.pid:
            kind = "loader"
        else:
            continue
        found.append(Target(kind, node.name, pid))
    return found


def all_targets(cluster: Cluster) -> list[Target]:
    """Of every node, the database and the broker, as far as they run."""
    found = [target for node in cluster.nodes if node.is_up() for target in targets_of(node)]
    if not cluster.postgres.has_ended:
        backends = [pid for pid in cluster.hosts["db"].processes() if _parent(pid) == cluster.postgres.pid]
        found += [Target("postgres backend", "db", pid) for pid in backends if b"cloudd" in b" ".join(_words(pid))]
    if cluster.with_broker and not cluster.broker.has_ended:
        found.append(Target("broker", "mq", cluster.broker.group, group=True))
    return found


@define
class Killer:
    """
    :ivar killed: how many of each kind
    :ivar kinds: those that may be killed
    """

    cluster: Cluster
    chance: random.Random
    kinds: tuple[str, ...] = KINDS
    killed: Counter[str] = field(factory=Counter)

    def kill_one(self) -> Target | None:
        """A random kind of those that there are, of it a random one; None: nothing runs that may be killed."""
        there = [target for target in all_targets(self.cluster) if target.kind in self.kinds]
        if not there:
            return None
        kind = self.chance.choice(sorted({target.kind for target in there}))
        target = self.chance.choice([target for target in there if target.kind == kind])
        kill(target)
        self.killed[kind] += 1
        return target


def kill(target: Target) -> None:
    """With signal 9; it may have ended already."""
    with suppress(ProcessLookupError):
        (os.killpg if target.group else os.kill)(target.pid, signal.SIGKILL)


def _words(pid: int) -> list[bytes]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return []


def _parent(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0
