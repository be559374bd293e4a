# -*- test-case-name: tests.protocols.rest.compute.test_quotas -*-
"""Limits.  Source: Compute API, "Limits"."""

from __future__ import annotations

from cloudd import compute as service
from cloudd.interfaces.application import Transactions

from .._routes import Answer, route
from ._call import ComputeCall
from ._versions import Members, Version

_NETWORK: Version = (2, 35)
_FILES: Version = (2, 56)
#: Resource -> member of a limit.
LIMITS = (
    ("instances", "maxTotalInstances"),
    ("cores", "maxTotalCores"),
    ("ram", "maxTotalRAMSize"),
    ("key_pairs", "maxTotalKeypairs"),
    ("floating_ips", "maxTotalFloatingIps"),
    ("metadata_items", "maxServerMeta"),
    ("metadata_items", "maxImageMeta"),
    ("injected_files", "maxPersonality"),
    ("injected_file_content_bytes", "maxPersonalitySize"),
    ("security_groups", "maxSecurityGroups"),
    ("security_group_rules", "maxSecurityGroupRules"),
    ("server_groups", "maxServerGroups"),
    ("server_group_members", "maxServerGroupMembers"),
)
#: Resource -> member of what is in use.
USED = (
    ("instances", "totalInstancesUsed"),
    ("cores", "totalCoresUsed"),
    ("ram", "totalRAMUsed"),
    ("floating_ips", "totalFloatingIpsUsed"),
    ("security_groups", "totalSecurityGroupsUsed"),
    ("server_groups", "totalServerGroupsUsed"),
)
MEMBERS = Members(
    until={
        "maxTotalFloatingIps": _NETWORK,
        "maxSecurityGroups": _NETWORK,
        "maxSecurityGroupRules": _NETWORK,
        "totalFloatingIpsUsed": _NETWORK,
        "totalSecurityGroupsUsed": _NETWORK,
        "maxImageMeta": (2, 38),
        "maxPersonality": _FILES,
        "maxPersonalitySize": _FILES,
    }
)


class LimitRoutes:
    """``/v2.1/limits``."""

    def __init__(self, database: Transactions) -> None:
        self._database = database

    @route("GET", "/v2.1/limits")
    async def show(self, call: ComputeCall) -> Answer:
        """What the project may have, and has; of another `tenant_id` for administrators.  There are no rates."""
        call.only({"tenant_id", "reserved"})
        project_id = call.query.get("tenant_id") or call.access.project_id or ""
        quota = await self._database.read(service.quota_of, call.access, project_id)
        absolute = {member: quota.limits[resource] for resource, member in LIMITS}
        absolute |= {member: quota.used[resource] for resource, member in USED}
        return Answer(200, {"limits": {"rate": [], "absolute": MEMBERS.shown(call.version, absolute)}})
