"""
Boot real guests by the libvirt driver, as many as go, and say how long each step takes.

    python -m bench.guest_boots [--seconds 60] [--parallel 3] [--memory 128] [--boot kernel|disk] [--accelerator tcg]

Each of ``--parallel`` loops makes a guest, starts it, waits until its console says that it is up, and removes it, for
``--seconds``; what has begun then is ended and not counted.  Needs root, QEMU and libvirt (``script/setup``); libvirtd
is one of the bench's own, guests are those of ``script/guest-image``.  Prints one JSON object: ``boots``,
``boots_per_minute``, the median seconds of each step, ``guest_cpu_s``, the median CPU-seconds of a guest until it is
up, which swing less where the machine is shared, and ``busy_cores``, the cores that the whole machine was busy with.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any
from uuid import uuid4

from attrs import evolve
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import deferLater, react

from cloudd.daemon._threads import WorkerThreads
from cloudd.drivers import libvirt_driver
from cloudd.hypervisor import Hypervisor
from cloudd.interfaces.servers import Guest, IServerDriver
from tests.drivers.guest_image import guest_image
from tests.hypervisor.own_libvirt import own_libvirt

UP = b"cloudd guest: up"
LOOK_S = 0.05
DISK_BYTES = 64 << 20


def guest_of(options: argparse.Namespace) -> Guest:
    image = guest_image()
    guest = Guest(
        id=str(uuid4()),
        name="bench",
        vcpus=1,
        memory_mib=options.memory,
        disk_bytes=DISK_BYTES,
        image=image.disk,
    )
    if options.boot == "disk":
        return guest
    return evolve(guest, kernel=image.kernel, initrd=image.initrd, kernel_arguments=image.arguments)


class Boots:
    """What the loops have done, and for how long."""

    def __init__(self, reactor: Any, driver: IServerDriver, options: argparse.Namespace) -> None:
        self.count = 0
        self.guest_cpu_s: list[float] = []
        self.seconds: dict[str, list[float]] = defaultdict(list)
        self._reactor = reactor
        self._driver = driver
        self._options = options

    async def go_on(self, until: float) -> None:
        """One loop."""
        while self._reactor.seconds() < until:
            guest = guest_of(self._options)
            await self._timed("define", self._driver.define(guest))
            await self._timed("power_on", self._driver.power_on(guest.id))
            await self._timed("up", Deferred.fromCoroutine(self._up(guest.id)))
            self.guest_cpu_s.append(cpu_seconds(own_libvirt().guest_pid(f"cloudd-{guest.id}")))
            self.count += self._reactor.seconds() < until
            await self._timed("remove", self._driver.remove(guest.id))

    async def _up(self, server_id: str) -> None:
        while UP not in await self._driver.console(server_id, 1 << 20):
            await deferLater(self._reactor, LOOK_S)

    async def _timed(self, step: str, call: Deferred[None]) -> None:
        begun = self._reactor.seconds()
        await call
        self.seconds[step].append(self._reactor.seconds() - begun)


def busy_seconds() -> float:
    """Of all cores together, since the start of the machine."""
    user, nice, system, _, _, interrupts, soft, *_ = map(int, Path("/proc/stat").read_text().split()[1:9])
    return (user + nice + system + interrupts + soft) / os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid: int) -> float:
    """Of a process so far."""
    user, system = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


async def run(reactor: Any, options: argparse.Namespace) -> None:
    folder = Path(tempfile.mkdtemp(prefix="cloudd-boots-"))
    guest_image()
    threads = WorkerThreads(reactor, options.parallel + 2)
    threads.start()
    hypervisor = Hypervisor(reactor, own_libvirt().uri, threads)
    driver = libvirt_driver(reactor, hypervisor, folder, threads, options.accelerator)
    try:
        await driver.start(lambda seen: None)
        boots, begun, busy = Boots(reactor, driver, options), reactor.seconds(), busy_seconds()
        loops = [boots.go_on(begun + options.seconds) for _ in range(options.parallel)]
        await gatherResults([Deferred.fromCoroutine(each) for each in loops])
        cores = (busy_seconds() - busy) / (reactor.seconds() - begun)
        found = {
            "boots": boots.count,
            "boots_per_minute": round(boots.count * 60 / options.seconds, 1),
            "median_s": {step: round(statistics.median(each), 3) for step, each in boots.seconds.items()},
            "guest_cpu_s": round(statistics.median(boots.guest_cpu_s), 2),
            "busy_cores": round(cores, 2),
            **vars(options),
        }
        sys.stdout.write(json.dumps(found) + "\n")
    finally:
        await driver.stop()
        await hypervisor.stop()
        threads.stop()
        shutil.rmtree(folder)


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.guest_boots")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--parallel", type=int, default=3)
    parser.add_argument("--memory", type=int, default=128, help="MiB")
    parser.add_argument("--boot", choices=("kernel", "disk"), default="kernel")
    parser.add_argument("--accelerator", choices=("tcg", "kvm"), default="tcg")
    options = parser.parse_args(arguments)
    react(lambda reactor: Deferred.fromCoroutine(run(reactor, options)))


if __name__ == "__main__":
    main(sys.argv[1:])
