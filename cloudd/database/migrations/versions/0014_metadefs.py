"""
Metadata definitions and their namespaces.

Revision ID: 0014
Revises: 0013
"""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "metadef_namespaces",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("name", sa.String(80), nullable=False),
        sa.Column("project_id", sa.String(255), nullable=False),
        sa.Column("display_name", sa.String(80), nullable=True),
        sa.Column("description", sa.Text, nullable=True),
        sa.Column("visibility", sa.String(16), nullable=False),
        sa.Column("protected", sa.Boolean, nullable=False),
        sa.Column("created_us", sa.BigInteger, nullable=False),
        sa.Column("updated_us", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_metadef_namespaces"),
        sa.UniqueConstraint("name", name="uq_metadef_namespaces_name"),
    )
    op.create_index("ix_metadef_namespaces_project_id", "metadef_namespaces", ["project_id"])
    op.create_table(
        "metadefs",
        sa.Column("namespace_id", sa.String(64), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("name", sa.String(80), nullable=False),
        sa.Column("content", sa.Text, nullable=False),
        sa.Column("created_us", sa.BigInteger, nullable=False),
        sa.Column("updated_us", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("namespace_id", "kind", "name", name="pk_metadefs"),
        sa.ForeignKeyConstraint(
            ["namespace_id"], ["metadef_namespaces.id"], name="fk_metadefs_namespace_id", ondelete="CASCADE"
        ),
    )
    op.create_index("ix_metadefs_kind_name", "metadefs", ["kind", "name"])
