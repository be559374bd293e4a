# -*- test-case-name: tests.database.test_migrate -*-
"""
Bring the control database to this code's tables, once per start and before workers open it.

Alembic costs a quarter of a second to import, so it is imported only when the revision differs.  A migration is one
transaction: a killed one changes nothing.  Of two processes that migrate at once, the second waits and finds the
work done.  Steps only expand (new tables, new nullable columns), so that earlier releases still run on the result, in
a hand-over and after a rollback; the oldest one that may is written in the table ``oldest_reader``.  What is no longer
needed goes away by a contracting step when an upgrade is final, which raises that: ``_contract``.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, Engine, inspect, text
from sqlalchemy.exc import SQLAlchemyError

from cloudd.interfaces.database import Server

from ._control import control_url, make_engine, sqlite_file
from ._driver import DatabaseAway
from ._fence import REVISION
from ._patience import Patience
from ._sqlite import is_busy, origin
from ._turn import Turn, TurnTaken

if TYPE_CHECKING:
    from alembic.config import Config

HEAD = "0015"
"""The revision that this code needs; the newest file in ``migrations/versions`` has it."""

_SCRIPTS = Path(__file__).parent / "migrations"
_VERSION_TABLE = "alembic_version"


class MigrationFailed(Exception):
    """The database cannot be brought to this release; it is as it was before."""


def migrate(database: Path | str, password_file: str = "") -> bool:
    """
    Make or upgrade the tables.  Blocks; safe to call again and from several processes.

    :param database: path of a SQLite file (made when missing, in an existing folder), or a database URL
    :param password_file: of the server
    :return: whether anything was changed
    :raises MigrationFailed: with the cause and the next step
    """
    url = control_url(database)
    file = sqlite_file(url)
    engine, turn = make_engine(url, password_file), None if file is None else Turn(file)
    patience = Patience()
    try:
        while True:
            try:
                if turn is not None:
                    turn.share()
                return _migrate(engine)
            except (SQLAlchemyError, TurnTaken, DatabaseAway) as error:
                if turn is not None:
                    turn.release()
                if isinstance(error, DatabaseAway):
                    if patience.wait(longest_s=1.0):
                        continue
                    raise MigrationFailed(f"the control database cannot be migrated: {error}") from error
                busy = isinstance(error, TurnTaken) or is_busy(origin(error))
                if busy and patience.wait():
                    continue
                advice = "another process holds it; stop the other daemon" if busy else "check the disk and the file"
                raise MigrationFailed(f"the control database cannot be migrated ({error}): {advice}") from error
    finally:
        engine.dispose()
        if turn is not None:
            turn.close()


def _migrate(engine: Engine) -> bool:
    with engine.connect() as connection:
        revision = current_revision(connection)
        if revision == REVISION:
            where = connection.exec_driver_sql("SELECT url FROM moved_to").scalar_one()
            raise MigrationFailed(f"its records were moved to {Server(where).name}: move the file away to begin anew")
        if _serves(connection, revision):
            return False
        connection.rollback()
        return _upgrade(connection)


def current_revision(connection: Connection) -> str | None:
    """The revision of the tables in the database; ``None`` for an empty one."""
    if not inspect(connection).has_table(_VERSION_TABLE):
        return None
    revision: str | None = connection.execute(text(f"SELECT version_num FROM {_VERSION_TABLE}")).scalar()  # noqa: S608
    return revision


def _serves(connection: Connection, revision: str | None) -> bool:
    """Whether this code runs on tables of that revision: its own, or a later one that still allows it."""
    if revision == HEAD:
        return True
    if revision is None or revision < HEAD or not inspect(connection).has_table("oldest_reader"):
        return False
    oldest: str | None = connection.execute(text("SELECT revision FROM oldest_reader")).scalar()
    return oldest is not None and oldest <= HEAD


def script_location() -> Config:
    """Alembic's configuration, as an object: there is no ini file."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS).replace("%", "%%"))
    return config


def _upgrade(connection: Connection) -> bool:
    from alembic import command
    from alembic.util import CommandError

    config = script_location()
    with connection.begin():  # takes the write lock, so the revision is read again under it
        before = current_revision(connection)
        if _serves(connection, before):
            return False
        config.attributes["connection"] = connection
        try:
            command.upgrade(config, HEAD)
        except CommandError as error:
            cause = f"the control database has revision {before}, which this release (revision {HEAD}) does not know"
            raise MigrationFailed(f"{cause}: start the release that wrote it, or restore a backup") from error
    return True
