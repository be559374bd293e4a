# -*- test-case-name: tests.protocols.http.test_snapshot -*-
"""
A connection as plain data, at any byte, and a connection from such data, in this process or another one.

What can be moved: a connection between requests or inside a head; a request whose handler waits in ``Body.read`` (it is
begun again, with the bytes that have come); a request whose handler said ``can_move``; an answered request whose
body is still being skipped.  Taking a snapshot changes nothing, so a move can be given up at any time.

Fields of version 3: ``face``; ``peer``; ``unparsed``; ``output``, bytes that the client has not got yet; ``eof``;
``silent_s``; ``request``, ``None`` or the fields of ``_export_request``.  Of the latter ``handler`` is what the handler
told, ``None`` or a snapshot of its own (``kind``, ``version``, ``fields``), and ``descriptors`` says how many open
files of it come along.  In version 2 kind and version of a handler's state were among its fields; event streams told
no kind.  Version 1 had no such files, and nobody who went on with a handler's state.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from reload import Converters, Snapshot, SnapshotError

from ._errors import NotExportable
from ._request import Request

if TYPE_CHECKING:
    from ._connection import HTTPConnection

KIND = "http-connection"
VERSION = 3
#: In version 2: the kind of a state that tells none.
EVENT_STREAM = "event-stream"

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
        "face": connection.factory.face,
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
    told = request.state if connection.waits else _handler_state(request)
    state["handler"] = None if told is None else _as_fields(told)
    state["descriptors"] = len(request.descriptors_to_move())
    state["chunked"] = request._chunked
    state["bodiless"] = request._bodiless
    state["length"] = request._length
    if request._chunked and request.sent_bytes != request._promised:
        raise NotExportable("a part of a file is on its way inside a chunk")
    return state


def _as_fields(told: Snapshot) -> dict[str, Any]:
    return {"kind": told.kind, "version": told.version, "fields": told.fields}


def _handler_state(request: Request) -> Snapshot | None:
    """The handler's own state; ``None`` when it is to begin again, or has nothing left to do."""
    if request.finished:
        return None
    if request.move is not None:
        return request.move.snapshot()
    body = request._body
    if body is not None and body.reading_document and not request.started:
        return None
    raise NotExportable(f"the handler of {request.route} cannot tell its state")


def restore(connection: HTTPConnection, snapshot: Snapshot, descriptors: tuple[int, ...] = ()) -> None:
    """
    Put ``connection``, which is new, into the state that ``snapshot`` has; ``makeConnection`` then goes on.

    :param descriptors: those of the request's handler; stay the caller's when it raises
    :raises ValueError: a snapshot of another kind or version, or with another number of descriptors
    """
    if (snapshot.kind, snapshot.version) != (KIND, VERSION):
        raise ValueError(f"{snapshot.kind} {snapshot.version} is not {KIND} {VERSION}")
    fields = snapshot.fields
    connection.unparsed = fields["unparsed"]
    connection.eof = fields["eof"]
    connection.output = fields["output"]
    connection.since = connection.factory.reactor.seconds() - fields["silent_s"]
    expected = 0 if fields["request"] is None else fields["request"]["descriptors"]
    if len(descriptors) != expected:
        raise ValueError(f"{len(descriptors)} open files came with a request that has {expected}")
    if fields["request"] is not None:
        connection.request = _restore_request(connection, fields["request"], descriptors)


def replace_state(snapshot: Snapshot, convert: Callable[[Snapshot], Snapshot]) -> Snapshot:
    """The snapshot of a connection with what ``convert`` makes of its handler's state; for ``reload.Inner``."""
    request = snapshot.fields["request"]
    if request is None or request["handler"] is None:
        return snapshot
    told = Snapshot(**request["handler"])
    found = convert(told)
    if found is told:
        return snapshot
    fields = {**snapshot.fields, "request": {**request, "handler": _as_fields(found)}}
    return Snapshot(snapshot.kind, snapshot.version, fields)


def continue_request(
    connection: HTTPConnection, request: Request, convert: Callable[[Snapshot], Snapshot] | None = None
) -> Request:
    """
    A request that goes on in this process where ``request`` is, with descriptors of its own.

    :param convert: makes of the handler's state one in the version of the code that goes on with it
    :raises NotExportable: not at this moment, or that code cannot go on with it
    """
    if connection.closing or connection.frozen or connection.request is not request or request.finished:
        raise NotExportable("the request is over, or its connection is moving to another process")
    if request.move is None:
        raise NotExportable(f"the handler of {request.route} cannot tell its state")
    if request.sent_bytes != request._promised:
        raise NotExportable("a part of a file is on its way")
    state = _export_request(connection, request)
    if convert is not None and state["handler"] is not None:
        try:
            state["handler"] = _as_fields(convert(Snapshot(**state["handler"])))
        except SnapshotError as error:
            raise NotExportable(str(error)) from error
    descriptors: list[int] = []
    try:
        for descriptor in request.descriptors_to_move():
            descriptors.append(os.dup(descriptor))
        return _restore_request(connection, state, tuple(descriptors))
    except BaseException:
        for descriptor in descriptors:
            os.close(descriptor)
        raise


def _restore_request(
    connection: HTTPConnection, state: Mapping[str, Any], descriptors: tuple[int, ...] = ()
) -> Request:
    request = Request(connection, state["head"])
    for name in _FACTS:
        setattr(request, name, state[name])
    request.began = connection.factory.reactor.seconds() - state["age_s"]
    request.resume_with(None if state["handler"] is None else Snapshot(**state["handler"]), descriptors)
    request._chunked = state["chunked"]
    request._bodiless = state["bodiless"]
    request._length = state["length"]
    request._promised = request.sent_bytes
    if state["body"] is not None:
        request.body.restore(state["body"])
    return request


def add_converters(converters: Converters) -> None:
    """Make the steps between the versions of this kind known."""
    converters.add(KIND, 1, up=_to_2, down=_to_1)
    converters.add(KIND, 2, up=_to_3, down=_back_to_2)


def _to_2(fields: dict[str, Any]) -> dict[str, Any]:
    if fields["request"] is not None:
        fields["request"]["descriptors"] = 0
    return fields


def _to_1(fields: dict[str, Any]) -> dict[str, Any]:
    """:raises ValueError: its request's handler could not be gone on with there"""
    request = fields["request"]
    if request is not None and (request["handler"] is not None or request.pop("descriptors")):
        raise ValueError("in version 1 no handler goes on where another one was")
    return fields


def _to_3(fields: dict[str, Any]) -> dict[str, Any]:
    told = None if fields["request"] is None else fields["request"]["handler"]
    if told is not None:
        kind, version = told.pop("kind", EVENT_STREAM), told.pop("version", 1)
        fields["request"]["handler"] = {"kind": kind, "version": version, "fields": told}
    return fields


def _back_to_2(fields: dict[str, Any]) -> dict[str, Any]:
    told = None if fields["request"] is None else fields["request"]["handler"]
    if told is not None:
        fields["request"]["handler"] = {**told["fields"], "kind": told["kind"], "version": told["version"]}
    return fields
