# -*- test-case-name: tests.protocols.rest.compute.test_hosts -*-
"""
Availability zones, hypervisors, services and aggregates.  Source: Compute API, the sections of these names.

Only what is true is told: as long as no node runs servers there is no hypervisor and the zone has no hosts.
"""

from __future__ import annotations

import uuid
from typing import Any

from cloudd import compute as service
from cloudd.compute import ComputeService
from cloudd.interfaces.application import Transactions

from .._faults import Fault, not_implemented
from .._routes import Answer, route
from .._times import naive
from ._call import ComputeCall
from ._versions import Members, Version, during

_UUIDS: Version = (2, 53)
SERVICES = Members(since={"forced_down": (2, 11)})
_STATISTICS = (
    "count", "vcpus", "vcpus_used", "memory_mb", "memory_mb_used", "free_ram_mb", "local_gb", "local_gb_used",
    "free_disk_gb", "disk_available_least", "current_workload", "running_vms",
)  # fmt: skip


def show_service(call: ComputeCall, found: ComputeService) -> dict[str, Any]:
    """One service."""
    shown = {
        "id": str(uuid.UUID(found.id)) if call.version >= _UUIDS else found.number,
        "binary": found.binary,
        "host": found.host,
        "zone": found.zone,
        "status": "enabled" if found.is_enabled else "disabled",
        "state": "up" if found.is_up else "down",
        "updated_at": None if found.updated_us is None else naive(found.updated_us),
        "disabled_reason": None if found.is_enabled else "the node takes no new work",
        "forced_down": False,
    }
    return SERVICES.shown(call.version, shown)


def _in_zone(found: ComputeService) -> dict[str, Any]:
    updated = None if found.updated_us is None else naive(found.updated_us)
    return {found.binary: {"active": found.is_enabled, "available": found.is_up, "updated_at": updated}}


def _zone(name: str, hosts: dict[str, Any] | None) -> dict[str, Any]:
    return {"zoneName": name, "zoneState": {"available": True}, "hosts": hosts}


class HostRoutes:
    """``/v2.1/os-availability-zone``, ``/os-services``, ``/os-hypervisors`` and ``/os-aggregates``."""

    def __init__(self, database: Transactions) -> None:
        self._database = database

    @route("GET", "/v2.1/os-availability-zone")
    async def zones(self, call: ComputeCall) -> Answer:
        """The one that there is."""
        service.enforce_read(call.access, "os-availability-zone:list")
        return Answer(200, {"availabilityZoneInfo": [_zone(service.ZONE, None)]})

    @route("GET", "/v2.1/os-availability-zone/detail")
    async def zones_detail(self, call: ComputeCall) -> Answer:
        """The same, with the hosts in it, and the hosts that run no servers; for administrators."""
        service.enforce_admin(call.access, "os-availability-zone:detail")
        hosts: dict[str, dict[str, Any]] = {service.INTERNAL_ZONE: {}, service.ZONE: {}}
        for each in await self._database.read(service.services, call.access):
            hosts[each.zone].setdefault(each.host, {}).update(_in_zone(each))
        return Answer(200, {"availabilityZoneInfo": [_zone(name, found) for name, found in hosts.items()]})

    @route("GET", "/v2.1/os-services")
    async def list_services(self, call: ComputeCall) -> Answer:
        """The nodes of the cloud; `host` and `binary` choose some; for administrators."""
        call.only({"host", "binary"})
        found = await self._database.read(
            service.services, call.access, call.query.get("host") or "", call.query.get("binary") or ""
        )
        return Answer(200, {"services": [show_service(call, each) for each in found]})

    @route("DELETE", "/v2.1/os-services/{service_id}")
    @route("PUT", "/v2.1/os-services/{service_id}")
    async def change_service(self, call: ComputeCall, service_id: str) -> Answer:
        """404 for a node that is none; else 501: nodes are drained and removed by `cloudctl node`."""
        service.enforce_admin(call.access, "os-services:update")
        known = await self._database.read(service.services, call.access)
        if call.version >= _UUIDS and service_id not in {show_service(call, each)["id"] for each in known}:
            raise Fault(404, f"Service {service_id[:64]} could not be found.")
        raise not_implemented("changing services; use `cloudctl node drain` and `cloudctl node remove`")

    @route("GET", "/v2.1/os-hypervisors")
    async def hypervisors(self, call: ComputeCall) -> Answer:
        """None, until nodes run servers; for administrators."""
        return self._no_hypervisors(call)

    @route("GET", "/v2.1/os-hypervisors/detail")
    async def hypervisors_detail(self, call: ComputeCall) -> Answer:
        """None, likewise."""
        return self._no_hypervisors(call)

    @route("GET", "/v2.1/os-hypervisors/statistics")
    async def statistics(self, call: ComputeCall) -> Answer:
        """Sums over all hypervisors; for administrators."""
        service.enforce_admin(call.access, "os-hypervisors:statistics")
        return Answer(200, {"hypervisor_statistics": dict.fromkeys(_STATISTICS, 0)})

    @route("GET", "/v2.1/os-hypervisors/{pattern}/search")
    @route("GET", "/v2.1/os-hypervisors/{pattern}/servers")
    @during((2, 1), (2, 52))
    async def search(self, call: ComputeCall, pattern: str) -> Answer:
        """404, likewise; up to 2.52."""
        service.enforce_admin(call.access, "os-hypervisors:search")
        raise Fault(404, f"No hypervisor matching '{pattern[:60]}' could be found.")

    @route("GET", "/v2.1/os-hypervisors/{hypervisor_id}/uptime")
    @route("GET", "/v2.1/os-hypervisors/{hypervisor_id}")
    async def hypervisor(self, call: ComputeCall, hypervisor_id: str) -> Answer:
        """404, until nodes run servers; for administrators."""
        service.enforce_admin(call.access, "os-hypervisors:show")
        raise Fault(404, f"Hypervisor with ID '{hypervisor_id[:64]}' could not be found.")

    @route("GET", "/v2.1/os-aggregates")
    async def aggregates(self, call: ComputeCall) -> Answer:
        """None: they cannot be made; for administrators."""
        service.enforce_admin(call.access, "os-aggregates:index")
        return Answer(200, {"aggregates": []})

    @route("POST", "/v2.1/os-aggregates")
    async def create_aggregate(self, call: ComputeCall) -> Answer:
        """501: host aggregates."""
        service.enforce_admin(call.access, "os-aggregates:create")
        raise not_implemented("host aggregates")

    @route("POST", "/v2.1/os-aggregates/{aggregate_id}/action")
    @route("DELETE", "/v2.1/os-aggregates/{aggregate_id}")
    @route("PUT", "/v2.1/os-aggregates/{aggregate_id}")
    @route("GET", "/v2.1/os-aggregates/{aggregate_id}")
    async def aggregate(self, call: ComputeCall, aggregate_id: str) -> Answer:
        """404: there is none."""
        service.enforce_admin(call.access, "os-aggregates:show")
        raise Fault(404, f"Aggregate {aggregate_id[:64]} could not be found.")

    def _no_hypervisors(self, call: ComputeCall) -> Answer:
        service.enforce_admin(call.access, "os-hypervisors:list")
        if pattern := call.query.get("hypervisor_hostname_pattern"):
            raise Fault(404, f"No hypervisor matching '{pattern[:60]}' could be found.")
        return Answer(200, {"hypervisors": []})
