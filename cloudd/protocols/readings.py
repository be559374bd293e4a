# -*- test-case-name: tests.protocols.swift -*-
"""The bytes of one stored object as an answer; for all faces that send some."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from cloudd.protocols.http import Request
from storage import IObjectStore, IReading


async def send_reading(request: Request, reading: IReading, start: int, length: int) -> None:
    """Send these bytes of an open object."""
    if reading.content is not None:
        waiting = request.write(reading.content[start : start + length])
        if waiting is not None:
            await waiting
        return
    while length:
        descriptor, offset, count = await reading.region(start, length)
        await request.send_file(descriptor, offset, count)
        start, length = start + count, length - count


def open_reading(store: IObjectStore, account: str, container: str, name: str) -> Deferred[IReading]:
    """
    Open an object for a request that may be cancelled while the disk is busy: the descriptors are closed then.

    :raises NoSuchContainer:
    :raises NoSuchObject:
    """
    opening: Deferred[IReading] = store.open(account, container, name)
    if opening.called:
        return opening
    abandoned: list[bool] = []
    opened: Deferred[IReading] = Deferred(lambda _: abandoned.append(True))

    def give(reading: IReading) -> None:
        if abandoned:
            reading.close()
        else:
            opened.callback(reading)

    def fail(failure: Failure) -> None:
        if not abandoned:
            opened.errback(failure)

    opening.addCallbacks(give, fail)
    return opened
