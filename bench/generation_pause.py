"""
How long the reactor of one worker stands still while a generation is loaded, switched to and freed; and what is left.

    python -m bench.generation_pause [--connections 10000] [--swaps 20]

A real worker process, forked as the loader does it, serves a real application to idle connections that have each been
answered before, and to a few requests meanwhile.  A timer of 1 ms notes every gap; between two trees that differ in one
module it swaps to and fro, one swap when the old generation has been freed.  Prints one JSON object:

- ``pauses_ms``: by phase the longest gap; the same without the time in which the thread was ready and the machine had
  no processor for it (``ours``), and its median over all swaps; and the longest work of the reactor's thread itself,
  without what it waited for another thread of the process.  ``idle`` is the same with nothing going on;
- ``memory_kib``, ``descriptors``, ``objects``: after ten swaps and after the last one.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import json
import os
import resource
import shutil
import signal
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from attrs import define, field

from bench.swap import changed_tree, copy_tree
from cloudd.control import BOUNDARIES
from cloudd.daemon._code_source import preload
from cloudd.daemon._heaps import use_few_heaps
from cloudd.daemon._loader import import_shared, without_reactor
from cloudd.daemon._spec import WorkerSpec
from cloudd.daemon._state_folder import StateFolder
from cloudd.daemon.settings import settings_to_plain
from cloudd.interfaces.settings import HTTPSettings, Settings
from reload import CodeTree, Generation, guard_plain_imports

FACES = ("api", "object", "s3")
TICK_S = 0.001
IDLE_S = 3.0
FREED_TIMEOUT_S = 60.0
EARLY_SWAPS = 10
SPREAD_S = 0.02
ASKED_BEFORE = 3  # requests on each connection
BUSY = 100  # connections that are asked meanwhile: the others stay as they are, and their memory does
ASKED = {"api": b"/identity/v3", "object": b"/healthcheck", "s3": b"/"}


@define
class Gaps:
    """What the timer saw, by phase."""

    reactor: Any
    phase: str = "idle"
    longest: dict[str, list[tuple[float, float, float]]] = field(
        factory=dict
    )  # phase -> wall, ours, CPU; ms, each time
    _at: tuple[float, float, float] = (0.0, 0.0, 0.0)
    _schedule: Any = field(factory=lambda: open("/proc/thread-self/schedstat", "rb", buffering=0))  # noqa: SIM115

    def start(self) -> None:
        self._at = self._now()
        self.enter(self.phase)
        self.reactor.callLater(TICK_S, self._tick)

    def enter(self, phase: str) -> None:
        """From now on gaps count to ``phase``."""
        self._note()
        self.phase = phase
        self.longest.setdefault(phase, []).append((0.0, 0.0, 0.0))

    def _tick(self) -> None:
        self._note()
        self.reactor.callLater(TICK_S, self._tick)

    def _note(self) -> None:
        now = self._now()
        wall, waited, cpu = ((after - before) * 1e3 for after, before in zip(now, self._at, strict=True))
        self._at = now
        if (found := self.longest.get(self.phase)) is not None:
            gap = (wall, wall - waited, cpu)
            found[-1] = tuple(map(max, found[-1], gap))  # type: ignore[assignment]

    def _now(self) -> tuple[float, float, float]:
        """Now, how long the thread has waited for a processor, how long it had one; seconds."""
        waited = int(self._schedule.read(64).split()[1])
        self._schedule.seek(0)
        return time.perf_counter(), waited / 1e9, time.thread_time()

    def report(self) -> dict[str, dict[str, float]]:
        return {
            phase: {
                "longest": round(max(wall for wall, _ours, _cpu in found), 2),
                "ours": round(max(ours for _wall, ours, _cpu in found), 2),
                "ours_median": round(statistics.median(ours for _wall, ours, _cpu in found), 2),
                "own_work": round(max(cpu for _wall, _ours, cpu in found), 2),
                "times": len(found),
            }
            for phase, found in self.longest.items()
        }


def footprint() -> dict[str, int]:
    """Of this process, after a collection."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return {
        "memory_kib": pages * resource.getpagesize() // 1024,
        "descriptors": len(os.listdir("/proc/self/fd")),  # noqa: PTH208
        "objects": len(gc.get_objects()),
        "modules": len(sys.modules),
    }


