# -*- test-case-name: tests.protocols.rest.compute.test_versions -*-
"""Versions and extensions.  Source: Compute API, "API Versions", "Extensions"."""

from __future__ import annotations

from typing import Any

from .._api_versions import Served
from .._faults import Fault
from .._routes import Answer, route
from ._call import ComputeCall
from ._versions import API, MINORS, OLDEST, Version, text_of

_UPDATED = "2013-07-23T11:33:21Z"
#: Alias -> name, of what is served.
EXTENSIONS = {
    "OS-DCF": "DiskConfig",
    "OS-EXT-AZ": "ExtendedAvailabilityZone",
    "OS-EXT-IMG-SIZE": "ImageSize",
    "OS-EXT-IPS": "ExtendedIps",
    "OS-EXT-IPS-MAC": "ExtendedIpsMac",
    "OS-EXT-SRV-ATTR": "ExtendedServerAttributes",
    "OS-EXT-STS": "ExtendedStatus",
    "OS-FLV-DISABLED": "FlavorDisabled",
    "OS-FLV-EXT-DATA": "FlavorExtraData",
    "OS-SCH-HNT": "SchedulerHints",
    "OS-SRV-USG": "ServerUsage",
    "os-admin-actions": "AdminActions",
    "os-aggregates": "Aggregates",
    "os-attach-interfaces": "AttachInterfaces",
    "os-availability-zone": "AvailabilityZone",
    "os-block-device-mapping-v2-boot": "BlockDeviceMappingV2Boot",
    "os-config-drive": "ConfigDrive",
    "os-console-output": "ConsoleOutput",
    "os-create-backup": "CreateBackup",
    "os-extended-quotas": "ExtendedQuotas",
    "os-extended-services": "ExtendedServices",
    "os-flavor-access": "FlavorAccess",
    "os-flavor-extra-specs": "FlavorExtraSpecs",
    "os-flavor-manage": "FlavorManage",
    "os-flavor-rxtx": "FlavorRxtx",
    "os-flavor-swap": "FlavorSwap",
    "os-floating-ip-pools": "FloatingIpPools",
    "os-floating-ips": "FloatingIps",
    "os-hosts": "Hosts",
    "os-hypervisor-status": "HypervisorStatus",
    "os-hypervisors": "Hypervisors",
    "os-instance-actions": "InstanceActions",
    "os-instance_usage_audit_log": "OSInstanceUsageAuditLog",
    "os-keypairs": "Keypairs",
    "os-lock-server": "LockServer",
    "os-migrations": "Migrations",
    "os-multiple-create": "MultipleCreate",
    "os-networks": "Networks",
    "os-pause-server": "PauseServer",
    "os-quota-class-sets": "QuotaClasses",
    "os-quota-sets": "Quotas",
    "os-security-groups": "SecurityGroups",
    "os-server-diagnostics": "ServerDiagnostics",
    "os-server-external-events": "ServerExternalEvents",
    "os-server-group-quotas": "ServerGroupQuotas",
    "os-server-groups": "ServerGroups",
    "os-server-list-multi-status": "ServerListMultiStatus",
    "os-server-password": "ServerPassword",
    "os-server-sort-keys": "ServerSortKeys",
    "os-server-start-stop": "ServerStartStop",
    "os-services": "Services",
    "os-simple-tenant-usage": "SimpleTenantUsage",
    "os-suspend-server": "SuspendServer",
    "os-tenant-networks": "OSTenantNetworks",
    "os-used-limits": "UsedLimits",
    "os-used-limits-for-admin": "UsedLimitsForAdmin",
    "os-user-data": "UserData",
    "os-user-quotas": "UserQuotas",
}


def newest_shown(served: Served) -> Version:
    """The newest version that all nodes serve."""
    return 2, served(API, MINORS)[1]


def _extension(alias: str) -> dict[str, Any]:
    return {
        "alias": alias,
        "name": EXTENSIONS[alias],
        "description": EXTENSIONS[alias],
        "links": [],
        "namespace": "http://docs.openstack.org/compute/ext/fake_xml",
        "updated": "2014-12-03T00:00:00Z",
    }


def _legacy(call: ComputeCall) -> dict[str, Any]:
    """Version 2.0, which has no microversions."""
    return {
        "id": "v2.0",
        "status": "SUPPORTED",
        "version": "",
        "min_version": "",
        "updated": "2011-01-21T11:33:21Z",
        "links": [{"rel": "self", "href": call.links.to("v2") + "/"}],
    }


def _with_media(shown: dict[str, Any], number: str) -> dict[str, Any]:
    described = {"rel": "describedby", "type": "text/html", "href": "https://docs.openstack.org/api-ref/compute/"}
    media = {"base": "application/json", "type": f"application/vnd.openstack.compute+json;version={number}"}
    return {**shown, "links": [*shown["links"], described], "media-types": [media]}


class DiscoveryRoutes:
    """``/``, ``/v2``, ``/v2.1`` and ``/v2.1/extensions``."""

    def __init__(self, served: Served) -> None:
        self._served = served

    @route("GET", "", token=False)
    async def versions(self, call: ComputeCall) -> Answer:
        """The versions: 2.0, and 2.1 with the range of its microversions."""
        return Answer(200, {"versions": [_legacy(call), self._version(call)]})

    @route("GET", "/v2", token=False)
    async def legacy(self, call: ComputeCall) -> Answer:
        """2.0: what is below it is answered as below `/v2.1` in version 2.1."""
        return Answer(200, {"version": _with_media(_legacy(call), "2")})

    @route("GET", "/v2.1", token=False)
    async def version(self, call: ComputeCall) -> Answer:
        """2.1, with the media type."""
        return Answer(200, {"version": _with_media(self._version(call), "2.1")})

    @route("GET", "/v2.1/extensions")
    async def extensions(self, call: ComputeCall) -> Answer:
        """What is served beyond servers, flavors and limits."""
        return Answer(200, {"extensions": [_extension(alias) for alias in EXTENSIONS]})

    @route("GET", "/v2.1/extensions/{alias}")
    async def extension(self, call: ComputeCall, alias: str) -> Answer:
        """404 where it is not served."""
        if alias not in EXTENSIONS:
            raise Fault(404, f"Extension {alias[:60]} could not be found.")
        return Answer(200, {"extension": _extension(alias)})

    def _version(self, call: ComputeCall) -> dict[str, Any]:
        return {
            "id": "v2.1",
            "status": "CURRENT",
            "version": text_of(newest_shown(self._served)),
            "min_version": text_of(OLDEST),
            "updated": _UPDATED,
            "links": [{"rel": "self", "href": call.links.to("v2.1") + "/"}],
        }
