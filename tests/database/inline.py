"""A control database whose calls are answered at once, in memory or on PostgreSQL, and one with all tables."""

from __future__ import annotations

from functools import cache
from typing import Any

import psycopg
from sqlalchemy import Engine, create_engine, event
from sqlalchemy.pool import StaticPool
from twisted.internet.defer import Deferred, execute
from twisted.trial.unittest import SynchronousTestCase

from cloudd.database.tables import metadata
from tests.database.choice import copy_of, on_postgres, prepared


class InlineDatabase:
    """
    ``Transactions`` on one connection, at once; a function that raises leaves nothing behind.

    :param content: of a database in memory, as ``content`` gives it, or the URL of one on PostgreSQL
    """

    def __init__(self, content: bytes | str = b"") -> None:
        self.failing: Exception | None = None
        self.engine: Engine
        if isinstance(content, str):
            url = content
            self.engine = create_engine(
                "postgresql+psycopg://", creator=lambda: psycopg.connect(url), poolclass=StaticPool
            )
            return
        self.engine = create_engine("sqlite://", poolclass=StaticPool)
        event.listen(self.engine, "connect", lambda connection, _: connection.execute("PRAGMA foreign_keys=ON"))
        if content:
            self._sqlite().deserialize(content)

    def content(self) -> bytes:
        """All of one in memory, to begin another one with."""
        data: bytes = self._sqlite().serialize()
        return data

    def _sqlite(self) -> Any:
        return self.engine.raw_connection().driver_connection

    def read(self, function: Any, /, *args: Any, **kwargs: Any) -> Deferred[Any]:
        return execute(self._run, function, args, kwargs)

    write = read

    def version(self) -> int | None:
        return None

    def _run(self, function: Any, args: Any, kwargs: Any) -> Any:
        if self.failing is not None:
            raise self.failing
        with self.engine.begin() as connection:
            return function(connection, *args, **kwargs)


@cache
def _tables() -> bytes:
    database = InlineDatabase()
    metadata.create_all(database.engine)
    content = database.content()
    database.engine.dispose()
    return content


def _create_tables(url: str) -> None:
    database = InlineDatabase(url)
    metadata.create_all(database.engine)
    database.engine.dispose()


def empty_database(case: SynchronousTestCase) -> InlineDatabase:
    """All tables without rows; it goes with the test."""
    database = InlineDatabase(copy_of(case, prepared("all tables", _create_tables)) if on_postgres() else _tables())
    case.addCleanup(database.engine.dispose)
    return database
