"""
Be a daemon that dies: ``python -m tests.drivers.killed_driver URI FOLDER ID IMAGE KERNEL INITRD ARGUMENTS``.

It starts a guest, says so and is gone.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import react

from cloudd.daemon._threads import WorkerThreads
from cloudd.drivers import libvirt_driver
from cloudd.hypervisor import Hypervisor
from cloudd.interfaces.servers import Guest


async def start(reactor: Any, uri: str, folder: str, server_id: str, image: str, kernel: str, *rest: str) -> None:
    threads = WorkerThreads(reactor, 2)
    threads.start()
    driver = libvirt_driver(reactor, Hypervisor(reactor, uri, threads), Path(folder), threads, "tcg")
    await driver.start(lambda seen: None)
    initrd, arguments = rest
    guest = Guest(
        id=server_id,
        name="orphan",
        vcpus=1,
        memory_mib=128,
        disk_bytes=64 << 20,
        image=Path(image),
        kernel=Path(kernel),
        initrd=Path(initrd),
        kernel_arguments=arguments,
    )
    await driver.define(guest)
    await driver.power_on(server_id)
    sys.stdout.write("started\n")
    sys.stdout.flush()
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    react(lambda reactor: Deferred.fromCoroutine(start(reactor, *sys.argv[1:])))
