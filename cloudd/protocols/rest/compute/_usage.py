# -*- test-case-name: tests.protocols.rest.compute.test_usage -*-
"""Usage of projects.  Source: Compute API, "Usage reports"."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from attrs import frozen

from cloudd import compute as service
from cloudd.compute import Usage, UsageTotal
from cloudd.interfaces.application import Transactions

from .._faults import bad_request
from .._routes import Answer, route
from .._times import naive, parse_time
from ._call import MAX_LIMIT, ComputeCall
from ._pages import with_next
from ._versions import Version

_PAGED: Version = (2, 40)
_PATH = "os-simple-tenant-usage"
_HOUR_US = 3_600_000_000
_SECOND_US = 1_000_000


@frozen
class Period:
    """
    The time that is asked for, in microseconds.

    :ivar now: by the database's clock
    """

    start: int
    stop: int
    now: int

    def hours(self, usage: Usage) -> float:
        """How much of the period the server was there."""
        ended = self.now if usage.ended_us is None else usage.ended_us
        return max(0, min(ended, self.stop) - max(usage.began_us, self.start)) / _HOUR_US


def _server(usage: Usage, period: Period) -> dict[str, Any]:
    ended = usage.ended_us
    return {
        "instance_id": usage.share.server_id,
        "name": usage.share.name,
        "hours": period.hours(usage),
        "flavor": usage.share.flavor,
        "memory_mb": usage.share.ram_mib,
        "local_gb": usage.share.disk_gib,
        "vcpus": usage.share.vcpus,
        "tenant_id": usage.project_id,
        "started_at": naive(usage.began_us),
        "ended_at": None if ended is None else naive(ended),
        "state": "active" if ended is None else "terminated",
        "uptime": ((period.now if ended is None else ended) - usage.began_us) // _SECOND_US,
    }


def _total(project_id: str, found: Sequence[Usage], period: Period) -> UsageTotal:
    """Of a page: clients add up what they are told on each."""

    def total(attribute: str) -> float:
        return sum((period.hours(each) * float(getattr(each.share, attribute)) for each in found), 0.0)

    hours = sum((period.hours(each) for each in found), 0.0)
    return UsageTotal(project_id, hours, total("vcpus"), total("ram_mib"), total("disk_gib"))


def _project(total: UsageTotal, found: Sequence[Usage], period: Period, *, detailed: bool) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "tenant_id": total.project_id,
        "start": naive(period.start),
        "stop": naive(period.stop),
        "total_hours": total.hours,
        "total_vcpus_usage": total.vcpu_hours,
        "total_memory_mb_usage": total.ram_mib_hours,
        "total_local_gb_usage": total.disk_gib_hours,
    }
    if detailed:
        shown["server_usages"] = [_server(each, period) for each in found]
    return shown


class UsageRoutes:
    """``/v2.1/os-simple-tenant-usage``."""

    def __init__(self, database: Transactions) -> None:
        self._database = database

    @route("GET", f"/v2.1/{_PATH}")
    async def list_usages(self, call: ComputeCall) -> Answer:
        """Of each project between `start` and `end`, `detailed=1` with its first 1,000 servers; for administrators."""
        service.enforce_admin(call.access, f"{_PATH}:list")
        period = await self._period(call)
        detailed = call.query.get("detailed") == "1"
        found, more = await self._found(call, period, "", detailed=detailed)
        servers = {each: list(some) for each, some in groupby(found, key=lambda usage: usage.project_id)}
        totals = await self._totals(call, period, "", servers)
        shown = [_project(each, servers.get(each.project_id, []), period, detailed=detailed) for each in totals]
        links = with_next(call, "tenant_usages", found[-1].share.server_id, "v2.1", _PATH) if more else {}
        return Answer(200, {"tenant_usages": shown, **links})

    @route("GET", f"/v2.1/{_PATH}/{{project_id}}")
    async def show(self, call: ComputeCall, project_id: str) -> Answer:
        """Of one project, with its first 1,000 servers; noughts where it has had none in that time."""
        service.enforce_read(call.access, f"{_PATH}:show", project_id)
        period = await self._period(call)
        found, more = await self._found(call, period, project_id)
        # Nova says {} of a project that had no server then, at which the openstack command line stumbles.
        totals = await self._totals(call, period, project_id, {project_id: found})
        shown = _project(totals[0] if totals else UsageTotal(project_id), found, period, detailed=True)
        marker = found[-1].share.server_id if more else ""
        links = with_next(call, "tenant_usage", marker, "v2.1", _PATH, project_id) if more else {}
        return Answer(200, {"tenant_usage": shown, **links})

    async def _found(
        self, call: ComputeCall, period: Period, project_id: str, *, detailed: bool = True
    ) -> tuple[list[Usage], bool]:
        """One page, and whether another one can be had behind it: up to 2.39 there is none but the first."""
        paged = call.version >= _PAGED
        if not (paged or detailed):
            return [], False
        limit = call.limit() if paged else MAX_LIMIT
        marker = (call.query.get("marker") or "") if paged else ""
        found = await self._database.read(
            service.usages, call.access, period.start, period.stop, project_id, marker, limit + 1
        )
        return found[:limit], paged and len(found) > limit

    async def _totals(
        self, call: ComputeCall, period: Period, project_id: str, servers: Mapping[str, Sequence[Usage]]
    ) -> list[UsageTotal]:
        """Up to 2.39 of all servers, also of those that are not told; from then on of the page."""
        if call.version >= _PAGED:
            return [_total(each, some, period) for each, some in servers.items()]
        return await self._database.read(
            service.usage_totals, call.access, period.start, period.stop, period.now, project_id
        )

    async def _period(self, call: ComputeCall) -> Period:
        """
        :raises Fault: 400: a time is none, or the start is behind the end
        """
        call.only({"start", "end", "detailed", "limit", "marker"})
        now = await self._database.read(service.time_us)
        start, stop = (parse_time(value, name) if (value := call.query.get(name)) else now for name in ("start", "end"))
        if start > stop:
            raise bad_request("Invalid start time. The start time cannot occur after the end time.")
        return Period(start, stop, now)
