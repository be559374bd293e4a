# -*- test-case-name: tests.protocols.http.test_moving -*-
"""
HTTP connections as things that a hand-over can move.

What moves is what ``_snapshot`` can tell, with one exception: a request that changes something and whose handler told
its state stays, since the handler left behind would undo what the other process goes on with.  What stays follows when
the request has ended: whoever wires this calls ``ready(movable(connection))`` then.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from zope.interface import implementer

from reload import (
    AdoptedConnection,
    IAdopter,
    MovableConnection,
    NotMovable,
    Reason,
    Snapshot,
    adopt_transport,
)

from ._connection import HTTPConnection
from ._errors import NotExportable
from ._factory import HTTPServerFactory
from ._request import Request
from ._snapshot import KIND, VERSION, take_snapshot
from ._transport import HTTPTransport

#: For ``reload.Kinds``.
HTTP_KINDS = {KIND: VERSION}


class MovableHTTP(MovableConnection):
    """
    One connection.

    :param moved: called with a request that goes on in the other process, which reports it as finished; its site lets
        go of the generation here
    """

    def __init__(self, connection: HTTPConnection, moved: Callable[[Request], None]) -> None:
        super().__init__(connection.transport, self._tell, self._forget)
        self._connection, self._moved = connection, moved

    def freeze(self) -> None:
        """Hold still: also what is sent at once."""
        super().freeze()
        transport = self._connection.transport
        transport.__dict__["write_now"] = transport.write

    def thaw(self) -> None:
        """Go on here."""
        self._connection.transport.__dict__.pop("write_now", None)
        super().thaw()

    def _tell(self) -> Snapshot:
        connection = self._connection
        request = connection.request
        try:
            snapshot = take_snapshot(connection)
        except NotExportable as error:
            raise NotMovable(Reason.CLOSING if connection.closing else Reason.BUSY, str(error)) from None
        if request is not None and not request.finished and request.shielded and not _begins_again(snapshot):
            raise NotMovable(Reason.BUSY, "the request changes something, and its handler cannot be left behind")
        return Snapshot(KIND, VERSION, {**snapshot.fields, "face": connection.factory.face})

    def _forget(self) -> None:
        """The other process has it: its handler ends here without an answer, a log line or a count."""
        connection = self._connection
        transport = connection.transport
        transport.__dict__.pop("write_now", None)
        transport._queue.clear()
        transport.unsent = 0
        request, connection.request = connection.request, None
        connection.closing = True
        connection.unparsed = b""
        connection.factory.closed(connection)
        if request is None or request.finished:
            return
        request.reported = True
        self._moved(request)
        request.client_left()
        if request._running is not None:
            request._running.cancel()


def _begins_again(snapshot: Snapshot) -> bool:
    """Whether the request's handler is called anew, with the body that has come."""
    return snapshot.fields["request"]["handler"] is None


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

    def adopt(self, snapshot: Snapshot, descriptors: Sequence[int]) -> AdoptedConnection:
        """
        A connection that goes on when it is resumed.

        :raises KeyError: this process does not have its face
        """
        connection = self._factories[snapshot.fields["face"]].restore(snapshot)
        (descriptor,) = descriptors
        transport = adopt_transport(self._reactor, descriptor, connection, HTTPTransport)
        return AdoptedConnection(transport, connection, reading=not snapshot.fields["eof"])
