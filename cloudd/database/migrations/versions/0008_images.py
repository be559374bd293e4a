"""
Images, their properties and tags, and with whom they are shared.

Revision ID: 0008
Revises: 0007
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "images",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("project_id", sa.String(64), nullable=False),
        sa.Column("name", sa.String(255), nullable=True),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("visibility", sa.String(16), nullable=False),
        sa.Column("disk_format", sa.String(16), nullable=True),
        sa.Column("container_format", sa.String(16), nullable=True),
        sa.Column("size", sa.BigInteger, nullable=True),
        sa.Column("virtual_size", sa.BigInteger, nullable=True),
        sa.Column("min_disk", sa.Integer, nullable=False),
        sa.Column("min_ram", sa.Integer, nullable=False),
        sa.Column("protected", sa.Boolean, nullable=False),
        sa.Column("hidden", sa.Boolean, nullable=False),
        sa.Column("checksum", sa.String(32), nullable=True),
        sa.Column("hash_algorithm", sa.String(64), nullable=True),
        sa.Column("hash_value", sa.String(128), nullable=True),
        sa.Column("data_id", sa.String(64), nullable=True),
        sa.Column("saving_until_us", sa.BigInteger, nullable=True),
        sa.Column("created_us", sa.BigInteger, nullable=False),
        sa.Column("updated_us", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_images"),
    )
    op.create_index("ix_images_project_id", "images", ["project_id"])
    op.create_index("ix_images_visibility", "images", ["visibility"])
    _of_an_image("image_properties", "name", sa.Column("value", sa.Text, nullable=False))
    _of_an_image("image_tags", "tag")
    _of_an_image(
        "image_members",
        "project_id",
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("created_us", sa.BigInteger, nullable=False),
        sa.Column("updated_us", sa.BigInteger, nullable=False),
    )
    op.create_index("ix_image_members_project_id", "image_members", ["project_id"])


def _of_an_image(table: str, key: str, *columns: "sa.Column[object]") -> None:
    op.create_table(
        table,
        sa.Column("image_id", sa.String(64), nullable=False),
        sa.Column(key, sa.String(64 if key == "project_id" else 255), nullable=False),
        *columns,
        sa.PrimaryKeyConstraint("image_id", key, name=f"pk_{table}"),
        sa.ForeignKeyConstraint(["image_id"], ["images.id"], name=f"fk_{table}_image_id", ondelete="CASCADE"),
    )
