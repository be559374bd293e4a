"""Multipart uploads in the index: functions for ``Index.read`` and ``Index.write``."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence

from attrs import frozen

from ._interfaces import (
    Extent,
    InvalidPart,
    MultipartFacts,
    NoSuchContainer,
    NoSuchUpload,
    ObjectFacts,
    PartFacts,
    Precondition,
)
from ._listing import after_prefix
from ._object_index import NewVersion, name_version
from ._pending_index import add_arrived, add_garbage
from ._rows import (
    MULTIPART,
    PART,
    Freed,
    container_id,
    freed_files,
    multipart_facts,
    pack_extents,
    pack_metadata,
    part_facts,
    unpack_extents,
)


@frozen
class UploadKey:
    """What every call about one multipart upload names."""

    account: str
    container: str
    name: str
    upload_id: str


@frozen(kw_only=True)
class NewPart:
    """What a part is given to the index as."""

    number: int
    etag: str
    metadata: Mapping[str, str]
    extents: tuple[Extent, ...]
    now_us: int

    @property
    def size(self) -> int:
        """Bytes of all extents."""
        return sum(extent.length for extent in self.extents)


def begin_multipart(connection: sqlite3.Connection, account: str, facts: MultipartFacts) -> None:
    """:raises NoSuchContainer:"""
    number = container_id(connection, account, facts.container)
    connection.execute(
        "INSERT INTO multiparts VALUES (?, ?, ?, ?, ?, ?)",
        (facts.upload_id, number, facts.name, facts.content_type, pack_metadata(facts.metadata), facts.created_us),
    )


def read_multipart(connection: sqlite3.Connection, key: UploadKey) -> MultipartFacts:
    """:raises NoSuchUpload:"""
    row = connection.execute(
        f"SELECT {MULTIPART} FROM multiparts WHERE id = ? AND container = ? AND name = ?",  # noqa: S608
        (key.upload_id, _number(connection, key), key.name),
    ).fetchone()
    if row is None:
        raise NoSuchUpload(key.upload_id)
    return multipart_facts(row, key.container)


def list_multiparts(
    connection: sqlite3.Connection,
    account: str,
    container: str,
    prefix: str,
    key_marker: str,
    id_marker: str,
    limit: int,
) -> list[MultipartFacts]:
    """Unfinished uploads after the markers."""
    number = container_id(connection, account, container)
    high = after_prefix(prefix)
    after = (key_marker, id_marker) if id_marker else (key_marker + "\0", "")
    low = max((prefix, ""), after) if key_marker else (prefix, "")
    bound, bounds = ("AND name < ?", (high,)) if high else ("", ())
    rows = connection.execute(
        f"SELECT {MULTIPART} FROM multiparts WHERE container = ? AND (name, id) > (?, ?) {bound}"  # noqa: S608
        " ORDER BY name, id LIMIT ?",
        (number, *low, *bounds, limit),
    )
    return [multipart_facts(row, container) for row in rows]


def put_part(connection: sqlite3.Connection, key: UploadKey, part: NewPart) -> tuple[PartFacts, list[Freed]]:
    """
    Keep a part whose file lies in ``incoming/``.

    :return: its facts, and the file of the part it replaced
    """
    read_multipart(connection, key)
    freed = _free(
        connection,
        connection.execute(
            "SELECT extents, size FROM parts WHERE multipart = ? AND number = ?", (key.upload_id, part.number)
        ).fetchall(),
    )
    add_arrived(connection, (extent.file for extent in part.extents))
    row = (part.number, part.size, part.etag, part.now_us, pack_metadata(part.metadata))
    connection.execute(
        "INSERT OR REPLACE INTO parts VALUES (?, ?, ?, ?, ?, ?, ?)",
        (key.upload_id, *row, pack_extents(part.extents)),
    )
    return part_facts(row), freed


def list_parts(connection: sqlite3.Connection, key: UploadKey, marker: int, limit: int) -> list[PartFacts]:
    """The parts with a number above ``marker``."""
    read_multipart(connection, key)
    rows = connection.execute(
        f"SELECT {PART} FROM parts WHERE multipart = ? AND number > ? ORDER BY number LIMIT ?",  # noqa: S608
        (key.upload_id, marker, limit),
    )
    return [part_facts(row) for row in rows]


def complete_multipart(
    connection: sqlite3.Connection,
    key: UploadKey,
    parts: Sequence[tuple[int, str]],
    etag: str,
    metadata: Mapping[str, str],
    precondition: Precondition | None,
    now_us: int,
) -> tuple[ObjectFacts, list[Freed]]:
    """
    Make the object; the upload ends.

    :return: its facts, the files of the version it replaced and of the parts that were not used
    """
    facts = read_multipart(connection, key)
    held = _held_parts(connection, key.upload_id)
    extents: list[Extent] = []
    for number, part_etag in parts:
        present = held.pop(number, None)  # a part cannot be used twice
        if present is None or present[0] != part_etag:
            raise InvalidPart(number)
        extents += present[1]
    version = NewVersion(
        etag=etag, content_type=facts.content_type, metadata=metadata, extents=tuple(extents), now_us=now_us
    )
    made, freed = name_version(connection, _number(connection, key), key.account, key.name, version, precondition)
    unused = [item for _, left in held.values() for item in freed_files(left)]
    add_garbage(connection, unused)
    _end(connection, key.upload_id)
    return made, freed + unused


def abort_multipart(connection: sqlite3.Connection, key: UploadKey) -> list[Freed]:
    """:return: the files of its parts"""
    read_multipart(connection, key)
    rows = connection.execute("SELECT extents, size FROM parts WHERE multipart = ?", (key.upload_id,)).fetchall()
    freed = _free(connection, rows)
    _end(connection, key.upload_id)
    return freed


def _number(connection: sqlite3.Connection, key: UploadKey) -> int:
    try:
        return container_id(connection, key.account, key.container)
    except NoSuchContainer:
        raise NoSuchUpload(key.upload_id) from None


def _held_parts(connection: sqlite3.Connection, upload_id: str) -> dict[int, tuple[str, tuple[Extent, ...]]]:
    rows = connection.execute("SELECT number, etag, extents, size FROM parts WHERE multipart = ?", (upload_id,))
    return {number: (etag, unpack_extents(extents, size)) for number, etag, extents, size in rows}


def _free(connection: sqlite3.Connection, rows: Sequence[tuple[str, int]]) -> list[Freed]:
    freed = [item for extents, size in rows for item in freed_files(unpack_extents(extents, size))]
    add_garbage(connection, freed)
    return freed


def _end(connection: sqlite3.Connection, upload_id: str) -> None:
    connection.execute("DELETE FROM parts WHERE multipart = ?", (upload_id,))
    connection.execute("DELETE FROM multiparts WHERE id = ?", (upload_id,))
