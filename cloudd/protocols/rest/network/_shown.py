# -*- test-case-name: tests.protocols.rest.network -*-
"""Networks, subnets, ports and security groups as the API shows them."""

from __future__ import annotations

from typing import Any

from cloudd.network import Network, Port, Rule, SecurityGroup, Subnet

from .._times import whole_zulu


def _standard(record: Any) -> dict[str, Any]:
    return {
        "id": record.id,
        "tenant_id": record.project_id,
        "project_id": record.project_id,
        "description": record.description,
        "revision_number": record.revision,
        "created_at": whole_zulu(record.created_us),
        "updated_at": whole_zulu(record.updated_us),
    }


def show_network(network: Network, admin: bool) -> dict[str, Any]:
    """:param admin: whether who asks is told what it is made of"""
    shown = _standard(network) | {
        "name": network.name,
        "tags": list(network.tags),
        "status": "ACTIVE",
        "admin_state_up": network.admin_state_up,
        "shared": network.shared,
        "router:external": network.external,
        "mtu": network.mtu,
        "port_security_enabled": network.port_security_enabled,
        "dns_domain": network.dns_domain,
        "subnets": list(network.subnet_ids),
        "availability_zone_hints": [],
        "availability_zones": ["nova"],
        "ipv4_address_scope": None,
        "ipv6_address_scope": None,
        "is_default": False,
    }
    if admin:
        shown["provider:network_type"] = "vxlan"
        shown["provider:physical_network"] = None
        shown["provider:segmentation_id"] = network.segment
    return shown


def show_subnet(subnet: Subnet, _admin: bool) -> dict[str, Any]:
    """One subnet."""
    return _standard(subnet) | {
        "name": subnet.name,
        "tags": list(subnet.tags),
        "network_id": subnet.network_id,
        "ip_version": subnet.ip_version,
        "cidr": subnet.cidr,
        "gateway_ip": subnet.gateway_ip,
        "enable_dhcp": subnet.enable_dhcp,
        "ipv6_ra_mode": subnet.ipv6_ra_mode,
        "ipv6_address_mode": subnet.ipv6_address_mode,
        "allocation_pools": [{"start": pool.first, "end": pool.last} for pool in subnet.allocation_pools],
        "dns_nameservers": list(subnet.dns_nameservers),
        "host_routes": [{"destination": each.destination, "nexthop": each.nexthop} for each in subnet.host_routes],
        "subnetpool_id": None,
        "service_types": [],
    }


def show_port(port: Port, admin: bool) -> dict[str, Any]:
    """:param admin: whether who asks is told where it is bound"""
    shown = _standard(port) | {
        "name": port.name,
        "tags": list(port.tags),
        "network_id": port.network_id,
        "mac_address": port.mac_address,
        "admin_state_up": port.admin_state_up,
        "status": port.status,
        "device_id": port.device_id,
        "device_owner": port.device_owner,
        "fixed_ips": [{"subnet_id": each.subnet_id, "ip_address": each.ip_address} for each in port.fixed_ips],
        "security_groups": list(port.security_group_ids),
        "allowed_address_pairs": [
            {"ip_address": pair.ip_address, "mac_address": pair.mac_address or port.mac_address}
            for pair in port.address_pairs
        ],
        "port_security_enabled": port.port_security_enabled,
        "extra_dhcp_opts": [],
        "dns_name": port.dns_name,
        "dns_assignment": [],
        "binding:vnic_type": port.vnic_type,
    }
    if admin:
        shown["binding:host_id"] = port.host
        shown["binding:profile"] = port.profile
        shown["binding:vif_type"] = "tap" if port.host else "unbound"
        shown["binding:vif_details"] = {"port_filter": True} if port.host else {}
    return shown


def show_rule(rule: Rule, _admin: bool) -> dict[str, Any]:
    """One rule."""
    prefix = rule.remote_ip_prefix
    return _standard(rule) | {
        "security_group_id": rule.security_group_id,
        "direction": rule.direction,
        "ethertype": rule.ethertype,
        "protocol": rule.protocol,
        "port_range_min": rule.port_range_min,
        "port_range_max": rule.port_range_max,
        "remote_ip_prefix": prefix,
        "normalized_cidr": prefix,
        "remote_group_id": rule.remote_group_id,
        "remote_address_group_id": None,
    }


def show_group(group: SecurityGroup, admin: bool) -> dict[str, Any]:
    """One security group, with its rules."""
    return _standard(group) | {
        "name": group.name,
        "tags": list(group.tags),
        "stateful": group.stateful,
        "shared": False,
        "security_group_rules": [show_rule(rule, admin) for rule in group.rules],
    }
