# -*- test-case-name: tests.protocols.rest.compute.test_usage_audit -*-
"""
Logs of usage audits; for administrators.  Source: Compute API, "Server usage audit log".

Hosts here write none: what projects have used is read from the servers' own records (``os-simple-tenant-usage``).  So
no host has run one in the last whole month, which is what the answer says.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final

from cloudd import compute as service
from cloudd.interfaces.application import Transactions

from .._faults import bad_request
from .._routes import Answer, route
from ._call import ComputeCall

_RULE: Final = "os-instance-usage-audit-log"
_FORMS: Final = ("%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M:%S.%f")


class UsageAuditRoutes:
    """``/v2.1/os-instance_usage_audit_log``."""

    def __init__(self, database: Transactions) -> None:
        self._database = database

    @route("GET", "/v2.1/os-instance_usage_audit_log")
    async def last(self, call: ComputeCall) -> Answer:
        """Of the last whole month: no host has run one."""
        now, hosts = await self._database.read(service.compute_hosts, call.access, f"{_RULE}:list")
        moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=now)
        return Answer(200, {"instance_usage_audit_logs": log(moment, hosts)})

    @route("GET", "/v2.1/os-instance_usage_audit_log/{before}")
    async def show(self, call: ComputeCall, before: str) -> Answer:
        """Of the last whole month before a time, `2026-11-20 00:00:00`."""
        _, hosts = await self._database.read(service.compute_hosts, call.access, f"{_RULE}:show")
        return Answer(200, {"instance_usage_audit_log": log(moment_of(before), hosts)})


def moment_of(text: str) -> datetime:
    """
    :raises Fault: 400: it is no time
    """
    for form in _FORMS:
        try:
            return datetime.strptime(text, form).replace(tzinfo=UTC)
        except ValueError:
            continue
    raise bad_request(f"Invalid timestamp for date {text[:40]}: a time such as 2026-11-20 00:00:00 is meant.")


def log(before: datetime, hosts: list[str]) -> dict[str, Any]:
    """
    Of the last whole month before that time.

    :raises Fault: 400: there is none before it
    """
    end = before.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    try:
        begin = (end - timedelta(days=1)).replace(day=1)
    except OverflowError:
        raise bad_request("Invalid timestamp: there is no month before it.") from None
    done = f"0 of {len(hosts)}" if hosts else "ALL"
    return {
        "hosts_not_run": sorted(hosts),
        "log": {},
        "num_hosts": len(hosts),
        "num_hosts_done": 0,
        "num_hosts_not_run": len(hosts),
        "num_hosts_running": 0,
        "overall_status": f"{done} hosts done. 0 errors.",
        "period_beginning": f"{begin:%Y-%m-%d %H:%M:%S}",
        "period_ending": f"{end:%Y-%m-%d %H:%M:%S}",
        "total_errors": 0,
        "total_instances": 0,
    }
