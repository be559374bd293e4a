# -*- test-case-name: tests.identity.test_service -*-
"""Identity as one thing: its parts put together, with one life."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from cloudd.interfaces.application import PartHealth, Resources, SelfCheckFailed

from . import _facts, _revocation
from ._application_credentials import ApplicationCredentials
from ._assignments import Assignments
from ._catalog import catalog
from ._desk import Desk, ProjectDeleted, UserDeleted, forget_project, forget_user
from ._domains import Domains
from ._ec2_credentials import Ec2Credentials
from ._errors import IdentityError, InvalidToken, NotFound
from ._keys import CREDENTIALS, TOKENS, Keys
from ._login import Login
from ._own import Own
from ._passwords import Passwords
from ._policy import Target, enforce
from ._projects import Projects
from ._roles import Roles
from ._store import Store
from ._tokens import TokenFacts, new_audit_id, seal, unseal
from ._users import Users
from ._values import Access, AuthRequest, Ec2Access, IssuedToken
from ._verification import Concerns, Verification

STATE_VERSION = 1
UPKEEP_EVERY_S = 300.0
KEYS_EVERY_S = 10.0
# Events are kept for the lifetime of a token and this much longer, for clocks that differ.
PURGE_SLACK_S = 3600

log = Logger()


@define(eq=False)
class Identity:
    """
    Who may do what, in one worker of one generation.  See the package for an overview.

    :param project_deleted: called with a project's id in the transaction that deletes it, to have what other services
        keep for it deleted too
    :param user_deleted: with a user's, likewise
    """

    _resources: Resources
    _project_deleted: ProjectDeleted = forget_project
    _user_deleted: UserDeleted = forget_user
    domains: Domains = field(init=False)
    projects: Projects = field(init=False)
    users: Users = field(init=False)
    roles: Roles = field(init=False)
    assignments: Assignments = field(init=False)
    application_credentials: ApplicationCredentials = field(init=False)
    ec2_credentials: Ec2Credentials = field(init=False)
    own: Own = field(init=False)
    _store: Store = field(init=False)
    _token_keys: Keys = field(init=False)
    _verification: Verification = field(init=False)
    _login: Login = field(init=False)
    _timers: list[LoopingCall] = field(init=False, factory=list)
    _leads: bool = field(init=False, default=False)

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
        desk = Desk(
            self._store, passwords, self._verification, credential_keys, self._caught_up, self._project_deleted,
            self._user_deleted,
        )  # fmt: skip
        self.domains = Domains(desk)
        self.projects = Projects(desk)
        self.users = Users(desk)
        self.roles = Roles(desk)
        self.assignments = Assignments(desk)
        self.application_credentials = ApplicationCredentials(desk)
        self.ec2_credentials = Ec2Credentials(desk)
        self.own = Own(self._store)

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

    @property
    def is_fresh(self) -> bool:
        """Whether this worker knows of every revocation of until a second ago; else nothing kept may be trusted."""
        return self._verification.watch.is_fresh

    def follow(self, told: Callable[[Concerns], None]) -> Callable[[], None]:
        """
        Hear of changes that end tokens or make them mean something else, as this worker learns of them.

        :param told: called with a function that says of an ``Access`` whether it may be concerned: then ask
            ``authenticate_token`` again
        :return: ends it
        """
        followers = self._verification.followers
        followers.append(told)
        return lambda: followers.remove(told)

    def require_validation(self, access: Access, subject: Access) -> None:
        """
        Whether what a token stands for may be shown: to its own user, to services and to administrators.

        :raises Forbidden: the caller is none of these
        """
        enforce(access, "validate_token", Target(user_id=subject.user_id))

    async def revoke(self, access: Access, token: str) -> None:
        """
        Refuse ``token`` from now on, in every worker within a second; other tokens of its chain stay valid.

        :raises NotFound: it is not valid now
        :raises Forbidden: it belongs to somebody else
        """
        try:
            subject = await self.authenticate_token(token)
        except InvalidToken as error:
            raise NotFound("token", error.cause) from None
        enforce(access, "revoke_token", Target(user_id=subject.user_id))
        now = self._verification.now_us()
        await self._store.write(_revocation.record, now, refuse=[_revocation.token(subject.audit_ids[0])])
        await self._caught_up()

    def catalog(self, access: Access) -> list[dict[str, Any]]:
        """
        The services for this access, none when it is unscoped: ``type``, ``name``, ``id``, and ``endpoints`` with
        ``id``, ``interface``, ``region``, ``region_id`` and ``url``.
        """
        if access.project_id is None and access.domain_id is None:
            return []
        return catalog(self._resources.urls, self._resources.settings.identity.region, access.project_id)

    # --- life ---

    async def self_check(self) -> None:
        """
        Try the keys, the token layout and the tables without changing anything.

        :raises SelfCheckFailed: what does not work
        """
        now = self._verification.now_us()
        facts = TokenFacts(
            user_id="nobody", methods=("password",), audit_ids=(new_audit_id(),), issued_at=now, expires_at=now
        )
        try:
            ring = await self._token_keys.ring()
            if unseal(seal(facts, ring, now // 1_000_000), ring) != facts:
                raise SelfCheckFailed(__name__, "a token does not survive being sealed and opened")
            await self._store.read(_facts.verify, facts)
        except _facts.Denied:
            pass  # there is no such user
        except IdentityError as error:
            raise SelfCheckFailed(__name__, error.cause) from error

    def start(self, state: Mapping[str, Any]) -> None:
        """Begin to look for revocations; ``state`` is an older generation's ``snapshot``, or empty."""
        if state.get("version") == STATE_VERSION:
            self._verification.restore(state)
        self._verification.watch.start()
        self._every(KEYS_EVERY_S, self._verification.read_keys, "reading the token keys")

    def lead(self) -> None:
        """In the agent's worker, when this code was decided for: purge old revocations.  Safe to call again."""
        if self._resources.role in ("agent", "all") and not self._leads:
            self._leads = True
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

    def health(self) -> list[PartHealth]:
        cause = self._verification.watch.cause
        return [PartHealth("identity", not cause, cause)]

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
