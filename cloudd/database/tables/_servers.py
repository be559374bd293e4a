"""Servers, where they are, what befalls them, and the hosts that run them."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Float, ForeignKey, Index, Integer, String, Table, Text

from ._columns import id_column, metadata, reference

# What was asked for, what is wanted and what was seen are columns of their own.  A server that is gone stays for who
# asks what has changed; ``deleted_us`` tells it.
server = Table(
    "servers",
    metadata,
    id_column(),
    Column("project_id", String(64), nullable=False),
    Column("user_id", String(64), nullable=False),
    Column("name", String(255), nullable=False),
    Column("host_name", String(255), nullable=False),  # as the guest knows itself
    Column("description", String(255), nullable=True),
    Column("flavor", String(64), ForeignKey("flavors.id"), nullable=False),
    Column("flavor_before", String(64), ForeignKey("flavors.id"), nullable=True),  # while a resize can be taken back
    Column("image_id", String(64), nullable=True),  # may be deleted meanwhile
    Column("image_before", String(64), nullable=True),  # while it is rebuilt
    Column("key_name", String(255), nullable=True),
    Column("key_type", String(8), nullable=True),
    Column("public_key", Text, nullable=True),  # as it was then
    Column("user_data", Text, nullable=True),  # base64
    Column("files", Text, nullable=False, server_default="[]"),  # JSON: [[path, base64], ...]
    Column("items", Text, nullable=False, server_default="{}"),  # JSON: its metadata, key -> text
    Column("hints", Text, nullable=False, server_default="{}"),  # JSON: of the scheduler
    Column("networks", Text, nullable=False, server_default="[]"),  # JSON: what was asked for, see `cloudd.compute`
    Column("security_groups", Text, nullable=False, server_default="[]"),  # JSON: ids, for ports that are made
    Column("sealed_password", Text, nullable=True),  # encrypted with the keys in SECRETS/servers
    Column("config_drive", Boolean, nullable=False),
    Column("zone", String(255), nullable=False, server_default=""),  # that was asked for; empty: any
    Column("wanted_host", String(255), nullable=False, server_default=""),  # its name; empty: any
    Column("disk_config", String(8), nullable=False),  # AUTO or MANUAL
    Column("reservation_id", String(64), nullable=False),
    Column("launch_index", Integer, nullable=False, server_default="0"),
    Column("access_ip_v4", String(64), nullable=False, server_default=""),
    Column("access_ip_v6", String(64), nullable=False, server_default=""),
    Column("locked_by", String(8), nullable=True),  # owner or admin
    Column("locked_reason", String(255), nullable=True),
    Column("state", String(16), nullable=False),  # vm_state of Nova
    Column("task_state", String(32), nullable=True),
    Column("wanted", String(16), nullable=False),  # running, stopped, paused, suspended, deleted
    Column("power", Integer, nullable=False, server_default="0"),  # as it was seen last, `interfaces.servers.Power`
    Column("progress", Integer, nullable=False, server_default="0"),  # percent
    Column("node_id", String(64), nullable=True),  # of the host that has it
    Column("host", String(255), nullable=False, server_default=""),  # that node's name then
    Column("fault_code", Integer, nullable=True),
    Column("fault_message", Text, nullable=False, server_default=""),
    Column("fault_details", Text, nullable=False, server_default=""),  # for administrators
    Column("fault_us", BigInteger, nullable=True),
    Column("created_us", BigInteger, nullable=False),
    Column("updated_us", BigInteger, nullable=False),
    Column("launched_us", BigInteger, nullable=True),
    Column("deleted_us", BigInteger, nullable=True),
    # Lists are of those that live, newest first; those that are gone must not be read for them, user data and all.
    Index(None, "project_id", "deleted_us", "created_us"),
    Index(None, "deleted_us", "created_us"),
    Index(None, "node_id"),
    Index(None, "updated_us"),
    Index(None, "reservation_id"),
)

server_tag = Table(
    "server_tags",
    metadata,
    reference("server_id", "servers.id", key=True),
    Column("tag", String(64), primary_key=True),
    Index(None, "tag"),
)

# Which ports a server has, in order.
server_interface = Table(
    "server_interfaces",
    metadata,
    reference("server_id", "servers.id", key=True),
    Column("port_id", String(64), primary_key=True),
    Column("position", Integer, nullable=False),
    Column("tag", String(64), nullable=False, server_default=""),
    Column("is_ours", Boolean, nullable=False),  # made for the server, and deleted with it
    Index(None, "port_id"),
)

# What was done to a server and by whom; stays when it is gone.
server_action = Table(
    "server_actions",
    metadata,
    id_column(),
    reference("server_id", "servers.id"),
    Column("action", String(64), nullable=False),
    Column("request_id", String(64), nullable=False),
    Column("project_id", String(64), nullable=False),
    Column("user_id", String(64), nullable=False),
    Column("message", Text, nullable=True),  # why it failed
    Column("started_us", BigInteger, nullable=False),
    Column("updated_us", BigInteger, nullable=False),
    Index(None, "server_id", "started_us"),
)

server_event = Table(
    "server_events",
    metadata,
    id_column(),
    reference("action_id", "server_actions.id"),
    Column("name", String(64), nullable=False),
    Column("host", String(255), nullable=False, server_default=""),
    Column("result", String(16), nullable=True),  # Success or Error; null: it goes on
    Column("details", Text, nullable=True),
    Column("started_us", BigInteger, nullable=False),
    Column("finished_us", BigInteger, nullable=True),
    Index(None, "action_id"),
)

# A node that runs servers, as it said of itself last.
compute_host = Table(
    "compute_hosts",
    metadata,
    Column("node_id", String(64), primary_key=True),
    Column("name", String(255), nullable=False),
    Column("driver", String(32), nullable=False),
    Column("kind", String(32), nullable=False),
    Column("hypervisor_version", Integer, nullable=False),
    Column("vcpus", Integer, nullable=False),
    Column("memory_mib", Integer, nullable=False),
    Column("disk_gib", Integer, nullable=False),
    Column("vcpu_ratio", Float, nullable=False),  # how many may be promised for each there is
    Column("memory_ratio", Float, nullable=False),
    Column("disk_ratio", Float, nullable=False),
    Column("architecture", String(32), nullable=False),
    Column("cpu_model", String(255), nullable=False),
    Column("real", Boolean, nullable=False),
    Column("zone", String(255), nullable=False, server_default=""),  # its aggregate's or its own; empty: the default
    Column("own_zone", String(255), nullable=False, server_default=""),  # as it said
    Column("projects", Text, nullable=False, server_default="[]"),  # JSON: ids that alone may use it; empty: all
    Column("notes", Text, nullable=False, server_default="[]"),  # JSON: sentences for operators
    Column("is_enabled", Boolean, nullable=False),
    Column("disabled_reason", String(255), nullable=False, server_default=""),
    Column("trouble", Text, nullable=False, server_default=""),  # why it cannot run servers now; empty: it can
    Column("created_us", BigInteger, nullable=False),
    Column("updated_us", BigInteger, nullable=False),
)

# What a server holds of a host.  Whoever writes one has looked in the same transaction whether there is room.
server_claim = Table(
    "server_claims",
    metadata,
    reference("server_id", "servers.id", key=True),
    Column("node_id", String(64), primary_key=True),
    Column("purpose", String(16), primary_key=True),  # server, or resize: of the size that it may come to
    Column("vcpus", Integer, nullable=False),
    Column("memory_mib", Integer, nullable=False),
    Column("disk_gib", Integer, nullable=False),
    Column("created_us", BigInteger, nullable=False),
    Index(None, "node_id"),
)
