# -*- test-case-name: tests.protocols.rest.compute.test_hosts -*-
"""
Availability zones and services.  Source: Compute API, the sections of these names.
"""

from __future__ import annotations

import uuid
from typing import Annotated, Any

from msgspec import UNSET, Meta, UnsetType, field

from cloudd import compute as service
from cloudd.compute import ComputeService
from cloudd.interfaces.application import Transactions

from .._documents import Document, Name
from .._faults import Fault, bad_request, not_implemented
from .._routes import Answer, route
from .._times import naive
from ._call import ComputeCall, invalid
from ._versions import Members, Version

_UUIDS: Version = (2, 53)
_FORCED_DOWN: Version = (2, 11)
SERVICES = Members(since={"forced_down": _FORCED_DOWN})
_FORCE_DOWN, _WITH_REASON = "force-down", "disable-log-reason"
_NEVER: Version = (2, 0)
_NO_FORCE = Members(until={"forced_down": _NEVER, "disabled_reason": _NEVER})
#: What an old form of change takes besides host and binary.
_MEMBERS_OF = {
    "enable": _NO_FORCE,
    "disable": _NO_FORCE,
    _WITH_REASON: Members(until={"forced_down": _NEVER}),
    _FORCE_DOWN: Members(until={"disabled_reason": _NEVER}),
}
_VERBS = tuple(_MEMBERS_OF)

Reason = Annotated[str, Meta(min_length=1, max_length=255)]


def show_service(call: ComputeCall, found: ComputeService) -> dict[str, Any]:
    """One service."""
    shown = {
        "id": str(uuid.UUID(found.id)) if call.version >= _UUIDS else found.number,
        "binary": found.binary,
        "host": found.host,
        "zone": found.zone,
        "status": _status(found),
        "state": "up" if found.is_up else "down",
        "updated_at": None if found.updated_us is None else naive(found.updated_us),
        "disabled_reason": found.disabled_reason,
        "forced_down": False,
    }
    return SERVICES.shown(call.version, shown)


def _in_zone(found: ComputeService) -> dict[str, Any]:
    updated = None if found.updated_us is None else naive(found.updated_us)
    return {found.binary: {"active": found.is_enabled, "available": found.is_up, "updated_at": updated}}


def _status(found: ComputeService) -> str:
    return "enabled" if found.is_enabled else "disabled"


def _zone(name: str, available: bool, hosts: dict[str, Any] | None) -> dict[str, Any]:
    return {"zoneName": name, "zoneState": {"available": available}, "hosts": hosts}


def _not_by_force() -> Fault:
    return not_implemented("services that are said to be down; a node that says nothing is taken for it by itself")


def _change(call: ComputeCall, given: dict[str, Any]) -> tuple[bool, str]:
    """
    Whether it is to be enabled, and why not.

    :raises Fault: 400 with what is wrong
    """
    body = call.converted("service", given, ServiceBody)
    if isinstance(body.status, UnsetType):
        if isinstance(body.forced_down, UnsetType):
            raise bad_request("No updates were requested. Fields 'status' or 'forced_down' should be specified.")
        raise _not_by_force()
    if body.status not in ("enabled", "disabled"):
        raise invalid(f"Value: {body.status[:40]}. 'enabled' or 'disabled' is meant.", "status")
    enabled = body.status == "enabled"
    if enabled and not isinstance(body.reason, UnsetType):
        raise bad_request("Specifying 'disabled_reason' when status is 'enabled' is invalid.")
    return enabled, "" if isinstance(body.reason, UnsetType) else body.reason


class ServiceBody(Document):
    """Of a service by its id."""

    status: str | UnsetType = UNSET
    reason: Reason | UnsetType = field(name="disabled_reason", default=UNSET)
    forced_down: bool | str | UnsetType = UNSET


class OldServiceBody(Document):
    """Of a service by its host and binary, in versions below 2.53."""

    host: Name
    binary: Name
    reason: Reason | UnsetType = field(name="disabled_reason", default=UNSET)
    forced_down: bool | str | UnsetType = UNSET


