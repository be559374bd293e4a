"""
Imports of images, quotas of networks, and the triggers that book changes of images and networks as events.

Revision ID: 0010
Revises: 0009

Triggers for the reasons of revision 0002: a row and its event are one transaction, whoever writes.
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

# Table -> the thing it is in the event's type, and what the event tells of a row besides its project.
TOLD = {
    "images": ("image", ("id", "name", "status", "visibility", "size")),
    "networks": ("network.network", ("id", "name", "revision")),
    "subnets": ("network.subnet", ("id", "name", "network_id", "cidr", "revision")),
    "ports": ("network.port", ("id", "name", "network_id", "device_id", "device_owner", "status", "revision")),
    "security_groups": ("network.security_group", ("id", "name", "revision")),
    "security_rules": ("network.security_group_rule", ("id", "security_group_id")),
}
# That an upload goes on is no change of its image, and is said three times a minute.
WATCHED = {
    "images": "UPDATE OF name, project_id, status, visibility, disk_format, container_format, min_disk, min_ram, "
    "protected, hidden"
}
NOW_US = "CAST(ROUND((julianday('now') - 2440587.5) * 86400000) AS INTEGER) * 1000"
SERVERS_NOW_US = "CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS bigint)"
EVENTS = (("INSERT", "created", "NEW"), ("UPDATE", "updated", "NEW"), ("DELETE", "deleted", "OLD"))
BOOK = "INSERT INTO events (created_us, type, project_id, user_id, data) VALUES"


def upgrade() -> None:
    op.add_column("images", sa.Column("import_task_id", sa.String(64), nullable=True))
    op.create_table(
        "network_quotas",
        sa.Column("project_id", sa.String(64), nullable=False),
        sa.Column("resource", sa.String(64), nullable=False),
        sa.Column("most", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("project_id", "resource", name="pk_network_quotas"),
    )
    book = book_on_sqlite if op.get_bind().dialect.name == "sqlite" else book_on_postgres
    for table, (thing, fields) in TOLD.items():
        for event, verb, row in EVENTS:
            pairs = ", ".join(f"'{name}', {row}.{name}" for name in fields)
            when = WATCHED.get(table, event) if event == "UPDATE" else event
            book(table, when, f"event_{table}_{verb}", f"'{thing}.{verb}', {row}.project_id, NULL", pairs)


def book_on_sqlite(table: str, when: str, name: str, values: str, pairs: str) -> None:
    body = f"{BOOK} ({NOW_US}, {values}, json_object({pairs}))"
    op.execute(f"CREATE TRIGGER {name} AFTER {when} ON {table} BEGIN {body}; END")


def book_on_postgres(table: str, when: str, name: str, values: str, pairs: str) -> None:
    body = f"BEGIN {BOOK} ({SERVERS_NOW_US}, {values}, json_build_object({pairs})); RETURN NULL; END"
    op.execute(f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $${body}$$")
    op.execute(f"CREATE TRIGGER {name} AFTER {when} ON {table} FOR EACH ROW EXECUTE FUNCTION {name}()")
