# -*- test-case-name: tests.web.test_session -*-
"""
Log-in and log-out: a token of the identity service, kept by the browser in a cookie.

The cookie is ``HttpOnly`` (no script reads it), ``SameSite=Strict`` and for ``/ui`` alone; over TLS it is ``Secure``.
It ends with the browser, its token at the latest after ``[identity] token_lifetime_s``.  Only administrators get one:
the token of anybody else is revoked before the refusal is sent.
"""

from __future__ import annotations

from typing import Any

import msgspec
from attrs import frozen
from twisted.logger import Logger

from cloudd.identity import (
    Access,
    AuthRequest,
    Identity,
    IdentityError,
    IdentityUnavailable,
    InvalidToken,
    PasswordLogin,
    ProjectScope,
    Unauthorized,
    UserRef,
)
from cloudd.protocols.http import BodyTooLarge, BodyTruncated, Header, Request

from ._refusal import Refused

COOKIE = "cloudd_ui"
MAX_BODY_BYTES = 16_384
WRONG = "User, password, domain or project is wrong."
UNAVAILABLE = "Nobody can be let in now; try again in a moment."

_log = Logger()


class LoginForm(msgspec.Struct, forbid_unknown_fields=True):
    """What the form sends."""

    user: str
    password: str
    domain: str = "Default"
    project: str = "admin"

    def __repr__(self) -> str:
        return f"<LoginForm of {self.user!r}>"


@frozen
class Sessions:
    """Who is asking, by the cookie."""

    _identity: Identity

    async def log_in(self, request: Request) -> tuple[Access, Header]:
        """
        :return: who logged in, and the cookie to set
        :raises Refused: 400 for a body that is none; 401, 403 or 503 with the reason
        """
        form = await _read_form(request)
        try:
            issued = await self._identity.authenticate(_request_of(form))
        except Unauthorized:
            _log.warn("refused to log in to the page: {user!r} from {peer}", user=form.user[:64], peer=request.peer)
            raise Refused(401, WRONG) from None
        except IdentityUnavailable as error:
            _log.warn("nobody can log in to the page: {cause}", cause=error.cause)
            raise Refused(503, UNAVAILABLE) from None
        except IdentityError as error:
            raise Refused(400, error.cause) from None
        request.project_id = issued.access.project_id or ""
        if not issued.access.is_admin:
            await self._revoke(issued.access, issued.token)
            raise Refused(403, reason_against(issued.access))
        _log.info("{user} logged in to the page from {peer}", user=issued.access.user_name, peer=request.peer)
        return issued.access, cookie(issued.token, secure=request.isSecure())

    async def log_out(self, request: Request) -> Header:
        """
        Revoke the token of this browser, if it still has one that is valid.

        :return: the cookie to set: an empty one that is over
        """
        token = token_in(request)
        if token is not None:
            try:
                await self._revoke(await self._identity.authenticate_token(token), token)
            except InvalidToken:
                pass  # it is of no use to anybody
            except IdentityUnavailable:
                raise Refused(503, "You cannot be logged out now; try again in a moment.") from None
        return cookie("", secure=request.isSecure())

    async def access(self, request: Request) -> Access:
        """
        Who is asking: an administrator.

        :raises Refused: 401 without a token that is valid now, 403 for anybody else, 503 when it cannot be found out
        """
        token = token_in(request)
        if token is None:
            raise Refused(401, "Nobody is logged in here.")
        try:
            access = self._identity.cached(token) or await self._identity.authenticate_token(token)
        except InvalidToken:
            raise Refused(401, "Your log-in has ended.") from None
        except IdentityUnavailable as error:
            _log.warn("a token of the page cannot be checked: {cause}", cause=error.cause)
            raise Refused(503, UNAVAILABLE) from None
        request.project_id = access.project_id or ""
        if not access.is_admin:
            raise Refused(403, reason_against(access))
        return access

    async def _revoke(self, access: Access, token: str) -> None:
        try:
            await self._identity.revoke(access, token)
        except IdentityUnavailable:
            raise
        except IdentityError as error:  # it ended meanwhile
            _log.debug("a token needed no revocation: {cause}", cause=error.cause)


def shown(access: Access) -> dict[str, Any]:
    """What the page says of who is logged in; ``expires_at`` in seconds since the epoch."""
    return {
        "user": access.user_name,
        "domain": access.user_domain_name,
        "project": access.project_name,
        "expires_at": access.expires_at / 1_000_000,
    }


def reason_against(access: Access) -> str:
    """Why somebody who is known does not see the page."""
    place = f"in project {access.project_name}" if access.project_name else "here"
    return f"{access.user_name} does not have the role admin {place}: this page is for the cloud's operators."


def cookie(token: str, *, secure: bool) -> Header:
    """The cookie with a token, or without one the end of it."""
    parts = [f"{COOKIE}={token}", "HttpOnly", "SameSite=Strict", "Path=/ui"]
    if not token:
        parts.append("Max-Age=0")
    if secure:
        parts.append("Secure")
    return (b"Set-Cookie", "; ".join(parts).encode("latin-1"))


def token_in(request: Request) -> str | None:
    """The token in the request's cookie; two of that name give none: one of them is somebody else's."""
    found = set()
    for value in request.header_values(b"cookie"):
        for part in value.decode("latin-1").split(";"):
            name, _, content = part.strip().partition("=")
            if name == COOKIE and content:
                found.add(content)
    return found.pop() if len(found) == 1 else None


async def _read_form(request: Request) -> LoginForm:
    kind = (request.header(b"content-type") or b"").partition(b";")[0].strip().lower()
    if kind != b"application/json":
        raise Refused(415, "The form comes as JSON.")
    try:
        return msgspec.json.decode(await request.body.read(MAX_BODY_BYTES), type=LoginForm)
    except BodyTooLarge:
        raise Refused(413, "The form is too long.") from None
    except (BodyTruncated, msgspec.DecodeError):
        raise Refused(400, "That is no log-in form: user and password, and perhaps domain and project.") from None


def _request_of(form: LoginForm) -> AuthRequest:
    return AuthRequest(
        methods=("password",),
        password=PasswordLogin(user=UserRef(name=form.user, domain_name=form.domain), password=form.password),
        scope=ProjectScope(name=form.project, domain_name=form.domain),
    )
