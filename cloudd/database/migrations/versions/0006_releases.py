"""
Releases: what code the nodes of the cloud ran before the last rolling upgrade, until that is final.

Revision ID: 0006
Revises: 0005
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

TABLE = "releases"


def upgrade() -> None:
    op.create_table(
        TABLE,
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("new_hash", sa.String(64), nullable=False),
        sa.Column("tree", sa.Text, nullable=False),
        sa.Column("payloads", sa.Text, nullable=False),
        sa.Column("nodes", sa.Text, nullable=False),
        sa.Column("state", sa.String(8), nullable=False),
        sa.Column("state_us", sa.BigInteger, nullable=False),
        sa.Column("state_by", sa.String(255), nullable=False, server_default=""),
        sa.Column("created_us", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name=f"pk_{TABLE}"),
        sa.CheckConstraint("state IN ('open', 'final', 'back')", name=f"ck_{TABLE}_state"),
    )
    op.create_index(f"ix_{TABLE}_state", TABLE, ["state"])
