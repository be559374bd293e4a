"""
Swap a handler module back and forth under load, and count what clients see.

    python -m bench.swap [--connections 200] [--uploads 20] [--downloads 20] [--mb 50] [--swaps 20]

Starts its own cloudd from a copy of this checkout, a second copy differs in one swappable module (its health check
answers other words).  While ``cloudctl upgrade`` goes from one copy to the other and back, keep-alive connections ask
at full speed for the changed answer, a klein route and an object, and slow uploads and downloads run over all swaps.
Prints one JSON object; ``errors`` and ``reconnects`` must be 0, ``both_versions`` true.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from attrs import define, field

from tests.running_cloud import CHECKOUT, RunningCloud

PACKAGES = ("cloudd", "net", "storage", "reload", "twisted")
CHANGED = Path("cloudd/protocols/swift/_face.py")
ANSWERS = (b"OK", b"OK, other words")
CHUNK = 65_536


def copy_tree(target: Path) -> Path:
    """A copy of the packages that an upgrade may load."""
    for package in PACKAGES:
        shutil.copytree(CHECKOUT / package, target / package, ignore=shutil.ignore_patterns("__pycache__", "*.cache"))
    return target


def changed_tree(target: Path) -> Path:
    """The same with another health check."""
    module = copy_tree(target) / CHANGED
    source = module.read_text()
    assert source.count('b"OK"') == 1, f"{CHANGED} does not say OK exactly once"
    module.write_text(source.replace('b"OK"', repr(ANSWERS[1]).replace("'", '"')))
    return target


def content(size: int) -> Iterator[bytes]:
    block = hashlib.sha256(b"swap").digest() * (CHUNK // 32)
    for start in range(0, size, CHUNK):
        yield (b"%015d\n" % start + block[16:])[: min(CHUNK, size - start)]


@define
class Tally:
    """What the clients saw."""

    requests: int = 0
    errors: list[str] = field(factory=list)
    versions: set[bytes] = field(factory=set)
    connections_with_both: int = 0
    uploads_done: int = 0
    downloads_done: int = 0
    longest_ms: float = 0.0


@define
class Load:
    """All clients of one run; ``stop`` is set when the swaps are over."""

    cloud: RunningCloud
    token: str
    account: str  # path of the account, /v1/AUTH_...
    size: int
    tally: Tally = field(factory=Tally)
    stop: asyncio.Event = field(factory=asyncio.Event)

    async def connect(self, face: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.cloud.ports[face], limit=1 << 20)

    def head(self, method: str, path: str, *more: str) -> bytes:
        lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", f"X-Auth-Token: {self.token}", *more, "", ""]
        return "\r\n".join(lines).encode()

    async def keep_asking(self, face: str, paths: list[str], expected: set[bytes] | None) -> None:
        """One connection, asked again and again; it is never opened a second time."""
        seen: set[bytes] = set()
        try:
            reader, writer = await self.connect(face)
            while not self.stop.is_set():
                for path in paths:
                    began = time.perf_counter()
                    writer.write(self.head("GET", path))
                    status, body = await read_answer(reader)
                    self.tally.longest_ms = max(self.tally.longest_ms, (time.perf_counter() - began) * 1e3)
                    self.tally.requests += 1
                    if status != 200 or (expected is not None and body not in expected):
                        self.tally.errors.append(f"GET {path}: {status} {body[:200]!r}")
                    if path == "/healthcheck":
                        seen.add(body)
            writer.close()
        except (OSError, EOFError, ValueError) as problem:
            self.tally.errors.append(f"{face} {paths}: {problem!r}")
        self.tally.versions |= seen
        self.tally.connections_with_both += seen == set(ANSWERS)

    async def slow_upload(self, number: int, seconds: float) -> None:
        """Send the object evenly over ``seconds``; the server's ETag must be ours."""
        digest = hashlib.md5(usedforsecurity=False)
        try:
            reader, writer = await self.connect("object")
            writer.write(self.head("PUT", f"{self.account}/swap/up-{number}", f"Content-Length: {self.size}"))
            began, sent = time.perf_counter(), 0
            for block in content(self.size):
                digest.update(block)
                writer.write(block)
                await writer.drain()
                sent += len(block)
                await asyncio.sleep(max(0.0, began + seconds * sent / self.size - time.perf_counter()))
            status, headers = await read_head(reader)
            if status != 201 or headers.get("etag") != digest.hexdigest():
                self.tally.errors.append(f"upload {number}: {status} {headers}")
            else:
                self.tally.uploads_done += 1
            writer.close()
        except (OSError, EOFError, ValueError) as problem:
            self.tally.errors.append(f"upload {number}: {problem!r}")

    async def slow_download(self, number: int, seconds: float) -> None:
        """Read the object evenly over ``seconds``; every byte must be right."""
        digest = hashlib.md5(usedforsecurity=False)
        try:
            reader, writer = await self.connect("object")
            writer.write(self.head("GET", f"{self.account}/swap/large"))
            status, headers = await read_head(reader)
            began, received, length = time.perf_counter(), 0, int(headers["content-length"])
            while received < length:
                block = await reader.read(min(CHUNK, length - received))
                if not block:
                    raise EOFError(f"ended after {received} of {length} bytes")
                digest.update(block)
                received += len(block)
                await asyncio.sleep(max(0.0, began + seconds * received / length - time.perf_counter()))
            if status != 200 or headers.get("etag") != digest.hexdigest():
                self.tally.errors.append(f"download {number}: {status} {headers}")
            else:
                self.tally.downloads_done += 1
            writer.close()
        except (OSError, EOFError, ValueError) as problem:
            self.tally.errors.append(f"download {number}: {problem!r}")


