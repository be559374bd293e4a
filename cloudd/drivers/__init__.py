"""
What runs servers on a host: providers of ``cloudd.interfaces.servers.IServerDriver``.

A host without a hypervisor simulates its servers::

    driver = SimulatedDriver(reactor, state_folder / "simulated", threads)
    await driver.start(observe)
    await driver.define(guest)
    await driver.power_on(guest.id)

and a test lets it suffer, also from another process::

    write_play(folder, Play(latency_s={"power_on": 0.5}, failures=[Failure(call="define", times=2)]))
    crash(folder, guest.id)
    foreign(folder, "somebody-elses")
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from cloudd.interfaces.application import Threads
from cloudd.interfaces.servers import IServerDriver

from ._simulated import SimulatedDriver
from ._simulated_play import Failure, Play, write_play
from ._simulated_records import crash, foreign

if TYPE_CHECKING:
    from cloudd.hypervisor import Hypervisor

__all__ = ["Failure", "Play", "SimulatedDriver", "crash", "foreign", "libvirt_driver", "write_play"]


def libvirt_driver(
    reactor: Any, hypervisor: Hypervisor, folder: Path, threads: Threads, accelerator: str = ""
) -> IServerDriver:
    """See ``LibvirtDriver``.  It is imported here alone, as only hosts with real servers have libvirt-python."""
    from ._libvirt import LibvirtDriver

    return LibvirtDriver(reactor, hypervisor, folder, threads, accelerator)
