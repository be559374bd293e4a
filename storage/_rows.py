"""Rows of the index and the facts they stand for."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from attrs import frozen

from ._interfaces import ContainerFacts, Extent, MultipartFacts, NoSuchContainer, ObjectFacts, PartFacts

CONTAINER = "account, name, metadata, object_count, bytes_used, created_us, modified_us"
OBJECT = "name, size, etag, content_type, modified_us, metadata, extents"
LISTED = "name, size, etag, content_type, modified_us, metadata, ''"
MULTIPART = "id, name, content_type, metadata, created_us"
PART = "number, size, etag, modified_us, metadata"

Row = Sequence[Any]


@frozen
class Freed:
    """A file that no name leads to any more.  ``anchor`` is ``""``, or the first file of the object it was part of."""

    file: str
    anchor: str


def pack_metadata(metadata: Mapping[str, str | None]) -> str:
    """Metadata as text; keys whose value is None are left out."""
    kept = {key: value for key, value in metadata.items() if value is not None}
    return msgspec.json.encode(kept).decode() if kept else "{}"


def unpack_metadata(text: str) -> dict[str, str]:
    """The reverse of ``pack_metadata``."""
    return {} if text == "{}" else msgspec.json.decode(text, type=dict[str, str])


def pack_extents(extents: Sequence[Extent]) -> str:
    """Extents as text: see ``_schema``."""
    if len(extents) == 1:
        return extents[0].file
    return " ".join(f"{extent.file}:{extent.length}" for extent in extents)


def unpack_extents(text: str, size: int) -> tuple[Extent, ...]:
    """The reverse of ``pack_extents``; ``size`` is the length of all together."""
    if not text:
        return ()
    if ":" not in text:
        return (Extent(text, size),)
    pairs = (piece.split(":") for piece in text.split(" "))
    return tuple(Extent(file, int(length)) for file, length in pairs)


def freed_files(extents: Sequence[Extent]) -> list[Freed]:
    """What becomes garbage when the row with these extents goes."""
    anchor = extents[0].file if len(extents) > 1 else ""
    return [Freed(extent.file, anchor) for extent in extents]


def container_facts(row: Row) -> ContainerFacts:
    """From the columns ``CONTAINER``."""
    account, name, metadata, object_count, bytes_used, created_us, modified_us = row
    return ContainerFacts(
        account=account,
        name=name,
        metadata=unpack_metadata(metadata),
        object_count=object_count,
        bytes_used=bytes_used,
        created_us=created_us,
        modified_us=modified_us,
    )


def object_facts(row: Row) -> ObjectFacts:
    """From the columns ``OBJECT``, or ``LISTED``, which has no extents."""
    name, size, etag, content_type, modified_us, metadata, extents = row
    return ObjectFacts(
        name=name,
        size=size,
        etag=etag,
        content_type=content_type,
        modified_us=modified_us,
        metadata=unpack_metadata(metadata),
        extents=unpack_extents(extents, size),
    )


def multipart_facts(row: Row, container: str) -> MultipartFacts:
    """From the columns ``MULTIPART``."""
    upload_id, name, content_type, metadata, created_us = row
    return MultipartFacts(
        upload_id=upload_id,
        container=container,
        name=name,
        content_type=content_type,
        metadata=unpack_metadata(metadata),
        created_us=created_us,
    )


def part_facts(row: Row) -> PartFacts:
    """From the columns ``PART``."""
    number, size, etag, modified_us, metadata = row
    return PartFacts(number=number, size=size, etag=etag, modified_us=modified_us, metadata=unpack_metadata(metadata))


def container_id(connection: sqlite3.Connection, account: str, container: str) -> int:
    """
    The number that rows of objects name their container by.

    :raises NoSuchContainer:
    """
    found = connection.execute(
        "SELECT id FROM containers WHERE account = ? AND name = ?", (account, container)
    ).fetchone()
    if found is None:
        raise NoSuchContainer(container)
    return int(found[0])
