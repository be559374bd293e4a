"""Metadata definitions: what the properties of images, flavors and servers may mean."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Index, String, Table, Text, UniqueConstraint

from ._columns import id_column, metadata, reference

metadef_namespace = Table(
    "metadef_namespaces",
    metadata,
    id_column(),
    Column("name", String(80), nullable=False),
    Column("project_id", String(255), nullable=False),  # whatever an administrator has named, as in Glance
    Column("display_name", String(80), nullable=True),
    Column("description", Text, nullable=True),
    Column("visibility", String(16), nullable=False),
    Column("protected", Boolean, nullable=False),
    Column("created_us", BigInteger, nullable=False),
    Column("updated_us", BigInteger, nullable=False),
    UniqueConstraint("name"),
    Index(None, "project_id"),
)

metadef = Table(
    "metadefs",
    metadata,
    reference("namespace_id", "metadef_namespaces.id", key=True),
    Column("kind", String(16), primary_key=True),  # object, property, tag, resource_type
    Column("name", String(80), primary_key=True),
    Column("content", Text, nullable=False),  # JSON of its members
    Column("created_us", BigInteger, nullable=False),
    Column("updated_us", BigInteger, nullable=False),
    Index(None, "kind", "name"),
)
