"""
Many idle subscribers of ``/events``: what each costs in memory, and what a broadcast to all of them does to others.

    python -m bench.events [--streams 10000] [--front 2] [--clients 2] [--broadcasts 3] [--upgrade hand-over --during 1]

Starts its own cloudd.  Client processes open the streams from addresses all over 127.0.0.0/8; a process may have 20,000
descriptors at most, so take as many ``--front`` and ``--clients`` as that needs.  Then it makes containers, each of
which is told to every subscriber, while a probe asks for something small on a few other connections all the time.
With ``--upgrade`` all workers, or the code in them, are replaced between two broadcasts.

Prints one JSON object: ``kib_per_stream`` is what the workers' PSS grew by, for each stream; ``silence_ms`` the longest
wait of a probe without and with a broadcast; ``turns_over_25_ms`` how often
a hub kept its reactor for longer;
``missing`` and ``doubled`` events must be 0, and so must ``dropped`` connections.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import re
import resource
import selectors
import socket
import subprocess
import sys
import time
from collections import Counter
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from bench.memory import children, pss_kib
from bench.swap import copy_tree
from tests.event_stream import ask, log_in
from tests.running_cloud import RunningCloud

ID = re.compile(rb"^id: c\d+\.o(\d+)\r?\nevent: container\.created", re.M)
AT_ONCE = 100  # connections that are being opened


class Streams:
    """The streams of one client process."""

    def __init__(self, port: int, token: str, first: int, count: int) -> None:
        self._address = ("127.0.0.1", port)
        self._request = f"GET /events?types=container HTTP/1.1\r\nHost: x\r\nX-Auth-Token: {token}\r\n\r\n".encode()
        self._first, self._count = first, count
        self._selector = selectors.EpollSelector()
        self.seen: dict[int, list[int]] = {}
        self.begun = 0
        self.dropped = 0
        self.times: dict[int, list[float]] = {}

    def open(self) -> None:
        """Open all of them, some at a time."""
        for number in range(self._first, self._first + self._count):
            while len(self.seen) - self.begun - self.dropped >= AT_ONCE:
                self.read(0.5)
            client = socket.socket()
            client.setsockopt(socket.SOL_IP, 24, 1)  # IP_BIND_ADDRESS_NO_PORT
            client.bind((f"127.{1 + number % 200}.{1 + number // 200 % 200}.{1 + number // 40_000}", 0))
            client.connect(self._address)
            client.setblocking(False)
            client.send(self._request)
            self.seen[client.fileno()] = []
            self._selector.register(client, selectors.EVENT_READ, bytearray())
        while self.begun + self.dropped < self._count:
            self.read(0.5)

    def read(self, seconds: float) -> None:
        """Read what has come."""
        for key, _ in self._selector.select(seconds):
            client: Any = key.fileobj
            try:
                data = client.recv(65_536)
            except BlockingIOError:
                continue
            except OSError:
                data = b""
            if not data:
                self.dropped += 1
                self._selector.unregister(client)
                client.close()
                continue
            kept: bytearray = key.data
            if data.startswith(b"HTTP/1.1 "):
                assert data.startswith(b"HTTP/1.1 200"), data[:300]
                self.begun += 1
            kept += data
            ends = kept.rfind(b"\n\n")
            if ends >= 0:
                self._note(key.fd, bytes(kept[: ends + 2]))
                del kept[: ends + 2]

    def _note(self, number: int, text: bytes) -> None:
        now = time.time()
        for found in ID.finditer(text):
            position = int(found[1])
            self.seen[number].append(position)
            first_and_last = self.times.setdefault(position, [now, now, 0])
            first_and_last[1] = now
            first_and_last[2] += 1


def run_streams(port: int, token: str, first: int, count: int, orders: Connection) -> None:
    """A client process: opens, says so, reads until it is asked for its result."""
    streams = Streams(port, token, first, count)
    streams.open()
    orders.send("ready")
    while not orders.poll():
        streams.read(0.1)
    for _ in range(20):
        streams.read(0.05)
    counts = Counter(len(positions) for positions in streams.seen.values())
    doubled = sum(len(positions) - len(set(positions)) for positions in streams.seen.values())
    orders.send({"times": streams.times, "counts": dict(counts), "dropped": streams.dropped, "doubled": doubled})


def run_probe(port: int, orders: Connection) -> None:
    """Ask all the time on connections of its own; gives each wait with its time."""
    clients = [socket.create_connection(("127.0.0.1", port)) for _ in range(8)]
    for client in clients:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    orders.send("ready")
    waits = []
    while not orders.poll():
        for client in clients:
            began = time.time()
            client.sendall(b"GET /healthcheck HTTP/1.1\r\nHost: x\r\n\r\n")
            client.recv(4096)
            waits.append((began, (time.time() - began) * 1e3))
        time.sleep(0.002)
    orders.send(waits)


def started(target: Any, *args: Any) -> tuple[Any, Connection]:
    mine, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("fork").Process(target=target, args=(*args, theirs), daemon=True)
    process.start()
    return process, mine


def workers_pss(cloud: RunningCloud) -> int:
    assert cloud.process is not None
    return sum(pss_kib(pid) for pid in children(cloud.process.pid))


def hub_turns(cloud: RunningCloud) -> tuple[float, float]:
    """How many turns the hubs have had, and how many of them were not longer than 25 ms."""
    text = ask(cloud, "api", "GET", "/metrics")[2]
    buckets = dict(re.findall(r'^cloudd_event_turn_seconds_bucket\{le="([^"]+)"\} (\S+)$', text, re.M))
    return float(buckets.get("+Inf", 0)), float(buckets.get("0.025", 0))


def hand_over(cloud: RunningCloud, tree: Path, how: str, every_s: float, broadcast: Any) -> float:
    """Replace all workers, or the code in them; ``broadcast`` is called in the meantime.  Gives the seconds."""
    command = [str(Path(sys.executable).parent / "cloudctl"), "--state", str(cloud.state), "upgrade", "--yes"]
    began = time.time()
    with subprocess.Popen(
        [*command, "--canary", "0", "--how", how, "--to", str(tree)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as upgrade:
        while upgrade.poll() is None:
            time.sleep(every_s or 0.1)
            if every_s:
                broadcast()
        assert upgrade.stdout is not None
        if upgrade.returncode:
            raise RuntimeError(upgrade.stdout.read() + cloud.log())
    return time.time() - began


def measure(options: argparse.Namespace) -> dict[str, Any]:
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    cloud = RunningCloud()
    tree = cloud.folder / "other"
    cloud.settings_file.write_text(
        f"[workers]\nfront = {options.front}\n[events]\nsubscribers = 20000\nheartbeat_s = {options.heartbeat}\n"
        f"[upgrade]\ntrees = {json.dumps([str(tree)])}\n"
    )
    clients = []
    try:
        cloud.start()
        if options.upgrade:
            position = copy_tree(tree) / "cloudd" / "events" / "_position.py"
            position.write_text(f"# another one\n{position.read_text()}")
        token, project = log_in(cloud)
        time.sleep(2)
        idle_kib = workers_pss(cloud)
        each = options.streams // options.clients
        began = time.time()
        clients = [
            started(run_streams, cloud.ports["api"], token, number * each, each) for number in range(options.clients)
        ]
        for _, pipe in clients:
            pipe.recv()
        opened_s = time.time() - began
        time.sleep(options.settle)
        held_kib = workers_pss(cloud)
        probe, probe_pipe = started(run_probe, cloud.ports["object"])
        clients.append((probe, probe_pipe))
        probe_pipe.recv()
        quiet = (time.time(), time.time() + 3)
        time.sleep(3)
        turns = hub_turns(cloud)
        windows: list[tuple[float, float]] = []
        made: list[float] = []
        upgrades: list[float] = []

        def broadcast() -> None:
            headers = {"X-Auth-Token": token, "Content-Length": "0"}
            status, _, body = ask(cloud, "object", "PUT", f"/v1/AUTH_{project}/b{len(made)}", None, headers)
            assert status == 201, body
            made.append(time.time())

        for number in range(options.broadcasts):
            if options.upgrade and number == options.broadcasts // 2:
                upgrades.append(round(hand_over(cloud, tree, options.upgrade, options.during, broadcast), 2))
            broadcast()
            time.sleep(options.pause)
            windows.append((made[-1], time.time()))
        turns_after = hub_turns(cloud)
        all_turns, short_turns = (after - before for before, after in zip(turns, turns_after, strict=True))
        for _, pipe in clients:
            pipe.send("stop")
        results = [pipe.recv() for _, pipe in clients]
        waits = results.pop()
        return {
            "streams": each * options.clients,
            "front": options.front,
            "opened_s": round(opened_s, 1),
            "kib_per_stream": round((held_kib - idle_kib) / (each * options.clients), 2),
            "workers_mib": [round(idle_kib / 1024), round(held_kib / 1024)],
            "upgrade_s": upgrades,
            "made": len(made),
            "broadcasts": broadcasts(results, made),
            "silence_ms": {"quiet": longest(waits, [quiet]), "broadcast": longest(waits, windows)},
            "hub_turns": all_turns,
            "turns_over_25_ms": all_turns - short_turns,
            "dropped": sum(result["dropped"] for result in results),
            "doubled": sum(result["doubled"] for result in results),
            "missing": sum(
                (len(made) - count) * streams for result in results for count, streams in result["counts"].items()
            ),
            "load": os.getloadavg()[0],
        }
    finally:
        for process, _ in clients:
            process.terminate()
        cloud.remove()


def broadcasts(results: list[dict[str, Any]], made: list[float]) -> list[dict[str, float]]:
    """For each: when the first and the last subscriber had it, in ms after it was made, and how many had it."""
    found = []
    positions = sorted({position for result in results for position in result["times"]})
    for position, began in zip(positions, made, strict=False):
        times = [result["times"][position] for result in results if position in result["times"]]
        found.append(
            {
                "first_ms": round((min(first for first, _, _ in times) - began) * 1e3, 1),
                "last_ms": round((max(last for _, last, _ in times) - began) * 1e3, 1),
                "streams": sum(count for _, _, count in times),
            }
        )
    return found


def longest(waits: list[tuple[float, float]], windows: list[tuple[float, float]]) -> dict[str, float]:
    """The longest wait in these windows, and the median."""
    inside = sorted(wait for began, wait in waits if any(start <= began <= end for start, end in windows))
    if not inside:
        return {}
    return {
        "median": round(inside[len(inside) // 2], 2),
        "p99": round(inside[int(len(inside) * 0.99)], 2),
        "longest": round(inside[-1], 2),
    }


def arguments(given: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streams", type=int, default=10_000)
    parser.add_argument("--front", type=int, default=2, help="front workers")
    parser.add_argument("--clients", type=int, default=2, help="client processes")
    parser.add_argument("--broadcasts", type=int, default=3)
    parser.add_argument("--pause", type=float, default=3.0, help="seconds after each broadcast")
    parser.add_argument("--settle", type=float, default=3.0, help="seconds before memory is measured")
    parser.add_argument("--heartbeat", type=float, default=25.0, help="[events] heartbeat_s")
    parser.add_argument("--upgrade", choices=("swap", "hand-over"), help="in the middle")
    parser.add_argument("--during", type=float, default=0.0, help="seconds between broadcasts meanwhile; 0: none")
    return parser.parse_args(given)


if __name__ == "__main__":
    print(json.dumps(measure(arguments()), indent=2))
