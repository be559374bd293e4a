"""
Size, place and age of staged data of images, and how long a task may take once it has begun.

Revision ID: 0012
Revises: 0011
"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("images", sa.Column("staged_size", sa.BigInteger, nullable=True))
    op.add_column("images", sa.Column("staged_on", sa.String(64), nullable=True))
    op.add_column("images", sa.Column("staged_us", sa.BigInteger, nullable=True))
    op.add_column("tasks", sa.Column("run_us", sa.BigInteger, nullable=True))
