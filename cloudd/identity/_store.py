"""The control database as identity meets it: failures that are not identity's own become ``IdentityUnavailable``."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Concatenate, ParamSpec, TypeVar

from attrs import frozen
from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from cloudd.database import DatabaseBusy, DatabaseClosed
from cloudd.interfaces.application import Transactions

from ._errors import IdentityUnavailable

Result = TypeVar("Result")
Arguments = ParamSpec("Arguments")

_UNAVAILABLE = (SQLAlchemyError, sqlite3.Error, DatabaseBusy, DatabaseClosed, OSError)


@frozen
class Store:
    """Reads and writes of the control database."""

    database: Transactions

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

    async def write(
        self,
        function: Callable[Concatenate[Connection, Arguments], Result],
        *args: Arguments.args,
        **kwargs: Arguments.kwargs,
    ) -> Result:
        """
        Run ``function(connection, *args)`` as one transaction; returns when it is on disk.

        :raises IdentityUnavailable: the database cannot be written; nothing was changed
        """
        try:
            return await self.database.write(function, *args, **kwargs)
        except _UNAVAILABLE as error:
            raise _unavailable("written", error) from error


def _unavailable(verb: str, error: BaseException) -> IdentityUnavailable:
    cause = getattr(error, "orig", None) or error  # the driver's own sentence, without the statement
    return IdentityUnavailable(f"the control database cannot be {verb} now: {cause}")
