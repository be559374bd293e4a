# -*- test-case-name: tests.web.test_face -*-
"""
Routes of the page: its files for everybody, its data and what happens in upgrades for administrators.

Every answer says to the browser: run and load nothing but what comes from here, guess no types, show this page in no
frame.  Data is never kept by a cache.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any
from urllib.parse import parse_qs

import msgspec
from attrs import frozen
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.defer import TimeoutError as NoAnswer
from twisted.logger import Logger

from cloudd.control import STEPS, limit_in
from cloudd.events import Events
from cloudd.identity import Access, Identity
from cloudd.interfaces.application import Resources
from cloudd.protocols.events import Door, events_face
from cloudd.protocols.http import Handler, Header, Request
from cloudd.protocols.rest import Fault

from ._files import PageFile, PageFiles, read_files
from ._origin import may_change, may_read
from ._refusal import Refused
from ._session import Sessions, shown, token_in

_log = Logger()

POLICY = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    b"base-uri 'none'; frame-ancestors 'none'; form-action 'self'; require-trusted-types-for 'script'; "
    b"trusted-types 'none'"
)
PROTECTION: tuple[Header, ...] = (
    (b"Content-Security-Policy", POLICY),
    (b"X-Content-Type-Options", b"nosniff"),
    (b"X-Frame-Options", b"DENY"),
    (b"Referrer-Policy", b"no-referrer"),
    (b"Cross-Origin-Resource-Policy", b"same-origin"),
)
_JSON: Header = (b"Content-Type", b"application/json")
_NEVER_KEPT: Header = (b"Cache-Control", b"no-store")
_ASKED_AGAIN: Header = (b"Cache-Control", b"no-cache")  # kept, and used when its tag is still right

#: A plan reads a code tree; all else takes milliseconds.
_PATIENCE_S = 35.0
_AUDIT_ENTRIES = 50
_OTHER_SITE = "Another site asks for this: only the page itself may."
_MAX_AUDIT = 1000

Answering = Callable[[Request], Awaitable[None]]


Rolling = Callable[[], Awaitable[dict[str, Any]]]
"""``cloudd.control.RollingStatus`` as plain data."""


def web_face(identity: Identity, events: Events, resources: Resources, rolling: Rolling) -> Handler:
    """
    :param rolling: how far the latest change of all nodes is
    :return: the handler of ``/ui`` and of all paths below it
    """
    sessions = Sessions(identity)

    async def enter(request: Request) -> tuple[str, Access]:
        """By the cookie, since an ``EventSource`` sends no headers of the page's own."""
        try:
            if not may_read(request):
                raise Refused(403, _OTHER_SITE)
            return token_in(request) or "", await sessions.access(request)
        except Refused as refused:
            raise Fault(refused.status, refused.cause) from None

    door = Door(route="/ui/events", enter=enter, query=b"all&types=upgrade", headers=PROTECTION)
    stream = events_face(events, identity, resources, door)
    return _Page(resources, sessions, read_files(), stream, rolling).handle


