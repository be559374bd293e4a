"""Accounts and containers in the index: functions for ``Index.read`` and ``Index.write``."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping

from ._interfaces import (
    AccountFacts,
    CommonPrefix,
    ContainerExists,
    ContainerFacts,
    ContainerNotEmpty,
    Listing,
    NoSuchContainer,
)
from ._listing import read_page
from ._pending_index import add_garbage
from ._rows import (
    CONTAINER,
    Freed,
    container_facts,
    container_id,
    freed_files,
    pack_metadata,
    unpack_extents,
    unpack_metadata,
)


def read_account(connection: sqlite3.Connection, account: str) -> AccountFacts:
    """The account's facts, empty ones if it has no row."""
    row = connection.execute(
        "SELECT metadata, container_count, object_count, bytes_used, created_us FROM accounts WHERE name = ?",
        (account,),
    ).fetchone()
    metadata, container_count, object_count, bytes_used, created_us = row or ("{}", 0, 0, 0, 0)
    return AccountFacts(
        name=account,
        metadata=unpack_metadata(metadata),
        container_count=container_count,
        object_count=object_count,
        bytes_used=bytes_used,
        created_us=created_us,
    )


def update_account(
    connection: sqlite3.Connection, account: str, changes: Mapping[str, str | None], now_us: int
) -> None:
    """Set and remove metadata keys."""
    _ensure_account(connection, account, now_us)
    row = connection.execute("SELECT metadata FROM accounts WHERE name = ?", (account,)).fetchone()
    changed = pack_metadata({**unpack_metadata(row[0]), **changes})
    connection.execute("UPDATE accounts SET metadata = ? WHERE name = ?", (changed, account))


def list_containers(
    connection: sqlite3.Connection, account: str, listing: Listing
) -> list[ContainerFacts | CommonPrefix]:
    """One page of the account."""
    order = "DESC" if listing.reverse else "ASC"
    select = f"SELECT {CONTAINER} FROM containers WHERE account = ? AND name >= ?"  # noqa: S608
    unbounded = f"{select} ORDER BY name {order} LIMIT ?"
    bounded = f"{select} AND name < ? ORDER BY name {order} LIMIT ?"

    def fetch(low: str, high: str, limit: int) -> list[ContainerFacts]:
        rows = (
            connection.execute(bounded, (account, low, high, limit))
            if high
            else connection.execute(unbounded, (account, low, limit))
        )
        return [container_facts(row) for row in rows]

    return read_page(listing, fetch)


def create_container(
    connection: sqlite3.Connection,
    account: str,
    container: str,
    metadata: Mapping[str, str | None],
    exclusive: bool,
    now_us: int,
) -> bool:
    """Create it, or update the metadata of an existing one."""
    _ensure_account(connection, account, now_us)
    created = connection.execute(
        "INSERT INTO containers (account, name, metadata, object_count, bytes_used, created_us, modified_us)"
        " VALUES (?, ?, ?, 0, 0, ?, ?) ON CONFLICT DO NOTHING",
        (account, container, pack_metadata(metadata), now_us, now_us),
    )
    if created.rowcount:
        connection.execute("UPDATE accounts SET container_count = container_count + 1 WHERE name = ?", (account,))
        return True
    if exclusive:
        raise ContainerExists(container)
    if metadata:
        update_container(connection, account, container, metadata, now_us)
    return False


def read_container(connection: sqlite3.Connection, account: str, container: str) -> ContainerFacts:
    """:raises NoSuchContainer:"""
    row = connection.execute(
        f"SELECT {CONTAINER} FROM containers WHERE account = ? AND name = ?",  # noqa: S608
        (account, container),
    ).fetchone()
    if row is None:
        raise NoSuchContainer(container)
    return container_facts(row)


def update_container(
    connection: sqlite3.Connection,
    account: str,
    container: str,
    changes: Mapping[str, str | None],
    now_us: int,
) -> None:
    """:raises NoSuchContainer:"""
    present = read_container(connection, account, container).metadata
    connection.execute(
        "UPDATE containers SET metadata = ?, modified_us = ? WHERE account = ? AND name = ?",
        (pack_metadata({**present, **changes}), now_us, account, container),
    )


def delete_container(connection: sqlite3.Connection, account: str, container: str) -> list[Freed]:
    """
    Delete it with its unfinished multipart uploads.

    :return: their files
    """
    number = container_id(connection, account, container)
    if connection.execute("SELECT 1 FROM objects WHERE container = ? LIMIT 1", (number,)).fetchone():
        raise ContainerNotEmpty(container)
    rows = connection.execute(
        "SELECT extents, parts.size FROM multiparts JOIN parts ON multipart = id WHERE container = ?", (number,)
    )
    freed = [item for extents, size in rows for item in freed_files(unpack_extents(extents, size))]
    add_garbage(connection, freed)
    connection.execute(
        "DELETE FROM parts WHERE multipart IN (SELECT id FROM multiparts WHERE container = ?)", (number,)
    )
    connection.execute("DELETE FROM multiparts WHERE container = ?", (number,))
    connection.execute("DELETE FROM containers WHERE id = ?", (number,))
    connection.execute("UPDATE accounts SET container_count = container_count - 1 WHERE name = ?", (account,))
    return freed


def _ensure_account(connection: sqlite3.Connection, account: str, now_us: int) -> None:
    connection.execute("INSERT INTO accounts VALUES (?, '{}', 0, 0, 0, ?) ON CONFLICT DO NOTHING", (account, now_us))
