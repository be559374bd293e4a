"""
Nodes: the machines of a cloud, what lets one join, duties that one has for all, the internal certificate authority.

Revision ID: 0005
Revises: 0004
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def text(name: str, length: int | None, default: str | None = "") -> sa.Column[str]:
    """A column that is empty by default, or, without a default, must be given."""
    kind = sa.Text() if length is None else sa.String(length)
    return sa.Column(name, kind, nullable=False, server_default=default)


def number(name: str, *, nullable: bool = False, default: str | None = None) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, nullable=nullable, server_default=default)


def upgrade() -> None:
    op.create_table(
        "nodes",
        text("id", 64, None),
        text("name", 255, None),
        text("roles", None, "[]"),
        text("address", 255),
        text("state", 16, None),
        number("state_us"),
        text("state_by", 255),
        text("version", 64),
        text("code_hash", 64),
        number("generation", default="0"),
        text("payloads", None, "{}"),
        text("load", None, "{}"),
        number("beat_us", default="0"),
        number("contact_us", nullable=True),
        number("certificate_us", nullable=True),
        number("created_us"),
        sa.PrimaryKeyConstraint("id", name="pk_nodes"),
        sa.CheckConstraint("state IN ('joining', 'ready', 'draining', 'drained', 'removed')", name="ck_nodes_state"),
    )
    op.create_index("ix_nodes_name", "nodes", ["name"])
    op.create_index("ix_nodes_state_contact_us", "nodes", ["state", "contact_us"])
    op.create_table(
        "node_tokens",
        text("id", 64, None),
        text("secret_hash", 64, None),
        text("roles", None, None),
        text("made_by", 255, None),
        number("created_us"),
        number("expires_us"),
        number("used_us", nullable=True),
        sa.Column("node_id", sa.String(64), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_node_tokens"),
    )
    op.create_index("ix_node_tokens_expires_us", "node_tokens", ["expires_us"])
    op.create_table(
        "duties",
        text("name", 64, None),
        sa.Column("owner", sa.String(128), nullable=True),
        sa.Column("node_id", sa.String(64), nullable=True),
        sa.Column("token", sa.String(64), nullable=True),
        number("until_us", nullable=True),
        number("term", default="0"),
        number("since_us", nullable=True),
        sa.PrimaryKeyConstraint("name", name="pk_duties"),
    )
    op.create_table(
        "node_authority",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), autoincrement=False, nullable=False),
        text("certificate", None, None),
        text("sealed_key", None, None),
        number("created_us"),
        sa.PrimaryKeyConstraint("id", name="pk_node_authority"),
    )
