# -*- test-case-name: tests.identity.test_service -*-
"""Identity as one thing: its parts put together, with one life."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from cloudd.interfaces.application import PartHealth, Resources

from . import _revocation
from ._catalog import Service, catalog
from ._errors import Forbidden, IdentityError, NotFound
from ._keys import CREDENTIALS, TOKENS, Keys
from ._login import Login
from ._passwords import Passwords
from ._store import Store
from ._tokens import TokenFacts, new_audit_id, seal, unseal
from ._values import Access, AuthRequest, Ec2Access, IssuedToken
from ._verification import Verification

STATE_VERSION = 1
UPKEEP_EVERY_S = 300.0
KEYS_EVERY_S = 10.0
# Events are kept for the lifetime of a token and this much longer, for clocks that differ.
PURGE_SLACK_S = 3600

log = Logger()


@define(eq=False)
class Identity:
    """Who may do what, in one worker of one generation.  See the package for an overview."""

    _resources: Resources
    _store: Store = field(init=False)
    _token_keys: Keys = field(init=False)
    _verification: Verification = field(init=False)
    _login: Login = field(init=False)
    _timers: list[LoopingCall] = field(init=False, factory=list)

    def __attrs_post_init__(self) -> None:
        resources, settings = self._resources, self._resources.settings.identity
        self._store = Store(resources.database)
        self._token_keys = Keys(resources.secrets / TOKENS, resources.threads)
        credential_keys = Keys(resources.secrets / CREDENTIALS, resources.threads)
        passwords = Passwords(resources.threads)
        self._verification = Verification(
            resources.reactor, self._store, self._token_keys, credential_keys, settings.token_lifetime_s
        )
        self._verification.watched_every(settings.revocation_poll_s)
        self._login = Login(self._store, passwords, self._verification, self._token_keys, settings.token_lifetime_s)

    # --- tokens ---

    def cached(self, token: str) -> Access | None:
        """The access of a token that this worker verified lately; ``None``: ask ``authenticate_token``."""
        return self._verification.cached(token)

    async def authenticate_token(self, token: str) -> Access:
        """
        The access that a token gives.

        :raises InvalidToken: malformed, foreign, expired or revoked
        :raises IdentityUnavailable: this cannot be found out now
        """
        return await self._verification.token(token)

    async def authenticate(self, request: AuthRequest) -> IssuedToken:
        """
        Log in.

        :raises BadValue: a part is missing or has the wrong form
        :raises Unauthorized: whatever else is wrong
        :raises IdentityUnavailable: this cannot be found out now
        """
        return await self._login.authenticate(request)

    async def tempauth(self, user: str, key: str) -> IssuedToken:
        """
        Swift's v1 log-in, to a token scoped to a project.

        :param user: ``project:user``, both in the domain ``default``; or the access key of an EC2 credential
        :param key: the user's password; or the secret of the EC2 credential
        :raises Unauthorized: whatever is wrong
        """
        return await self._login.tempauth(user, key)

    async def ec2_access(self, access_key: str) -> Ec2Access:
        """
        What an S3 signature with this key is checked with; a change counts within a second.

        :raises NoSuchCredential: unknown or deleted, or its user or project is disabled, or has no role left
        :raises IdentityUnavailable: this cannot be found out now
        """
        return await self._verification.ec2(access_key)

    async def validate(self, access: Access, subject: str) -> Access:
        """
        What another token stands for, shown to its own user and to administrators.

        :raises InvalidToken: the subject is not valid
        :raises NotFound: it belongs to somebody else
        """
        found = await self.authenticate_token(subject)
        if not access.is_admin and found.user_id != access.user_id:
            raise NotFound("token", "of another user")
        return found

    async def revoke(self, token: str, access: Access | None = None) -> None:
        """
        Refuse this token from now on, in every worker within a second; other tokens of its chain stay valid.

        :param access: who asks; ``None``: the token's own holder
        :raises InvalidToken: it is not valid now
        :raises Forbidden: it belongs to somebody else
        """
        found = await self.authenticate_token(token)
        if access is not None and not access.is_admin and found.user_id != access.user_id:
            raise Forbidden("revoke_token")
        now = self._verification.now_us()
        await self._store.write(_revocation.record, now, refuse=[_revocation.token(found.audit_ids[0])])
        await self._caught_up()

    def catalog(self, access: Access) -> tuple[Service, ...]:
        """The services for this access; none when it is unscoped."""
        if access.project_id is None and access.domain_id is None:
            return ()
        return catalog(self._resources.urls, self._resources.settings.identity.region, access.project_id)

    # --- life ---

    async def self_check(self) -> None:
        """
        Try the keys, the database and the token layout without changing anything.

        :raises IdentityError: what does not work
        """
        now = self._verification.now_us()
        facts = TokenFacts(
            user_id="self-check", methods=("password",), audit_ids=(new_audit_id(),), issued_at=now, expires_at=now
        )
        ring = await self._token_keys.ring()
        if unseal(seal(facts, ring, now // 1_000_000), ring) != facts:
            raise IdentityError("a token does not survive being sealed and opened")
        await self._store.read(_revocation.position)

    def start(self, state: Mapping[str, Any]) -> None:
        """Begin to look for revocations; ``state`` is an older generation's ``snapshot``, or empty."""
        if state.get("version") == STATE_VERSION:
            self._verification.restore(state)
        self._verification.watch.start()
        self._every(KEYS_EVERY_S, self._verification.read_keys, "reading the token keys")
        if self._resources.role in ("agent", "all"):
            self._every(UPKEEP_EVERY_S, self._purge, "purging old revocations")

    def snapshot(self) -> dict[str, Any]:
        """The verified tokens, as plain data."""
        return {"version": STATE_VERSION, **self._verification.snapshot()}

    def retire(self) -> None:
        """Stop the timers; requests in flight are still served."""
        self._verification.watch.stop()
        for timer in self._timers:
            if timer.running:
                timer.stop()
        self._timers.clear()

    def health(self) -> PartHealth:
        cause = self._verification.watch.cause
        return PartHealth("identity", not cause, cause)

    async def _caught_up(self) -> None:
        """This worker serves what was just written; the others follow with their next look."""
        try:
            await self._verification.watch.catch_up()
        except IdentityError:
            log.warn("revocations cannot be read; cached tokens are not served meanwhile")

    async def _purge(self) -> None:
        lifetime_s = self._resources.settings.identity.token_lifetime_s + PURGE_SLACK_S
        await self._store.write(_revocation.purge, self._verification.now_us() - lifetime_s * 1_000_000)

    def _every(self, interval_s: float, work: Any, what: str) -> None:
        def run() -> None:
            def failed(failure: Any) -> None:
                log.warn("{what} failed: {cause}", what=what, cause=failure.getErrorMessage())

            Deferred.fromCoroutine(work()).addErrback(failed)

        timer = LoopingCall(run)
        timer.clock = self._resources.reactor
        timer.start(interval_s, now=False)
        self._timers.append(timer)
