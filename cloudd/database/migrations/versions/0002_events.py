"""
The outbox of events, and the triggers that book every change of the identity tables in it.

Revision ID: 0002
Revises: 0001

A row and its event are one transaction, whoever writes: also code of before this revision, which goes on during a
hand-over, and what a foreign key's cascade deletes.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

# Table -> the thing it is in the event's type, its project, its user, and what the event tells of a row.  {row} is NEW
# or OLD.  Nothing secret is told: no password, hash or sealed secret.
TOLD = {
    "identity_domain": ("domain", "NULL", "NULL", ("id", "name", "enabled")),
    "identity_project": ("project", "{row}.id", "NULL", ("id", "name", "domain_id", "enabled")),
    "identity_user": ("user", "NULL", "{row}.id", ("id", "name", "domain_id", "enabled")),
    "identity_role": ("role", "NULL", "NULL", ("id", "name")),
    "identity_project_role": ("role_assignment", "{row}.project_id", "{row}.user_id", ("user_id", "role_id")),
    "identity_domain_role": ("role_assignment", "NULL", "{row}.user_id", ("user_id", "role_id", "domain_id")),
    "identity_application_credential": (
        "application_credential",
        "{row}.project_id",
        "{row}.user_id",
        ("id", "name", "user_id"),
    ),
    "identity_ec2_credential": ("ec2_credential", "{row}.project_id", "{row}.user_id", ("access", "user_id")),
}
NOW_US = "CAST(ROUND((julianday('now') - 2440587.5) * 86400000) AS INTEGER) * 1000"
SERVERS_NOW_US = "CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS bigint)"
EVENTS = (("INSERT", "created", "NEW"), ("UPDATE", "updated", "NEW"), ("DELETE", "deleted", "OLD"))
BOOK = "INSERT INTO events (created_us, type, project_id, user_id, data) VALUES"
BOOLEANS = {"enabled"}


def upgrade() -> None:
    op.create_table(
        "events",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), autoincrement=True, nullable=False),
        sa.Column("created_us", sa.BigInteger, nullable=False),
        sa.Column("type", sa.String(64), nullable=False),
        sa.Column("project_id", sa.String(64), nullable=True),
        sa.Column("user_id", sa.String(64), nullable=True),
        sa.Column("data", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_events"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_events_project_id_id", "events", ["project_id", "id"])
    book = book_on_sqlite if op.get_bind().dialect.name == "sqlite" else book_on_postgres
    for table, facts in TOLD.items():
        book(table, *facts)


def book_on_sqlite(table: str, thing: str, project: str, user: str, fields: tuple[str, ...]) -> None:
    for event, verb, row in EVENTS:
        pairs = ", ".join(f"'{name}', {told(name, row)}" for name in fields)
        values = f"'identity.{thing}.{verb}', {project}, {user}, json_object({pairs})".replace("{row}", row)
        name = f"event_{table}_{verb}"
        op.execute(f"CREATE TRIGGER {name} AFTER {event} ON {table} BEGIN {BOOK} ({NOW_US}, {values}); END")


def book_on_postgres(table: str, thing: str, project: str, user: str, fields: tuple[str, ...]) -> None:
    for event, verb, row in EVENTS:
        pairs = ", ".join(f"'{name}', {row}.{name}" for name in fields)
        values = f"'identity.{thing}.{verb}', {project}, {user}, json_build_object({pairs})".replace("{row}", row)
        name = f"event_{table}_{verb}"
        body = f"BEGIN {BOOK} ({SERVERS_NOW_US}, {values}); RETURN NULL; END"
        op.execute(f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $${body}$$")
        op.execute(f"CREATE TRIGGER {name} AFTER {event} ON {table} FOR EACH ROW EXECUTE FUNCTION {name}()")


def told(name: str, row: str) -> str:
    """One column as JSON has it: SQLite keeps a boolean as a number."""
    value = f"{row}.{name}"
    return f"json(CASE {value} WHEN 0 THEN 'false' ELSE 'true' END)" if name in BOOLEANS else value
