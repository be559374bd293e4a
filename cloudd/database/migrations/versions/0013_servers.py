"""
Servers with their tags, interfaces and history, the hosts that run them, and what they hold of these.

Revision ID: 0013
Revises: 0012
"""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _servers()
    _details()
    _history()
    _hosts()


def _servers() -> None:
    op.create_table(
        "servers",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("project_id", sa.String(64), nullable=False),
        sa.Column("user_id", sa.String(64), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("host_name", sa.String(255), nullable=False),
        sa.Column("description", sa.String(255), nullable=True),
        sa.Column("flavor", sa.String(64), nullable=False),
        sa.Column("flavor_before", sa.String(64), nullable=True),
        sa.Column("image_id", sa.String(64), nullable=True),
        sa.Column("image_before", sa.String(64), nullable=True),
        sa.Column("key_name", sa.String(255), nullable=True),
        sa.Column("key_type", sa.String(8), nullable=True),
        sa.Column("public_key", sa.Text, nullable=True),
        sa.Column("user_data", sa.Text, nullable=True),
        sa.Column("files", sa.Text, nullable=False, server_default="[]"),
        sa.Column("items", sa.Text, nullable=False, server_default="{}"),
        sa.Column("hints", sa.Text, nullable=False, server_default="{}"),
        sa.Column("networks", sa.Text, nullable=False, server_default="[]"),
        sa.Column("security_groups", sa.Text, nullable=False, server_default="[]"),
        sa.Column("sealed_password", sa.Text, nullable=True),
        sa.Column("config_drive", sa.Boolean, nullable=False),
        sa.Column("zone", sa.String(255), nullable=False, server_default=""),
        sa.Column("wanted_host", sa.String(255), nullable=False, server_default=""),
        sa.Column("disk_config", sa.String(8), nullable=False),
        sa.Column("reservation_id", sa.String(64), nullable=False),
        sa.Column("launch_index", sa.Integer, nullable=False, server_default="0"),
        sa.Column("access_ip_v4", sa.String(64), nullable=False, server_default=""),
        sa.Column("access_ip_v6", sa.String(64), nullable=False, server_default=""),
        sa.Column("locked_by", sa.String(8), nullable=True),
        sa.Column("locked_reason", sa.String(255), nullable=True),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("task_state", sa.String(32), nullable=True),
        sa.Column("wanted", sa.String(16), nullable=False),
        sa.Column("power", sa.Integer, nullable=False, server_default="0"),
        sa.Column("progress", sa.Integer, nullable=False, server_default="0"),
        sa.Column("node_id", sa.String(64), nullable=True),
        sa.Column("host", sa.String(255), nullable=False, server_default=""),
        sa.Column("fault_code", sa.Integer, nullable=True),
        sa.Column("fault_message", sa.Text, nullable=False, server_default=""),
        sa.Column("fault_details", sa.Text, nullable=False, server_default=""),
        sa.Column("fault_us", sa.BigInteger, nullable=True),
        sa.Column("created_us", sa.BigInteger, nullable=False),
        sa.Column("updated_us", sa.BigInteger, nullable=False),
        sa.Column("launched_us", sa.BigInteger, nullable=True),
        sa.Column("deleted_us", sa.BigInteger, nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_servers"),
        sa.ForeignKeyConstraint(["flavor"], ["flavors.id"], name="fk_servers_flavor"),
        sa.ForeignKeyConstraint(["flavor_before"], ["flavors.id"], name="fk_servers_flavor_before"),
    )
    op.create_index("ix_servers_node_id", "servers", ["node_id"])
    op.create_index("ix_servers_deleted_us_created_us", "servers", ["deleted_us", "created_us"])
    op.create_index(
        "ix_servers_project_id_deleted_us_created_us", "servers", ["project_id", "deleted_us", "created_us"]
    )
    op.create_index("ix_servers_reservation_id", "servers", ["reservation_id"])
    op.create_index("ix_servers_updated_us", "servers", ["updated_us"])


def _details() -> None:
    op.create_table(
        "server_tags",
        sa.Column("server_id", sa.String(64), nullable=False),
        sa.Column("tag", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("server_id", "tag", name="pk_server_tags"),
        sa.ForeignKeyConstraint(["server_id"], ["servers.id"], name="fk_server_tags_server_id", ondelete="CASCADE"),
    )
    op.create_index("ix_server_tags_tag", "server_tags", ["tag"])
    op.create_table(
        "server_interfaces",
        sa.Column("server_id", sa.String(64), nullable=False),
        sa.Column("port_id", sa.String(64), nullable=False),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("tag", sa.String(64), nullable=False, server_default=""),
        sa.Column("is_ours", sa.Boolean, nullable=False),
        sa.PrimaryKeyConstraint("server_id", "port_id", name="pk_server_interfaces"),
        sa.ForeignKeyConstraint(
            ["server_id"], ["servers.id"], name="fk_server_interfaces_server_id", ondelete="CASCADE"
        ),
    )
    op.create_index("ix_server_interfaces_port_id", "server_interfaces", ["port_id"])


def _history() -> None:
    op.create_table(
        "server_actions",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("server_id", sa.String(64), nullable=False),
        sa.Column("action", sa.String(64), nullable=False),
        sa.Column("request_id", sa.String(64), nullable=False),
        sa.Column("project_id", sa.String(64), nullable=False),
        sa.Column("user_id", sa.String(64), nullable=False),
        sa.Column("message", sa.Text, nullable=True),
        sa.Column("started_us", sa.BigInteger, nullable=False),
        sa.Column("updated_us", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_server_actions"),
        sa.ForeignKeyConstraint(["server_id"], ["servers.id"], name="fk_server_actions_server_id", ondelete="CASCADE"),
    )
    op.create_index("ix_server_actions_server_id_started_us", "server_actions", ["server_id", "started_us"])
    op.create_table(
        "server_events",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("action_id", sa.String(64), nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("host", sa.String(255), nullable=False, server_default=""),
        sa.Column("result", sa.String(16), nullable=True),
        sa.Column("details", sa.Text, nullable=True),
        sa.Column("started_us", sa.BigInteger, nullable=False),
        sa.Column("finished_us", sa.BigInteger, nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_server_events"),
        sa.ForeignKeyConstraint(
            ["action_id"], ["server_actions.id"], name="fk_server_events_action_id", ondelete="CASCADE"
        ),
    )
    op.create_index("ix_server_events_action_id", "server_events", ["action_id"])


def _hosts() -> None:
    op.create_table(
        "compute_hosts",
        sa.Column("node_id", sa.String(64), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("driver", sa.String(32), nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("hypervisor_version", sa.Integer, nullable=False),
        sa.Column("vcpus", sa.Integer, nullable=False),
        sa.Column("memory_mib", sa.Integer, nullable=False),
        sa.Column("disk_gib", sa.Integer, nullable=False),
        sa.Column("vcpu_ratio", sa.Float, nullable=False),
        sa.Column("memory_ratio", sa.Float, nullable=False),
        sa.Column("disk_ratio", sa.Float, nullable=False),
        sa.Column("architecture", sa.String(32), nullable=False),
        sa.Column("cpu_model", sa.String(255), nullable=False),
        sa.Column("real", sa.Boolean, nullable=False),
        sa.Column("zone", sa.String(255), nullable=False, server_default=""),
        sa.Column("projects", sa.Text, nullable=False, server_default="[]"),
        sa.Column("notes", sa.Text, nullable=False, server_default="[]"),
        sa.Column("is_enabled", sa.Boolean, nullable=False),
        sa.Column("disabled_reason", sa.String(255), nullable=False, server_default=""),
        sa.Column("trouble", sa.Text, nullable=False, server_default=""),
        sa.Column("created_us", sa.BigInteger, nullable=False),
        sa.Column("updated_us", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("node_id", name="pk_compute_hosts"),
    )
    op.create_table(
        "server_claims",
        sa.Column("server_id", sa.String(64), nullable=False),
        sa.Column("node_id", sa.String(64), nullable=False),
        sa.Column("purpose", sa.String(16), nullable=False),
        sa.Column("vcpus", sa.Integer, nullable=False),
        sa.Column("memory_mib", sa.Integer, nullable=False),
        sa.Column("disk_gib", sa.Integer, nullable=False),
        sa.Column("created_us", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("server_id", "node_id", "purpose", name="pk_server_claims"),
        sa.ForeignKeyConstraint(["server_id"], ["servers.id"], name="fk_server_claims_server_id", ondelete="CASCADE"),
    )
    op.create_index("ix_server_claims_node_id", "server_claims", ["node_id"])
