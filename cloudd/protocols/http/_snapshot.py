# -*- test-case-name: tests.protocols.http.test_snapshot -*-
"""
A connection as plain data, at any byte, and a connection from such data, in this process or another one.

What can be moved: a connection between requests or inside a head; a request whose handler waits in ``Body.read`` (it is
begun again, with the bytes that have come); a request whose handler gave ``on_snapshot``; an answered request whose
body is still being skipped.  Taking a snapshot changes nothing, so a move can be given up at any time.

Fields of version 1: ``peer``; ``unparsed``; ``output``, bytes that the client has not got yet; ``eof``; ``silent_s``;
``request``, ``None`` or the fields of ``_export_request``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from reload import Snapshot

from ._errors import NotExportable
from ._request import Request

if TYPE_CHECKING:
    from ._connection import HTTPConnection

KIND = "http-connection"
VERSION = 1

_FACTS = ("id", "route", "project_id", "status", "sent_bytes", "started", "finished", "reported", "keep")


def take_snapshot(connection: HTTPConnection) -> Snapshot:
    """
    What ``restore`` needs to go on.

    :raises NotExportable: not at this moment
    """
    if connection.closing:
        raise NotExportable("the connection is being closed")
    export_output = getattr(connection.transport, "export_output", None)
    if export_output is None:
        raise NotExportable("what its transport has still to send cannot be told")
    request = connection.request
    fields = {
        "peer": connection.peer,
        "unparsed": connection.unparsed,
        "output": export_output(),
        "eof": connection.eof,
        "silent_s": connection.factory.reactor.seconds() - connection.since,
        "request": None if request is None else _export_request(connection, request),
    }
    return Snapshot(KIND, VERSION, fields)


def _export_request(connection: HTTPConnection, request: Request) -> dict[str, Any]:
    body = request._body
    if body is not None and body.failed:
        raise NotExportable("the request's body has ended early and its handler has not answered yet")
    state: dict[str, Any] = {name: getattr(request, name) for name in _FACTS}
    state["head"] = request.raw_head
    state["age_s"] = connection.factory.reactor.seconds() - request.began
    state["body"] = None if body is None else body.export()
    state["handler"] = _handler_state(request)
    state["chunked"] = request._chunked
    state["bodiless"] = request._bodiless
    state["length"] = request._length
    if request._chunked and request.sent_bytes != request._promised:
        raise NotExportable("a part of a file is on its way inside a chunk")
    return state


def _handler_state(request: Request) -> dict[str, Any] | None:
    """The handler's own state; ``None`` when it is to begin again, or has nothing left to do."""
    if request.finished:
        return None
    if request._snapshot_call is not None:
        return request._snapshot_call()
    body = request._body
    if body is not None and body.reading_document and not request.started:
        return None
    raise NotExportable("the request's handler cannot tell its state")


def restore(connection: HTTPConnection, snapshot: Snapshot) -> None:
    """
    Put ``connection``, which is new, into the state that ``snapshot`` has; ``makeConnection`` then goes on.

    :raises ValueError: a snapshot of another kind or version
    """
    if (snapshot.kind, snapshot.version) != (KIND, VERSION):
        raise ValueError(f"{snapshot.kind} {snapshot.version} is not {KIND} {VERSION}")
    fields = snapshot.fields
    connection.unparsed = fields["unparsed"]
    connection.eof = fields["eof"]
    connection.output = fields["output"]
    connection.since = connection.factory.reactor.seconds() - fields["silent_s"]
    if fields["request"] is not None:
        connection.request = _restore_request(connection, fields["request"])


def _restore_request(connection: HTTPConnection, state: Mapping[str, Any]) -> Request:
    request = Request(connection, state["head"])
    for name in _FACTS:
        setattr(request, name, state[name])
    request.began = connection.factory.reactor.seconds() - state["age_s"]
    request.resumed = state["handler"]
    request._chunked = state["chunked"]
    request._bodiless = state["bodiless"]
    request._length = state["length"]
    request._promised = request.sent_bytes
    if state["body"] is not None:
        request.body.restore(state["body"])
    return request
