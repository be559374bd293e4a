"""
Put bad code into a canary under load, and measure how soon it is found and taken back.

    python -m bench.canary [--connections 300] [--pause-s 0.25] [--percent 5] [--good 5] [--rounds 1]

Starts its own cloudd.  Keep-alive connections ask for different things of both faces at random times; one in twenty has
a wrong token, as clients of a real cloud do.  First code that is no worse is loaded ``--good`` times (it must be
committed), then each fault of ``FAULTS`` once a round (it must be taken back, on the same connections).  Prints one
JSON object: for each upgrade how long it took, what it found, the time to roll back, and the clients' slowest answer
outside the bad route beside that of the same load without an upgrade.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import json
import random
import socket
import time
from pathlib import Path
from typing import Any

from attrs import define, field

from bench.swap import copy_tree, log_in, put, read_head
from tests.running_cloud import RunningCloud

CHANGED = Path("cloudd/protocols/swift/_object_reads.py")
ENTRY = "async def get_object(call: Call) -> None:\n"
FAULTS = {
    "500 on one route": "raise ValueError('a bug')",
    "404 on one route": "call.request.respond(404)\n    return",
    "100 ms slower on one route": (
        "from twisted.internet import reactor, task\n    await task.deferLater(reactor, 0.1, lambda: None)"
    ),
    "blocks the reactor for 50 ms": "import time\n    time.sleep(0.05)",
    "no answer on one route": "from twisted.internet.defer import Deferred\n    await Deferred()",
    "leaks a descriptor": "import os\n    os.open('/dev/null', os.O_RDONLY)",
    "kills its worker": "import os\n    os._exit(9)",
}
BREAKS_CONNECTIONS = {"kills its worker", "no answer on one route"}
HANG_S = 10.0  # after which a client gives up
OBJECTS = 50
QUIET_S = 5.0


@define
class Load:
    """All clients of one run."""

    cloud: RunningCloud
    token: str
    account: str
    pause_s: float
    reconnects: int = 0
    errors: list[str] = field(factory=list)
    slowest_ms: float = 0.0
    answers: int = 0
    stopping: bool = False

    async def ask_again_and_again(self, number: int) -> None:
        """One client; it opens another connection only when its own is lost, or hangs for ten seconds."""
        chance = random.Random(number)
        face = "object" if number % 3 else "api"
        token = "wrong" if number % 20 == 7 else self.token
        while not self.stopping:
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", self.cloud.ports[face])
                while not self.stopping:
                    await asyncio.wait_for(self._ask(reader, writer, chance, face, token), HANG_S)
                    await asyncio.sleep(chance.expovariate(1 / self.pause_s))
                writer.close()
            except (OSError, EOFError, TimeoutError) as error:
                self.reconnects += 1
                self.errors.append(repr(error))

    async def _ask(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        chance: random.Random,
        face: str,
        token: str,
    ) -> None:
        method, path, body = self._what(chance, face)
        head = f"{method} {path} HTTP/1.1\r\nHost: x\r\nX-Auth-Token: {token}\r\nContent-Length: {len(body)}\r\n\r\n"
        began = time.perf_counter()
        writer.write(head.encode() + body)
        _status, fields = await read_head(reader)
        if method != "HEAD":
            await reader.readexactly(int(fields.get("content-length", "0")))
        self.answers += 1
        if not (method == "GET" and "/box/" in path):  # the route with the faults
            self.slowest_ms = max(self.slowest_ms, (time.perf_counter() - began) * 1000)

    def _what(self, chance: random.Random, face: str) -> tuple[str, str, bytes]:
        if face == "api":
            return "GET", "/identity/v3" + chance.choice(("", "/auth/catalog", "/auth/projects")), b""
        place = f"{self.account}/box/o{chance.randrange(OBJECTS)}"
        kind = chance.randrange(4)
        if kind == 0:
            return "PUT", place, b"x" * 1000
        return ("GET" if kind < 3 else "HEAD"), (place if kind > 1 else f"{self.account}/box?limit=10"), b""


def upgrade(cloud: RunningCloud, percent: float) -> dict[str, Any]:
    """What the tree holds now; gives the outcome."""
    with socket.socket(socket.AF_UNIX) as control:
        control.connect(str(cloud.state / "control.sock"))
        connection = http.client.HTTPConnection("control", timeout=120)
        connection.sock = control
        connection.request("POST", "/v1/upgrade", json.dumps({"canary": percent}))
        lines = connection.getresponse().read().splitlines()
    outcome: dict[str, Any] = json.loads(lines[-1])
    began = next((line for line in map(json.loads, lines) if line.get("step") == "canary"), None)
    outcome["canary_s"] = round(outcome["duration_s"] - began["elapsed_s"], 3) if began else 0.0
    return outcome


async def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Everything, on one cloud."""
    cloud = RunningCloud("[workers]\nfront = 2\n")
    try:
        cloud.tree = copy_tree(cloud.folder / "tree")
        module = cloud.tree / CHANGED
        good = module.read_text()
        cloud.start()
        token, account = log_in(cloud)
        put(cloud, f"{account}/box", token, b"")
        for number in range(OBJECTS):
            put(cloud, f"{account}/box/o{number}", token, b"x" * 1000)
        load = Load(cloud, token, account, options.pause_s)
        clients = [asyncio.create_task(load.ask_again_and_again(number)) for number in range(options.connections)]
        await asyncio.sleep(2)
        found = [await _without(load)]
        for number in range(options.good):
            module.write_text(f"{good}\n# {number}\n")
            found.append(await _one(load, "no fault", options.percent))
        for number in range(options.rounds):
            for name, fault in FAULTS.items():
                module.write_text(good.replace(ENTRY, f"{ENTRY}    {fault}\n") + f"\n# round {number}\n")
                found.append(await _one(load, name, options.percent))
        load.stopping = True
        await asyncio.wait(clients, timeout=15)
    finally:
        cloud.remove()
    return {"connections": options.connections, "percent": options.percent, "upgrades": found}


