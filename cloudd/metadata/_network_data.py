# -*- test-case-name: tests.metadata.test_network_data -*-
"""
``network_data.json``: links, networks on them and name servers.

As ``nova.virt.netutils.get_network_metadata``: of a subnet with DHCP nothing but that is told, as the DHCP server tells
the rest, its MTU too; of each port the first subnet of each IP version counts.

Source: https://docs.openstack.org/nova/latest/user/metadata.html, and ``network_data.json``'s schema beside it.
"""

from __future__ import annotations

import ipaddress
from typing import Any, Final

from cloudd.network import Attachment, FixedIP, Subnet

from ._facts import GuestFacts

_ANY: Final = {4: "0.0.0.0", 6: "::"}  # noqa: S104 - told, not bound


def network_data(facts: GuestFacts) -> dict[str, Any]:
    """The document of all ports that have an address."""
    links: list[dict[str, Any]] = []
    networks: list[dict[str, Any]] = []
    services: list[dict[str, str]] = []
    for attachment in facts.attachments:
        if not attachment.port.fixed_ips:
            continue
        link = _link(attachment)
        links.append(link)
        for subnet, fixed_ip in _firsts(attachment):
            networks.append({"id": f"network{len(networks)}", **_network(attachment, subnet, fixed_ip, link["id"])})
            services += [each for each in _name_servers(subnet) if each not in services]
    return {"links": links, "networks": networks, "services": services}


def _firsts(attachment: Attachment) -> list[tuple[Subnet, FixedIP]]:
    """Of each IP version the first address with its subnet; IPv4 first."""
    found: dict[int, tuple[Subnet, FixedIP]] = {}
    for fixed_ip in attachment.port.fixed_ips:
        subnet = attachment.subnets[fixed_ip.subnet_id]
        found.setdefault(subnet.ip_version, (subnet, fixed_ip))
    return [found[version] for version in sorted(found)]


def _link(attachment: Attachment) -> dict[str, Any]:
    port = attachment.port
    has_dhcp = any(subnet.enable_dhcp for subnet in attachment.subnets.values())
    return {
        "id": f"tap{port.id[:11]}",
        "vif_id": port.id,
        "type": "tap",
        "mtu": None if has_dhcp else attachment.network.mtu,
        "ethernet_mac_address": port.mac_address,
    }


def _network(attachment: Attachment, subnet: Subnet, fixed_ip: FixedIP, link: str) -> dict[str, Any]:
    version = subnet.ip_version
    known = {"link": link, "network_id": attachment.network.id}
    if subnet.ipv6_address_mode is not None:
        kind = f"ipv{version}_{subnet.ipv6_address_mode}"
    elif subnet.enable_dhcp:
        return {"type": f"ipv{version}_dhcp", **known}
    else:
        kind = f"ipv{version}"
    return {
        "type": kind,
        **known,
        "ip_address": fixed_ip.ip_address,
        "netmask": _netmask(subnet.cidr),
        "routes": _routes(subnet),
        "services": _name_servers(subnet),
    }


def _routes(subnet: Subnet) -> list[dict[str, str]]:
    routes = []
    if subnet.gateway_ip:
        anywhere = _ANY[subnet.ip_version]
        routes.append({"network": anywhere, "netmask": anywhere, "gateway": subnet.gateway_ip})
    for each in subnet.host_routes:
        to = ipaddress.ip_network(each.destination, strict=False)
        routes.append(
            {"network": str(to.network_address), "netmask": _netmask(each.destination), "gateway": each.nexthop}
        )
    return routes


def _netmask(cidr: str) -> str:
    return str(ipaddress.ip_network(cidr, strict=False).netmask)


def _name_servers(subnet: Subnet) -> list[dict[str, str]]:
    return [{"type": "dns", "address": each} for each in subnet.dns_nameservers]
