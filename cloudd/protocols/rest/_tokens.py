# -*- test-case-name: tests.protocols.rest.test_face -*-
"""Who is asking: the token of a request, and what the identity service's refusals mean in HTTP."""

from __future__ import annotations

from collections.abc import Mapping

from twisted.logger import Logger

from cloudd.identity import (
    Access,
    BadValue,
    Conflict,
    Forbidden,
    Identity,
    IdentityError,
    IdentityUnavailable,
    InvalidToken,
    NotFound,
    NotOffered,
    Unauthorized,
)
from cloudd.protocols.http import Request

from ._faults import Fault, bad_request

_log = Logger()

_STATUS: Mapping[type[IdentityError], int] = {
    BadValue: 400,
    Forbidden: 403,
    NotFound: 404,
    Conflict: 409,
    NotOffered: 501,
}

AUTHENTICATE = "The request you have made requires authentication."
UNAVAILABLE = "The control database cannot be used now, so nobody can be let in; try again in a second."


async def access_of(identity: Identity, request: Request, keystone: str) -> Access:
    """
    Who sent this request, by its ``X-Auth-Token``; from memory in the usual case.

    :param keystone: URL where a token can be had; a 401 names it
    :raises Fault: 401 when there is no token, or none that is valid now
    """
    token = token_of(request, b"x-auth-token")
    if token is None:
        raise unauthorized("the request has no X-Auth-Token", keystone)
    try:
        access = identity.cached(token) or await identity.authenticate_token(token)
    except InvalidToken as error:
        raise unauthorized(error.cause, keystone) from None
    request.project_id = access.project_id or ""
    return access


def token_of(request: Request, header: bytes) -> str | None:
    """The token in ``header``; a header that occurs twice gives no token that anything accepts."""
    value = request.header(header)
    return value.decode("latin-1") if value else None


def unauthorized(cause: str, keystone: str) -> Fault:
    """401 with the cause, and the place to log in."""
    message = f"{AUTHENTICATE} ({cause.rstrip('.')}.)" if cause else AUTHENTICATE
    return Fault(401, message, headers=[(b"WWW-Authenticate", f'Keystone uri="{keystone}"'.encode("latin-1"))])


def fault_of(error: IdentityError, keystone: str) -> Fault:
    """What a refusal of the identity service means to an HTTP client."""
    match error:
        case Unauthorized():
            return unauthorized("", keystone)  # the reason is not the client's to know
        case InvalidToken():
            return unauthorized(error.cause, keystone)
        case IdentityUnavailable():
            _log.warn("refused for now: {cause}", cause=error.cause)  # the driver's words are for operators
            return Fault(503, UNAVAILABLE, headers=[(b"Retry-After", b"1")])
    for kind, status in _STATUS.items():
        if isinstance(error, kind):
            return Fault(status, error.cause)
    return bad_request(error.cause)
