# -*- test-case-name: tests.protocols.rest.compute.test_diagnostics -*-
"""
Diagnostics of servers; for administrators.  Source: Compute API, "Servers diagnostics".

What the records say of a server is told; what only its host could count is null.  The API knows Nova's drivers alone,
so hosts are all ``libvirt``; ``hypervisor`` tells what runs there, ``simulated`` too.
"""

from __future__ import annotations

from typing import Any, Final

from cloudd import compute as service
from cloudd.compute import Diagnostics
from cloudd.interfaces.application import Transactions
from cloudd.interfaces.servers import Power

from .._routes import Answer, route
from ._call import ComputeCall
from ._versions import Version

_SAME_FOR_ALL: Final[Version] = (2, 48)
_KIB_IN_MIB: Final = 1024
_STATES: Final = {
    Power.UNKNOWN: "pending",
    Power.RUNNING: "running",
    Power.PAUSED: "paused",
    Power.OFF: "shutdown",
    Power.CRASHED: "crashed",
    Power.SUSPENDED: "suspended",
}
_CPU: Final = ("time", "utilisation")
_NIC: Final = (
    "rx_octets", "rx_errors", "rx_drop", "rx_packets", "rx_rate",
    "tx_octets", "tx_errors", "tx_drop", "tx_packets", "tx_rate",
)  # fmt: skip
_DISK: Final = ("read_bytes", "read_requests", "write_bytes", "write_requests", "errors_count")


def _uncounted(names: tuple[str, ...]) -> dict[str, None]:
    return dict.fromkeys(names)


def show(found: Diagnostics) -> dict[str, Any]:
    """As from 2.48 on."""
    return {
        **_facts(found),
        "num_cpus": found.vcpus,
        "num_nics": len(found.macs),
        "num_disks": found.disks,
        "memory_details": {"maximum": found.memory_mib, "used": None},
        "cpu_details": [{"id": number, **_uncounted(_CPU)} for number in range(found.vcpus)],
        "nic_details": [{"mac_address": mac, **_uncounted(_NIC)} for mac in found.macs],
        "disk_details": [_uncounted(_DISK) for _ in range(found.disks)],
    }


def show_old(found: Diagnostics) -> dict[str, Any]:
    """As before: whatever a driver has, by names of its own; ``memory`` is KiB."""
    return {**_facts(found), "cpus": found.vcpus, "memory": found.memory_mib * _KIB_IN_MIB, "disks": found.disks}


def _facts(found: Diagnostics) -> dict[str, Any]:
    return {
        "state": _STATES[found.power],
        "driver": "libvirt",
        "hypervisor": found.kind or None,
        "hypervisor_os": "linux",
        "uptime": found.up_s,
        "config_drive": found.config_drive,
    }


class DiagnosticRoutes:
    """``/v2.1/servers/{server_id}/diagnostics``."""

    def __init__(self, database: Transactions) -> None:
        self._database = database

    @route("GET", "/v2.1/servers/{server_id}/diagnostics")
    async def diagnostics(self, call: ComputeCall, server_id: str) -> Answer:
        """What the records say of it, what its host could count is null; from 2.48 on one form for all drivers."""
        found = await self._database.read(service.diagnostics, call.access, server_id)
        return Answer(200, show(found) if call.version >= _SAME_FOR_ALL else show_old(found))