async def _without(load: Load) -> dict[str, Any]:
    before = load.answers
    load.slowest_ms = 0.0
    await asyncio.sleep(QUIET_S)
    rate = round((load.answers - before) / QUIET_S)
    return {"fault": "no upgrade", "requests_per_s": rate, "slowest_answer_ms": round(load.slowest_ms, 1)}


async def _one(load: Load, name: str, percent: float) -> dict[str, Any]:
    load.slowest_ms, load.reconnects = 0.0, 0
    load.errors.clear()
    outcome = await asyncio.to_thread(upgrade, load.cloud, percent)
    await asyncio.sleep(HANG_S + 1 if name in BREAKS_CONNECTIONS else 1)
    wanted = "committed" if name == "no fault" else "failed"
    return {
        "fault": name,
        "as_wanted": outcome["result"] == wanted and (not load.reconnects or name in BREAKS_CONNECTIONS),
        "result": outcome["result"],
        "cause": outcome["cause"],
        "canary_s": outcome["canary_s"],
        "time_to_rollback_ms": round(outcome["rollback_s"] * 1000, 1),
        "saw": outcome["canary"],
        "lost_connections": load.reconnects,
        "slowest_answer_ms": round(load.slowest_ms, 1),
    }


def arguments(words: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--connections", type=int, default=300)
    parser.add_argument("--pause-s", type=float, default=0.25, help="mean pause of a client between two requests")
    parser.add_argument("--percent", type=float, default=5.0)
    parser.add_argument("--good", type=int, default=5, help="how many times code without a fault is loaded")
    parser.add_argument("--rounds", type=int, default=1)
    return parser.parse_args(words)


if __name__ == "__main__":
    print(json.dumps(asyncio.run(measure(arguments())), indent=2))
