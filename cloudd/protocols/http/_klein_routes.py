# -*- test-case-name: tests.protocols.http.test_klein -*-
"""
The short way to a klein route.

klein makes an adapter and half a dozen Deferreds for every request, twice the price of the request itself, while most
of our routes are coroutines that answer without waiting.  So the route is looked up in the app's own map and its
coroutine begun here; when it has ended with its answer given, that was all.  Everything else is klein's: unknown
paths, other methods, redirects and routes that are no coroutines from the start, and of a coroutine that was begun
what came of it so far: that it waits, what it returned, what it raised.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from functools import lru_cache
from inspect import iscoroutinefunction
from typing import TYPE_CHECKING, Any

from attrs import frozen
from twisted.internet.defer import Deferred, fail, succeed
from twisted.python.failure import Failure

from ._drive import rest_of

if TYPE_CHECKING:
    from ._request import Request

_KEPT = 1_024
_LONGEST_KEPT = 256  # bytes of a path


@frozen
class Found:
    """
    A route that is a coroutine function.

    :ivar segments: how many of the path's segments klein counts as the route's
    :ivar url_map: of its app
    """

    function: Callable[..., Coroutine[Any, Any, Any]]
    arguments: tuple[Any, ...]
    parameters: Mapping[str, Any]
    segments: int
    url_map: Any

    def begin(self, request: Request) -> Coroutine[Any, Any, Any]:
        """Its coroutine for ``request``."""
        return self.function(*self.arguments, request, **self.parameters)


class Routes:
    """
    The coroutine routes of an app, by method and path.

    :param app: a ``klein.Klein`` whose routes are all there
    """

    def __init__(self, app: Any) -> None:
        self._app = app
        self._adapter = None if app.url_map.host_matching else app.url_map.bind("localhost")
        self._kept = lru_cache(_KEPT)(self._match)

    def find(self, method: bytes, path: bytes) -> Found | None:
        """
        The route, if there is one that is a coroutine function and the path is plain: klein's way takes all others.
        """
        if self._adapter is None or b"%" in path or path.startswith(b"//") or not path.isascii():
            return None
        return self._kept(method, path) if len(path) <= _LONGEST_KEPT else self._match(method, path)

    def _match(self, method: bytes, path: bytes) -> Found | None:
        from werkzeug.exceptions import HTTPException

        assert self._adapter is not None
        try:
            rule, parameters = self._adapter.match(path.decode("ascii"), method.decode("ascii"), return_rule=True)
        except HTTPException:
            return None
        executor = self._app.endpoints[rule.endpoint]
        function = getattr(executor, "__original__", None)
        if not iscoroutinefunction(function) or "__rest__" in parameters:
            return None
        instance = self._app._instance
        bound = instance is not None or getattr(function, "__klein_bound__", False)
        arguments = (instance,) if bound else ()
        return Found(function, arguments, parameters, executor.segment_count, self._app.url_map)


def match_only(app: Any) -> None:
    """
    Let no URLs be made of the rules of an app: what werkzeug compiles for that takes nine times as long as the rest.

    :param app: a ``klein.Klein`` that has no rules yet
    """
    from ._klein_map import MatchingMap  # late, as klein is

    app._url_map = MatchingMap()


class BegunApp:
    """
    A klein app for one request, whose route has begun.

    :param outcome: what came of it, or will
    """

    def __init__(self, app: Any, outcome: Deferred[Any]) -> None:
        self.url_map = app.url_map
        self.endpoints = app.endpoints
        self.execute_error_handler = app.execute_error_handler
        self._error_handlers = app._error_handlers
        self._outcome = outcome

    def execute_endpoint(self, _endpoint: str, _request: Request, **_parameters: Any) -> Deferred[Any]:
        """Called by klein instead of the route."""
        return self._outcome


def begin(coroutine: Coroutine[Any, Any, Any], request: Request) -> Deferred[Any] | None:
    """
    Run a route's coroutine until it waits or ends.

    :return: ``None`` when it has ended with its answer given; else what came of it, for klein
    """
    try:
        awaited = coroutine.send(None)
    except StopIteration as end:
        return None if end.value is None and request.finished else succeed(end.value)
    except BaseException:
        return fail(Failure())
    return Deferred.fromCoroutine(rest_of(coroutine, awaited))
