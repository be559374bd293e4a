# -*- test-case-name: tests.daemon.test_backup -*-
"""
``cloudctl backup`` and ``restore``: they work on the state folder itself, and a backup also while the daemon runs.

A program of its own, since ``cloudctl`` knows no database: ``python -m cloudd.daemon._backup backup|restore FILE``.
"""

from __future__ import annotations

import argparse
import sys
from datetime import UTC, datetime
from pathlib import Path

from cloudd.database import BackupError, DatabaseDamaged, MigrationFailed, backup, check, migrate, read_backup, restore
from cloudd.interfaces.settings import Settings

from ._database_place import PlaceError, control_place
from ._database_settle import settle_place
from ._state_folder import ProcessLock, StateFolder, StateFolderError
from .settings import SettingsError, read_settings

_REFUSALS = (BackupError, DatabaseDamaged, MigrationFailed, PlaceError, SettingsError, StateFolderError)


def main(arguments: list[str]) -> int:
    """
    :return: the exit status: 0 done, 1 refused or failed; the reason is on standard error
    """
    parser = argparse.ArgumentParser(prog="cloudctl")
    parser.add_argument("what", choices=["backup", "restore"])
    parser.add_argument("file", type=Path)
    parser.add_argument("--state", type=Path, required=True)
    parser.add_argument("--config", type=Path)
    parser.add_argument("--yes", action="store_true")
    options = parser.parse_args(arguments)
    try:
        settings = read_settings(options.config, options.state, options.state, {})
        if options.what == "backup":
            said = make(settings, options.file)
        else:
            said = put_back(settings, options.file, replace=options.yes)
    except (*_REFUSALS, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(f"{said}\n")
    return 0


def make(settings: Settings, file: Path) -> str:
    """
    Write a backup.

    :raises BackupError: see ``cloudd.database.backup``, or there is no database
    """
    state = StateFolder(settings.state)
    place = control_place(settings, state)
    if isinstance(place.where, Path) and not place.where.exists():
        raise BackupError(
            f"there is no {place.where}: name the daemon's folder with --state, its settings with --config"
        )
    count = backup(place.where, state.secrets, file, place.password_file)
    return f"{count} records and the keys are in {file}: keep it as safe as the state folder"


def put_back(settings: Settings, file: Path, *, replace: bool) -> str:
    """
    Restore a backup into the database that the settings name; it is made where it is missing.

    :param replace: records and keys that are there may go
    :raises BackupError: see ``cloudd.database.restore``, or a daemon runs on the folder
    """
    content = read_backup(file)
    state = StateFolder(settings.state)
    state.create()
    locks = [ProcessLock(path, shared=False) for path in (state.anchor_lock, state.workers_lock)]
    for lock in locks:
        if holder := lock.take():
            raise BackupError(f"a daemon runs on {state.path} (process {holder}): stop it first")
    place = settle_place(settings, state)
    if isinstance(place.where, Path):
        check(place.where)
    migrate(place.where, place.password_file)
    restore(content, place.where, state.secrets, place.password_file, replace=replace)
    for lock in locks:
        lock.release()
    made = datetime.fromtimestamp(content.made_at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    return f"{content.row_count} records and the keys of {made} are back"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
