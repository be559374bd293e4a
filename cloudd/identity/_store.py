"""The control database as identity meets it: failures that are not identity's own become ``IdentityUnavailable``."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Hashable
from typing import Any, Concatenate, ParamSpec, TypeVar

from attrs import field, frozen
from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from cloudd.database import CommitUnknown, DatabaseAway, DatabaseBusy, DatabaseClosed
from cloudd.interfaces.application import Transactions

from ._errors import IdentityUnavailable

Result = TypeVar("Result")
Arguments = ParamSpec("Arguments")

KEPT = 2_000

_UNAVAILABLE = (SQLAlchemyError, sqlite3.Error, DatabaseAway, DatabaseBusy, DatabaseClosed, CommitUnknown, OSError)


class Kept:
    """Results of reads that are good as long as the database has one version."""

    def __init__(self) -> None:
        self._version: int | None = None
        self._results: dict[tuple[Any, ...], Any] = {}

    def of(self, version: int | None) -> dict[tuple[Any, ...], Any]:
        """
        Those of ``version``.

        A reader that was overtaken by a commit puts its result into a table that nobody asks any more.
        """
        if version is None or version != self._version or len(self._results) >= KEPT:
            self._version, self._results = version, {}
        return self._results


@frozen
class Store:
    """Reads and writes of the control database."""

    database: Transactions
    _kept: Kept = field(init=False, factory=Kept)

    async def read(
        self,
        function: Callable[Concatenate[Connection, Arguments], Result],
        *args: Arguments.args,
        **kwargs: Arguments.kwargs,
    ) -> Result:
        """
        Run ``function(connection, *args)`` on a snapshot.

        :raises IdentityUnavailable: the database cannot be read
        """
        try:
            return await self.database.read(function, *args, **kwargs)
        except _UNAVAILABLE as error:
            raise _unavailable("read", error) from error

    async def read_kept(self, function: Callable[..., Result], *args: Hashable) -> Result:
        """
        ``read``, or what it gave before when nothing was committed since, by whichever process.

        :param function: its result is shared, so nobody may change it
        :raises IdentityUnavailable: the database cannot be read
        """
        version = self.database.version()
        results = self._kept.of(version)
        key = (function, *args)
        if key in results:
            kept: Result = results[key]
            return kept
        result = await self.read(function, *args)
        if version is not None and len(results) < KEPT:
            results[key] = result
        return result

    async def write(
        self,
        function: Callable[Concatenate[Connection, Arguments], Result],
        *args: Arguments.args,
        **kwargs: Arguments.kwargs,
    ) -> Result:
        """
        Run ``function(connection, *args)`` as one transaction; returns when it is on disk.

        :raises IdentityUnavailable: the database cannot be written; nothing was changed, unless the text says that this
            cannot be told (a database server was lost during the commit)
        """
        try:
            return await self.database.write(function, *args, **kwargs)
        except _UNAVAILABLE as error:
            raise _unavailable("written", error) from error


def _unavailable(verb: str, error: BaseException) -> IdentityUnavailable:
    cause = getattr(error, "orig", None) or error  # the driver's own sentence, without the statement
    return IdentityUnavailable(f"the control database cannot be {verb} now: {cause}")
