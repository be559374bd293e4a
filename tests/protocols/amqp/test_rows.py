"""The rows of txAMQP's faults, run by our layer, which comes through, and by txAMQP 0.8.2 as it is, which does not."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import ensureDeferred
from twisted.internet.task import deferLater

from . import rows, rows_of_connections, rows_of_messages
from .parties import Ours, Plain


class OursCase(rows.RowCase):
    """With our layer."""

    async def setUp(self) -> None:  # type: ignore[override]
        await rows.RowCase.setUp(self)
        self.party = Ours()
        self.addCleanup(lambda: ensureDeferred(self.party.leave()))


class PlainCase(rows.RowCase):
    """With txAMQP."""

    expects_failure = True
    patience_s = 1.5

    async def setUp(self) -> None:  # type: ignore[override]
        await rows.RowCase.setUp(self)
        folder = Path(self.mktemp())
        folder.mkdir()
        self.party = Plain(folder)
        self.addCleanup(lambda: ensureDeferred(self.gone()))

    async def gone(self) -> None:
        """Errors that txAMQP logs, or leaves in Deferreds that nobody hears, are not those of a later test."""
        await self.party.leave()
        gc.collect()
        self.flushLoggedErrors()


class OursMessageTests(OursCase, rows_of_messages.MessageRows):
    pass


class OursConnectionTests(OursCase, rows_of_connections.ConnectionRows):
    pass


class PlainMessageTests(PlainCase, rows_of_messages.MessageRows):
    async def test_mute_but_alive(self) -> None:
        """After a header without a form nothing is written any more, except heartbeats: nobody would notice."""
        channel: Any = await self.opened("?heartbeat=1")
        self.party.publish(channel, "nowhere", b"bad", {"headers": {"x": object()}})
        with self.assertRaises(rows.Late):
            await self.assertAlive(channel)
        await deferLater(reactor, 4)
        self.assertFalse(channel.client.closed)
        self.assertFalse(channel.closed)


class PlainConnectionTests(PlainCase, rows_of_connections.ConnectionRows):
    pass
