"""
How fast a cloud builds servers, from the request to ``ACTIVE``: ``python -m bench.builds``.

    python -m bench.builds [--servers 1000] [--clients 16] [--every 0.25] [--lists 40]

Starts its own cloudd with simulated servers, and asks it over HTTP.  First for all servers in one request, while
somebody else asks for one each ``--every`` seconds; lists them with details; deletes them; then asks for as many in
requests of their own, on ``--clients`` connections that wait for nothing but their answers; and deletes those.

Prints one JSON object, for both: ``post_ms``, the latencies of the requests; ``seconds`` from the first of them until
all servers are active; ``cpu_s_per_server`` of all of cloudd's processes, listing and deleting not counted; the same of
the deletions.  ``list_ms``: latencies of the list with all details.  ``decision``: what ``bench.scheduling`` finds for
10,000 hosts.  Exits with 1 where a request failed, a server is not active, or something is left.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Sequence
from typing import Any, Final

from attrs import define, field

from bench import scheduling
from bench.clients import quantile
from bench.http import cpu_seconds
from bench.swap import read_answer
from bench.upgrading import log
from tests.administrator import Administrator
from tests.running_cloud import RunningCloud

SETTINGS: Final = '[compute]\ndriver = "simulated"\n'
SERVERS: Final = "/compute/v2.1/servers"
LOOK_S: Final = 0.25
PATIENCE_S: Final = 600.0


class NotAnswered(Exception):
    """A request has failed."""


@define
class Connection:
    """One that is kept open, with one request at a time."""

    port: int
    token: str
    _reader: asyncio.StreamReader = field(init=False)
    _writer: asyncio.StreamWriter = field(init=False)

    async def open(self) -> Connection:
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self.port, limit=1 << 24)
        return self

    async def ask(self, method: str, path: str, body: Any = None) -> tuple[float, Any]:
        """
        :return: seconds until the answer was there, and its JSON
        :raises NotAnswered: its status is no success
        """
        data = b"" if body is None else json.dumps(body).encode()
        head = [
            f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", f"X-Auth-Token: {self.token}",
            "Content-Type: application/json", f"Content-Length: {len(data)}", "", "",
        ]  # fmt: skip
        began = time.perf_counter()
        self._writer.write("\r\n".join(head).encode() + data)
        status, answer = await read_answer(self._reader)
        seconds = time.perf_counter() - began
        if status >= 300:
            raise NotAnswered(f"{method} {path}: {status} {answer[:300]!r}")
        return seconds, json.loads(answer) if answer else None

    def close(self) -> None:
        self._writer.close()


@define
class Bench:
    """
    One cloud, and what is asked of it.

    :ivar wanted: members of each request for servers
    """

    cloud: RunningCloud
    token: str
    wanted: dict[str, Any]
    options: argparse.Namespace

    def connect(self) -> Connection:
        return Connection(self.cloud.ports["api"], self.token)

    def cpu_s(self) -> float:
        assert self.cloud.process is not None
        return cpu_seconds(self.cloud.process.pid)

    # ---- asking for servers

    async def post(self, connection: Connection, name: str, **more: Any) -> float:
        seconds, _ = await connection.ask("POST", SERVERS, {"server": {"name": name, **self.wanted, **more}})
        return seconds

    async def in_one_request(self) -> dict[str, Any]:
        """All of them, and others by somebody else as long as not all are active."""
        count = self.options.servers
        connection = await self.connect().open()
        began, cpu = time.monotonic(), self.cpu_s()
        post_s = await self.post(connection, "many", min_count=count, max_count=count)
        others = asyncio.ensure_future(self._others())
        await self.until_none("status=BUILD")
        seconds = time.monotonic() - began
        others.cancel()
        latencies = await others
        await self.until_none("status=BUILD")
        spent = self.cpu_s() - cpu
        connection.close()
        return {
            "post_ms": round(post_s * 1e3, 1),
            "seconds": round(seconds, 2),
            "cpu_s_per_server": round(spent / (count + len(latencies)), 5),
            "other_posts_ms": in_ms(latencies),
        }

    async def _others(self) -> list[float]:
        latencies: list[float] = []
        connection = await self.connect().open()
        try:
            while True:
                latencies.append(await asyncio.shield(self.post(connection, f"other-{len(latencies)}")))
                await asyncio.sleep(self.options.every)
        except asyncio.CancelledError:
            return latencies

    async def in_requests_of_their_own(self) -> dict[str, Any]:
        count = self.options.servers
        latencies: list[float] = []
        names = iter(range(count))

        async def client() -> None:
            connection = await self.connect().open()
            for number in names:
                latencies.append(await self.post(connection, f"one-{number}"))
            connection.close()

        began, cpu = time.monotonic(), self.cpu_s()
        await asyncio.gather(*(client() for _ in range(self.options.clients)))
        asked_s = time.monotonic() - began
        await self.until_none("status=BUILD")
        return {
            "post_ms": in_ms(latencies),
            "asked_seconds": round(asked_s, 2),
            "seconds": round(time.monotonic() - began, 2),
            "cpu_s_per_server": round((self.cpu_s() - cpu) / count, 5),
        }

    # ---- looking

    async def until_none(self, filters: str = "") -> None:
        """
        :param filters: of a list of servers; empty: there are none at all
        :raises NotAnswered: there are some for too long
        """
        connection = await self.connect().open()
        until = time.monotonic() + PATIENCE_S
        while (await connection.ask("GET", f"{SERVERS}?limit=1&{filters}"))[1]["servers"]:
            if time.monotonic() > until:
                raise NotAnswered(f"there are servers ({filters or 'all'}) after {PATIENCE_S:.0f} s")
            await asyncio.sleep(LOOK_S)
        connection.close()

    async def all_ids(self) -> list[str]:
        """
        Of servers, which are all to be active.

        :raises NotAnswered: one is not
        """
        connection = await self.connect().open()
        found: list[dict[str, Any]] = []
        while True:
            marker = f"&marker={found[-1]['id']}" if found else ""
            page = (await connection.ask("GET", f"{SERVERS}/detail?limit=1000{marker}"))[1]["servers"]
            if not page:
                connection.close()
                return [server["id"] for server in found]
            found += page
            if wrong := [server for server in page if server["status"] != "ACTIVE" or not server["addresses"]]:
                raise NotAnswered(f"{len(wrong)} servers are not active with an address: {wrong[0]}")

    async def lists(self) -> dict[str, float]:
        """Of as many servers as a page has, with details."""
        connection = await self.connect().open()
        latencies = [
            (await connection.ask("GET", f"{SERVERS}/detail?limit=1000"))[0] for _ in range(self.options.lists)
        ]
        connection.close()
        return in_ms(latencies)

    # ---- deleting

    async def delete_all(self) -> dict[str, Any]:
        ids = await self.all_ids()
        left = iter(ids)
        latencies: list[float] = []

        async def client() -> None:
            connection = await self.connect().open()
            for server_id in left:
                latencies.append((await connection.ask("DELETE", f"{SERVERS}/{server_id}"))[0])
            connection.close()

        began, cpu = time.monotonic(), self.cpu_s()
        await asyncio.gather(*(client() for _ in range(self.options.clients)))
        await self.until_none()
        return {
            "servers": len(ids),
            "delete_ms": in_ms(latencies),
            "seconds": round(time.monotonic() - began, 2),
            "cpu_s_per_server": round((self.cpu_s() - cpu) / len(ids), 5),
        }

    async def run(self) -> dict[str, Any]:
        found: dict[str, Any] = {"servers": self.options.servers, "clients": self.options.clients}
        for name, ask in (("one_request", self.in_one_request), ("own_requests", self.in_requests_of_their_own)):
            found[name] = await ask()
            log(f"{name}: {found[name]}")
            ids = await self.all_ids()
            found[name]["active"] = len(ids)
            found[name]["list_ms"] = await self.lists()
            found[name]["deletion"] = await self.delete_all()
            log(f"deleted: {found[name]['deletion']}, lists {found[name]['list_ms']}")
        return found


def in_ms(latencies: Sequence[float]) -> dict[str, float]:
    ordered = sorted(latencies)
    found = {"p50": quantile(ordered, 0.5), "p99": quantile(ordered, 0.99), "longest": ordered[-1]}
    return {"count": len(ordered), **{name: round(value * 1e3, 1) for name, value in found.items()}}


def measured(options: argparse.Namespace) -> dict[str, Any]:
    cloud = RunningCloud(SETTINGS)
    try:
        cloud.start()
        api = Administrator(cloud)
        unlimited = {"instances": -1, "cores": -1, "ram": -1}
        api("PUT", f"/compute/v2.1/os-quota-sets/{api.project_id}", {"quota_set": unlimited})
        wanted = {
            "imageRef": api.image("bench", b"\0" * 65536),
            "flavorRef": api.flavor("bench", 64),
            "networks": [{"uuid": api.network("bench")}],
        }
        found = asyncio.run(Bench(cloud, api.token, wanted, options).run())
        ports = api("GET", f"/network/v2.0/ports?device_owner=compute:nova&project_id={api.project_id}")["ports"]
        found["left"] = len(ports)
    finally:
        cloud.remove()
    found["decision"] = scheduling.run(scheduling.arguments([]))
    return found


def main(arguments: list[str]) -> int:
    """1: something went wrong or is left."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--servers", type=int, default=1000)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--every", type=float, default=0.25)
    parser.add_argument("--lists", type=int, default=40)
    found = measured(parser.parse_args(arguments))
    print(json.dumps(found, indent=2))
    return 1 if found["left"] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
