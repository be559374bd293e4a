"""Images."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, String, Table, Text

from ._columns import id_column, metadata, reference

image = Table(
    "images",
    metadata,
    id_column(),
    Column("project_id", String(64), nullable=False),  # may be deleted meanwhile, as in Glance
    Column("name", String(255), nullable=True),
    Column("status", String(16), nullable=False),
    Column("visibility", String(16), nullable=False),
    Column("disk_format", String(16), nullable=True),
    Column("container_format", String(16), nullable=True),
    Column("size", BigInteger, nullable=True),
    Column("virtual_size", BigInteger, nullable=True),
    Column("min_disk", Integer, nullable=False),
    Column("min_ram", Integer, nullable=False),
    Column("protected", Boolean, nullable=False),
    Column("hidden", Boolean, nullable=False),
    Column("checksum", String(32), nullable=True),
    Column("hash_algorithm", String(64), nullable=True),
    Column("hash_value", String(128), nullable=True),
    Column("data_id", String(64), nullable=True),  # of its data, which is there or comes now
    Column("saving_until_us", BigInteger, nullable=True),  # so long an upload that says nothing is believed to go on
    Column("import_task_id", String(64), nullable=True),  # of the import that goes on
    Column("staged_size", BigInteger, nullable=True),  # of data that was staged, until the image is active
    Column("staged_on", String(64), nullable=True),  # the node that has it; null: one without a name yet
    Column("staged_us", BigInteger, nullable=True),  # when its last byte came
    Column("created_us", BigInteger, nullable=False),
    Column("updated_us", BigInteger, nullable=False),
    Index(None, "project_id"),
    Index(None, "visibility"),
)

image_property = Table(
    "image_properties",
    metadata,
    reference("image_id", "images.id", key=True),
    Column("name", String(255), primary_key=True),
    Column("value", Text, nullable=False),
)

image_tag = Table(
    "image_tags",
    metadata,
    reference("image_id", "images.id", key=True),
    Column("tag", String(255), primary_key=True),
)

image_member = Table(
    "image_members",
    metadata,
    reference("image_id", "images.id", key=True),
    Column("project_id", String(64), primary_key=True),
    Column("status", String(16), nullable=False),
    Column("created_us", BigInteger, nullable=False),
    Column("updated_us", BigInteger, nullable=False),
    Index(None, "project_id"),
)
