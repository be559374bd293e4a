"""Networks, subnets, ports and security groups."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, Boolean, Column, ForeignKey, Index, Integer, String, Table, Text, UniqueConstraint

from ._columns import CASCADE, id_column, metadata, reference


def _standard() -> list[Column[Any]]:
    """What networks, subnets, ports and security groups all have."""
    return [
        id_column(),
        Column("project_id", String(64), nullable=False, index=True),
        Column("name", String(255), nullable=False, server_default=""),
        Column("description", String(255), nullable=False, server_default=""),
        Column("revision", Integer, nullable=False, server_default="0"),
        Column("created_us", BigInteger, nullable=False),
        Column("updated_us", BigInteger, nullable=False),
    ]


network = Table(
    "networks",
    metadata,
    *_standard(),
    Column("admin_state_up", Boolean, nullable=False),
    Column("shared", Boolean, nullable=False),
    Column("external", Boolean, nullable=False),
    Column("mtu", Integer, nullable=False),
    Column("port_security_enabled", Boolean, nullable=False),
    Column("dns_domain", String(255), nullable=False, server_default=""),
    Column("segment", Integer, nullable=False, unique=True),
)

subnet = Table(
    "subnets",
    metadata,
    *_standard(),
    Column("network_id", String(64), ForeignKey("networks.id"), nullable=False, index=True),
    Column("ip_version", Integer, nullable=False),
    Column("cidr", String(64), nullable=False),
    Column("gateway_ip", String(64), nullable=True),
    Column("enable_dhcp", Boolean, nullable=False),
    Column("ipv6_ra_mode", String(32), nullable=True),
    Column("ipv6_address_mode", String(32), nullable=True),
    Column("allocation_pools", Text, nullable=False),  # JSON: [[first, last], ...]
    Column("dns_nameservers", Text, nullable=False),  # JSON: [address, ...]
    Column("host_routes", Text, nullable=False),  # JSON: [[destination, nexthop], ...]
)

port = Table(
    "ports",
    metadata,
    *_standard(),
    Column("network_id", String(64), ForeignKey("networks.id"), nullable=False),
    Column("mac_address", String(32), nullable=False),
    Column("admin_state_up", Boolean, nullable=False),
    Column("status", String(16), nullable=False),
    Column("device_id", String(255), nullable=False, index=True),
    Column("device_owner", String(255), nullable=False),
    Column("host", String(255), nullable=False, index=True),
    Column("vnic_type", String(64), nullable=False),
    Column("profile", Text, nullable=False),  # JSON
    Column("port_security_enabled", Boolean, nullable=False),
    Column("address_pairs", Text, nullable=False),  # JSON: [[address, MAC], ...]
    Column("dns_name", String(255), nullable=False, server_default=""),
    UniqueConstraint("network_id", "mac_address"),
)

# Who has an address: its key is why none is given twice.
port_address = Table(
    "port_addresses",
    metadata,
    Column("subnet_id", String(64), ForeignKey("subnets.id"), primary_key=True),
    Column("address", String(32), primary_key=True),  # hex digits of a 128-bit number
    Column("port_id", String(64), ForeignKey("ports.id", ondelete=CASCADE), nullable=False, index=True),
    Column("position", Integer, nullable=False),
)

security_group = Table(
    "security_groups",
    metadata,
    *_standard(),
    Column("stateful", Boolean, nullable=False),
    Column("default_of", String(64), nullable=True, unique=True),  # the project whose default it is
)

security_rule = Table(
    "security_rules",
    metadata,
    id_column(),
    Column("project_id", String(64), nullable=False, index=True),
    reference("security_group_id", "security_groups.id"),
    Column("description", String(255), nullable=False, server_default=""),
    Column("direction", String(16), nullable=False),
    Column("ethertype", String(8), nullable=False),
    Column("protocol", String(32), nullable=True),
    Column("port_range_min", Integer, nullable=True),
    Column("port_range_max", Integer, nullable=True),
    Column("remote_ip_prefix", String(64), nullable=True),
    Column("remote_group_id", String(64), ForeignKey("security_groups.id", ondelete=CASCADE), nullable=True),
    Column("revision", Integer, nullable=False, server_default="0"),
    Column("created_us", BigInteger, nullable=False),
    Column("updated_us", BigInteger, nullable=False),
    Index(None, "security_group_id"),
)

port_group = Table(
    "port_security_groups",
    metadata,
    reference("port_id", "ports.id", key=True),
    Column("security_group_id", String(64), ForeignKey("security_groups.id"), primary_key=True),
    Index(None, "security_group_id"),
)

# Of networks, subnets, ports and security groups, whose ids are no others'.
network_tag = Table(
    "network_tags",
    metadata,
    Column("resource_id", String(64), primary_key=True),
    Column("tag", String(255), primary_key=True),
)

# Limits of projects that have others than all have.
network_quota = Table(
    "network_quotas",
    metadata,
    Column("project_id", String(64), primary_key=True),
    Column("resource", String(64), primary_key=True),
    Column("most", Integer, nullable=False),  # -1: there is no limit
)
