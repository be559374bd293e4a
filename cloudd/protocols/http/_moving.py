# -*- test-case-name: tests.protocols.http.test_moving -*-
"""
HTTP connections as things that a hand-over can move.

What moves is what ``_snapshot`` can tell.  What stays follows when it can: whoever wires this sets
``HTTPServerFactory.may_move`` to something that calls ``ready(movable(connection))``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from zope.interface import implementer

from reload import (
    AdoptedConnection,
    Converters,
    IAdopter,
    Inner,
    Kinds,
    MovableConnection,
    NotMovable,
    Reason,
    Snapshot,
    Spoken,
    adopt_transport,
)

from ._connection import HTTPConnection
from ._errors import NotExportable
from ._factory import HTTPServerFactory
from ._request import Request
from ._snapshot import EVENT_STREAM, KIND, VERSION, add_converters, replace_state, take_snapshot
from ._transport import HTTPTransport

#: For ``reload.Kinds``, with the steps that ``add_converters`` adds.
HTTP_KINDS = {KIND: VERSION}
#: States of handlers that a worker tells and reads which is older than their names in greetings.
UNNAMED_STATES = dict.fromkeys((EVENT_STREAM, "s3-get", "s3-part", "s3-put", "swift-get", "swift-put"), 1)


def http_kinds(spoken: Callable[[], Spoken] | None = None) -> Kinds:
    """
    What two processes exchange when they move nothing but HTTP connections.

    :param spoken: gives the states of handlers that the code of this process tells and reads, of which every one that
        moves must be; ``None``: whatever they tell moves as it is
    """
    converters = Converters()
    add_converters(converters)
    inner = None if spoken is None else Inner(spoken, replace_state, UNNAMED_STATES)
    return Kinds(HTTP_KINDS, converters, inner)


class MovableHTTP(MovableConnection):
    """
    One connection.

    :param moved: called with a request that goes on in the other process, which reports it as finished; its site lets
        go of the generation here.  ``Site.moved`` where nothing is given
    """

    def __init__(self, connection: HTTPConnection, moved: Callable[[Request], None] | None = None) -> None:
        super().__init__(connection.transport, self._tell, self._forget, self._descriptors)
        self._connection = connection
        self._moved = moved or connection.factory.site.moved

    def freeze(self) -> None:
        """Hold still: also what is sent at once, and what has come and was not read."""
        super().freeze()
        self._connection.frozen = True
        transport = self._connection.transport
        transport.__dict__["write_now"] = transport.write

    def thaw(self) -> None:
        """Go on here."""
        self._connection.transport.__dict__.pop("write_now", None)
        super().thaw()
        self._connection.thawed()

    def obstacle(self) -> str:
        """Why it could not move at this moment; empty: it could.  Changes nothing."""
        try:
            take_snapshot(self._connection)
        except NotExportable as error:
            return str(error)
        return ""

    def _tell(self) -> Snapshot:
        try:
            return take_snapshot(self._connection)
        except NotExportable as error:
            reason = Reason.CLOSING if self._connection.closing else Reason.BUSY
            raise NotMovable(reason, str(error)) from None

    def _descriptors(self) -> tuple[int, ...]:
        request = self._connection.request
        return () if request is None else request.descriptors_to_move()

    def _forget(self) -> None:
        transport = self._connection.transport
        transport.__dict__.pop("write_now", None)
        transport._queue.clear()
        transport.unsent = 0
        self._connection.moved_away(self._moved)


class AdoptedHTTP(AdoptedConnection):
    """A connection that came from another process."""

    def __init__(self, transport: HTTPTransport, connection: HTTPConnection) -> None:
        super().__init__(transport, connection, reading=not connection.eof)
        self._connection = connection
        connection.waits = connection.request is not None and not connection.request.finished

    def discard(self) -> None:
        """The giver goes on with it: the open files of its handler are closed here too."""
        super().discard()
        if self._connection.request is not None:
            self._connection.request.close_untaken()


@implementer(IAdopter)
class HTTPAdopter:
    """
    Where HTTP connections arrive.

    :param factories: by face
    """

    versions = HTTP_KINDS

    def __init__(self, reactor: Any, factories: Mapping[str, HTTPServerFactory]) -> None:
        self._reactor = reactor
        self._factories = factories

    def adopt(self, snapshot: Snapshot, descriptors: Sequence[int]) -> AdoptedHTTP:
        """
        A connection that goes on when it is resumed.

        :raises KeyError: this process does not have its face
        """
        descriptor, *files = descriptors
        connection = self._factories[snapshot.fields["face"]].restore(snapshot, tuple(files))
        transport = adopt_transport(self._reactor, descriptor, connection, HTTPTransport)
        return AdoptedHTTP(transport, connection)
