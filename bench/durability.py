"""
Write objects while the whole daemon is killed with -9 again and again, then count what is left.

    python -m bench.durability [--objects 1000] [--kills 20]

Writers put objects through the Swift face; each acknowledged one (201) must be there afterwards, byte for byte, and
the store must hold no data file that no object names.  Prints one JSON object; ``lost``, ``corrupt`` and ``orphans``
must be 0.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import http.client
import json
import os
import random
import signal
import threading
import time
from typing import Any

from attrs import define, field

from bench.memory import children
from bench.swap import log_in, put
from tests.running_cloud import RunningCloud

WRITERS = 8


def body(name: str) -> bytes:
    """Content that only this name has: 0 to about 300 kB."""
    seed = hashlib.sha256(name.encode()).digest()
    return seed * (int.from_bytes(seed[:2], "big") % 9_500)


@define
class Writers:
    """Threads that put ``objects`` names in turn, asking again after a cut, until all are acknowledged."""

    cloud: RunningCloud
    account: str
    token: str
    objects: int
    acknowledged: set[str] = field(factory=set)
    refused: list[str] = field(factory=list)
    lock: threading.Lock = field(factory=threading.Lock)
    following: int = 0

    def run(self) -> None:
        while (name := self.next_name()) is not None:
            while not self.attempt(name):
                time.sleep(0.05)

    def next_name(self) -> str | None:
        with self.lock:
            if self.following >= self.objects:
                return None
            self.following += 1
            return f"object-{self.following:05d}"

    def attempt(self, name: str) -> bool:
        try:
            connection = http.client.HTTPConnection("127.0.0.1", self.cloud.ports["object"], timeout=20)
            connection.request("PUT", f"{self.account}/kill/{name}", body(name), {"X-Auth-Token": self.token})
            answer = connection.getresponse()
            answer.read()
            connection.close()
        except (OSError, http.client.HTTPException):
            return False
        if answer.status == 201:
            self.acknowledged.add(name)
        elif answer.status < 500:
            self.refused.append(f"{name}: {answer.status}")
        return answer.status < 500


def kill_everything(cloud: RunningCloud) -> None:
    """kill -9 for the anchor and everything below it, as when the power goes for the daemon alone."""
    assert cloud.process is not None
    for pid in children(cloud.process.pid):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    cloud.process.wait(30)


def check(cloud: RunningCloud, writers: Writers) -> dict[str, int]:
    """Read every acknowledged object back and compare."""
    lost = corrupt = 0
    connection = http.client.HTTPConnection("127.0.0.1", cloud.ports["object"], timeout=30)
    for name in sorted(writers.acknowledged):
        connection.request("GET", f"{writers.account}/kill/{name}", headers={"X-Auth-Token": writers.token})
        answer = connection.getresponse()
        found = answer.read()
        lost += answer.status == 404
        corrupt += answer.status != 404 and (answer.status != 200 or found != body(name))
    connection.request("GET", f"{writers.account}/kill", headers={"X-Auth-Token": writers.token})
    listed = connection.getresponse().read().decode().split()
    unnamed = set(listed) - writers.acknowledged
    return {"lost": lost, "corrupt": corrupt, "listed_but_never_acknowledged": len(unnamed), "listed": len(listed)}


def data_files(cloud: RunningCloud) -> int:
    """How many files the store keeps for objects, wherever they are below its folder."""
    folder = cloud.state / "objects"
    return sum(len(files) for top, _, files in os.walk(folder / "data")) + len(list((folder / "incoming").iterdir()))


def measure(options: argparse.Namespace) -> dict[str, Any]:
    cloud = RunningCloud()
    chance = random.Random(options.seed)
    try:
        cloud.start()
        token, account = log_in(cloud)
        put(cloud, f"{account}/kill", token, b"")
        writers = Writers(cloud, account, token, options.objects)
        threads = [threading.Thread(target=writers.run, daemon=True) for _ in range(WRITERS)]
        for thread in threads:
            thread.start()
        kills = 0
        starts = []
        while kills < options.kills or any(thread.is_alive() for thread in threads):
            time.sleep(chance.uniform(0.05, 0.6))
            if kills < options.kills:
                kill_everything(cloud)
                kills += 1
                writers.objects = max(writers.objects, writers.following + 20)  # some are in flight at every kill
                began = time.perf_counter()
                cloud.start()
                starts.append(time.perf_counter() - began)
        cloud.stop()
        cloud.start()
        result = check(cloud, writers)
        result["orphans"] = (
            data_files(cloud) - sum(1 for name in writers.acknowledged if body(name)) - count_empty(writers)
        )
    finally:
        cloud.remove()
    return {
        "acknowledged": len(writers.acknowledged),
        "kills": kills,
        "refused": writers.refused[:5],
        "slowest_start_s": round(max(starts), 2),
        **result,
    }


def count_empty(writers: Writers) -> int:
    """Objects of 0 bytes have a data file too."""
    return sum(1 for name in writers.acknowledged if not body(name))


def arguments(words: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--objects", type=int, default=1000)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=None)
    return parser.parse_args(words)


if __name__ == "__main__":
    print(json.dumps(measure(arguments()), indent=2))
