# -*- test-case-name: tests.protocols.http.test_klein -*-
"""
klein on our request: the only place with its (that is, twisted.web's) names.

klein is imported when the first ``KleinApp`` is made, because its import installs a reactor.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import unquote_to_bytes

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure

from ._head import Head
from ._klein_routes import BegunApp, Found, Routes, begin

if TYPE_CHECKING:
    from ._connection import HTTPConnection
    from ._request import Request

_log = Logger()


class KleinState:
    """What klein and its routes have set on one request so far."""

    __slots__ = ("_notified", "_over", "_path", "_paths", "headers", "klein_request", "matched", "pieces", "status")

    def __init__(self, path: bytes) -> None:
        self._path = path
        self._paths: tuple[list[bytes], list[bytes]] | None = None
        self.matched: Found | None = None  # begun the short way
        self.status = 200
        self.headers: list[tuple[bytes, bytes]] = []
        self.pieces: list[bytes] = []
        self._notified: list[Deferred[None]] = []
        self._over = False
        self.klein_request: Any = None

    @property
    def paths(self) -> tuple[list[bytes], list[bytes]]:
        """Segments of the path that the route has matched, and the others; cut when somebody asks."""
        if self._paths is None:
            found, count = segments(self._path), self.matched.segments if self.matched else 0
            self._paths = (found[:count], found[count:])
        return self._paths

    @paths.setter
    def paths(self, value: tuple[list[bytes], list[bytes]]) -> None:
        self._paths = value

    def leave_to_klein(self) -> None:
        """The short way ends here; klein finds the route itself."""
        self.matched = None
        self._paths = None

    def write(self, data: bytes) -> None:
        """Keep it: a route's answer is sent as one."""
        self.pieces.append(data)

    def finish(self, request: Request) -> None:
        """Send what was kept."""
        request.respond(self.status, self.headers, b"".join(self.pieces))

    def when_ended(self) -> Deferred[None]:
        """Fires at the end of the answer, fails when the client leaves before."""
        ended: Deferred[None] = Deferred()
        if self._over:
            ended.callback(None)
        else:
            self._notified.append(ended)
        return ended

    def ended(self) -> None:
        """The answer has ended."""
        self._over = True
        notified, self._notified = self._notified, []
        for each in notified:
            each.callback(None)

    def client_left(self) -> None:
        """The client has left; klein cancels the route."""
        notified, self._notified = self._notified, []
        for each in notified:
            each.addErrback(lambda _: None)
            each.errback(Failure(ConnectionDone("the client left before its answer")))


class KleinGlue(Head):
    """The members that klein needs; a base of ``Request``."""

    __slots__ = ("_connection", "_klein")

    _connection: HTTPConnection
    _klein: KleinState | None

    def _state(self) -> KleinState:
        if self._klein is None:
            self._klein = KleinState(self.path)
        return self._klein

    @property
    def prepath(self) -> list[bytes]:
        """Segments of the path that the route has matched."""
        return self._state().paths[0]

    @property
    def postpath(self) -> list[bytes]:
        """Segments still to match."""
        return self._state().paths[1]

    @postpath.setter
    def postpath(self, value: list[bytes]) -> None:
        state = self._state()
        state.paths = (state.paths[0], value)

    def getRequestHostname(self) -> bytes:
        """The host that the client named, without its port."""
        host = self.fields.get(b"host") or b""
        if host.startswith(b"["):
            return host[: host.find(b"]") + 1]
        return host.partition(b":")[0] or b"localhost"

    def getHost(self) -> Any:
        """Our address."""
        return self._connection.host()

    def isSecure(self) -> bool:
        """Whether the client speaks TLS, which ends before us."""
        return self._connection.factory.secure

    def setResponseCode(self, code: int, _message: bytes | None = None) -> None:
        """The status of the answer that klein will send."""
        self._state().status = code

    def setHeader(self, name: bytes | str, value: bytes | str) -> None:
        """A header of the answer that klein will send; replaces an earlier one."""
        key = name.encode("latin-1") if isinstance(name, str) else name
        text = value.encode("latin-1") if isinstance(value, str) else value
        state = self._state()
        state.headers = [(known, kept) for known, kept in state.headers if known.lower() != key.lower()]
        if key.lower() != b"content-length":  # the connection counts for itself
            state.headers.append((key, text))

    def notifyFinish(self) -> Deferred[None]:
        """Fires at the end of the answer; fails when the client leaves a request that changes nothing."""
        return self._state().when_ended()

    def processingFailed(self, failure: Failure) -> None:
        """A route raised what nobody handles."""
        self._connection.handler_failed(cast("Request", self), failure)

    def __conform__(self, interface: Any) -> Any:
        if interface.__name__ != "IKleinRequest":
            return None
        state = self._state()
        if state.klein_request is None:
            state.klein_request = _klein_request(interface, self, state.matched)
        return state.klein_request


def _klein_request(interface: Any, request: Any, matched: Found | None) -> Any:
    """klein's own object for ``request``; klein gives it its mapper, but for a route begun the short way."""
    from klein._app import KleinRequest
    from klein._resource import extractURLparts

    if not interface.implementedBy(KleinRequest):
        return None
    made = KleinRequest(request)
    if matched is not None:
        scheme, host, *_ = extractURLparts(request)
        method = request.method.decode("ascii")
        made.mapper = matched.url_map.bind(host, "", default_method=method, url_scheme=scheme)
    return made


def segments(path: bytes) -> list[bytes]:
    """
    The path's segments, percent-decoded, except that an encoded slash or NUL stays encoded.

    Decoded, such a byte would make another path of it: ``/users/a%2Froles`` is a user with a strange id.
    """
    if b"%" not in path:
        return path[1:].split(b"/")
    return [_decoded(segment) for segment in path[1:].split(b"/")]


def _decoded(segment: bytes) -> bytes:
    return unquote_to_bytes(segment).replace(b"/", b"%2F").replace(b"\0", b"%00")


class KleinApp:
    """
    A handler that runs a ``klein.Klein`` app on our requests.

    :param app: a ``Klein``, bound to its instance if it has one
    """

    def __init__(self, app: Any) -> None:
        from klein.resource import KleinResource

        self._make_resource: Callable[[Any], Any] = KleinResource
        self._app = app
        self._resource = KleinResource(app)
        self._routes: Routes | None = None  # when all routes are there

    def __call__(self, request: Request) -> None:
        """Route ``request``; its answer may come later."""
        state = request._state()
        if self._routes is None:
            self._routes = Routes(self._app)
        found = self._routes.find(request.method, request.path)
        if found is None:
            self._render(self._resource, request, state)
            return
        state.matched = found
        outcome = begin(found.begin(request), request)
        if outcome is not None:
            state.leave_to_klein()
            self._render(self._make_resource(BegunApp(self._app, outcome)), request, state)

    def _render(self, resource: Any, request: Request, state: KleinState) -> None:
        refusal = resource.render(request)
        if isinstance(refusal, bytes):  # a path that is not UTF-8: klein gives the answer instead of writing it
            state.write(refusal)
            state.finish(request)
