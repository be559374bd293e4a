"""
The tables of the control database, as SQLAlchemy metadata; ``migrations/`` makes the same, step by step.

Rules: ids are text (32 hex digits, or a well-known word such as ``default``); times are whole microseconds since the
epoch; only types and clauses that SQLite and PostgreSQL share; constraints are named by ``NAMING``, so that a
migration can refer to them.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    false,
    true,
)

#: Of ids that count up: SQLite counts in 64 bits only where it is told INTEGER, PostgreSQL would count in 32.
COUNTED = BigInteger().with_variant(Integer, "sqlite")

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s",
    "pk": "pk_%(table_name)s",
}

metadata = MetaData(naming_convention=NAMING)

_CASCADE = "CASCADE"


def _id() -> Column[str]:
    return Column("id", String(64), primary_key=True)


def _reference(name: str, target: str, *, key: bool = False, ondelete: str | None = _CASCADE) -> Column[str]:
    return Column(name, String(64), ForeignKey(target, ondelete=ondelete), primary_key=key, nullable=False)


def _enabled() -> Column[bool]:
    return Column("enabled", Boolean, nullable=False, server_default=true())


domain = Table(
    "identity_domain",
    metadata,
    _id(),
    Column("name", String(255), nullable=False, unique=True),
    Column("description", Text, nullable=False, server_default=""),
    _enabled(),
    Column("created_us", BigInteger, nullable=False),
)

project = Table(
    "identity_project",
    metadata,
    _id(),
    _reference("domain_id", "identity_domain.id", ondelete=None),
    Column("parent_id", String(64), ForeignKey("identity_project.id"), nullable=True),  # null: the domain
    Column("name", String(64), nullable=False),
    Column("description", Text, nullable=False, server_default=""),
    _enabled(),
    Column("created_us", BigInteger, nullable=False),
    UniqueConstraint("domain_id", "name"),
    Index(None, "parent_id"),
)

user = Table(
    "identity_user",
    metadata,
    _id(),
    _reference("domain_id", "identity_domain.id", ondelete=None),
    Column("name", String(255), nullable=False),
    Column("description", Text, nullable=False, server_default=""),
    Column("email", String(255), nullable=True),
    Column("default_project_id", String(64), nullable=True),  # may outlive its project, as in Keystone
    _enabled(),
    Column("password_hash", Text, nullable=True),  # null: this user cannot log in by password
    Column("created_us", BigInteger, nullable=False),
    UniqueConstraint("domain_id", "name"),
)

role = Table(
    "identity_role",
    metadata,
    _id(),
    Column("name", String(255), nullable=False, unique=True),
    Column("description", Text, nullable=False, server_default=""),
    Column("created_us", BigInteger, nullable=False),
)

implied_role = Table(
    "identity_implied_role",
    metadata,
    _reference("prior_id", "identity_role.id", key=True),
    _reference("implied_id", "identity_role.id", key=True),
    CheckConstraint("prior_id <> implied_id", name="not_itself"),
)

project_role = Table(
    "identity_project_role",
    metadata,
    _reference("user_id", "identity_user.id", key=True),
    _reference("project_id", "identity_project.id", key=True),
    _reference("role_id", "identity_role.id", key=True),
    Index(None, "project_id"),
    Index(None, "role_id"),
)

domain_role = Table(
    "identity_domain_role",
    metadata,
    _reference("user_id", "identity_user.id", key=True),
    _reference("domain_id", "identity_domain.id", key=True),
    _reference("role_id", "identity_role.id", key=True),
    Index(None, "domain_id"),
    Index(None, "role_id"),
)

application_credential = Table(
    "identity_application_credential",
    metadata,
    _id(),
    _reference("user_id", "identity_user.id"),
    _reference("project_id", "identity_project.id"),
    Column("name", String(255), nullable=False),
    Column("description", Text, nullable=False, server_default=""),
    Column("secret_hash", Text, nullable=False),
    Column("unrestricted", Boolean, nullable=False, server_default=false()),
    Column("expires_us", BigInteger, nullable=True),
    Column("created_us", BigInteger, nullable=False),
    UniqueConstraint("user_id", "name"),
    Index(None, "project_id"),
)

application_credential_role = Table(
    "identity_application_credential_role",
    metadata,
    _reference("credential_id", "identity_application_credential.id", key=True),
    _reference("role_id", "identity_role.id", key=True),
    Index(None, "role_id"),
)

ec2_credential = Table(
    "identity_ec2_credential",
    metadata,
    Column("access", String(64), primary_key=True),
    _reference("user_id", "identity_user.id"),
    _reference("project_id", "identity_project.id"),
    Column("sealed_secret", Text, nullable=False),  # encrypted with the keys in the state folder
    Column("created_us", BigInteger, nullable=False),
    Index(None, "user_id"),
    Index(None, "project_id"),
)

# What workers must forget, and which tokens are refused: see `cloudd.identity._revocation`.
revocation = Table(
    "identity_revocation",
    metadata,
    Column("id", COUNTED, primary_key=True, autoincrement=True),
    Column("subject", String(160), nullable=False),
    Column("issued_before_us", BigInteger, nullable=False),  # 0: refuses nothing, only empties caches
    Column("created_us", BigInteger, nullable=False),
    Index(None, "subject", "issued_before_us"),
    Index(None, "created_us"),
    sqlite_autoincrement=True,  # ids are never used again after a purge: readers resume by id
)

# What happened, for whoever follows it: see `cloudd.events`.  Triggers of the identity tables write most of it (the
# migration that made them has the list), so that it is in the transaction of the change and no code can forget it.
outbox = Table(
    "events",
    metadata,
    Column("id", COUNTED, primary_key=True, autoincrement=True),
    Column("created_us", BigInteger, nullable=False),
    Column("type", String(64), nullable=False),
    Column("project_id", String(64), nullable=True),
    Column("user_id", String(64), nullable=True),
    Column("data", Text, nullable=False),  # a JSON object
    Index(None, "project_id", "id"),
    sqlite_autoincrement=True,  # ids are never used again after a purge: readers resume by id
)

# Work that outlives its process: see `cloudd.tasks`.  Times are those of the database's own clock (`now_us`).
task = Table(
    "tasks",
    metadata,
    _id(),
    Column("kind", String(64), nullable=False),
    Column("version", Integer, nullable=False),  # of the payload
    Column("payload", Text, nullable=False),  # a JSON object
    Column("project_id", String(64), nullable=True),  # whose work it is; may outlive its project
    Column("node_id", String(64), nullable=True),  # of the one node that can do it; null: any can
    Column("resource", String(512), nullable=False, server_default=""),  # what it is done to, in words of its kind
    Column("request_id", String(64), nullable=False, server_default=""),  # of the request that asked for it
    Column("state", String(8), nullable=False),  # queued, running, done, failed
    Column("step", String(64), nullable=False, server_default=""),  # empty: the first
    Column("step_version", Integer, nullable=True),  # of the step's state; null: it has none yet
    Column("step_state", Text, nullable=True),  # a JSON object
    Column("progress", BigInteger, nullable=False, server_default="0"),
    Column("total", BigInteger, nullable=False, server_default="0"),  # 0: not known
    Column("attempts", Integer, nullable=False, server_default="0"),  # since it last got on
    # Queued: not before this time.  Running: when the lease ends.  Null when there is nothing more to do.  So whoever
    # looks for work asks for one thing: what is due.
    Column("due_us", BigInteger, nullable=True),
    Column("lease_owner", String(128), nullable=True),
    Column("lease_token", String(64), nullable=True),
    Column("deadline_us", BigInteger, nullable=True),
    Column("run_us", BigInteger, nullable=True),  # from its first claim to its deadline
    Column("cancel_cause", Text, nullable=True),  # somebody wants it to end
    Column("cause", Text, nullable=False, server_default=""),  # why the last attempt failed, or the task
    Column("result", Text, nullable=True),  # a JSON object, of a task that is done
    Column("created_us", BigInteger, nullable=False),
    Column("updated_us", BigInteger, nullable=False),
    CheckConstraint("state IN ('queued', 'running', 'done', 'failed')", name="state"),
    Index(None, "due_us"),
    Index(None, "state", "updated_us"),
    Index(None, "created_us"),
    Index(None, "resource"),
    Index(None, "node_id"),
)

# The machines of the cloud: see `cloudd.nodes`.  Times are those of the database's own clock (`now_us`).
node = Table(
    "nodes",
    metadata,
    _id(),
    Column("name", String(255), nullable=False),  # of one node that is not removed: `cloudd.nodes` sees to it
    Column("roles", Text, nullable=False, server_default="[]"),  # a JSON list of words
    Column("address", String(255), nullable=False, server_default=""),  # where other nodes reach it, HOST:PORT
    Column("state", String(16), nullable=False),  # joining, ready, draining, drained, removed
    Column("state_us", BigInteger, nullable=False),  # since when
    Column("state_by", String(255), nullable=False, server_default=""),  # who wanted that
    Column("version", String(64), nullable=False, server_default=""),
    Column("code_hash", String(64), nullable=False, server_default=""),
    Column("generation", BigInteger, nullable=False, server_default="0"),
    Column("payloads", Text, nullable=False, server_default="{}"),  # JSON: kind -> versions that it reads
    Column("load", Text, nullable=False, server_default="{}"),  # JSON: what it said of itself last
    Column("beat_us", BigInteger, nullable=False, server_default="0"),  # how often it says something
    Column("contact_us", BigInteger, nullable=True),  # when it last did; null: never yet
    Column("certificate_us", BigInteger, nullable=True),  # when its certificate ends; null: it has none
    Column("created_us", BigInteger, nullable=False),
    CheckConstraint("state IN ('joining', 'ready', 'draining', 'drained', 'removed')", name="state"),
    Index(None, "name"),
    Index(None, "state", "contact_us"),
)

# What lets a machine join, once.  The secret is nowhere but with who was given it.
node_token = Table(
    "node_tokens",
    metadata,
    _id(),
    Column("secret_hash", String(64), nullable=False),
    Column("roles", Text, nullable=False),
    Column("made_by", String(255), nullable=False),
    Column("created_us", BigInteger, nullable=False),
    Column("expires_us", BigInteger, nullable=False),
    Column("used_us", BigInteger, nullable=True),
    Column("node_id", String(64), nullable=True),  # who used it
    Index(None, "expires_us"),
)

# What one node of the cloud does for all, and which: see `cloudd.nodes._leases`.
duty = Table(
    "duties",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("owner", String(128), nullable=True),
    Column("node_id", String(64), nullable=True),
    Column("token", String(64), nullable=True),  # null: nobody has it
    Column("until_us", BigInteger, nullable=True),
    Column("term", BigInteger, nullable=False, server_default="0"),  # how often it went to somebody
    Column("since_us", BigInteger, nullable=True),
)

# The internal certificate authority; one row, id 1.
node_authority = Table(
    "node_authority",
    metadata,
    Column("id", COUNTED, primary_key=True, autoincrement=False),
    Column("certificate", Text, nullable=False),  # PEM
    Column("sealed_key", Text, nullable=False),  # encrypted with the keys in SECRETS/authority
    Column("created_us", BigInteger, nullable=False),
)

# What ran on the nodes before a rolling upgrade; one row for each.  While it is `open` there is a way back to it.
release = Table(
    "releases",
    metadata,
    _id(),  # of the task that began it
    Column("new_hash", String(64), nullable=False),
    Column("tree", Text, nullable=False),
    Column("payloads", Text, nullable=False),  # JSON: kind -> versions that all of the earlier code reads
    Column("nodes", Text, nullable=False),  # JSON: node id -> hash of the code it had
    Column("state", String(8), nullable=False),  # open, final, back
    Column("state_us", BigInteger, nullable=False),
    Column("state_by", String(255), nullable=False, server_default=""),
    Column("created_us", BigInteger, nullable=False),
    CheckConstraint("state IN ('open', 'final', 'back')", name="state"),
    Index(None, "state"),
)

image = Table(
    "images",
    metadata,
    _id(),
    Column("project_id", String(64), nullable=False),  # may be deleted meanwhile, as in Glance
    Column("name", String(255), nullable=True),
    Column("status", String(16), nullable=False),
    Column("visibility", String(16), nullable=False),
    Column("disk_format", String(16), nullable=True),
    Column("container_format", String(16), nullable=True),
    Column("size", BigInteger, nullable=True),
    Column("virtual_size", BigInteger, nullable=True),
    Column("min_disk", Integer, nullable=False),
    Column("min_ram", Integer, nullable=False),
    Column("protected", Boolean, nullable=False),
    Column("hidden", Boolean, nullable=False),
    Column("checksum", String(32), nullable=True),
    Column("hash_algorithm", String(64), nullable=True),
    Column("hash_value", String(128), nullable=True),
    Column("data_id", String(64), nullable=True),  # of its data, which is there or comes now
    Column("saving_until_us", BigInteger, nullable=True),  # so long an upload that says nothing is believed to go on
    Column("import_task_id", String(64), nullable=True),  # of the import that goes on
    Column("staged_size", BigInteger, nullable=True),  # of data that was staged, until the image is active
    Column("staged_on", String(64), nullable=True),  # the node that has it; null: one without a name yet
    Column("staged_us", BigInteger, nullable=True),  # when its last byte came
    Column("created_us", BigInteger, nullable=False),
    Column("updated_us", BigInteger, nullable=False),
    Index(None, "project_id"),
    Index(None, "visibility"),
)

image_property = Table(
    "image_properties",
    metadata,
    _reference("image_id", "images.id", key=True),
    Column("name", String(255), primary_key=True),
    Column("value", Text, nullable=False),
)

image_tag = Table(
    "image_tags",
    metadata,
    _reference("image_id", "images.id", key=True),
    Column("tag", String(255), primary_key=True),
)

image_member = Table(
    "image_members",
    metadata,
    _reference("image_id", "images.id", key=True),
    Column("project_id", String(64), primary_key=True),
    Column("status", String(16), nullable=False),
    Column("created_us", BigInteger, nullable=False),
    Column("updated_us", BigInteger, nullable=False),
    Index(None, "project_id"),
)


def _standard() -> list[Column[Any]]:
    """What networks, subnets, ports and security groups all have."""
    return [
        _id(),
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
    Column("port_id", String(64), ForeignKey("ports.id", ondelete=_CASCADE), nullable=False, index=True),
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
    _id(),
    Column("project_id", String(64), nullable=False, index=True),
    _reference("security_group_id", "security_groups.id"),
    Column("description", String(255), nullable=False, server_default=""),
    Column("direction", String(16), nullable=False),
    Column("ethertype", String(8), nullable=False),
    Column("protocol", String(32), nullable=True),
    Column("port_range_min", Integer, nullable=True),
    Column("port_range_max", Integer, nullable=True),
    Column("remote_ip_prefix", String(64), nullable=True),
    Column("remote_group_id", String(64), ForeignKey("security_groups.id", ondelete=_CASCADE), nullable=True),
    Column("revision", Integer, nullable=False, server_default="0"),
    Column("created_us", BigInteger, nullable=False),
    Column("updated_us", BigInteger, nullable=False),
    Index(None, "security_group_id"),
)

port_group = Table(
    "port_security_groups",
    metadata,
    _reference("port_id", "ports.id", key=True),
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
    _id(),
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
    _reference("flavor", "flavors.id", key=True),
    Column("name", String(255), primary_key=True),
    Column("value", String(255), nullable=False),
)

flavor_access = Table(
    "flavor_access",
    metadata,
    _reference("flavor", "flavors.id", key=True),
    Column("project_id", String(64), primary_key=True),
)

server_group = Table(
    "server_groups",
    metadata,
    _id(),
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
    _reference("group_id", "server_groups.id", key=True),
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

# One row: the revision of the oldest release that may still run on the tables as they are; see `_migrate`.
oldest_reader = Table("oldest_reader", metadata, Column("revision", String(32), primary_key=True))
