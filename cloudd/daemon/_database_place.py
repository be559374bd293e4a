# -*- test-case-name: tests.daemon.test_database_place -*-
"""
Where the control database is: a server that the settings name, else one that the records were moved to, else a file.

The record of a move, ``STATE/database.json``, is what processes that start go by.  The decision itself is the mark in
the SQLite file (``cloudd.database``): where a move was cut off between the two, ``_database_settle`` writes the record.
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
from attrs import frozen

from cloudd.interfaces.settings import Settings

from ._audit import sync_folder
from ._state_folder import StateFolder

RECORD_NAME = "database.json"
FORMAT = 1


class PlaceError(Exception):
    """The record is there but cannot be used; the text says why and what to do."""

    expected = True


class DatabaseRecord(msgspec.Struct, frozen=True, kw_only=True):
    """
    The server that the records were moved to.

    :param since: seconds since the epoch
    """

    url: str
    password_file: str = ""
    since: float
    format: int = FORMAT


@frozen
class Place:
    """
    :param where: path of a SQLite file, or a server's URL
    :param password_file: of the server
    :param note: for the operator: what to write into the settings; empty: nothing
    """

    where: Path | str
    password_file: str = ""
    note: str = ""


def control_place(settings: Settings, state: StateFolder) -> Place:
    """
    Where a process that starts finds the control database.  Reads a small file.

    :raises PlaceError: there is a record that cannot be used
    """
    named = settings.database
    if named.url:
        return Place(named.url, named.password_file)
    record = read_record(state)
    if record is None:
        return Place(state.control_database)
    return Place(record.url, record.password_file, note_of(record.url))


def note_of(url: str) -> str:
    """What is said of a server that the settings do not name."""
    return f"the records were moved there: write [database] url = {url!r} into the settings"


def read_record(state: StateFolder) -> DatabaseRecord | None:
    """
    The record; ``None``: nothing was moved.

    :raises PlaceError: it is damaged or of a later version of cloudd
    """
    path = state.path / RECORD_NAME
    remedy = "name the server in [database] url of the settings"
    try:
        record = msgspec.json.decode(path.read_bytes(), type=DatabaseRecord)
    except FileNotFoundError:
        return None
    except msgspec.DecodeError as error:
        raise PlaceError(f"{path} is damaged ({error}): {remedy}") from error
    if record.format != FORMAT:
        raise PlaceError(f"{path} has format {record.format}, this version knows {FORMAT}: {remedy}")
    return record


def write_record(state: StateFolder, record: DatabaseRecord) -> None:
    """
    Replace the record; it is on disk afterwards.

    :raises OSError: it is not
    """
    work = state.path / f".{RECORD_NAME}.new"
    with open(os.open(work, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(record)) + b"\n")
        file.flush()
        os.fsync(file.fileno())
    work.replace(state.path / RECORD_NAME)
    sync_folder(state.path)
