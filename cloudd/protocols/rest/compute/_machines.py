# -*- test-case-name: tests.protocols.rest.compute.test_machines -*-
"""
Hosts by their names, which Nova ended with 2.42; all of it is for administrators.  Source: Compute API, "Hosts".

What hosts were told there, Nova's own drivers do not do either: 501.  ``os-services`` lets a host have no new servers.
"""

from __future__ import annotations

from typing import Annotated, Any, Final

from msgspec import UNSET, Meta, UnsetType

from cloudd import compute as service
from cloudd.compute import HostUsage
from cloudd.interfaces.application import Transactions
from cloudd.interfaces.scheduling import Need

from .._documents import Document
from .._faults import Fault, not_implemented
from .._routes import Answer, route
from ._call import ComputeCall, invalid
from ._versions import OLDEST, Version, during

_LAST: Final[Version] = (2, 42)
_VERBS: Final = ("startup", "shutdown", "reboot")
_WORDS: Final = ("enable", "disable")

Word = Annotated[str, Meta(max_length=255)]


class HostBody(Document):
    """What of it to change."""

    status: Word | UnsetType = UNSET
    maintenance_mode: Word | UnsetType = UNSET


def _row(host: str, project: str, amounts: Need) -> dict[str, Any]:
    sizes = {"cpu": amounts.vcpus, "memory_mb": amounts.memory_mib, "disk_gb": amounts.disk_gib}
    return {"resource": {"host": host, "project": project, **sizes}}


def rows(found: HostUsage) -> list[dict[str, Any]]:
    """What there is, what is used of it, what that may come to, and what of it each project has."""
    each = found.projects.values()
    most = Need(
        vcpus=sum(one.vcpus for one in each),
        memory_mib=sum(one.memory_mib for one in each),
        disk_gib=sum(one.disk_gib for one in each),
    )
    shown = [("(total)", found.total), ("(used_now)", found.held), ("(used_max)", most), *found.projects.items()]
    return [_row(found.name, project, amounts) for project, amounts in shown]


class MachineRoutes:
    """``/v2.1/os-hosts``."""

    def __init__(self, database: Transactions) -> None:
        self._database = database

    @route("GET", "/v2.1/os-hosts")
    @during(OLDEST, _LAST)
    async def list_hosts(self, call: ComputeCall) -> Answer:
        """What each node does, with its `zone`, which chooses some, too."""
        found = await self._database.read(service.host_services, call.access, call.query.get("zone") or "")
        shown = [
            {"host_name": each.host, "service": each.binary.removeprefix("nova-"), "zone": each.zone} for each in found
        ]
        return Answer(200, {"hosts": shown})

    @route("GET", "/v2.1/os-hosts/{host}")
    @during(OLDEST, _LAST)
    async def show(self, call: ComputeCall, host: str) -> Answer:
        """What a host has, what its servers hold of it, and what of it each project has."""
        return Answer(200, {"host": rows(await self._database.read(service.host_usage, call.access, host))})

    @route("PUT", "/v2.1/os-hosts/{host}")
    @during(OLDEST, _LAST)
    async def update(self, call: ComputeCall, host: str) -> Answer:
        """501, as Nova's drivers; 400 and 404 for what would not do anyhow."""
        service.enforce_admin(call.access, "os-hosts:update")
        names = _said(call, await call.read_object())
        await self._database.read(service.known_host, call.access, host, "os-hosts:update")
        raise not_implemented(f"{' and '.join(names)} of hosts; use `os-services`")

    @route("GET", "/v2.1/os-hosts/{host}/{verb}")
    @during(OLDEST, _LAST)
    async def act(self, call: ComputeCall, host: str, verb: str) -> Answer:
        """501 for `startup`, `shutdown` and `reboot`, as Nova's drivers."""
        if verb not in _VERBS:
            raise Fault(404, "The resource could not be found.")
        await self._database.read(service.known_host, call.access, host, f"os-hosts:{verb}")
        raise not_implemented(f"the {verb} of hosts")


def _said(call: ComputeCall, given: dict[str, Any]) -> list[str]:
    """
    Which members a body has.

    :raises Fault: 400: there is none, or it is no word that it may be
    """
    body = call.converted("host", given, HostBody)
    members = {"status": body.status, "maintenance_mode": body.maintenance_mode}
    said = {name: value for name, value in members.items() if not isinstance(value, UnsetType)}
    if not said:
        raise invalid("'status' or 'maintenance_mode' is a required property")
    for name, value in said.items():
        if value.lower() not in _WORDS:
            raise invalid(f"Value: {value[:40]}. 'enable' or 'disable' is meant.", name)
    return list(said)
