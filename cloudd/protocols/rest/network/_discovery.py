# -*- test-case-name: tests.protocols.rest.network.test_discovery -*-
"""Versions, extensions, availability zones and agents.  Source: Network API v2.0, "API versions", "Extensions"."""

from __future__ import annotations

from typing import Any

from .._face import Call
from .._faults import Fault
from .._routes import Answer, route

API = "network"
VERSIONS = (2,)
#: Alias -> name, of what is served.
EXTENSIONS = {
    "agent": "agent",
    "allowed-address-pairs": "Allowed Address Pairs",
    "availability_zone": "Availability Zone",
    "binding": "Port Binding",
    "external-net": "Neutron external network",
    "net-mtu": "Network MTU",
    "net-mtu-writable": "Network MTU (writable)",
    "pagination": "Pagination support",
    "port-security": "Port Security",
    "project-id": "project_id field enabled",
    "provider": "Provider Network",
    "quota-check-limit": "Quota engine limit check",
    "quota_details": "Quota details management support",
    "quotas": "Quota management support",
    "security-group": "security-group",
    "sorting": "Sorting support",
    "standard-attr-description": "standard-attr-description",
    "standard-attr-revisions": "Resource revision numbers",
    "standard-attr-tag": "Tag support for resources with standard attribute: subnet, port, network, security_group",
    "standard-attr-timestamp": "Resource timestamps",
    "stateful-security-group": "Stateful security group",
    "tag-ports-during-bulk-creation": "Tag Ports During Bulk Creation",
}
_UPDATED = "2026-11-29T00:00:00-00:00"


def _extension(alias: str) -> dict[str, Any]:
    name = EXTENSIONS[alias]
    return {"alias": alias, "name": name, "description": name, "links": [], "updated": _UPDATED}


class DiscoveryRoutes:
    """``/``, ``/v2.0``, ``/v2.0/extensions`` and what is listed beside."""

    @route("GET", "", token=False)
    async def versions(self, call: Call) -> Answer:
        """The one version."""
        links = [{"rel": "self", "href": call.links.to("v2.0") + "/"}]
        return Answer(200, {"versions": [{"id": "v2.0", "status": "CURRENT", "links": links}]})

    @route("GET", "/v2.0")
    async def resources(self, call: Call) -> Answer:
        """What there is."""
        found = []
        for name in ("network", "subnet", "port", "security-group", "security-group-rule"):
            links = [{"rel": "self", "href": call.links.to("v2.0", f"{name}s")}]
            found.append({"name": name, "collection": f"{name}s", "links": links})
        return Answer(200, {"resources": found})

    @route("GET", "/v2.0/extensions")
    async def extensions(self, call: Call) -> Answer:
        """What is served beyond networks, subnets and ports."""
        return Answer(200, {"extensions": [_extension(alias) for alias in EXTENSIONS]})

    @route("GET", "/v2.0/extensions/{alias}")
    async def extension(self, call: Call, alias: str) -> Answer:
        """404 where it is not served."""
        if alias not in EXTENSIONS:
            raise Fault(404, f"Extension with alias {alias[:60]} does not exist")
        return Answer(200, {"extension": _extension(alias)})

    @route("GET", "/v2.0/availability_zones")
    async def zones(self, call: Call) -> Answer:
        """The one that there is."""
        zone = {"name": "nova", "resource": "network", "state": "available"}
        return Answer(200, {"availability_zones": [zone]})
