"""What runs servers on a host: providers of ``cloudd.interfaces.servers.IServerDriver``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from cloudd.interfaces.application import Threads
from cloudd.interfaces.servers import IServerDriver

if TYPE_CHECKING:
    from cloudd.hypervisor import Hypervisor

__all__ = ["libvirt_driver"]


def libvirt_driver(
    reactor: Any, hypervisor: Hypervisor, folder: Path, threads: Threads, accelerator: str = ""
) -> IServerDriver:
    """See ``LibvirtDriver``.  It is imported here alone, as only hosts with real servers have libvirt-python."""
    from ._libvirt import LibvirtDriver

    return LibvirtDriver(reactor, hypervisor, folder, threads, accelerator)