class _Page:
    def __init__(
        self, resources: Resources, sessions: Sessions, files: PageFiles, stream: Handler, rolling: Rolling
    ) -> None:
        self._resources = resources
        self._sessions = sessions
        self._stream = stream
        self._version = files.version
        page = files.by_name["page.html"]
        self._files = {b"/ui": page, b"/ui/": page}
        self._files |= {b"/ui/" + name.encode(): file for name, file in files.by_name.items() if file is not page}
        host = resources.host
        self._calls: dict[bytes, _Call] = {
            b"/ui/api/session": _Call(b"GET", self._session),
            b"/ui/api/login": _Call(b"POST", self._log_in),
            b"/ui/api/logout": _Call(b"POST", self._log_out),
            b"/ui/api/status": _Call(b"GET", self._data(lambda _: host.status(), self._add_page)),
            b"/ui/api/health": _Call(b"GET", self._data(lambda _: host.health())),
            b"/ui/api/plan": _Call(b"GET", self._data(lambda _: host.plan())),
            b"/ui/api/rolling": _Call(b"GET", self._data(lambda _: Deferred.fromCoroutine(_awaited(rolling())))),
            b"/ui/api/rates": _Call(b"GET", self._data(lambda _: host.rates(without="/ui"))),
            b"/ui/api/audit": _Call(b"GET", self._data(lambda request: host.audit(_limit_in(request.query)))),
        }

    def handle(self, request: Request) -> Coroutine[Any, Any, None] | None:
        file = self._files.get(request.path)
        if file is not None:
            self._send_file(request, file)
            return None
        if request.path == b"/ui/events":
            return self._stream(request)
        return self._carry_out(request)

    def _send_file(self, request: Request, file: PageFile) -> None:
        request.route = request.path.decode("ascii")
        if request.method not in (b"GET", b"HEAD"):
            _refuse(request, Refused(405, "Only GET and HEAD are allowed here."), (b"Allow", b"GET, HEAD"))
            return
        fields = [*PROTECTION, _ASKED_AGAIN, (b"ETag", file.tag)]
        known = request.header(b"if-none-match") or b""
        if file.tag in {tag.strip().removeprefix(b"W/") for tag in known.split(b",")}:
            request.respond(304, fields)
        else:
            request.respond(200, [*fields, (b"Content-Type", file.kind)], file.body)

    async def _carry_out(self, request: Request) -> None:
        call = self._calls.get(request.path)
        try:
            if call is None:
                raise Refused(404, "There is nothing here; the page is at /ui.")
            request.route = request.path.decode("ascii")
            if request.method != call.method:
                raise Refused(405, f"{request.route} takes {call.method.decode()} alone.")
            self._check_origin(request)
            await call.answer(request)
        except CancelledError:
            raise
        except Refused as refused:
            _refuse(request, refused)
        except Exception:
            _log.failure("{path} failed", path=request.path.decode("latin-1"))
            _refuse(request, Refused(500, "The page's server failed at this; the daemon's log says how."))

    def _check_origin(self, request: Request) -> None:
        own = self._resources.urls.get("api", "")
        if not (may_read(request) if request.method == b"GET" else may_change(request, own)):
            raise Refused(403, _OTHER_SITE)

    async def _session(self, request: Request) -> None:
        """200 also when nobody is logged in: to find that out is no error."""
        try:
            found: dict[str, Any] = {"session": shown(await self._sessions.access(request)), "cause": ""}
        except Refused as refused:
            if refused.status == 503:
                raise
            found = {"session": None, "cause": "" if refused.status == 401 else refused.cause}
        _answer(request, found)

    async def _log_in(self, request: Request) -> None:
        access, cookie = await self._sessions.log_in(request)
        _answer(request, shown(access), cookie)

    async def _log_out(self, request: Request) -> None:
        cookie = await self._sessions.log_out(request)
        request.respond(204, [*PROTECTION, _NEVER_KEPT, cookie])

    def _data(
        self, ask: Callable[[Request], Deferred[dict[str, Any]]], add: Callable[[dict[str, Any]], None] | None = None
    ) -> Answering:
        async def answer(request: Request) -> None:
            await self._sessions.access(request)
            try:
                found = await ask(request).addTimeout(_PATIENCE_S, self._resources.reactor)
            except (CancelledError, Refused):
                raise
            except Exception as error:
                cause = f"no answer within {_PATIENCE_S:g} s" if isinstance(error, NoAnswer) else str(error)
                raise Refused(503, f"The host could not be asked: {cause or type(error).__name__}.") from error
            if add is not None:
                add(found)
            _answer(request, found)

        return answer

    def _add_page(self, status: dict[str, Any]) -> None:
        """What the page needs beside the host's status: the time here, the steps there are, which page it is."""
        status["page"] = {"version": self._version, "time": self._resources.reactor.seconds(), "steps": STEPS}


async def _awaited(waiting: Awaitable[dict[str, Any]]) -> dict[str, Any]:
    return await waiting


@frozen
class _Call:
    method: bytes
    answer: Answering


def _answer(request: Request, found: Any, *more: Header) -> None:
    request.respond(200, [*PROTECTION, _JSON, _NEVER_KEPT, *more], msgspec.json.encode(found))


def _refuse(request: Request, refused: Refused, *more: Header) -> None:
    if not request.started and not request.client_gone:
        body = msgspec.json.encode({"cause": refused.cause, "status": refused.status})
        request.respond(refused.status, [*PROTECTION, _JSON, _NEVER_KEPT, *more], body)


def _limit_in(query: bytes) -> int:
    values = parse_qs(query.decode("latin-1"), keep_blank_values=True)
    limit = values.get("limit", [str(_AUDIT_ENTRIES)])[-1]
    try:
        return limit_in(limit, _MAX_AUDIT)
    except ValueError as error:
        raise Refused(400, f"{error}.") from None
