# -*- test-case-name: tests.protocols.rest.compute.test_hypervisors -*-
"""Hypervisors: the hosts that run servers.  Source: Compute API, "Hypervisors"; all of it is for administrators."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Sequence
from typing import Any, Final

from cloudd import compute as service
from cloudd.compute import Hypervisor
from cloudd.interfaces.application import Transactions

from .._faults import bad_request
from .._routes import Answer, route
from ._call import ComputeCall
from ._pages import with_next
from ._versions import Version, during

_OBJECTS: Final[Version] = (2, 28)
_PAGED: Final[Version] = (2, 33)
_UUIDS: Final[Version] = (2, 53)
_HYPERVISORS: Final = ("v2.1", "os-hypervisors")


def id_of(call: ComputeCall, found: Hypervisor) -> str | int:
    """A UUID from 2.53 on."""
    return str(uuid.UUID(found.id)) if call.version >= _UUIDS else found.number


def named(call: ComputeCall, found: Hypervisor) -> dict[str, Any]:
    """What every list has of it."""
    return {
        "id": id_of(call, found),
        "hypervisor_hostname": found.name,
        "state": "up" if found.is_up else "down",
        "status": "enabled" if found.is_enabled else "disabled",
    }


def whole(call: ComputeCall, found: Hypervisor) -> dict[str, Any]:
    """All of it, without its servers."""
    cpu = {
        "arch": found.architecture,
        "model": found.cpu_model,
        "vendor": "",
        "features": [],
        "topology": {"sockets": 1, "cores": found.vcpus, "threads": 1},
    }
    return (
        named(call, found)
        | _amounts(found)
        | {
            "cpu_info": cpu if call.version >= _OBJECTS else json.dumps(cpu),
            "host_ip": found.address,
            "hypervisor_type": found.kind,
            "hypervisor_version": found.version,
            "service": {
                "id": _service_id(call, found),
                "host": found.name,
                "disabled_reason": None if found.is_enabled else found.disabled_reason or None,
            },
        }
    )


def _service_id(call: ComputeCall, found: Hypervisor) -> str | int:
    service_id, number = service.compute_service_id(found.id)
    return str(uuid.UUID(service_id)) if call.version >= _UUIDS else number


def _amounts(found: Hypervisor) -> dict[str, int]:
    return {
        "vcpus": found.vcpus,
        "vcpus_used": found.vcpus_used,
        "memory_mb": found.memory_mib,
        "memory_mb_used": found.memory_mib_used,
        "free_ram_mb": found.memory_mib - found.memory_mib_used,
        "local_gb": found.disk_gib,
        "local_gb_used": found.disk_gib_used,
        "free_disk_gb": found.disk_gib - found.disk_gib_used,
        "disk_available_least": found.disk_gib - found.disk_gib_used,
        "current_workload": found.busy,
        "running_vms": found.count,
    }


def _servers(found: Hypervisor) -> dict[str, Any]:
    return {"servers": [{"uuid": each.id, "name": each.name} for each in found.servers]} if found.servers else {}


def uptime_text(up_s: int, load: float) -> str:
    """As ``uptime`` prints it, without what is not known."""
    days, rest = divmod(up_s // 60, 24 * 60)
    return f"up {days} days, {rest // 60:2}:{rest % 60:02}, load average: {load:.2f}"


Show = Callable[[ComputeCall, Hypervisor], dict[str, Any]]


class HypervisorRoutes:
    """``/v2.1/os-hypervisors``."""

    def __init__(self, database: Transactions) -> None:
        self._database = database

    @route("GET", "/v2.1/os-hypervisors")
    async def list_hypervisors(self, call: ComputeCall) -> Answer:
        """Names, in pages from 2.33 on; from 2.53 on `hypervisor_hostname_pattern` and `with_servers` choose."""
        return await self._page(call, named, "list")

    @route("GET", "/v2.1/os-hypervisors/detail")
    async def detail(self, call: ComputeCall) -> Answer:
        """The same with all members."""
        return await self._page(call, whole, "list-detail", "detail")

    @route("GET", "/v2.1/os-hypervisors/statistics")
    async def statistics(self, call: ComputeCall) -> Answer:
        """Sums over all that are enabled."""
        found = await self._database.read(service.hypervisors, call.access, "statistics")
        amounts = [_amounts(each) for each in found if each.is_enabled]
        sums = {name: sum(each[name] for each in amounts) for name in _NAMES}
        return Answer(200, {"hypervisor_statistics": {"count": len(amounts), **sums}})

    @route("GET", "/v2.1/os-hypervisors/{pattern}/search")
    @during((2, 1), (2, 52))
    async def search(self, call: ComputeCall, pattern: str) -> Answer:
        """Those with that in their names; up to 2.52."""
        found = await self._database.read(service.hypervisors, call.access, "search")
        matching = service.matching_hypervisors(found, pattern)
        return Answer(200, {"hypervisors": [named(call, each) for each in matching]})

    @route("GET", "/v2.1/os-hypervisors/{pattern}/servers")
    @during((2, 1), (2, 52))
    async def servers(self, call: ComputeCall, pattern: str) -> Answer:
        """The same with their servers; up to 2.52."""
        found = await self._all(call, "servers", with_servers=True)
        matching = service.matching_hypervisors(found, pattern)
        return Answer(200, {"hypervisors": [named(call, each) | _servers(each) for each in matching]})

    @route("GET", "/v2.1/os-hypervisors/{hypervisor_id}/uptime")
    async def uptime(self, call: ComputeCall, hypervisor_id: str) -> Answer:
        """How long its machine runs, as it said last; 400 in Nova's words where it did not."""
        found = await self._one(call, hypervisor_id, "uptime")
        if found.up_s is None:
            raise bad_request("Virt driver does not implement uptime function.")
        shown = named(call, found) | {"uptime": uptime_text(found.up_s, found.load)}
        return Answer(200, {"hypervisor": shown})

    @route("GET", "/v2.1/os-hypervisors/{hypervisor_id}")
    async def show(self, call: ComputeCall, hypervisor_id: str) -> Answer:
        """One of them; from 2.53 on `with_servers=true` has its servers."""
        found = await self._one(call, hypervisor_id, "show", with_servers=_with_servers(call))
        return Answer(200, {"hypervisor": whole(call, found) | _servers(found)})

    async def _one(self, call: ComputeCall, hypervisor_id: str, rule: str, *, with_servers: bool = False) -> Hypervisor:
        wanted = _uuid(hypervisor_id) if call.version >= _UUIDS else hypervisor_id
        found: Hypervisor = await self._database.read(
            service.one_hypervisor, call.access, wanted, rule, with_servers=with_servers
        )
        return found

    async def _all(self, call: ComputeCall, rule: str, *, with_servers: bool) -> Sequence[Hypervisor]:
        found: Sequence[Hypervisor] = await self._database.read(
            service.hypervisors, call.access, rule, with_servers=with_servers
        )
        return found

    async def _page(self, call: ComputeCall, show: Show, rule: str, *steps: str) -> Answer:
        call.only(_known(call))
        found = await self._all(call, rule, with_servers=_with_servers(call))
        pattern = call.query.get("hypervisor_hostname_pattern") if call.version >= _UUIDS else None
        if pattern:
            _alone(call)
            found = service.matching_hypervisors(found, pattern)
        page, more = _cut(call, found)
        shown = [show(call, each) | _servers(each) for each in page]
        document: dict[str, Any] = {"hypervisors": shown}
        if more:
            document |= with_next(call, "hypervisors", str(id_of(call, page[-1])), *_HYPERVISORS, *steps)
        return Answer(200, document)


