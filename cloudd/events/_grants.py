# -*- test-case-name: tests.events.test_hub -*-
"""
What lets subscribers in, for as long as they stay: one ``Grant`` a token, looked at again when something changed.

A subscriber keeps its stream for hours, so its token is not verified once only.  Identity tells of every change that
may concern it (``Identity.follow``); from then until the token is verified again nothing goes out under it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from cloudd.identity import Access, Concerns, Identity, IdentityError, InvalidToken

from ._event import View

AGAIN_S = 1.0
_AT_ONCE = 4

_log = Logger()


@define(eq=False)
class Grant:
    """
    One token that subscribers came with.

    :ivar expires_s: seconds since the epoch
    :ivar unsure: it is being looked at again: nothing may go out
    :ivar ended: why it lets nobody in any more, or empty
    :ivar subscribers: how many there are
    """

    token: str = field(repr=False)
    access: Access
    expires_s: float
    unsure: bool = False
    ended: str = ""
    subscribers: int = 0
    _views: dict[bool, View] = field(init=False, factory=dict)

    def view(self, *, everything: bool) -> View:
        """What may be seen with it: one object for all subscribers."""
        if everything not in self._views:
            self._views[everything] = View.of(self.access, everything=everything)
        return self._views[everything]


@define(eq=False)
class Grants:
    """
    Those of one worker.

    :param clock: for trying again when identity cannot be asked
    :ivar over: called when a grant was found to have ended
    """

    _identity: Identity
    _clock: Any
    over: Callable[[], object] = field(init=False, default=lambda: None)
    _grants: dict[str, Grant] = field(init=False, factory=dict)
    _suspects: list[Grant] = field(init=False, factory=list)
    _asking: int = field(init=False, default=0)

    def take(self, token: str, access: Access) -> Grant:
        """The grant of a token that was verified just now, with one subscriber more."""
        grant = self._grants.get(token)
        if grant is None or grant.ended:
            grant = self._grants[token] = Grant(token, access, access.expires_at / 1e6)
        grant.subscribers += 1
        return grant

    def give_back(self, grant: Grant) -> None:
        """One subscriber less."""
        grant.subscribers -= 1
        if not grant.subscribers and self._grants.get(grant.token) is grant:
            del self._grants[grant.token]

    def suspect(self, concerns: Concerns) -> Iterator[None]:
        """Look again at those that a change may concern; in steps, since it takes 3 us for each grant."""
        for grant in list(self._grants.values()):
            if not grant.unsure and not grant.ended and concerns(grant.access):
                grant.unsure = True
                self._suspects.append(grant)
            yield
        self._ask()

    def _ask(self) -> None:
        while self._suspects and self._asking < _AT_ONCE:
            self._asking += 1
            Deferred.fromCoroutine(self._look(self._suspects.pop())).addBoth(self._asked)

    def _asked(self, failure: Any) -> None:
        if failure is not None:
            _log.failure("a subscriber's token could not be looked at", failure)
        self._asking -= 1
        self._ask()

    async def _look(self, grant: Grant) -> None:
        if not grant.subscribers:
            return
        try:
            access = await self._identity.authenticate_token(grant.token)
        except InvalidToken as error:
            grant.ended = error.cause
        except IdentityError:
            self._clock.callLater(AGAIN_S, self._again, grant)
            return
        else:
            if access != grant.access:
                # Another view begins with another stream, so that each shows what its token gives and nothing is
                # missing in the middle.
                grant.ended = "what the token gives has changed"
            grant.access = access
        grant.unsure = False
        if grant.ended:
            self.over()

    def _again(self, grant: Grant) -> None:
        self._suspects.append(grant)
        self._ask()
