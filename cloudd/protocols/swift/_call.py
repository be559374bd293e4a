"""One request as the routes see it, and the errors of the services as Swift's answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from attrs import define

from cloudd.interfaces.application import Threads
from cloudd.objects import (
    Action,
    Forbidden,
    InvalidAccessList,
    InvalidMetadata,
    InvalidName,
    Objects,
    Unauthorized,
    UnsatisfiableRange,
    allowed_by_role,
)
from cloudd.protocols.http import BodyMalformed, BodyTimedOut, BodyTooLarge, BodyTruncated, Request
from storage import (
    ContainerNotEmpty,
    DataDamaged,
    IObjectStore,
    NoSuchContainer,
    NoSuchObject,
    PreconditionFailed,
    StoreFull,
    UnknownState,
)

from ._answers import Refusal, bad_request
from ._paths import Place, Query

if TYPE_CHECKING:
    from cloudd.identity import Access


@define(kw_only=True)
class Call:
    """
    One request below ``/v1`` with what was read from it.

    ``access`` is None for somebody without a valid token; ``token_cause`` then says what was wrong with the one sent.
    """

    request: Request
    place: Place
    query: Query
    access: Access | None
    token_cause: str
    objects: Objects
    threads: Threads
    max_object_bytes: int

    @property
    def store(self) -> IObjectStore:
        """The object store."""
        return self.objects.store

    def allowed_by_role(self, action: Action) -> bool:
        """Whether the client may do this to the place of the path whatever the container's lists say."""
        return allowed_by_role(self.access, self.place.account, action)

    async def authorize(self, action: Action, account: str = "", container: str = "") -> None:
        """
        Return if the client may do this to the place of the path, or to the one given.

        :raises Unauthorized:
        :raises Forbidden:
        """
        account = account or self.place.account
        container = container or self.place.container
        if allowed_by_role(self.access, account, action):
            return
        referrer = (self.request.header(b"referer") or b"").decode("latin-1")
        await self.objects.authorize(self.access, account, action, container or None, referrer)

    def refusal(self, error: Exception) -> Refusal | None:
        """What Swift answers to an error of the services; None for one that is a fault of ours."""
        if isinstance(error, Unauthorized):
            return self._unauthorized(error)
        return refusal_of(error)

    def _unauthorized(self, error: Unauthorized) -> Refusal:
        realm = f'Swift realm="{quote(self.place.account, safe="")}"'.encode()
        return Refusal(401, self.token_cause or error.cause, headers=[(b"WWW-Authenticate", realm)])


def refusal_of(error: Exception) -> Refusal | None:
    """The same for errors that do not depend on the request."""
    for kind in type(error).__mro__:
        if kind in REFUSALS:
            return REFUSALS[kind](error)
    return None


REFUSALS: dict[type, Callable[[Any], Refusal]] = {
    Refusal: lambda error: error,
    NoSuchContainer: lambda _: Refusal(404, "There is no such container."),
    NoSuchObject: lambda _: Refusal(404, "There is no such object."),
    ContainerNotEmpty: lambda _: Refusal(409, "The container still holds objects."),
    PreconditionFailed: lambda _: Refusal(412),
    Forbidden: lambda error: Refusal(403, error.cause),
    InvalidName: lambda error: bad_request(error.cause),
    InvalidMetadata: lambda error: bad_request(error.cause),
    InvalidAccessList: lambda error: bad_request(error.cause),
    UnsatisfiableRange: lambda error: Refusal(416, headers=[(b"Content-Range", b"bytes */%d" % error.size)]),
    BodyMalformed: lambda error: bad_request(error.cause),
    BodyTimedOut: lambda error: Refusal(408, f"{error}; nothing was kept."),
    BodyTruncated: lambda _: Refusal(499, "The body ended before its declared length; nothing was kept."),
    BodyTooLarge: lambda _: Refusal(413, "Your request is too large.", plain=True),
    DataDamaged: lambda _: Refusal(503, "The object's data is damaged; the operator has to restore it."),
    StoreFull: lambda _: Refusal(507, "The disk is full; nothing was kept."),
    UnknownState: lambda _: Refusal(503, "The request was begun by other code and cannot go on; send it again."),
}
