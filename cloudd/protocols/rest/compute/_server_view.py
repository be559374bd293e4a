# -*- test-case-name: tests.protocols.rest.compute.test_server_view -*-
"""
Servers as each version shows them.  Source: Compute API, "Servers", "Microversions".

A list shows a thousand, so what is the same for all of them is found out once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from attrs import define, field

from cloudd.compute import Details, Fault, Flavor, Server, status_of
from cloudd.network import ServerAddress

from .._times import naive, whole_zulu
from ._call import ComputeCall
from ._versions import Version

_WITH_PROGRESS = frozenset({"ACTIVE", "BUILD", "REBUILD", "RESIZE", "VERIFY_RESIZE"})
_WITH_FAULT = frozenset({"ERROR", "DELETED"})
_MORE_FOR_ADMINS: Version = (2, 3)
_LOCKED: Version = (2, 9)
_HOST_STATUS: Version = (2, 16)
_DESCRIBED: Version = (2, 19)
_TAGGED: Version = (2, 26)
_FLAVOR_EMBEDDED: Version = (2, 47)
_CERTIFICATES: Version = (2, 63)
_GROUPS: Version = (2, 71)
_REASON: Version = (2, 73)
_UPDATED_WHOLE: Version = (2, 75)  # from here on an update is answered with all that a server has


@lru_cache(4096)
def host_id(project_id: str, host: str) -> str:
    """What tells a project whether two of its servers share a host, and nothing more; empty: there is none."""
    return hashlib.sha224(f"{project_id}{host}".encode()).hexdigest() if host else ""


def addresses_by_network(addresses: Iterable[ServerAddress], *, extended: bool) -> dict[str, list[dict[str, Any]]]:
    """
    By name of the network.

    :param extended: with MAC and kind
    """
    shown: dict[str, list[dict[str, Any]]] = {}
    for each in addresses:
        entry: dict[str, Any] = {"version": each.version, "addr": each.address}
        if extended:
            entry |= {"OS-EXT-IPS:type": "fixed", "OS-EXT-IPS-MAC:mac_addr": each.mac_address}
        shown.setdefault(each.network, []).append(entry)
    return shown


@define(eq=False)
class ServerView:
    """
    How servers look in one call.

    :param whole: with all that a version has; False: as an update is answered up to 2.74
    :param listed: among others, where no server groups are told
    """

    _call: ComputeCall
    _details: Details
    _whole: bool = True
    _listed: bool = False
    _flavors: dict[str, dict[str, Any]] = field(init=False, factory=dict)
    _images: dict[str, dict[str, Any]] = field(init=False, factory=dict)

    @classmethod
    def of_update(cls, call: ComputeCall, details: Details) -> ServerView:
        """What answers an update."""
        return cls(call, details, call.version >= _UPDATED_WHOLE)

    def named(self, server: Server) -> dict[str, Any]:
        """Id, name and links."""
        return {"id": server.id, "name": server.name, "links": self._links(server.id)}

    def show(self, server: Server) -> dict[str, Any]:
        """All members."""
        status = status_of(server)
        shown: dict[str, Any] = {
            "id": server.id,
            "name": server.name,
            "status": status,
            "tenant_id": server.project_id,
            "user_id": server.user_id,
            "metadata": dict(server.items),
            "hostId": host_id(server.project_id, server.host),
            "image": self._image(server.image_id),
            "flavor": self._flavor(server.flavor),
            "created": whole_zulu(server.created_us),
            "updated": whole_zulu(server.updated_us),
            "addresses": addresses_by_network(self._details.addresses.get(server.id, ()), extended=self._whole),
            "accessIPv4": server.access_ip_v4,
            "accessIPv6": server.access_ip_v6,
            "links": self._links(server.id),
            "OS-DCF:diskConfig": server.disk_config,
        }
        if status in _WITH_PROGRESS:
            shown["progress"] = server.progress
        if status in _WITH_FAULT and server.fault is not None:
            shown["fault"] = self._fault(server.fault)
        self._add_by_version(shown, server)
        if self._whole:
            self._add_common(shown, server)
            if self._call.access.is_admin:
                self._add_for_admins(shown, server)
        return shown

    def _add_by_version(self, shown: dict[str, Any], server: Server) -> None:
        version = self._call.version
        if version >= _LOCKED:
            shown["locked"] = server.locked_by is not None
        if version >= _DESCRIBED:
            shown["description"] = server.description
        if version >= _TAGGED:
            shown["tags"] = list(server.tags)
        if version >= _CERTIFICATES:
            shown["trusted_image_certificates"] = None
        if version >= _GROUPS and not self._listed:
            group = self._details.groups.get(server.id)
            shown["server_groups"] = [] if group is None else [group]
        if version >= _REASON:
            shown["locked_reason"] = server.locked_reason

    def _add_common(self, shown: dict[str, Any], server: Server) -> None:
        shown |= {
            "config_drive": "True" if server.config_drive else "",
            "key_name": server.key_name,
            "OS-SRV-USG:launched_at": None if server.launched_us is None else naive(server.launched_us),
            "OS-SRV-USG:terminated_at": None if server.deleted_us is None else naive(server.deleted_us),
            "OS-EXT-STS:task_state": server.doing.value if server.doing else None,
            "OS-EXT-STS:vm_state": server.state.value,
            "OS-EXT-STS:power_state": int(server.power),
            "OS-EXT-AZ:availability_zone": self._details.zones.get(server.node_id, server.zone),
            "os-extended-volumes:volumes_attached": [],
        }
        if groups := self._details.security_groups.get(server.id):
            shown["security_groups"] = [{"name": name} for name in groups]

    def _add_for_admins(self, shown: dict[str, Any], server: Server) -> None:
        host = server.host or None
        shown |= {
            "OS-EXT-SRV-ATTR:host": host,
            "OS-EXT-SRV-ATTR:hypervisor_hostname": host,
            "OS-EXT-SRV-ATTR:instance_name": instance_name(server.id),
        }
        if self._call.version >= _MORE_FOR_ADMINS:
            shown |= {
                "OS-EXT-SRV-ATTR:reservation_id": server.reservation_id,
                "OS-EXT-SRV-ATTR:launch_index": server.launch_index,
                "OS-EXT-SRV-ATTR:hostname": server.host_name,
                "OS-EXT-SRV-ATTR:kernel_id": "",
                "OS-EXT-SRV-ATTR:ramdisk_id": "",
                "OS-EXT-SRV-ATTR:root_device_name": "/dev/vda",
                "OS-EXT-SRV-ATTR:user_data": server.user_data,
            }
        if self._call.version >= _HOST_STATUS:
            shown["host_status"] = self._details.hosts.get(server.node_id, "UNKNOWN") if server.node_id else ""

    def _fault(self, fault: Fault) -> dict[str, Any]:
        shown: dict[str, Any] = {"code": fault.code, "created": whole_zulu(fault.at_us), "message": fault.message}
        if fault.details and (self._call.access.is_admin or fault.code != 500):
            shown["details"] = fault.details
        return shown

    def _image(self, image_id: str | None) -> dict[str, Any] | str:
        if not image_id:
            return ""
        if image_id not in self._images:
            link = {"rel": "bookmark", "href": self._call.links.to("images", image_id)}
            self._images[image_id] = {"id": image_id, "links": [link]}
        return self._images[image_id]

    def _flavor(self, record_id: str) -> dict[str, Any]:
        if record_id not in self._flavors:
            self._flavors[record_id] = self._new_flavor(self._details.flavors[record_id])
        return self._flavors[record_id]

    def _new_flavor(self, flavor: Flavor) -> dict[str, Any]:
        if self._call.version >= _FLAVOR_EMBEDDED:
            return {
                "original_name": flavor.name, "vcpus": flavor.vcpus, "ram": flavor.ram_mib, "disk": flavor.disk_gib,
                "ephemeral": flavor.ephemeral_gib, "swap": flavor.swap_mib, "extra_specs": dict(flavor.extra_specs),
            }  # fmt: skip
        link = {"rel": "bookmark", "href": self._call.links.to("flavors", flavor.flavor_id)}
        return {"id": flavor.flavor_id, "links": [link]}

    def _links(self, server_id: str) -> list[dict[str, str]]:
        base = self._call.links.base  # ids of servers need no quoting
        return [
            {"rel": "self", "href": f"{base}/v2.1/servers/{server_id}"},
            {"rel": "bookmark", "href": f"{base}/servers/{server_id}"},
        ]


def instance_name(server_id: str) -> str:
    """What administrators see as its name on the host."""
    return f"instance-{server_id[:8]}"
