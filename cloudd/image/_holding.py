# -*- test-case-name: tests.image.test_service -*-
"""That an upload goes on, said in the image's row again and again: one that is silent is taken for dead."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from cloudd.interfaces.application import Resources

from . import _rows
from ._data import data_of
from ._facts import Image

SILENT_S = 60.0

log = Logger()


def silence_us() -> int:
    """So long an upload that says nothing is believed to go on, in microseconds."""
    return int(SILENT_S * 1e6)


def held(resources: Resources, image: Image) -> LoopingCall:
    """A timer that says so until it is stopped."""

    async def go_on() -> None:
        await resources.database.write(_rows.go_on_saving, image.id, data_of(image)[2], silence_us())

    timer = LoopingCall(lambda: Deferred.fromCoroutine(go_on()).addErrback(_cannot_go_on))
    timer.clock = resources.reactor
    timer.start(SILENT_S / 3, now=False)
    return timer


def _cannot_go_on(failure: Failure) -> None:
    log.warn("an upload cannot say that it goes on: {cause}", cause=failure.getErrorMessage())