@define
class Driver:
    """Swaps inside the worker, when the parent has connected."""

    worker: Any
    reactor: Any
    hashes: list[str]
    swaps: int
    gaps: Gaps
    out: int
    free_delay_s: float = 0.0
    early: dict[str, int] = field(factory=dict)
    loads_s: list[float] = field(factory=list)
    frees_s: list[float] = field(factory=list)

    async def run(self) -> None:
        try:
            result = await self._measure()
        except BaseException as error:
            result = {"failed": repr(error)}
        os.write(self.out, json.dumps(result).encode())
        os.close(self.out)
        self.reactor.callLater(0.1, os._exit, 0)

    async def _measure(self) -> dict[str, Any]:
        self.gaps.start()
        if self.free_delay_s:
            self.worker._generations.freeing._delay_s = self.free_delay_s
        await self._sleep(IDLE_S)
        for number in range(self.swaps):
            await self._swap(number + 2, self.hashes[(number + 1) % 2])
            if number + 1 == min(EARLY_SWAPS, self.swaps):
                self.gaps.enter("measuring")
                self.early = footprint()
        self.gaps.enter("measuring")
        late = footprint()
        return {
            "pauses_ms": {name: found for name, found in self.gaps.report().items() if name != "measuring"},
            "load_s": round(statistics.median(self.loads_s), 3),
            "freed_after_s": round(statistics.median(self.frees_s), 3),
            "early": self.early,
            "late": late,
            "leaks": {str(number): lines for number, lines in self.worker._generations.freeing.leaks.items()},
        }

    async def _swap(self, number: int, tree_hash: str) -> None:
        generations = self.worker._generations
        self.gaps.enter("load")
        began = time.perf_counter()
        await generations.prepare(number, tree_hash)
        self.loads_s.append(time.perf_counter() - began)
        await self._sleep(SPREAD_S)
        self.gaps.enter("switch")
        generations.commit(number)
        await self._sleep(SPREAD_S)
        self.gaps.enter("free")
        began = time.perf_counter()
        while generations.retired:
            if time.perf_counter() - began > FREED_TIMEOUT_S:
                raise RuntimeError(f"not freed: {generations.freeing.leaks} {generations.retired}")
            await self._sleep(SPREAD_S)
        self.frees_s.append(time.perf_counter() - began)
        self.gaps.enter("between")
        await self._sleep(SPREAD_S)

    def _sleep(self, seconds: float) -> Any:
        from twisted.internet.task import deferLater

        return deferLater(self.reactor, seconds)


def become_worker(
    spec: WorkerSpec, link: socket.socket, listeners: list[socket.socket], preloaded: Generation | None, drive: Any
) -> None:
    """In a fork: what ``run_worker`` does, with a driver beside it."""
    from twisted.internet.defer import Deferred

    from cloudd.daemon._worker import Worker
    from cloudd.protocols.http import install_lean

    gc.enable()
    use_few_heaps()
    install_lean()
    reactor: Any = importlib.import_module("twisted.internet.reactor")
    worker = Worker(spec, reactor, link, listeners, preloaded)
    reactor.callWhenRunning(worker.start)
    if drive is not None:
        signal.signal(signal.SIGUSR1, lambda *_: reactor.callFromThread(begin))

        def begin() -> None:
            Deferred.fromCoroutine(drive(worker, reactor).run())

    reactor.run(installSignalHandlers=False)
    os._exit(worker.status)


def fork(function: Any, *arguments: Any) -> int:
    pid = os.fork()
    if pid == 0:
        try:
            function(*arguments)
        except BaseException:
            import traceback

            traceback.print_exc()
        os._exit(1)
    return pid


@define
class Client:
    """One connection."""

    socket: socket.socket
    face: str

    def ask(self) -> None:
        self.socket.sendall(b"GET %b HTTP/1.1\r\nHost: x\r\n\r\n" % ASKED[self.face])

    def answer(self) -> bytes:
        """The head of what came, which is all of these small answers."""
        found = self.socket.recv(65_536)
        if not found.startswith(b"HTTP/1.1 "):
            raise RuntimeError(f"{self.face} answered {found[:200]!r}")
        return found


