"""Which code may still run on the tables as they are."""

from __future__ import annotations

from sqlalchemy import Column, String, Table

from ._columns import metadata

# One row: the revision of the oldest release that may still run on the tables as they are; see `_migrate`.
oldest_reader = Table("oldest_reader", metadata, Column("revision", String(32), primary_key=True))