_NAMES: Final = (
    "vcpus", "vcpus_used", "memory_mb", "memory_mb_used", "free_ram_mb", "local_gb", "local_gb_used",
    "free_disk_gb", "disk_available_least", "current_workload", "running_vms",
)  # fmt: skip


def _uuid(given: str) -> str:
    """
    As nodes have theirs.

    :raises Fault: 400: it is none
    """
    try:
        return uuid.UUID(given).hex
    except ValueError:
        raise bad_request(f"Invalid uuid {given[:64]}") from None


def _known(call: ComputeCall) -> set[str]:
    paged = {"limit", "marker"} if call.version >= _PAGED else set()
    return paged | ({"hypervisor_hostname_pattern", "with_servers"} if call.version >= _UUIDS else set())


def _with_servers(call: ComputeCall) -> bool:
    return call.version >= _UUIDS and bool(call.query.flag("with_servers"))


def _alone(call: ComputeCall) -> None:
    if "limit" in call.query or "marker" in call.query:
        raise bad_request(
            "Paging over hypervisors with the hypervisor_hostname_pattern query parameter is not supported."
        )


def _cut(call: ComputeCall, found: Sequence[Hypervisor]) -> tuple[Sequence[Hypervisor], bool]:
    """The page, and whether there is more behind it."""
    if call.version < _PAGED:
        return found, False
    if marker := call.query.get("marker"):
        place = next((place for place, each in enumerate(found) if str(id_of(call, each)) == marker), None)
        if place is None:
            raise bad_request(f"marker [{marker[:64]}] not found")
        found = found[place + 1 :]
    limit = call.limit()
    return found[:limit], len(found) > limit
