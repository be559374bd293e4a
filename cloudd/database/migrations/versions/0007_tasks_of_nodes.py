"""
Tasks that one node alone can do, since what they work on lies there.

Revision ID: 0007
Revises: 0006
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("tasks", sa.Column("node_id", sa.String(64), nullable=True))
    op.create_index("ix_tasks_node_id", "tasks", ["node_id"])
