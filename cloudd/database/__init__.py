"""
Databases reached from the reactor: reads in a few threads, writes in one thread with group commit.

::

    check(state / "cloud.sqlite")                           # not damaged
    migrate(control_url(state / "cloud.sqlite"))             # once per start, before workers open it
    database = open_control_database(state / "cloud.sqlite", reactor=reactor)

    def rename(connection: sqlalchemy.Connection, project_id: str, name: str) -> int:
        ...
    changed = await database.write(rename, project_id, name)  # fires when the commit is on disk
    await database.close()

``open_control_database`` gives functions a ``sqlalchemy.Connection``, ``open_object_index`` a plain
``sqlite3.Connection``; both are ``cloudd.interfaces.application.Transactions``.  The tables are in
``cloudd.database.tables``; ``now_us()`` in a statement is the database's own clock.
This package is kernel: connections and statements outlive a generation of code, so
nothing here keeps a function after it ran.
"""

from ._backup import BackupError, backup, read_backup, restore, write_backup
from ._clock import now_us
from ._contract import Standing, contract, standing
from ._control import ControlDatabase, control_url, open_control_database
from ._damage import DatabaseDamaged, check
from ._driver import CommitUnknown, DatabaseAway, DatabaseBusy, DatabaseClosed
from ._facts import database_facts
from ._fence import moved_from
from ._group_commit import GroupCommit
from ._index import open_object_index
from ._migrate import HEAD, MigrationFailed, migrate
from ._move import Move, Moved, MoveFailed, examine_server, finish_move, settle_move

__all__ = [
    "HEAD",
    "BackupError",
    "CommitUnknown",
    "ControlDatabase",
    "DatabaseAway",
    "DatabaseBusy",
    "DatabaseClosed",
    "DatabaseDamaged",
    "GroupCommit",
    "MigrationFailed",
    "Move",
    "MoveFailed",
    "Moved",
    "Standing",
    "backup",
    "check",
    "contract",
    "control_url",
    "database_facts",
    "examine_server",
    "finish_move",
    "migrate",
    "moved_from",
    "now_us",
    "open_control_database",
    "open_object_index",
    "read_backup",
    "restore",
    "settle_move",
    "standing",
    "write_backup",
]
