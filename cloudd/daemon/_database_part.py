# -*- test-case-name: tests.daemon.test_database_place -*-
"""What a worker says of the control database, and how it gets ready for a move of the records to a server."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from attrs import evolve, frozen

from cloudd.database import ControlDatabase, DatabaseAway, database_facts, open_control_database
from cloudd.interfaces.application import PartHealth, Threads
from cloudd.interfaces.database import Server
from cloudd.interfaces.settings import Settings

from ._database_place import Place, note_of

PART = "database"


def open_place(place: Place, reactor: Any, readers: int, *, in_background: bool = False) -> ControlDatabase:
    """
    :param readers: most reads at one time
    :param in_background: no client waits for what this process writes
    """
    return open_control_database(
        place.where,
        reactor=reactor,
        threads=readers,
        password_file=place.password_file,
        in_background=in_background,
    )


@frozen
class DatabasePart:
    """What the anchor may call in each worker."""

    _database: ControlDatabase
    _threads: Threads

    def callees(self) -> dict[str, Callable[..., Any]]:
        """By name."""
        return {
            "database_place": self._place,
            "database_facts": self._facts,
            "database_ready": self._ready,
            "database_follow": self._follow,
        }

    def _place(self) -> str:
        """The server's name; empty: it is a SQLite file."""
        server = self._database.server
        return server.name if server is not None else ""

    async def _facts(self) -> dict[str, Any]:
        """``database_facts``, and how long a read of nothing takes."""
        facts = await self._database.read(database_facts)
        began = time.monotonic()
        await self._database.read(_nothing)
        return {**facts, "name": self._place(), "round_trip_ms": round((time.monotonic() - began) * 1000, 3)}

    async def _ready(self, url: str, password_file: str) -> str:
        """Get ready for a move to a server: empty, or why it cannot be used from here."""
        try:
            await self._threads.run(self._database.expect, Server(url, password_file))
        except DatabaseAway as error:
            return str(error)
        return ""

    async def _follow(self) -> str:
        """Where the records are by now: the first read after a move finds out."""
        await self._database.read(_nothing)
        return self._place()


def noted_place(parts: list[PartHealth], database: ControlDatabase, settings: Settings) -> list[PartHealth]:
    """The parts; that of the database names its server, and what the settings should say."""
    server = database.server
    if server is None:
        return parts
    note = server.name if settings.database.url else f"{server.name}: {note_of(server.url)}"
    return [evolve(part, cause=note) if part.part == PART and part.ok and not part.cause else part for part in parts]


def _nothing(connection: Any) -> None:
    connection.exec_driver_sql("SELECT 1").fetchone()
