"""
Tasks: work that outlives its process.

Revision ID: 0004
Revises: 0003
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

TABLE = "tasks"


def text(name: str, length: int, default: str | None = "") -> sa.Column[str]:
    """A column that is empty by default, or, without a default, null."""
    return sa.Column(name, sa.String(length), nullable=default is None, server_default=default)


def number(name: str, *, default: str | None = None) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, nullable=default is None, server_default=default)


def upgrade() -> None:
    op.create_table(
        TABLE,
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("kind", sa.String(64), nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("payload", sa.Text, nullable=False),
        text("project_id", 64, None),
        text("resource", 512),
        text("request_id", 64),
        sa.Column("state", sa.String(8), nullable=False),
        text("step", 64),
        sa.Column("step_version", sa.Integer, nullable=True),
        sa.Column("step_state", sa.Text, nullable=True),
        number("progress", default="0"),
        number("total", default="0"),
        sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
        number("due_us"),
        text("lease_owner", 128, None),
        text("lease_token", 64, None),
        number("deadline_us"),
        sa.Column("cancel_cause", sa.Text, nullable=True),
        sa.Column("cause", sa.Text, nullable=False, server_default=""),
        sa.Column("result", sa.Text, nullable=True),
        sa.Column("created_us", sa.BigInteger, nullable=False),
        sa.Column("updated_us", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name=f"pk_{TABLE}"),
        sa.CheckConstraint("state IN ('queued', 'running', 'done', 'failed')", name=f"ck_{TABLE}_state"),
    )
    for columns in (["due_us"], ["state", "updated_us"], ["created_us"], ["resource"]):
        op.create_index(f"ix_{TABLE}_{'_'.join(columns)}", TABLE, columns)
