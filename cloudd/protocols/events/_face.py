# -*- test-case-name: tests.protocols.events.test_face -*-
"""
The one route: check who asks and for what, begin the answer, and give it to the hub.

A stream is a request whose answer has no end, and there are many of them: so there is no coroutine that waits, and one
small object a stream.  It moves with its connection, to another process or to the next generation of the code; it is
begun again there from the request's own head and the position it had reached.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any
from urllib.parse import parse_qsl

from attrs import frozen
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from cloudd.events import BadPosition, Events, Grant, Position, Subscriber, UnknownType, View, check_types
from cloudd.identity import Access, Identity, IdentityError
from cloudd.interfaces.application import Resources
from cloudd.protocols.http import Handler, Header, NotExportable, Request
from cloudd.protocols.rest import Fault, access_of, bad_request, error_body, fault_of, token_of
from reload import States

#: Of the state with which a stream goes on elsewhere.
STATE = ("event-stream", 1)
STATES = States(dict([STATE]))
FULL_RETRY_S = 5
_RETRY_MS = (1_000, 5_000)  # clients of a daemon that restarts must not come back all at once

_log = Logger()

_STREAM: tuple[Header, ...] = (
    (b"Content-Type", b"text/event-stream"),
    (b"Cache-Control", b"no-store"),
    (b"X-Accel-Buffering", b"no"),
)
_JSON: Header = (b"Content-Type", b"application/json")
_ALLOW: Header = (b"Allow", b"GET, HEAD")


@frozen(kw_only=True)
class Door:
    """
    Another way in than ``/events`` with a token in ``X-Auth-Token``.

    :param route: for log and metrics
    :param enter: gives the token of who is asking and what it was just verified as; raises ``Fault``
    :param query: what everybody who comes this way is told, in the words of ``/events``; the request's own is ignored
    :param headers: of the answer, beside those of every stream
    """

    route: str
    enter: Callable[[Request], Awaitable[tuple[str, Access]]]
    query: bytes
    headers: tuple[Header, ...] = ()


def events_face(events: Events, identity: Identity, resources: Resources, door: Door | None = None) -> Handler:
    """:return: the handler of ``/events``, or of what leads to it by another door"""
    return _Face(events, identity, resources.urls.get("api", "") + "/identity/v3", door)


@frozen
class _Asked:
    """What a request asks for."""

    everything: bool
    types: tuple[str, ...]
    position: Position | None


@frozen
class _Face:
    events: Events
    identity: Identity
    keystone: str
    door: Door | None

    def __call__(self, request: Request) -> None:
        request.route = self.door.route if self.door else "/events"
        if request.method not in (b"GET", b"HEAD"):
            _refuse(request, Fault(405, "Only GET and HEAD are allowed here.", headers=[_ALLOW]))
            return
        request.can_move(partial(_state_before, request), _nothing, follows=True, state=STATE)
        # Not as the handler's own coroutine: that would have to last as long as the stream.
        opening = Deferred.fromCoroutine(self._open(request))
        opening.addErrback(self._failed, request)

    async def _open(self, request: Request) -> None:
        try:
            asked = _asked(self.door.query if self.door else request.query, request)
            token, access = await self._enter(request)
            _check_scope(access, asked)
        except IdentityError as error:
            _refuse(request, fault_of(error, self.keystone))
            return
        except Fault as fault:
            _refuse(request, fault)
            return
        if request.client_gone or request.finished:
            return
        if request.method == b"HEAD":
            request.start(200, self._headers)
            request.finish()
            return
        if self.events.is_full and request.resumed is None:
            headers = [(b"Retry-After", b"%d" % FULL_RETRY_S)]
            _refuse(
                request, Fault(503, "There are as many event streams as allowed; try again later.", headers=headers)
            )
            return
        self._begin(request, token, access, asked)

    async def _enter(self, request: Request) -> tuple[str, Access]:
        if self.door is not None:
            return await self.door.enter(request)
        access = await access_of(self.identity, request, self.keystone)
        return token_of(request, b"x-auth-token") or "", access

    @property
    def _headers(self) -> tuple[Header, ...]:
        return (*_STREAM, *self.door.headers) if self.door else _STREAM

    def _begin(self, request: Request, token: str, access: Access, asked: _Asked) -> None:
        resumed = request.resumed is not None
        grant = self.events.grant(token, access)
        view = grant.view(everything=asked.everything)
        stream = Stream(self.events, request, grant, view, asked.types, asked.position, resumed, self._headers)
        request.when_closed(stream.leave)
        request.forget_fields()
        if not stream.gone:
            self.events.join(stream)
            if resumed:
                stream.begun()

    def _failed(self, failure: Any, request: Request) -> None:
        _log.failure("the event stream of {request} failed", failure, request=request)
        _refuse(request, Fault(500, f"An accident in the server; its log has it under {request.id}."))


class Stream(Subscriber):
    """One open answer."""

    __slots__ = ("_events", "_headers", "_request")

    def __init__(
        self,
        events: Events,
        request: Request,
        grant: Grant,
        view: View,
        types: tuple[str, ...],
        position: Position | None,
        trusted: bool,
        headers: tuple[Header, ...],
    ) -> None:
        super().__init__(grant, view, types, position, trusted=trusted)
        self._events = events
        self._request = request
        self._headers = headers

    def begun(self) -> None:
        # What has moved is told that its client left: ``leave``.
        self._request.can_move(self.tell, _nothing, follows=True, state=STATE)

    def send(self, data: bytes) -> None:
        request = self._request
        if not request.started:
            # Only now, when it is known where the stream begins: what happens after the answer's head is in it.
            request.start(200, self._headers)
            data = b"retry: %d\n%b" % (random.randint(*_RETRY_MS), data)  # noqa: S311
        waiting = request.write(data, at_once=True)
        if waiting is not None:
            waiting.addErrback(lambda _: None)  # the client has gone, which ``leave`` is told

    def end(self) -> None:
        _refuse(self._request, Fault(503, "The stream ended before it began.", headers=[(b"Retry-After", b"1")]))

    def leave(self) -> None:
        """The client has gone, or the stream goes on elsewhere."""
        self._events.leave(self)

    def tell(self) -> dict[str, Any]:
        """
        The stream's state; all else is in the request's head.

        :raises NotExportable: it has ended
        """
        position = self._events.position_of(self)
        if position is None or self.gone:
            raise NotExportable("the event stream has ended")
        return {"position": str(position)}

    @property
    def unsent(self) -> int:
        return self._request.unsent_bytes

    @property
    def held(self) -> bool:
        return self._request.held

    @property
    def process_ends(self) -> bool:
        return self._request.process_ends


def _state_before(request: Request) -> dict[str, Any]:
    """
    The state of a stream that has not begun here: what it had where it was before.

    :raises NotExportable: it is only beginning; it is asked again
    """
    if request.resumed is None:
        raise NotExportable("the event stream is only beginning")
    return request.resumed


def _nothing() -> None:
    """What such a stream has to let go of."""


def _asked(query: bytes, request: Request) -> _Asked:
    """
    :raises Fault: 400: a parameter or position that is none
    """
    everything, types = False, ""
    for name, value in parse_qsl(query.decode("latin-1"), keep_blank_values=True):
        if name == "all":
            everything = _truth(value)
        elif name == "types":
            types = f"{types},{value}"
        else:
            raise bad_request(f"There is no parameter {name[:64]!r} here; all and types are.")
    try:
        return _Asked(everything, check_types(types), _position(request))
    except UnknownType as error:
        raise bad_request(
            f"No event has the type {str(error)[:64]!r}; see the documentation for those there are."
        ) from None
    except BadPosition as error:
        raise bad_request(f"Last-Event-ID: {error}.") from None


def _truth(value: str) -> bool:
    if value.lower() in ("", "1", "true"):
        return True
    if value.lower() in ("0", "false"):
        return False
    raise bad_request(f"all={value[:64]!r} is neither true nor false.")


def _position(request: Request) -> Position | None:
    """Where to begin: where the stream was before it moved, else what the client has seen."""
    state = request.resumed
    if state is not None:
        return Position.parse(state["position"])
    told = request.header(b"last-event-id")
    return Position.parse(told.decode("latin-1")) if told else None


def _check_scope(access: Access, asked: _Asked) -> None:
    """
    :raises Fault: 403
    """
    if asked.everything and not access.is_admin:
        raise Fault(403, "Only an administrator may ask for all events.")
    if not asked.everything and access.project_id is None:
        raise Fault(403, "This needs a token with a project in scope.")


def _refuse(request: Request, fault: Fault) -> None:
    """Answer so; an answer that has begun is ended: the client comes back and learns why."""
    if request.finished or request.client_gone:
        return
    if request.started:
        request.finish()
        return
    request.respond(fault.status, [_JSON, *fault.headers], error_body(fault))
