"""Host aggregates: hosts that an operator has put together."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Integer, String, Table, Text, UniqueConstraint

from ._columns import id_column, metadata, reference

aggregate = Table(
    "aggregates",
    metadata,
    id_column(),
    Column("number", Integer, nullable=False),  # the API's "id"
    Column("name", String(255), nullable=False),
    Column("zone", String(255), nullable=False, server_default=""),  # of its hosts; empty: they keep theirs
    Column("items", Text, nullable=False, server_default="{}"),  # JSON: its metadata but the zone, key -> text
    Column("created_us", BigInteger, nullable=False),
    Column("updated_us", BigInteger, nullable=True),
    UniqueConstraint("number"),
    UniqueConstraint("name"),
)

aggregate_host = Table(
    "aggregate_hosts",
    metadata,
    reference("aggregate_id", "aggregates.id", key=True),
    Column("node_id", String(64), primary_key=True),
    Index(None, "node_id"),
)
