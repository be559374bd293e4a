# -*- test-case-name: tests.protocols.swift -*-
"""Swift's first log-in: ``GET /auth/v1.0`` with user and key, answered by a token and the account's URL."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

from cloudd.identity import IdentityError, IdentityUnavailable
from cloudd.objects import account_of
from cloudd.protocols.http import Request

from ._answers import HTML, Refusal

if TYPE_CHECKING:
    from cloudd.identity import Identity

SECOND_US = 1_000_000


async def log_in(request: Request, identity: Identity, object_url: str, now_s: float) -> None:
    """
    Answer the log-in.

    :param object_url: where clients reach this face, without a slash at its end
    :param now_s: seconds since the epoch
    :raises Refusal: 401 without saying which part was wrong
    """
    if request.method != b"GET":
        raise Refusal(405, headers=[(b"Allow", b"GET")])
    user = request.header(b"x-storage-user") or request.header(b"x-auth-user")
    key = request.header(b"x-storage-pass") or request.header(b"x-auth-key")
    if not user or not key:
        raise _refused()
    try:
        issued = await identity.tempauth(user.decode(), key.decode())
    except IdentityUnavailable as error:
        raise Refusal(503, error.cause) from None
    except (IdentityError, UnicodeDecodeError):
        raise _refused() from None
    access = issued.access
    request.project_id = access.project_id or ""
    token = issued.token.encode()
    url = f"{object_url}/v1/{quote(account_of(request.project_id), safe='')}"
    request.respond(
        200,
        [
            HTML,
            (b"X-Storage-Url", url.encode()),
            (b"X-Auth-Token", token),
            (b"X-Storage-Token", token),
            (b"X-Auth-Token-Expires", b"%d" % max(0, access.expires_at // SECOND_US - int(now_s))),
        ],
    )


def _refused() -> Refusal:
    return Refusal(401, headers=[(b"WWW-Authenticate", b'Swift realm="unknown"')])
