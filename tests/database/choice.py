"""
Which control database the tests run on: SQLite, or with ``CLOUDD_TEST_DATABASE=postgresql`` PostgreSQL.

A test asks for ``new_database``, gives what it got to ``migrate`` and ``open_control_database``, and does not care.
What is only about one of the two asks for that one.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from twisted.trial.unittest import SynchronousTestCase

from cloudd.database import migrate

ENVIRONMENT = "CLOUDD_TEST_DATABASE"
KINDS = ("sqlite", "postgresql")

#: Of databases that were prepared once: what for -> name.
_TEMPLATES: dict[str, str] = {}


def kind() -> str:
    """One of ``KINDS``."""
    chosen = os.environ.get(ENVIRONMENT) or KINDS[0]
    assert chosen in KINDS, f"{ENVIRONMENT} is one of {', '.join(KINDS)}"
    return chosen


def on_postgres() -> bool:
    return kind() == "postgresql"


def new_database(case: SynchronousTestCase, which: str = "", *, migrated: bool = True) -> Path | str:
    """
    A database for one test: path of a SQLite file or URL.

    :param which: one of ``KINDS``; empty: the chosen one
    :param migrated: with its tables; else empty
    """
    if (which or kind()) == "sqlite":
        path = Path(case.mktemp()).absolute()
        if migrated:
            path.write_bytes(_migrated_file())
        return path
    template = prepared("tables", migrate) if migrated else "template0"
    return copy_of(case, template)


@cache
def _migrated_file() -> bytes:
    with TemporaryDirectory(prefix="cloudd-test-") as folder:
        path = Path(folder) / "cloud.sqlite"
        migrate(path)
        return path.read_bytes()


def copy_of(case: SynchronousTestCase, template: str) -> str:
    """The URL of a copy on PostgreSQL, which goes with the test."""
    from tests.database.postgres import shared_postgres

    server = shared_postgres()
    name = server.create(template)
    case.addCleanup(server.drop, name)
    return server.url(name)


def prepared(name: str, prepare: Callable[[str], object]) -> str:
    """
    A database on PostgreSQL to copy from, made by the first who asks for it.

    :param prepare: gets its URL, and leaves no connection to it
    """
    from tests.database.postgres import shared_postgres

    if name not in _TEMPLATES:
        made = shared_postgres().create()
        prepare(shared_postgres().url(made))
        _TEMPLATES[name] = made
    return _TEMPLATES[name]


def new_template() -> tuple[str, str]:
    """Name and URL of an empty database on PostgreSQL, for who prepares it bit by bit."""
    from tests.database.postgres import shared_postgres

    made = shared_postgres().create()
    return made, shared_postgres().url(made)


class DaemonDatabase:
    """
    The control database of one daemon under test: that in its state folder, or one on PostgreSQL.

    :ivar url: empty: it is a SQLite file
    """

    def __init__(self) -> None:
        self.url = ""
        self._name = ""
        if on_postgres():
            from tests.database.postgres import shared_postgres

            shared_postgres()  # now, so that it ends after the daemon

    def enter(self, settings_file: Path) -> None:
        """Have a daemon that is about to start use it, unless its settings name another one."""
        settings = settings_file.read_text()
        if not on_postgres() or "[database]" in settings:
            return
        if not self.url:
            self._name, self.url = new_template()
        settings_file.write_text(f'{settings}\n[database]\nurl = "{self.url}"\n')

    def drop(self) -> None:
        """Its daemon has ended."""
        from tests.database.postgres import shared_postgres

        if self._name:
            shared_postgres().drop(self._name)
