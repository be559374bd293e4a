# -*- test-case-name: tests.cluster.test_faults -*-
"""
A cloud of several nodes, each on a host of its own, with PostgreSQL and RabbitMQ on theirs.

The first node makes the cloud, the others join it with ``cloudctl``.  All run a copy of this checkout that has
``counted`` in it.  Whoever uses it calls ``tend`` now and then, which starts again what a service manager would: an
anchor, the database's server or the broker that has ended.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

import psycopg
from attrs import define, evolve, field

from cloudd.cli._client import ControlClient, RefusedByDaemon, Unreachable
from tests.database.postgres import Postgres
from tests.protocols.amqp.broker import Broker
from tests.running_cloud import RunningCloud
from tests.tls_front import certificates

from . import counted
from .history import Effect, Ending, Entry, TaskRow
from .hosts import Host, Network
from .tree import counted_tree

PORTS = {"api": 5000, "object": 8080, "s3": 9000}
NODES_PORT = 5010
PATIENCE_S = 60.0
SETTINGS = """
[workers]
front = 1
[nodes]
name = "{name}"
heartbeat_s = 1
lost_s = 5
lease_s = 3
listen = "tcp:{port}:interface={address}"
[upgrade]
window_s = 0.5
canary_percent = 0
trees = {trees}
{more}
"""


class Node(RunningCloud):
    """
    A node on its host.

    :ivar known: pid of each worker that was ever seen -> its role
    """

    def __init__(self, host: Host, tree: Path, settings: str) -> None:
        super().__init__(settings, tree)
        self.host, self.name = host, host.name
        self.address, self.enter = host.address, host.enter
        self.ports = dict(PORTS)
        self.database.enter = lambda settings_file: None  # type: ignore[method-assign]
        self.known: dict[int, str] = {}
        self.files = ""

    def be_secure(self) -> None:
        """Have its S3 port speak TLS."""
        self.files = ":privateKey={}:certKey={}".format(*certificates.write(self.folder, certificates.make()))

    def endpoint(self, face: str) -> str:
        if face == "s3" and self.files:
            return super().endpoint(face).replace("tcp:", "ssl:") + self.files
        return super().endpoint(face)

    def tried(self, *words: str) -> subprocess.CompletedProcess[str]:
        """``cloudctl`` on its host."""
        program = str(Path(sys.executable).parent / "cloudctl")
        return subprocess.run(
            [*self.enter, program, "--state", str(self.state), *words],
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
            env={**os.environ, "PYTHONPATH": str(self.tree)},
        )

    def ctl(self, *words: str) -> Any:
        """What it says as JSON; of a stream, the last line.  It must succeed."""
        done = self.tried("--json", *words)
        assert done.returncode == 0, (self.name, words, done.stdout[-3000:], done.stderr[-3000:], self.log())
        text = done.stdout.strip()
        return json.loads(text if words[0] not in {"upgrade", "rollback"} else text.splitlines()[-1])

    def is_up(self) -> bool:
        """Its anchor runs."""
        return self.process is not None and self.process.poll() is None

    def workers(self) -> dict[int, str]:
        """Pid -> role of those that run; asks the anchor, and remembers where it does not answer."""
        with suppress(Unreachable, RefusedByDaemon):
            status = ControlClient(self.state).status()
            self.known |= {each.pid: each.role for each in (*status.workers, *status.leaving)}
        running = set(self.host.processes())
        return {pid: role for pid, role in self.known.items() if pid in running}

    def kill(self) -> None:
        """All its processes at once, as a power cut would."""
        for pid in self.host.processes():
            os.kill(pid, signal.SIGKILL)
        if self.process is not None:
            self.process.wait(60)
            self.process = None


@define
class Cluster:
    """
    :param more: settings of every node besides
    :param names: of the nodes
    :param with_broker: with RabbitMQ
    :param secure: the S3 port of the second node speaks TLS
    :ivar nodes: the first made the cloud
    :ivar numbers: for clients; each is taken once
    """

    more: str = ""
    names: tuple[str, ...] = ("n1", "n2", "n3")
    with_broker: bool = True
    secure: bool = False
    folder: Path = field(factory=lambda: Path(tempfile.mkdtemp(prefix="cloudd-cluster-")))
    network: Network = field(factory=Network)
    nodes: list[Node] = field(factory=list)
    numbers: Iterator[int] = field(factory=lambda: count(1))
    hosts: dict[str, Host] = field(factory=dict)
    _postgres: Postgres | None = field(init=False, default=None)
    _broker: Broker | None = field(init=False, default=None)
    database: str = field(init=False, default="")
    changes: int = field(init=False, default=0)

    @property
    def postgres(self) -> Postgres:
        assert self._postgres is not None
        return self._postgres

    @property
    def broker(self) -> Broker:
        assert self._broker is not None
        return self._broker

    def make(self) -> None:
        """Everything is there, and no node runs."""
        hosts = self.network.make(*self.names, "db", "mq")
        self.hosts = {host.name: host for host in hosts}
        database, broker = self.hosts["db"], self.hosts["mq"]
        self._postgres = Postgres(address=database.address, enter=database.enter, port=5432)
        self._postgres.make()
        self.database = self._postgres.create()
        with self._postgres.connect(self.database, user="cloudd") as connection:
            connection.execute(counted.TABLE)
        self._broker = Broker(address=broker.address, enter=broker.enter, port=5672, settings="loopback_users = none\n")
        if self.with_broker:
            self._broker.start()
        tree = counted_tree(self.folder / "trees" / "0")
        for name in self.names:
            self.nodes.append(Node(self.hosts[name], tree, self._settings(self.hosts[name])))
        if self.secure:
            self.nodes[1].be_secure()

    def _settings(self, host: Host) -> str:
        trees = json.dumps([str(self.folder / "trees")])
        more = self.more
        if host.name == self.names[0]:
            more += f'\n[database]\nurl = "{self.postgres.url(self.database)}"\n'
            if self.with_broker:
                more += f'[messaging]\nurl = "amqp://guest@{self.broker.address}:5672?heartbeat=4"\n'
        return SETTINGS.format(name=host.name, port=NODES_PORT, address=host.address, trees=trees, more=more)

    def start(self) -> None:
        """Every node is ready."""
        first, *others = self.nodes
        first.start()
        for node in others:
            self.join(node)
            node.start()
        self.wait(lambda: self.states() == dict.fromkeys(self.names, "ready"), "all nodes are ready")

    def join(self, node: Node) -> None:
        token = self.nodes[0].tried("node", "token").stdout.strip()
        done = node.tried("node", "join", token, "--name", node.name)
        assert done.returncode == 0, (done.stdout, done.stderr, self.nodes[0].log())

    def states(self) -> dict[str, str]:
        """Name of each node -> its state, as the first one that answers says; empty: none does."""
        for node in self.nodes:
            done = node.tried("--json", "node", "list")
            if done.returncode == 0:
                return {each["name"]: each["state"] for each in json.loads(done.stdout)["nodes"]}
        return {}

    def tree(self) -> Path:
        """Another code tree each time: a swap."""
        self.changes += 1
        return counted_tree(self.folder / "trees" / str(self.changes), self.changes)

    def tend(self, without: Collection[str] = ()) -> list[str]:
        """
        Start again what has ended.

        :param without: names of hosts that are left alone
        :return: names of those that something was started on
        """
        started = []
        for node in self.nodes:
            if node.name not in without and not node.is_up():
                node.launch()
                started.append(node.name)
        if "db" not in without and self.postgres.has_ended:
            self.postgres.start()
            started.append("db")
        if "mq" not in without and self.with_broker and self.broker.has_ended:
            self.broker.launch()
            started.append("mq")
        return started

    def wait(self, condition: Callable[[], Any], what: str, patience_s: float = PATIENCE_S) -> Any:
        """Until something is so."""
        deadline = time.monotonic() + patience_s
        while not (found := condition()):
            logs = "\n".join(f"== {node.name}\n{node.log()[-2500:]}" for node in self.nodes)
            assert time.monotonic() < deadline, f"in vain for {patience_s:.0f} s: {what}\n{logs}"
            time.sleep(0.2)
        return found

    # ---- what is there in the end

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """Of the cloud's database, past the cloud."""
        with self.postgres.connect(self.database, user="cloudd") as connection:
            return connection.execute(query.encode()).fetchall()

    def count_open(self) -> int:
        """Counted tasks that have not ended; -1: the database cannot be asked now."""
        query = "SELECT count(*) FROM tasks WHERE state IN ('queued', 'running')"
        try:
            return int(self.rows(f"{query} AND kind = '{counted.FORM.name}'")[0][0])
        except psycopg.OperationalError:
            return -1

    def ending(self) -> Ending:
        """For the judge."""
        tasks = self.rows(f"SELECT id, resource, state, cause FROM tasks WHERE kind = '{counted.FORM.name}'")
        effects = self.rows("SELECT task_id, number, what FROM test_effects")
        records = self.rows("SELECT name FROM identity_project WHERE name LIKE 'record-%'")
        return Ending(
            tasks=[TaskRow(id=row[0], key=row[1], state=row[2], cause=row[3] or "") for row in tasks],
            effects=[Effect(task_id=row[0], key=str(row[1]), what=row[2]) for row in effects],
            expected=frozenset(counted.EFFECTS),
            records=[row[0] for row in records],
        )

    def ending_of(self, entries: Collection[Entry]) -> Ending:
        """The same without what earlier rounds of clients left."""
        numbers = [int(entry.key.rpartition("-")[2]) for entry in entries if entry.what != "look"]
        first, ending = min(numbers, default=0), self.ending()
        return evolve(
            ending,
            tasks=[row for row in ending.tasks if int(row.key) >= first],
            effects=[effect for effect in ending.effects if int(effect.key) >= first],
            records=[name for name in ending.records if int(name.rpartition("-")[2]) >= first],
        )

    def hashes(self) -> dict[str, str]:
        """Of the code that each node runs, as the registry has it."""
        return {each["name"]: each["hash"] for each in self.nodes[0].ctl("node", "list")["nodes"]}

    def remove(self) -> None:
        """End everything and remove it."""
        for node in self.nodes:
            node.kill()
            node.remove()
        if self._broker is not None:
            self._broker.remove()
        if self._postgres is not None:
            self._postgres.remove()
        self.network.remove()
        shutil.rmtree(self.folder, ignore_errors=True)
