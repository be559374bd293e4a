# -*- test-case-name: tests.image.test_service -*-
"""
What becomes of images whose data will not come any more, and of data that no image has.

An upload whose process was killed is given up when it has been silent, staged data when nobody has imported it for
long, and an import when its task has ended without its undo.  Each is one UPDATE that names the state it ends.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from attrs import define, evolve, field
from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from cloudd.interfaces.application import Resources
from storage import IObjectStore, Listing, NoSuchContainer, ObjectFacts

from . import _rows
from ._data import ACCOUNT, CONTAINER
from ._import_rows import give_up_ended

UPKEEP_S = 60.0
STRAY_S = 3_600.0  # data is older than that before it is taken for a stray
PAGE = 500

log = Logger()


@define(eq=False)
class Upkeep:
    """
    :param store: where the data is
    """

    _resources: Resources
    _store: IObjectStore
    _timer: LoopingCall | None = field(init=False, default=None)

    def start(self) -> None:
        """Do it now and again and again, until ``stop``.  Safe to call again."""
        if self._timer is None:
            self._timer = LoopingCall(lambda: Deferred.fromCoroutine(self.keep_up()))
            self._timer.clock = self._resources.reactor
            self._timer.start(UPKEEP_S).addErrback(lambda failure: log.failure("upkeep has ended", failure))

    def stop(self) -> None:
        """What goes on just now goes on to its end."""
        if self._timer is not None and self._timer.running:
            self._timer.stop()

    async def keep_up(self) -> None:
        """Once; what fails is logged."""
        write, settings = self._resources.database.write, self._resources.settings.images
        try:
            if given_up := await write(_rows.give_up_silent):
                log.info("{count} uploads of images have ended with their process", count=given_up)
            if given_up := await write(give_up_ended):
                log.info("{count} imports of images have ended without an outcome", count=given_up)
            if given_up := await write(_rows.give_up_staged, settings.staged_keep_s):
                log.info("staged data of {count} images was not imported and is given up", count=given_up)
            await self._delete_strays()
        except Exception:
            log.failure("upkeep of images failed; it is tried again")

    async def _delete_strays(self) -> None:
        """Data that no image has, of a process that was killed between the two."""
        before_us = (time.time() - STRAY_S) * 1e6
        listing = Listing(limit=PAGE)
        while page := await self._stored(listing):
            old = [each.name for each in page if isinstance(each, ObjectFacts) and each.modified_us < before_us]
            strays = set(old) - await self._resources.database.read(_rows.known_data, old)
            if strays:
                await self._store.delete_objects(ACCOUNT, CONTAINER, strays)
            listing = evolve(listing, marker=page[-1].name)

    async def _stored(self, listing: Listing) -> Sequence[Any]:
        try:
            found: Sequence[Any] = await self._store.objects(ACCOUNT, CONTAINER, listing)
        except NoSuchContainer:
            return []
        return found
