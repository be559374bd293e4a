# -*- test-case-name: tests.daemon.test_following -*-
"""
Requests without an end that do not keep an old generation alive: they go on in the one that serves.

When a generation no longer answers (another one was committed, or its canary was taken back), its requests of which the
handler has said that they ``follow`` begin again in the one that serves: event streams.  There may be very many, so
they go in slices, with a longer rest between two.  One that cannot tell its state at the moment is
asked again, and in the end left where it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from attrs import define
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.logger import Logger

from cloudd.protocols.http import HTTPServerFactory, NotExportable
from cloudd.protocols.http._connection import HTTPConnection
from reload import Snapshot

SLICE_S = 0.003
REST_S = 0.008
LOOK_EACH = 8  # requests between two looks at the clock
AGAIN_S = (0.05, 0.2, 1.0, 5.0, 20.0)


@define(eq=False)
class Following:
    """
    :param factories: by face
    :param convert: gives a handler's state as the generation that serves reads it; what it refuses stays where it is
    """

    _reactor: Any
    _factories: Mapping[str, HTTPServerFactory]
    _convert: Callable[[Snapshot], Snapshot]
    log = Logger()

    def follow(self, number: int) -> Deferred[int]:
        """
        Let the requests of a generation go on in the one that serves.

        :return: fires when none is left that can, with how many did; it does not fail
        """
        following = Deferred.fromCoroutine(self._follow(number))
        following.addErrback(self._failed, number)
        return following

    async def _follow(self, number: int) -> int:
        moved = 0
        await deferLater(self._reactor, 0)  # the caller is in the middle of a swap
        for wait_s in (*AGAIN_S, None):
            left = [
                connection
                for factory in self._factories.values()
                for connection in factory.connections
                if _may_follow(connection, number)
            ]
            moved += await self._move(left, number)
            left = [connection for connection in left if _may_follow(connection, number)]
            if not left:
                break
            if wait_s is None:
                self.log.warn("{count} requests stay in generation {number}", count=len(left), number=number)
            else:
                await deferLater(self._reactor, wait_s)
        return moved

    async def _move(self, connections: Iterable[HTTPConnection], number: int) -> int:
        moved = 0
        until = self._reactor.seconds() + SLICE_S
        for place, connection in enumerate(connections, 1):
            if place % LOOK_EACH == 0 and self._reactor.seconds() >= until:
                await deferLater(self._reactor, REST_S)
                until = self._reactor.seconds() + SLICE_S
            if not _may_follow(connection, number):
                continue  # it has ended meanwhile
            request = connection.request
            assert request is not None
            try:
                connection.begin_again(request, self._convert)
                moved += 1
            except NotExportable:
                continue
            except Exception:
                self.log.failure("{request} could not follow", request=request)
        return moved

    def _failed(self, failure: Any, number: int) -> int:
        self.log.failure("requests of generation {number} could not follow", failure, number=number)
        return 0


def _may_follow(connection: HTTPConnection, number: int) -> bool:
    request = connection.request
    return request is not None and request.generation == number and request.follows and not request.finished
