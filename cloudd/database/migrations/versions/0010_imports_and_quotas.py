"""
Imports of images, quotas of networks, and the triggers that book changes of images and networks as events.

Revision ID: 0010
Revises: 0009
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("images", sa.Column("import_task_id", sa.String(64), nullable=True))
