# -*- test-case-name: tests.daemon.test_database_place -*-
"""What a move of the control database that was cut off has left, tidied up; for processes that may open databases."""

from __future__ import annotations

import time

from cloudd.database import DatabaseAway, finish_move, settle_move
from cloudd.interfaces.database import Server
from cloudd.interfaces.settings import Settings

from ._database_place import DatabaseRecord, Place, control_place, read_record, write_record
from ._state_folder import StateFolder


def settle_place(settings: Settings, state: StateFolder) -> Place:
    """
    The same, after what a move that was cut off has left was tidied up.  Blocks; for a start, or beside no move.

    :raises PlaceError: as ``control_place``
    :raises sqlite3.Error: the SQLite file cannot be used
    """
    if not settings.database.url and read_record(state) is None:
        server = settle_move(state.control_database)
        if server is not None:
            record_move(state, server)
    return control_place(settings, state)


def record_move(state: StateFolder, server: Server) -> str:
    """
    Write down where the records are, and tidy up there.

    :return: empty, or why the server could not be tidied up; that harms nobody
    :raises OSError: the record could not be written
    """
    write_record(state, DatabaseRecord(url=server.url, password_file=server.password_file, since=time.time()))
    try:
        finish_move(server)
    except DatabaseAway as error:
        return str(error)
    return ""
