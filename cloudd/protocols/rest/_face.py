# -*- test-case-name: tests.protocols.rest.test_face -*-
"""
One REST API on klein: routing, token, query, answer and faults, so that a route is left with its subject.

Every request that gets here is answered in the API's own form: an unknown path with 404, a known path with another
method with 405 and ``Allow``, a refusal with its ``Fault``, an accident with 500, the log's failure and the request id
by which it is found.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Mapping
from typing import Any
from urllib.parse import unquote_to_bytes

from attrs import frozen
from twisted.internet.defer import CancelledError
from twisted.logger import Logger
from twisted.python.failure import Failure
from werkzeug.exceptions import HTTPException, MethodNotAllowed, NotFound

from cloudd.identity import Access, Identity, IdentityError
from cloudd.protocols.http import Handler, Header, KleinApp, Request

from ._documents import Schema, read_document
from ._faults import Fault, FaultBody, bad_request, error_body, not_implemented
from ._query import Links, Query, parse_query
from ._routes import Answer, Declared, RouteMethod, routes_of
from ._routing import absent_routes, app_for, endpoint_of, rules_of
from ._tokens import access_of, fault_of

_log = Logger()

_JSON: Header = (b"Content-Type", b"application/json")
_VARY: Header = (b"Vary", b"X-Auth-Token")


@frozen
class Call:
    """
    One call of a route.

    :ivar request: for its headers; the face answers it
    :ivar query: its parameters
    :ivar links: URLs of the face
    :ivar max_json_bytes: longest body
    """

    request: Request
    query: Query
    links: Links
    max_json_bytes: int
    _access: Access | None

    @property
    def access(self) -> Access:
        """Who is asking; only in a route that needs a token."""
        if self._access is None:
            raise AssertionError("this route was declared with token=False")
        return self._access

    async def read(self, schema: type[Schema]) -> Schema:
        """The body, checked; see ``read_document``."""
        return await read_document(self.request, schema, self.max_json_bytes)


@frozen(kw_only=True)
class FaceFacts:
    """
    What a face is.

    :ivar prefix: path of its root on the port, ``/identity``
    :ivar base: URL of that root, for links
    :ivar keystone: URL that a 401 names
    :ivar max_json_bytes: longest JSON body
    :ivar fault_body: form of its errors
    :ivar service_fault: what an error of the service means; None: it is an accident
    """

    prefix: str
    base: str
    keystone: str
    max_json_bytes: int
    fault_body: FaultBody = error_body
    service_fault: Callable[[Exception], Fault | None] = lambda _: None


class RestFace:
    """
    A klein app made from route classes; itself the handler of the paths below its prefix.

    :ivar facts: what it was made with
    """

    def __init__(
        self,
        facts: FaceFacts,
        identity: Identity,
        subjects: Iterable[object],
        absent: Mapping[str, str] | None = None,
    ) -> None:
        """
        :param subjects: instances of route classes
        :param absent: template -> what the API has there and below, which is not served: answered with 501
        """
        self.facts = facts
        self._identity = identity
        self._links = Links(facts.base)
        self._routes: dict[str, tuple[Declared, RouteMethod]] = {}
        declared = [self._keep(*each) for subject in subjects for each in routes_of(subject)]
        absent = absent or {}
        for template, what in absent.items():
            self._keep_absent(template, what)
        self._routed: Handler = KleinApp(app_for(self, rules_of(facts.prefix, declared, absent)))

    def __call__(self, request: Request) -> Coroutine[Any, Any, None] | None:
        """Answer ``request``; a path that cannot be one of ours does not get to klein."""
        if not _is_utf8(request.path):
            self.refuse(request, bad_request("The path is not percent-encoded UTF-8."))
            return None
        if b"%00" in request.path:  # no database takes it, and no id or name may have it
            self.refuse(request, Fault(404, "The resource could not be found: the path holds the character U+0000."))
            return None
        if request.path.startswith(b"//"):
            self.refuse(request, unrouted(NotFound()))
            return None
        return self._routed(request)

    def _keep(self, declared: Declared, method: RouteMethod) -> Declared:
        self._routes[endpoint_of(declared)] = (declared, method)
        return declared

    def _keep_absent(self, template: str, what: str) -> None:
        async def refuse(call: Call, **parameters: str) -> Answer:
            raise not_implemented(what)

        for declared in absent_routes(template):
            self._keep(declared, refuse)

    async def answer_at(self, endpoint: str, request: Request, parameters: Mapping[str, str]) -> None:
        """The path of ``request`` is that of a route."""
        await self._answer(request, *self._routes[endpoint], parameters)

    async def _answer(
        self, request: Request, declared: Declared, method: RouteMethod, parameters: Mapping[str, str]
    ) -> None:
        request.route = self.facts.prefix + declared.template
        try:
            access = await access_of(self._identity, request, self.facts.keystone) if declared.token else None
            query = parse_query(request.query)
            call = Call(request, query, self._links, self.facts.max_json_bytes, access)
            answer = await method(call, **parameters)
        except Fault as fault:
            self.refuse(request, fault)
        except IdentityError as error:
            self.refuse(request, fault_of(error, self.facts.keystone))
        except CancelledError:
            raise
        except Exception as error:
            self.refuse(request, self.facts.service_fault(error) or accident(request))
        else:
            write_answer(request, answer)

    def not_routed(self, request: Any, failure: Failure) -> None:
        """No route has its path, or none with its method."""
        self.refuse(request, unrouted(failure.value))

    def refuse(self, request: Request, fault: Fault) -> None:
        """Answer with ``fault`` in this API's form."""
        headers = [_JSON, _VARY, *fault.headers]
        request.respond(fault.status, headers, self.facts.fault_body(fault))


def _is_utf8(path: bytes) -> bool:
    if b"%" not in path and path.isascii():
        return True
    try:
        unquote_to_bytes(path).decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def write_answer(request: Request, answer: Answer) -> None:
    """Send what a route gave back."""
    body = answer.body()
    headers = [_JSON, _VARY, *answer.headers] if body else [_VARY, *answer.headers]
    request.respond(answer.status, headers, body)


def accident(request: Request) -> Fault:
    """500 for the exception being handled, which goes to the log under the request's id."""
    _log.failure(
        "{method} {route} failed, request {request_id}",
        method=request.method,
        route=request.route,
        request_id=request.id,
    )
    return Fault(
        500, f"An unexpected error prevented the server from fulfilling your request; the log has it as {request.id}."
    )


def unrouted(error: Any) -> Fault:
    """What klein's router found wrong: 404, or 405 with the methods that the path has."""
    if isinstance(error, MethodNotAllowed):
        allowed = ", ".join(sorted(error.valid_methods or ()))
        message = f"The method is not allowed for the requested URL; allowed: {allowed}."
        return Fault(405, message, headers=[(b"Allow", allowed.encode("ascii"))])
    code = error.code if isinstance(error, HTTPException) and error.code and error.code >= 400 else 404
    if code == 404:
        return Fault(404, "The resource could not be found: no API has this path.")
    return Fault(code, f"The request was refused: {getattr(error, 'description', '') or 'bad request'}")
