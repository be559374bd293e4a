"""
Host aggregates with their hosts, and the zone that a host has of its own, where an aggregate gives it another.

Revision ID: 0015
Revises: 0014
"""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "aggregates",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("zone", sa.String(255), nullable=False, server_default=""),
        sa.Column("items", sa.Text, nullable=False, server_default="{}"),
        sa.Column("created_us", sa.BigInteger, nullable=False),
        sa.Column("updated_us", sa.BigInteger, nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_aggregates"),
        sa.UniqueConstraint("number", name="uq_aggregates_number"),
        sa.UniqueConstraint("name", name="uq_aggregates_name"),
    )
    op.create_table(
        "aggregate_hosts",
        sa.Column("aggregate_id", sa.String(64), nullable=False),
        sa.Column("node_id", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("aggregate_id", "node_id", name="pk_aggregate_hosts"),
        sa.ForeignKeyConstraint(
            ["aggregate_id"], ["aggregates.id"], name="fk_aggregate_hosts_aggregate_id", ondelete="CASCADE"
        ),
    )
    op.create_index("ix_aggregate_hosts_node_id", "aggregate_hosts", ["node_id"])
    op.add_column("compute_hosts", sa.Column("own_zone", sa.String(255), nullable=False, server_default=""))
    op.execute("UPDATE compute_hosts SET own_zone = zone")