def connect(addresses: dict[str, Any], count: int) -> Iterator[Client]:
    for number in range(count):
        face = FACES[number % len(FACES)]
        yield Client(socket.create_connection(addresses[face], timeout=60), face)


def measure(options: argparse.Namespace) -> dict[str, Any]:
    folder = Path(tempfile.mkdtemp(prefix="cloudd-pause-"))
    children: list[int] = []
    try:
        hashes = [
            CodeTree.scan(tree, BOUNDARIES).stage(folder / "state/code").hash
            for tree in (copy_tree(folder / "first"), changed_tree(folder / "second"))
        ]
        return run(options, folder / "state", hashes, children)
    finally:
        for child in children:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        shutil.rmtree(folder, ignore_errors=True)


def run(options: argparse.Namespace, state: Path, hashes: list[str], children: list[int]) -> dict[str, Any]:
    StateFolder(state).create()
    with without_reactor():
        import_shared(server=False)
        guard_plain_imports(BOUNDARIES)
        preloaded = preload(1, state / "code" / hashes[0])
        gc.collect()
        gc.freeze()
        gc.disable()
    listeners = [socket.create_server(("127.0.0.1", 0), backlog=4096) for _ in FACES]
    addresses = {face: listener.getsockname() for face, listener in zip(FACES, listeners, strict=True)}
    facts: dict[str, Any] = {
        "generation": 1,
        "tree_hash": hashes[0],
        "settings": settings_to_plain(Settings(state=state, http=HTTPSettings(idle_timeout_s=3600.0))),
        "urls": {face: f"http://{host}:{port}" for face, (host, port) in addresses.items()},
    }
    for listener in listeners:
        listener.setblocking(False)
    ours, theirs = socket.socketpair()
    prepare = fork(
        become_worker, WorkerSpec(name="prepare", role="prepare", faces=[], **facts), theirs, [], preloaded, None
    )
    theirs.close()
    while ours.recv(65_536):
        pass
    os.waitpid(prepare, 0)
    ours, theirs = socket.socketpair()
    reading, writing = os.pipe()

    def drive(worker: Any, reactor: Any) -> Driver:
        return Driver(worker, reactor, hashes, options.swaps, Gaps(reactor), writing, options.free_delay)

    spec = WorkerSpec(name="front-1", role="all", faces=list(FACES), **facts)
    child = fork(become_worker, spec, theirs, listeners, preloaded, drive)
    children.append(child)
    os.close(writing)
    theirs.close()
    return {
        "connections": options.connections,
        "swaps": options.swaps,
        **load_and_listen(options, child, ours, addresses, reading),
    }


def load_and_listen(
    options: argparse.Namespace, child: int, link: socket.socket, addresses: dict[str, Any], reading: int
) -> dict[str, Any]:
    """Connect, let the worker swap, ask a little meanwhile, and give what it found."""
    link.recv(1)  # it is ready
    clients = []
    for client in connect(addresses, options.connections):
        for _ in range(ASKED_BEFORE):
            client.ask()
            client.answer()
        clients.append(client)
    os.kill(child, signal.SIGUSR1)
    os.set_blocking(reading, False)
    result, asked = b"", 0
    while True:
        client = clients[asked % min(BUSY, len(clients))]
        client.ask()
        asked += 1
        time.sleep(0.01)
        client.answer()
        try:
            piece = os.read(reading, 65_536)
        except BlockingIOError:
            continue
        result += piece
        if not piece:
            return {"requests": asked, **json.loads(result)}


def arguments(words: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--connections", type=int, default=10_000)
    parser.add_argument("--swaps", type=int, default=20)
    parser.add_argument("--free-delay", type=float, default=0.0, help="seconds until a generation is freed; 0: as ever")
    return parser.parse_args(words)


if __name__ == "__main__":
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    print(json.dumps(measure(arguments()), indent=2))
