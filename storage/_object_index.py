"""
Objects in the index: functions for ``Index.read`` and ``Index.write``.

Every function that writes keeps the counters of container and account exact, and books the files that it frees, in
the same transaction.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Mapping, Sequence

from attrs import frozen

from ._conditions import check_precondition
from ._interfaces import CommonPrefix, Extent, Listing, NoSuchObject, ObjectFacts, Precondition
from ._listing import read_page
from ._pending_index import add_arrived, add_garbage
from ._rows import LISTED, OBJECT, Freed, container_id, freed_files, object_facts, pack_extents, pack_metadata

_READ = (
    f"SELECT {OBJECT} FROM objects"  # noqa: S608
    " WHERE container = (SELECT id FROM containers WHERE account = ? AND name = ?) AND name = ?"
)


@frozen(kw_only=True)
class NewVersion:
    """What a write gives a name to."""

    etag: str
    content_type: str
    metadata: Mapping[str, str]
    extents: tuple[Extent, ...]
    now_us: int

    @property
    def size(self) -> int:
        """Bytes of all extents."""
        return sum(extent.length for extent in self.extents)


def read_object(connection: sqlite3.Connection, account: str, container: str, name: str) -> ObjectFacts:
    """
    :raises NoSuchContainer:
    :raises NoSuchObject:
    """
    # The hottest statement: one query for both, and a second one only to tell what is missing.
    row = connection.execute(_READ, (account, container, name)).fetchone()
    if row is None:
        container_id(connection, account, container)
        raise NoSuchObject(name)
    return object_facts(row)


def list_objects(
    connection: sqlite3.Connection, account: str, container: str, listing: Listing
) -> list[ObjectFacts | CommonPrefix]:
    """One page; its facts have no extents."""
    number = container_id(connection, account, container)
    order = "DESC" if listing.reverse else "ASC"
    select = f"SELECT {LISTED} FROM objects WHERE container = ? AND name >= ?"  # noqa: S608
    unbounded = f"{select} ORDER BY name {order} LIMIT ?"
    bounded = f"{select} AND name < ? ORDER BY name {order} LIMIT ?"

    def fetch(low: str, high: str, limit: int) -> list[ObjectFacts]:
        rows = (
            connection.execute(bounded, (number, low, high, limit))
            if high
            else connection.execute(unbounded, (number, low, limit))
        )
        return [object_facts(row) for row in rows]

    return read_page(listing, fetch)


def put_object(
    connection: sqlite3.Connection,
    account: str,
    container: str,
    name: str,
    version: NewVersion,
    precondition: Precondition | None,
) -> tuple[ObjectFacts, list[Freed]]:
    """
    Name a version whose files lie in ``incoming/``.

    :return: its facts, and the files of the version it replaced
    :raises NoSuchContainer:
    :raises PreconditionFailed:
    """
    number = container_id(connection, account, container)
    add_arrived(connection, (extent.file for extent in version.extents))
    return name_version(connection, number, account, name, version, precondition)


def name_version(
    connection: sqlite3.Connection,
    number: int,
    account: str,
    name: str,
    version: NewVersion,
    precondition: Precondition | None,
) -> tuple[ObjectFacts, list[Freed]]:
    """Give a name to files that the index knows already; ``number`` is the container's."""
    present = find_object(connection, number, name)
    check_precondition(precondition, present)
    facts = ObjectFacts(
        name=name,
        size=version.size,
        etag=version.etag,
        content_type=version.content_type,
        modified_us=_later_than(present, version.now_us),
        metadata=dict(version.metadata),
        extents=version.extents,
    )
    connection.execute("INSERT OR REPLACE INTO objects VALUES (?, ?, ?, ?, ?, ?, ?, ?)", _row(number, facts))
    freed = _free(connection, present)
    _count(connection, number, account, int(present is None), facts.size - (present.size if present else 0))
    return facts, freed


def update_object(
    connection: sqlite3.Connection,
    account: str,
    container: str,
    name: str,
    content_type: str | None,
    metadata: Mapping[str, str],
    now_us: int,
) -> None:
    """Replace the metadata."""
    number = container_id(connection, account, container)
    present = _present(connection, number, name)
    connection.execute(
        "UPDATE objects SET content_type = ?, metadata = ?, modified_us = ? WHERE container = ? AND name = ?",
        (
            content_type or present.content_type,
            pack_metadata(metadata),
            _later_than(present, now_us),
            number,
            name,
        ),
    )


def delete_object(
    connection: sqlite3.Connection, account: str, container: str, name: str, precondition: Precondition | None
) -> list[Freed]:
    """:return: its files"""
    number = container_id(connection, account, container)
    present = _present(connection, number, name)
    check_precondition(precondition, present)
    return _delete(connection, account, number, [present])


def delete_objects(
    connection: sqlite3.Connection, account: str, container: str, names: Collection[str], until_us: int | None
) -> tuple[set[str], list[Freed]]:
    """:return: the names that were deleted, and their files"""
    number = container_id(connection, account, container)
    found = _find_objects(connection, number, names)
    if until_us is not None:
        found = [facts for facts in found if facts.modified_us <= until_us]
    return {facts.name for facts in found}, _delete(connection, account, number, found)


def read_objects(
    connection: sqlite3.Connection, account: str, container: str, names: Collection[str]
) -> list[ObjectFacts]:
    """Those of these that exist."""
    return _find_objects(connection, container_id(connection, account, container), names)


def _find_objects(connection: sqlite3.Connection, number: int, names: Collection[str]) -> list[ObjectFacts]:
    return [present for name in set(names) if (present := find_object(connection, number, name))]


def find_object(connection: sqlite3.Connection, number: int, name: str) -> ObjectFacts | None:
    """The present version in the container with that number."""
    row = connection.execute(
        f"SELECT {OBJECT} FROM objects WHERE container = ? AND name = ?",  # noqa: S608
        (number, name),
    ).fetchone()
    return None if row is None else object_facts(row)


def _present(connection: sqlite3.Connection, number: int, name: str) -> ObjectFacts:
    present = find_object(connection, number, name)
    if present is None:
        raise NoSuchObject(name)
    return present


def _delete(connection: sqlite3.Connection, account: str, number: int, found: Sequence[ObjectFacts]) -> list[Freed]:
    freed: list[Freed] = []
    for facts in found:
        connection.execute("DELETE FROM objects WHERE container = ? AND name = ?", (number, facts.name))
        freed += _free(connection, facts)
    _count(connection, number, account, -len(found), -sum(facts.size for facts in found))
    return freed


def _free(connection: sqlite3.Connection, facts: ObjectFacts | None) -> list[Freed]:
    freed = freed_files(facts.extents) if facts else []
    add_garbage(connection, freed)
    return freed


def _count(connection: sqlite3.Connection, number: int, account: str, objects: int, size: int) -> None:
    change = "SET object_count = object_count + ?, bytes_used = bytes_used + ?"
    connection.execute(f"UPDATE containers {change} WHERE id = ?", (objects, size, number))
    connection.execute(f"UPDATE accounts {change} WHERE name = ?", (objects, size, account))


def _later_than(present: ObjectFacts | None, now_us: int) -> int:
    """Versions of one name have rising times, whatever the clock does."""
    return max(now_us, present.modified_us + 1 if present else 0)


def _row(number: int, facts: ObjectFacts) -> tuple[int, str, int, str, str, int, str, str]:
    return (
        number,
        facts.name,
        facts.size,
        facts.etag,
        facts.content_type,
        facts.modified_us,
        pack_metadata(facts.metadata),
        pack_extents(facts.extents),
    )
