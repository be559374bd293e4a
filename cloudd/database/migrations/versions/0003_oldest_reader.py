"""
Which releases may still run on these tables: the oldest one is written down in them.

Revision ID: 0003
Revises: 0002

A step that only expands leaves it as it is, so that a rollback finds its code still at home; a step that contracts
raises it to the revision that no longer needs what went away.
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    table = op.create_table(
        "oldest_reader",
        sa.Column("revision", sa.String(32), nullable=False),
        sa.PrimaryKeyConstraint("revision", name="pk_oldest_reader"),
    )
    op.bulk_insert(table, [{"revision": "0001"}])