class HostRoutes:
    """``/v2.1/os-availability-zone`` and ``/os-services``."""

    def __init__(self, database: Transactions) -> None:
        self._database = database

    @route("GET", "/v2.1/os-availability-zone")
    async def zones(self, call: ComputeCall) -> Answer:
        """All that there are, and whether a host in them takes servers."""
        service.enforce_read(call.access, "os-availability-zone:list")
        found = await self._database.read(service.zones)
        shown = [_zone(name, available, None) for name, available in found.items()]
        return Answer(200, {"availabilityZoneInfo": shown})

    @route("GET", "/v2.1/os-availability-zone/detail")
    async def zones_detail(self, call: ComputeCall) -> Answer:
        """The same with the hosts in them, and all nodes in `internal`; for administrators."""
        service.enforce_admin(call.access, "os-availability-zone:detail")
        zones = {service.INTERNAL_ZONE: True, **await self._database.read(service.zones)}
        hosts: dict[str, dict[str, Any]] = {name: {} for name in zones}
        for each in await self._database.read(service.services, call.access):
            hosts[each.zone].setdefault(each.host, {}).update(_in_zone(each))
        shown = [_zone(name, available, hosts[name]) for name, available in zones.items()]
        return Answer(200, {"availabilityZoneInfo": shown})

    @route("GET", "/v2.1/os-services")
    async def list_services(self, call: ComputeCall) -> Answer:
        """What the nodes of the cloud do; `host` and `binary` choose some; for administrators."""
        call.only({"host", "binary"})
        found = await self._database.read(
            service.services, call.access, call.query.get("host") or "", call.query.get("binary") or ""
        )
        return Answer(200, {"services": [show_service(call, each) for each in found]})

    @route("PUT", "/v2.1/os-services/{service_id}")
    async def change_service(self, call: ComputeCall, service_id: str) -> Answer:
        """200: `status` and `disabled_reason`; up to 2.52 `enable`, `disable` and `disable-log-reason` for an id."""
        service.enforce_admin(call.access, "os-services:update")
        if call.version < _UUIDS:
            return await self._change_as_before(call, service_id)
        known: ComputeService = await self._database.read(service.one_service, call.access, service_id)
        enabled, reason = _change(call, await call.read_object())
        changed = await self._set(call, known.host, known.binary, enabled, reason)
        return Answer(200, {"service": show_service(call, changed)})

    async def _change_as_before(self, call: ComputeCall, verb: str) -> Answer:
        if verb not in _VERBS or (verb == _FORCE_DOWN and call.version < _FORCED_DOWN):
            raise Fault(404, f"Unknown action: {verb[:60]}")
        body = call.converted(verb, await call.read_object(), OldServiceBody, _MEMBERS_OF[verb])
        if verb == _FORCE_DOWN:
            raise _not_by_force()
        if verb == _WITH_REASON and isinstance(body.reason, UnsetType):
            raise invalid("'disabled_reason' is a required property", verb)
        reason = "" if isinstance(body.reason, UnsetType) else body.reason
        changed = await self._set(call, body.host, body.binary, verb == "enable", reason)
        shown = {"host": changed.host, "binary": changed.binary, "status": _status(changed)}
        if verb == _WITH_REASON:
            shown["disabled_reason"] = reason
        return Answer(200, {"service": shown})

    async def _set(self, call: ComputeCall, host: str, binary: str, enabled: bool, reason: str) -> ComputeService:
        changed: ComputeService = await self._database.write(
            service.set_service, call.access, host, binary, enabled, reason
        )
        return changed

    @route("DELETE", "/v2.1/os-services/{service_id}")
    async def delete_service(self, call: ComputeCall, service_id: str) -> Answer:
        """404 for a service that is none; else 501: nodes are drained and removed by `cloudctl node`."""
        service.enforce_admin(call.access, "os-services:delete")
        known = await self._database.read(service.services, call.access)
        if service_id not in {str(show_service(call, each)["id"]) for each in known}:
            raise Fault(404, f"Service {service_id[:64]} could not be found.")
        raise not_implemented("deleting services; use `cloudctl node drain` and `cloudctl node remove`")
