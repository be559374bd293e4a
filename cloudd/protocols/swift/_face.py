# -*- test-case-name: tests.protocols.swift.test_face -*-
"""
From a request to its route: who asks, what is named, which method; and from errors to answers.

These are direct handlers, not klein routes: object data is the hot path.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import msgspec

from cloudd.identity import IdentityUnavailable, InvalidToken
from cloudd.interfaces.application import Resources
from cloudd.objects import Objects, project_of
from cloudd.protocols.http import ClientGone, Request
from reload import Snapshot, States
from storage import UnknownState

from . import _object_reads, _object_writes
from ._accounts import get_account, head_account, post_account, put_account
from ._answers import JSON, PLAIN, Refusal, answer, not_served, refuse
from ._bulk import bulk_delete
from ._call import Call, refusal_of
from ._capabilities import capabilities
from ._containers import delete_container, get_container, head_container, post_container, put_container
from ._copies import copy_object
from ._object_reads import GET, get_object, head_object, resume_get
from ._object_writes import PUT, delete_object, post_object, put_object, resume_put
from ._paths import Place, Query, parse_place
from ._tempauth import log_in

if TYPE_CHECKING:
    from cloudd.identity import Access, Identity

Route = Callable[[Call], Awaitable[None]]

ACCOUNT: dict[bytes, Route] = {
    b"GET": get_account,
    b"HEAD": head_account,
    b"POST": post_account,
    b"PUT": put_account,
}
CONTAINER: dict[bytes, Route] = {
    b"GET": get_container,
    b"HEAD": head_container,
    b"PUT": put_container,
    b"POST": post_container,
    b"DELETE": delete_container,
}
OBJECT: dict[bytes, Route] = {
    b"GET": get_object,
    b"HEAD": head_object,
    b"PUT": put_object,
    b"POST": post_object,
    b"DELETE": delete_object,
    b"COPY": copy_object,
}
# Of requests that were begun in another process, by the kind of their state.  Nobody is asked again who they are from.
RESUMED: dict[str, Route] = {GET: resume_get, PUT: resume_put}
STATES = States.joined([_object_reads.STATES, _object_writes.STATES])
# Parameters that mean something else than the plain request wherever they appear.
REFUSED_PARAMETERS = {
    "temp_url_sig": "Temporary URLs",
    "temp_url_expires": "Temporary URLs",
    "versions": "Versions",
    "part-number": "Parts of static large objects",
    "extract-archive": "Upload of archives",
    "path": "Listing by path (use prefix and delimiter)",
}


class SwiftFace:
    """The handler of the object port."""

    def __init__(self, identity: Identity, objects: Objects, resources: Resources) -> None:
        self._identity = identity
        self._objects = objects
        self._resources = resources
        self._info = msgspec.json.encode(capabilities(resources.settings))

    async def handle(self, request: Request) -> None:
        """Answer one request, with Swift's words for what is refused."""
        try:
            if request.path.startswith(b"/v1/"):
                await self._route_place(request)
            else:
                await self._route(request)
        except ClientGone:
            return
        except Exception as error:
            refusal = refusal_of(error)
            # An answer that was begun cannot be turned into a refusal: the connection drops it.
            if refusal is None or request.started:
                raise
            refuse(request, refusal)

    async def _route(self, request: Request) -> None:
        path = request.path
        if path == b"/healthcheck":
            request.route = "/healthcheck"
            request.respond(200, [PLAIN], b"OK")
        elif path == b"/auth/v1.0" and self._resources.settings.objects.tempauth:
            request.route = "/auth/v1.0"
            await log_in(request, self._identity, self._resources.urls["object"], self._resources.reactor.seconds())
        elif path == b"/info" or (path.endswith(b"/info") and not path.startswith((b"/v1/", b"/v1.0/"))):
            request.route = "/info"
            self._answer_info(request)
        else:
            await self._route_place(request)

    def _answer_info(self, request: Request) -> None:
        if request.method == b"OPTIONS":
            answer(request, 200, [(b"Allow", b"HEAD, GET, OPTIONS")])
        elif request.method in (b"GET", b"HEAD"):
            request.respond(200, [JSON], self._info)
        else:
            raise Refusal(405, headers=[(b"Allow", b"HEAD, GET, OPTIONS")])

    async def _route_place(self, request: Request) -> None:
        place = parse_place(request.path)
        request.route = place.route
        request.project_id = project_of(place.account)
        query = Query(request.query)
        access, token_cause = None, ""
        state = None if request.resumed is None else request.state
        route = find_route(request, place, query) if state is None else resumed_route(state)
        if route is None:
            return
        if state is None:
            token = request.header(b"x-auth-token") or request.header(b"x-storage-token")
            access = self._identity.cached(token.decode("latin-1")) if token else None
            if token and access is None:
                access, token_cause = await self._authenticate(token.decode("latin-1"))
        call = Call(
            request=request,
            place=place,
            query=query,
            access=access,
            token_cause=token_cause,
            objects=self._objects,
            threads=self._resources.threads,
            max_object_bytes=self._resources.settings.objects.max_object_bytes,
        )
        try:
            await route(call)
        except Exception as error:
            refusal = call.refusal(error)
            if refusal is None or request.started:
                raise
            raise refusal from error

    async def _authenticate(self, token: str) -> tuple[Access | None, str]:
        """
        Who asks, by a token that this worker does not know yet.

        One that is not valid counts as none: the container may be open to everybody.

        :return: None for nobody, with what was wrong with the token
        :raises Refusal: 503 when tokens cannot be checked now
        """
        try:
            return await self._identity.authenticate_token(token), ""
        except InvalidToken as error:
            return None, error.cause
        except IdentityUnavailable as error:
            raise Refusal(503, error.cause) from None


def resumed_route(state: Snapshot) -> Route:
    """
    What goes on with a request of this state.

    :raises UnknownState:
    """
    route = RESUMED.get(state.kind)
    if route is None:
        raise UnknownState(f"no request goes on here with {state.kind!r}")
    return route


def find_route(request: Request, place: Place, query: Query) -> Route | None:
    """
    The route of a request; None when it was answered here (OPTIONS).

    :raises Refusal: 405 with the methods that there are, 501 for a feature that is not here
    """
    if request.query:
        for name, feature in REFUSED_PARAMETERS.items():
            if name in query:
                raise not_served(feature)
        if "bulk-delete" in query and request.method in (b"POST", b"DELETE"):
            return bulk_delete
    routes = OBJECT if place.object else CONTAINER if place.container else ACCOUNT
    route = routes.get(request.method)
    if route is not None:
        return route
    allow = (b"Allow", b", ".join([*routes, b"OPTIONS"]))
    if request.method != b"OPTIONS":
        raise Refusal(405, headers=[allow])
    # Cross-origin access is switched on by metadata that is not served, so no origin is let in.
    refused = request.header(b"origin") is not None and place.container
    answer(request, 401 if refused else 200, [allow])
    return None
