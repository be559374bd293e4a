# -*- test-case-name: tests.nodes.test_service -*-
"""What other nodes read and serve, as it was a few seconds ago, in every worker of a cloud with several nodes."""

from __future__ import annotations

from attrs import define, field
from sqlalchemy import Connection
from twisted.logger import Logger

from cloudd.interfaces.application import Transactions

from . import _releases, _rows
from ._pins import Pins

log = Logger()


@define(eq=False)
class PinWatch:
    """:ivar pins: as last read"""

    _database: Transactions
    _lost_s: float
    pins: Pins = field(init=False, default=Pins())

    async def read(self) -> Pins:
        """
        From the database, now.

        :raises Exception: whatever the database raises
        """
        self.pins = await self._database.read(_read, self._lost_s)
        return self.pins

    async def look(self) -> None:
        """The same, whatever happens: what was read before stays."""
        try:
            await self.read()
        except Exception as error:
            log.warn("what other nodes read is not known anew; it is asked again: {cause}", cause=str(error))


def _read(connection: Connection, lost_s: float) -> Pins:
    release = _releases.opened(connection)
    return Pins.of(_rows.nodes(connection), lost_s, None if release is None else release.payloads)