async def read_head(reader: asyncio.StreamReader) -> tuple[int, dict[str, str]]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    fields = (line.split(": ", 1) for line in head[1:] if line)
    return int(head[0].split()[1]), {name.lower(): value.strip('"') for name, value in fields}


async def read_answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    status, headers = await read_head(reader)
    return status, await reader.readexactly(int(headers.get("content-length", "0")))


def log_in(cloud: RunningCloud) -> tuple[str, str]:
    """Token and account path of the tenant, by the storage URL in Swift's own log-in answer."""
    user, password = cloud.tenant()
    request = urllib.request.Request(
        cloud.url("object") + "/auth/v1.0", headers={"X-Auth-User": f"demo:{user}", "X-Auth-Key": password}
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        path = "/" + answer.headers["X-Storage-Url"].split("/", 3)[3]
        return answer.headers["X-Auth-Token"], path


def put(cloud: RunningCloud, path: str, token: str, body: bytes) -> None:
    request = urllib.request.Request(cloud.url("object") + path, body, {"X-Auth-Token": token}, method="PUT")
    with urllib.request.urlopen(request, timeout=120):
        pass


def upgrade(cloud: RunningCloud, tree: Path) -> float:
    """One ``cloudctl upgrade``; its seconds."""
    began = time.perf_counter()
    command = [str(Path(sys.executable).parent / "cloudctl"), "--state", str(cloud.state), "upgrade", "--yes"]
    result = subprocess.run([*command, "--to", str(tree)], capture_output=True, text=True, timeout=120, check=False)
    if result.returncode != 0:
        raise RuntimeError(f"upgrade failed:\n{result.stdout}{result.stderr}\n{cloud.log()}")
    return time.perf_counter() - began


async def swaps(load: Load, trees: list[Path], count: int, pause_s: float) -> list[float]:
    """``count`` upgrades to and fro, evenly spaced."""
    seconds = []
    for number in range(count):
        await asyncio.sleep(pause_s)
        seconds.append(await asyncio.to_thread(upgrade, load.cloud, trees[(number + 1) % 2]))
    await asyncio.sleep(pause_s)
    load.stop.set()
    return seconds


async def drive(load: Load, options: argparse.Namespace, trees: list[Path]) -> list[float]:
    health = load.keep_asking
    kinds = [
        lambda: health("object", ["/healthcheck"], set(ANSWERS)),
        lambda: health("object", ["/healthcheck", f"{load.account}/swap/small"], {*ANSWERS, b"s" * 1024}),
        lambda: health("api", ["/identity/v3"], None),
    ]
    clients = [kinds[number % 3]() for number in range(options.connections)]
    clients += [load.slow_upload(number, options.seconds) for number in range(options.uploads)]
    clients += [load.slow_download(number, options.seconds) for number in range(options.downloads)]
    running = [asyncio.ensure_future(client) for client in clients]
    seconds = await swaps(load, trees, options.swaps, options.seconds / (options.swaps + 1))
    await asyncio.gather(*running)
    return seconds


def measure(options: argparse.Namespace) -> dict[str, Any]:
    cloud = RunningCloud()
    try:
        trees = [copy_tree(cloud.folder / "first"), changed_tree(cloud.folder / "second")]
        cloud.settings_file.write_text(
            f"[upgrade]\ncanary_percent = 0\ntrees = {json.dumps([str(tree) for tree in trees])}\n"
        )
        cloud.start()
        token, account = log_in(cloud)
        load = Load(cloud, token, account, options.mb * 1_000_000)
        put(cloud, f"{account}/swap", token, b"")
        put(cloud, f"{account}/swap/small", token, b"s" * 1024)
        put(cloud, f"{account}/swap/large", token, b"".join(content(load.size)))
        seconds = asyncio.run(drive(load, options, trees))
    finally:
        cloud.remove()
    tally = load.tally
    return {
        "swaps": len(seconds),
        "slowest_swap_s": round(max(seconds), 3),
        "requests": tally.requests,
        "errors": len(tally.errors),
        "first_errors": tally.errors[:5],
        "reconnects": 0,  # no client here ever opens a second connection: a lost one is an error
        "uploads": tally.uploads_done,
        "downloads": tally.downloads_done,
        "both_versions": tally.versions == set(ANSWERS),
        "connections_with_both_versions": tally.connections_with_both,
        "longest_answer_ms": round(tally.longest_ms, 1),
    }


def arguments(words: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--connections", type=int, default=200)
    parser.add_argument("--uploads", type=int, default=20)
    parser.add_argument("--downloads", type=int, default=20)
    parser.add_argument("--mb", type=int, default=50, help="size of each slow transfer, MB")
    parser.add_argument("--swaps", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=60.0, help="how long transfers take and swaps are spread over")
    return parser.parse_args(words)


if __name__ == "__main__":
    os.environ.setdefault("PYTHONUNBUFFERED", "1")
    print(json.dumps(measure(arguments()), indent=2))
