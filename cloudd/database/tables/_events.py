"""What happened, for whoever follows it."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, String, Table, Text

from ._columns import COUNTED, metadata

# What happened, for whoever follows it: see `cloudd.events`.  Triggers of the identity tables write most of it (the
# migration that made them has the list), so that it is in the transaction of the change and no code can forget it.
outbox = Table(
    "events",
    metadata,
    Column("id", COUNTED, primary_key=True, autoincrement=True),
    Column("created_us", BigInteger, nullable=False),
    Column("type", String(64), nullable=False),
    Column("project_id", String(64), nullable=True),
    Column("user_id", String(64), nullable=True),
    Column("data", Text, nullable=False),  # a JSON object
    Index(None, "project_id", "id"),
    sqlite_autoincrement=True,  # ids are never used again after a purge: readers resume by id
)
