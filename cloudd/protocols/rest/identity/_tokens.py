# -*- test-case-name: tests.protocols.rest.identity.test_tokens -*-
"""
Tokens: issue, show, check and revoke; and what a token could be asked for.

Showing and checking is the hottest call of a cloud, since services ask it about every request of theirs; so it has a
direct handler, ``TokenValidation``, before its klein route.

Source: Identity API v3, "Authentication and token management".
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import msgspec

from cloudd.identity import Access, Identity, IdentityError, InvalidToken
from cloudd.protocols.http import Header, Request

from .._face import Call, RestFace, write_answer
from .._faults import Fault
from .._query import Query, parse_query
from .._routes import Answer, route
from .._times import zulu
from .._tokens import fault_of, token_of
from ._login import auth_request
from ._schemas import AuthDocument
from ._shown import list_answer, show_domain, show_project

_KEPT = 1024  # bodies of about 2 KB


class TokenRoutes:
    """``/v3/auth``."""

    def __init__(self, identity: Identity) -> None:
        self._identity = identity

    @route("POST", "/v3/auth/tokens", token=False)
    async def issue(self, call: Call) -> Answer:
        """201 with the token in ``X-Subject-Token``; ``?nocatalog`` leaves the catalog out."""
        document = await call.read(AuthDocument)
        issued = await self._identity.authenticate(auth_request(document.auth))
        call.request.project_id = issued.access.project_id or ""
        shown = show_token(self._identity, issued.access, call.query)
        return Answer(201, {"token": shown}, (subject_header(issued.token),))

    @route("GET", "/v3/auth/tokens")
    async def validate(self, call: Call) -> Answer:
        """200 with the facts of ``X-Subject-Token``; 404 when it is not valid now."""
        token = subject_of(call.request)
        try:
            subject = await self._identity.authenticate_token(token)
        except InvalidToken as error:
            raise no_token(error.cause) from None
        self._identity.require_validation(call.access, subject)
        shown = show_token(self._identity, subject, call.query)
        return Answer(200, {"token": shown}, (subject_header(token),))

    @route("DELETE", "/v3/auth/tokens")
    async def revoke(self, call: Call) -> Answer:
        """204: every worker refuses the token from a second later on."""
        await self._identity.revoke(call.access, subject_of(call.request))
        return Answer(204)

    @route("GET", "/v3/auth/catalog")
    async def catalog(self, call: Call) -> Answer:
        """The catalog as this token would have it."""
        if not _scoped(call.access):
            raise Fault(403, "The catalog belongs to a scope; this token is unscoped.")
        return Answer(
            200,
            {
                "catalog": self._identity.catalog(call.access),
                "links": call.links.own("v3", "auth", "catalog"),
            },
        )

    @route("GET", "/v3/auth/projects")
    async def projects(self, call: Call) -> Answer:
        """The projects that whoever asks can get a token for."""
        projects = await self._identity.own.projects(call.access)
        return list_answer(call, "projects", ("v3", "auth", "projects"), projects, show_project)

    @route("GET", "/v3/auth/domains")
    async def domains(self, call: Call) -> Answer:
        """The domains that whoever asks can get a token for."""
        domains = await self._identity.own.domains(call.access)
        return list_answer(call, "domains", ("v3", "auth", "domains"), domains, show_domain)

    @route("GET", "/v3/auth/system")
    async def system(self, call: Call) -> Answer:
        """Nobody has a role on the system here."""
        return Answer(200, {"system": [], "links": call.links.of_list(call.query, None, "v3", "auth", "system")})


class TokenValidation:
    """
    ``GET`` and ``HEAD`` of ``/v3/auth/tokens`` when both tokens are known to this worker: without waiting.

    Bodies are kept with the facts they were made from and are good as long as the identity service gives the very
    same facts for the token; so a change of roles or a revocation needs no word to this class.
    """

    def __init__(self, identity: Identity, face: RestFace) -> None:
        self._identity = identity
        self._face = face
        self._bodies: OrderedDict[tuple[str, bytes], tuple[Access, bytes]] = OrderedDict()

    def answer(self, request: Request) -> bool:
        """:return: whether the request was answered; if not, the klein route has to"""
        token = token_of(request, b"x-subject-token")
        asking = self._known(token_of(request, b"x-auth-token"))
        subject = self._known(token)
        if token is None or asking is None or subject is None:
            return False
        request.route = self._face.facts.prefix + "/v3/auth/tokens"
        request.project_id = asking.project_id or ""
        try:
            self._identity.require_validation(asking, subject)
            body = self._body(token, subject, request.query)
            write_answer(request, Answer(200, body, (subject_header(token),)))
        except Fault as fault:
            self._face.refuse(request, fault)
        except IdentityError as error:
            self._face.refuse(request, fault_of(error, self._face.facts.keystone))
        return True

    def _known(self, token: str | None) -> Access | None:
        return None if token is None else self._identity.cached(token)

    def _body(self, token: str, subject: Access, query: bytes) -> bytes:
        key = (token, query)
        kept = self._bodies.get(key)
        if kept is not None and kept[0] is subject:
            self._bodies.move_to_end(key)
            return kept[1]
        body = msgspec.json.encode({"token": show_token(self._identity, subject, parse_query(query))})
        self._bodies[key] = (subject, body)
        if len(self._bodies) > _KEPT:
            self._bodies.popitem(last=False)
        return body


def subject_header(token: str) -> Header:
    """``X-Subject-Token``."""
    return (b"X-Subject-Token", token.encode("latin-1"))


def subject_of(request: Request) -> str:
    """
    The token that the call is about.

    :raises Fault: 404 without one, as Keystone answers
    """
    token = token_of(request, b"x-subject-token")
    if token is None:
        raise no_token("the request has no X-Subject-Token")
    return token


def no_token(cause: str) -> Fault:
    """404: the subject of the call is no token that is valid now."""
    return Fault(404, f"Could not find token: {cause.rstrip('.')}.")


def show_token(identity: Identity, access: Access, query: Query) -> dict[str, Any]:
    """The ``token`` member; scoped ones have roles and, unless ``nocatalog`` is asked for, the catalog."""
    shown: dict[str, Any] = {
        "methods": access.methods,
        "user": {
            "id": access.user_id,
            "name": access.user_name,
            "domain": {"id": access.user_domain_id, "name": access.user_domain_name},
            "password_expires_at": None,
        },
        "audit_ids": access.audit_ids,
        "issued_at": zulu(access.issued_at),
        "expires_at": zulu(access.expires_at),
    }
    if access.application_credential_id is not None:
        shown["application_credential"] = {
            "id": access.application_credential_id,
            "restricted": not access.unrestricted,
        }
    return shown | _scope(identity, access, query)


def _scope(identity: Identity, access: Access, query: Query) -> dict[str, Any]:
    if access.project_id is not None:
        domain = {"id": access.project_domain_id, "name": access.project_domain_name}
        scope: dict[str, Any] = {
            "project": {"id": access.project_id, "name": access.project_name, "domain": domain},
            "is_domain": False,
        }
    elif access.domain_id is not None:
        scope = {"domain": {"id": access.domain_id, "name": access.domain_name}}
    else:
        return {}
    scope["roles"] = [{"id": role.id, "name": role.name} for role in access.roles]
    if not query.present("nocatalog"):
        scope["catalog"] = identity.catalog(access)
    return scope


def _scoped(access: Access) -> bool:
    return access.project_id is not None or access.domain_id is not None
