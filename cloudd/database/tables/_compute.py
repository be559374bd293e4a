"""What servers refer to: key pairs, flavors, groups, limits and shares."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Float, Index, Integer, String, Table, Text, UniqueConstraint

from ._columns import id_column, metadata, reference

# Key pairs are of users, not of projects.
keypair = Table(
    "keypairs",
    metadata,
    Column("user_id", String(64), primary_key=True),
    Column("name", String(255), primary_key=True),
    Column("number", Integer, nullable=False),  # the API's "id"
    Column("type", String(8), nullable=False),
    Column("fingerprint", String(255), nullable=False),
    Column("public_key", Text, nullable=False),
    Column("created_us", BigInteger, nullable=False),
)

# A deleted one stays, for the servers that were built of it; it has its own id in ``deleted``, a living one nothing.
flavor = Table(
    "flavors",
    metadata,
    id_column(),
    Column("flavor_id", String(255), nullable=False),  # what the API calls its id
    Column("name", String(255), nullable=False),
    Column("description", Text, nullable=True),
    Column("ram_mib", Integer, nullable=False),
    Column("vcpus", Integer, nullable=False),
    Column("disk_gib", Integer, nullable=False),
    Column("ephemeral_gib", Integer, nullable=False),
    Column("swap_mib", Integer, nullable=False),
    Column("rxtx_factor", Float, nullable=False),
    Column("is_public", Boolean, nullable=False),
    Column("disabled", Boolean, nullable=False),
    Column("deleted", String(64), nullable=False, server_default=""),
    Column("created_us", BigInteger, nullable=False),
    Column("updated_us", BigInteger, nullable=False),
    UniqueConstraint("flavor_id", "deleted"),
    UniqueConstraint("name", "deleted"),
)

flavor_spec = Table(
    "flavor_specs",
    metadata,
    reference("flavor", "flavors.id", key=True),
    Column("name", String(255), primary_key=True),
    Column("value", String(255), nullable=False),
)

flavor_access = Table(
    "flavor_access",
    metadata,
    reference("flavor", "flavors.id", key=True),
    Column("project_id", String(64), primary_key=True),
)

server_group = Table(
    "server_groups",
    metadata,
    id_column(),
    Column("project_id", String(64), nullable=False, index=True),
    Column("user_id", String(64), nullable=False),
    Column("name", String(255), nullable=False),
    Column("policy", String(32), nullable=False),
    Column("max_per_host", Integer, nullable=True),
    Column("created_us", BigInteger, nullable=False),
)

server_group_member = Table(
    "server_group_members",
    metadata,
    reference("group_id", "server_groups.id", key=True),
    Column("server_id", String(64), primary_key=True),
    Index(None, "server_id"),
)

# Limits that operators have set: of a project, of one user in it, or of all (project and user are empty).
compute_limit = Table(
    "compute_limits",
    metadata,
    Column("project_id", String(64), primary_key=True),
    Column("user_id", String(64), primary_key=True),
    Column("resource", String(64), primary_key=True),
    Column("value", BigInteger, nullable=False),
)

# What each server takes of its project's quotas, from when it was accepted until it is gone; it stays as what was used.
server_share = Table(
    "server_shares",
    metadata,
    Column("server_id", String(64), primary_key=True),
    Column("project_id", String(64), nullable=False),
    Column("user_id", String(64), nullable=False),
    Column("name", String(255), nullable=False),
    Column("flavor", String(255), nullable=False),  # its name
    Column("vcpus", Integer, nullable=False),
    Column("ram_mib", Integer, nullable=False),
    Column("disk_gib", Integer, nullable=False),
    Column("taken_us", BigInteger, nullable=False),
    Column("released_us", BigInteger, nullable=True),
    Index(None, "project_id", "released_us"),
)
