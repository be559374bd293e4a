# -*- test-case-name: tests.daemon.test_health -*-
"""Whether what the kernel lends to generations works: asked for ``/health``, in each worker."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.defer import TimeoutError as Late

from cloudd.interfaces.application import PartHealth, Transactions

PATIENCE_S = 1.5


class Checked(Transactions, Protocol):
    """A database that remembers damage and whether its server is there; see ``cloudd.database.GroupCommit``."""

    @property
    def damage(self) -> str: ...

    @property
    def away(self) -> str: ...


async def check_databases(databases: Mapping[str, Checked], clock: Any) -> list[PartHealth]:
    """
    Ask each database for nothing, and for what it met before: a damaged file fails only those who read that place.

    :param databases: name of the part -> database
    :return: a part each; one that does not answer in ``PATIENCE_S`` is failing
    """
    asked = {name: _ask(database, clock) for name, database in databases.items()}
    return [await _part(name, databases[name], answer) for name, answer in asked.items()]


def _ask(database: Transactions, clock: Any) -> Deferred[None]:
    return database.read(_touch).addTimeout(PATIENCE_S, clock)


async def _part(name: str, database: Checked, answer: Deferred[None]) -> PartHealth:
    try:
        await answer
    except Late:
        stuck = f"no answer within {PATIENCE_S:g} s: the disk may be stuck, or too many calls wait"
        return PartHealth(name, False, database.away or stuck)
    except Exception as error:
        unknown = f"{type(error).__name__}: {error}: check the disk and the daemon's log"
        return PartHealth(name, False, database.damage or database.away or unknown)
    return PartHealth(name, not database.damage, database.damage)


def _touch(connection: Any) -> None:
    execute = getattr(connection, "exec_driver_sql", None) or connection.execute
    execute("SELECT 1").fetchone()
