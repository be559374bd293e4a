"""
Key pairs, flavors with their extra specs and who may use them, server groups, and quotas.

Revision ID: 0011
Revises: 0010
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _keypairs()
    _flavors()
    _groups()
    _quotas()


def _keypairs() -> None:
    op.create_table(
        "keypairs",
        _text("user_id", 64),
        _text("name", 255),
        sa.Column("number", sa.Integer, nullable=False),
        _text("type", 8),
        _text("fingerprint", 255),
        sa.Column("public_key", sa.Text, nullable=False),
        _time("created_us"),
        sa.PrimaryKeyConstraint("user_id", "name", name="pk_keypairs"),
    )


def _flavors() -> None:
    op.create_table(
        "flavors",
        _text("id", 64),
        _text("flavor_id", 255),
        _text("name", 255),
        sa.Column("description", sa.Text, nullable=True),
        *(_number(name) for name in ("ram_mib", "vcpus", "disk_gib", "ephemeral_gib", "swap_mib")),
        sa.Column("rxtx_factor", sa.Float, nullable=False),
        sa.Column("is_public", sa.Boolean, nullable=False),
        sa.Column("disabled", sa.Boolean, nullable=False),
        _text("deleted", 64, server_default=""),
        _time("created_us"),
        _time("updated_us"),
        sa.PrimaryKeyConstraint("id", name="pk_flavors"),
        sa.UniqueConstraint("flavor_id", "deleted", name="uq_flavors_flavor_id_deleted"),
        sa.UniqueConstraint("name", "deleted", name="uq_flavors_name_deleted"),
    )
    op.create_table(
        "flavor_specs",
        _text("flavor", 64),
        _text("name", 255),
        _text("value", 255),
        sa.PrimaryKeyConstraint("flavor", "name", name="pk_flavor_specs"),
        _reference("flavor_specs", "flavor", "flavors.id"),
    )
    op.create_table(
        "flavor_access",
        _text("flavor", 64),
        _text("project_id", 64),
        sa.PrimaryKeyConstraint("flavor", "project_id", name="pk_flavor_access"),
        _reference("flavor_access", "flavor", "flavors.id"),
    )


def _groups() -> None:
    op.create_table(
        "server_groups",
        _text("id", 64),
        _text("project_id", 64),
        _text("user_id", 64),
        _text("name", 255),
        _text("policy", 32),
        sa.Column("max_per_host", sa.Integer, nullable=True),
        _time("created_us"),
        sa.PrimaryKeyConstraint("id", name="pk_server_groups"),
    )
    op.create_index("ix_server_groups_project_id", "server_groups", ["project_id"])
    op.create_table(
        "server_group_members",
        _text("group_id", 64),
        _text("server_id", 64),
        sa.PrimaryKeyConstraint("group_id", "server_id", name="pk_server_group_members"),
        _reference("server_group_members", "group_id", "server_groups.id"),
    )
    op.create_index("ix_server_group_members_server_id", "server_group_members", ["server_id"])


def _quotas() -> None:
    op.create_table(
        "compute_limits",
        _text("project_id", 64),
        _text("user_id", 64),
        _text("resource", 64),
        sa.Column("value", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("project_id", "user_id", "resource", name="pk_compute_limits"),
    )
    op.create_table(
        "server_shares",
        _text("server_id", 64),
        _text("project_id", 64),
        _text("user_id", 64),
        _text("name", 255),
        _text("flavor", 255),
        *(_number(name) for name in ("vcpus", "ram_mib", "disk_gib")),
        _time("taken_us"),
        sa.Column("released_us", sa.BigInteger, nullable=True),
        sa.PrimaryKeyConstraint("server_id", name="pk_server_shares"),
    )
    op.create_index("ix_server_shares_project_id_released_us", "server_shares", ["project_id", "released_us"])


def _text(name: str, length: int, **more: Any) -> "sa.Column[Any]":
    return sa.Column(name, sa.String(length), nullable=False, **more)


def _number(name: str) -> "sa.Column[Any]":
    return sa.Column(name, sa.Integer, nullable=False)


def _time(name: str) -> "sa.Column[Any]":
    return sa.Column(name, sa.BigInteger, nullable=False)


def _reference(table: str, column: str, target: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint([column], [target], name=f"fk_{table}_{column}", ondelete="CASCADE")
