"""
Networks, subnets, ports and their addresses, security groups and rules, and the tags of all of them.

Revision ID: 0009
Revises: 0008
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _networks()
    _ports()
    _groups()
    op.create_table(
        "network_tags",
        _text("resource_id", 64),
        _text("tag", 255),
        sa.PrimaryKeyConstraint("resource_id", "tag", name="pk_network_tags"),
    )


def _networks() -> None:
    _table(
        "networks",
        sa.Column("admin_state_up", sa.Boolean, nullable=False),
        sa.Column("shared", sa.Boolean, nullable=False),
        sa.Column("external", sa.Boolean, nullable=False),
        sa.Column("mtu", sa.Integer, nullable=False),
        sa.Column("port_security_enabled", sa.Boolean, nullable=False),
        _text("dns_domain", 255, server_default=""),
        sa.Column("segment", sa.Integer, nullable=False),
        sa.UniqueConstraint("segment", name="uq_networks_segment"),
    )
    _table(
        "subnets",
        _text("network_id", 64),
        sa.Column("ip_version", sa.Integer, nullable=False),
        _text("cidr", 64),
        sa.Column("gateway_ip", sa.String(64), nullable=True),
        sa.Column("enable_dhcp", sa.Boolean, nullable=False),
        sa.Column("ipv6_ra_mode", sa.String(32), nullable=True),
        sa.Column("ipv6_address_mode", sa.String(32), nullable=True),
        sa.Column("allocation_pools", sa.Text, nullable=False),
        sa.Column("dns_nameservers", sa.Text, nullable=False),
        sa.Column("host_routes", sa.Text, nullable=False),
        _reference("subnets", "network_id", "networks.id"),
    )
    op.create_index("ix_subnets_network_id", "subnets", ["network_id"])


def _ports() -> None:
    _table(
        "ports",
        _text("network_id", 64),
        _text("mac_address", 32),
        sa.Column("admin_state_up", sa.Boolean, nullable=False),
        _text("status", 16),
        _text("device_id", 255),
        _text("device_owner", 255),
        _text("host", 255),
        _text("vnic_type", 64),
        sa.Column("profile", sa.Text, nullable=False),
        sa.Column("port_security_enabled", sa.Boolean, nullable=False),
        sa.Column("address_pairs", sa.Text, nullable=False),
        _text("dns_name", 255, server_default=""),
        sa.UniqueConstraint("network_id", "mac_address", name="uq_ports_network_id_mac_address"),
        _reference("ports", "network_id", "networks.id"),
    )
    for column in ("device_id", "host"):
        op.create_index(f"ix_ports_{column}", "ports", [column])
    op.create_table(
        "port_addresses",
        _text("subnet_id", 64),
        _text("address", 32),
        _text("port_id", 64),
        sa.Column("position", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("subnet_id", "address", name="pk_port_addresses"),
        _reference("port_addresses", "subnet_id", "subnets.id"),
        _reference("port_addresses", "port_id", "ports.id", ondelete="CASCADE"),
    )
    op.create_index("ix_port_addresses_port_id", "port_addresses", ["port_id"])


def _groups() -> None:
    _table(
        "security_groups",
        sa.Column("stateful", sa.Boolean, nullable=False),
        sa.Column("default_of", sa.String(64), nullable=True),
        sa.UniqueConstraint("default_of", name="uq_security_groups_default_of"),
    )
    op.create_table(
        "security_rules",
        _text("id", 64),
        _text("project_id", 64),
        _text("security_group_id", 64),
        _text("description", 255, server_default=""),
        _text("direction", 16),
        _text("ethertype", 8),
        sa.Column("protocol", sa.String(32), nullable=True),
        sa.Column("port_range_min", sa.Integer, nullable=True),
        sa.Column("port_range_max", sa.Integer, nullable=True),
        sa.Column("remote_ip_prefix", sa.String(64), nullable=True),
        sa.Column("remote_group_id", sa.String(64), nullable=True),
        *_times(),
        sa.PrimaryKeyConstraint("id", name="pk_security_rules"),
        _reference("security_rules", "security_group_id", "security_groups.id", ondelete="CASCADE"),
        _reference("security_rules", "remote_group_id", "security_groups.id", ondelete="CASCADE"),
    )
    for column in ("project_id", "security_group_id"):
        op.create_index(f"ix_security_rules_{column}", "security_rules", [column])
    op.create_table(
        "port_security_groups",
        _text("port_id", 64),
        _text("security_group_id", 64),
        sa.PrimaryKeyConstraint("port_id", "security_group_id", name="pk_port_security_groups"),
        _reference("port_security_groups", "port_id", "ports.id", ondelete="CASCADE"),
        _reference("port_security_groups", "security_group_id", "security_groups.id"),
    )
    op.create_index("ix_port_security_groups_security_group_id", "port_security_groups", ["security_group_id"])


def _table(name: str, *more: Any) -> None:
    op.create_table(
        name,
        _text("id", 64),
        _text("project_id", 64),
        _text("name", 255, server_default=""),
        _text("description", 255, server_default=""),
        *_times(),
        *more,
        sa.PrimaryKeyConstraint("id", name=f"pk_{name}"),
    )
    op.create_index(f"ix_{name}_project_id", name, ["project_id"])


def _text(name: str, length: int, **more: Any) -> "sa.Column[Any]":
    return sa.Column(name, sa.String(length), nullable=False, **more)


def _times() -> "list[sa.Column[Any]]":
    return [
        sa.Column("revision", sa.Integer, nullable=False, server_default="0"),
        sa.Column("created_us", sa.BigInteger, nullable=False),
        sa.Column("updated_us", sa.BigInteger, nullable=False),
    ]


def _reference(table: str, column: str, target: str, ondelete: str | None = None) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint([column], [target], name=f"fk_{table}_{column}", ondelete=ondelete)
