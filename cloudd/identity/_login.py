# -*- test-case-name: tests.identity.test_login -*-
"""
Logging in: from a password, a token, an application credential or an EC2 key to a fresh token.

Whatever is wrong with a log-in, the client gets the same ``Unauthorized``; only the log learns the reason.  Mistakes
of form, which tell nothing about anybody, are ``BadValue``.
"""

from __future__ import annotations

import hmac
from typing import Any

from attrs import define, evolve, frozen
from sqlalchemy import Connection, Row, select
from twisted.logger import Logger

from cloudd.database import tables

from . import _facts, _revocation
from ._checks import check_login
from ._errors import InvalidToken, NoSuchCredential, Unauthorized
from ._keys import Keys
from ._passwords import Passwords
from ._store import Store
from ._tokens import METHODS, TokenFacts, new_audit_id, seal
from ._values import (
    ApplicationCredentialLogin,
    AuthRequest,
    DomainScope,
    IssuedToken,
    PasswordLogin,
    ProjectScope,
    Scope,
    UserRef,
)
from ._verification import Verification

log = Logger()


@frozen(kw_only=True)
class _Proven:
    """What one method has shown."""

    user_id: str
    password_hash: str | None = None  # checked once more when the token is made
    methods: tuple[str, ...]
    parent: TokenFacts | None = None  # the token it was got with, verified once more when the token is made
    latest_expiry: int | None = None
    application_credential_id: str | None = None
    ec2_access: str | None = None
    project_id: str | None = None  # the only scope it is good for


@define(eq=False)
class Login:
    """Issues tokens."""

    _store: Store
    _passwords: Passwords
    _verification: Verification
    _token_keys: Keys
    _lifetime_s: int

    async def authenticate(self, request: AuthRequest) -> IssuedToken:
        """
        Check every method that is named and issue a token for the scope.

        :raises BadValue: a part is missing or has the wrong form
        :raises Unauthorized: whatever else is wrong
        :raises IdentityUnavailable: this cannot be found out now
        """
        check_login(request)
        proven: _Proven | None = None
        for method in dict.fromkeys(request.methods):
            proven = _both(proven, await self._prove(method, request))
        assert proven is not None
        return await self._issue(proven, request.scope)

    async def tempauth(self, user: str, key: str) -> IssuedToken:
        """
        Swift's v1 log-in, to a token scoped to a project.

        ``user`` is ``project:user`` (both in the domain ``default``) with the user's password as ``key``, or the
        access key of an EC2 credential with its secret.

        :raises Unauthorized: whatever is wrong
        """
        project, colon, name = user.rpartition(":")
        if colon:
            who = UserRef(name=name, domain_id="default")
            login = AuthRequest(
                methods=("password",),
                password=PasswordLogin(user=who, password=key),
                scope=ProjectScope(name=project, domain_id="default"),
            )
            return await self.authenticate(login)
        try:
            found = await self._verification.ec2(user)
        except NoSuchCredential as error:
            raise _refused("the EC2 credential is not known") from error
        if not hmac.compare_digest(found.secret.encode(), key.encode("utf-8", "surrogatepass")):
            raise _refused("the EC2 secret is wrong")
        access = found.access
        proven = _Proven(user_id=access.user_id, methods=access.methods, ec2_access=user, project_id=access.project_id)
        return await self._issue(proven, ProjectScope(id=access.project_id))

    async def _prove(self, method: str, request: AuthRequest) -> _Proven:
        if method == "password":
            assert request.password is not None
            return await self._by_password(request.password)
        if method == "token":
            assert request.token is not None
            return await self._by_token(request.token)
        assert request.application_credential is not None
        return await self._by_application_credential(request.application_credential)

    async def _by_password(self, login: PasswordLogin) -> _Proven:
        user = await self._store.read(_facts.find_user, login.user)
        hashed = user.password_hash if user is not None else None
        if not await self._passwords.matches(hashed, login.password) or user is None:
            raise _refused("the user is not known or the password is wrong")
        return _Proven(user_id=user.id, password_hash=hashed, methods=("password",))

    async def _by_token(self, token: str) -> _Proven:
        try:
            access = await self._verification.token(token)
            facts = await self._verification.facts(token)
        except InvalidToken as error:
            raise _refused(error.cause) from error
        return _Proven(
            user_id=access.user_id,
            methods=tuple(dict.fromkeys((*access.methods, "token"))),
            parent=facts,
            latest_expiry=access.expires_at,
            application_credential_id=access.application_credential_id,
            ec2_access=facts.ec2_access,
            project_id=access.project_id if access.application_credential_id or facts.ec2_access else None,
        )

    async def _by_application_credential(self, login: ApplicationCredentialLogin) -> _Proven:
        row = await self._store.read(_find_application_credential, login)
        hashed = row.secret_hash if row is not None else None
        if not await self._passwords.matches(hashed, login.secret) or row is None:
            raise _refused("the application credential is not known or its secret is wrong")
        if row.expires_us is not None and row.expires_us <= self._verification.now_us():
            raise _refused("the application credential has expired")
        return _Proven(
            user_id=row.user_id,
            methods=("application_credential",),
            latest_expiry=row.expires_us,
            application_credential_id=row.id,
            project_id=row.project_id,
        )

    async def _issue(self, proven: _Proven, scope: Scope | None) -> IssuedToken:
        now = self._verification.now_us()
        expires = now + self._lifetime_s * 1_000_000
        audit_id = new_audit_id()
        facts = TokenFacts(
            user_id=proven.user_id,
            methods=tuple(sorted(proven.methods, key=METHODS.index)),
            audit_ids=(audit_id, proven.parent.audit_ids[-1]) if proven.parent else (audit_id,),
            issued_at=now,
            expires_at=min(expires, proven.latest_expiry or expires),
            application_credential_id=proven.application_credential_id,
            ec2_access=proven.ec2_access,
        )
        try:
            facts, verified = await self._store.read(_scoped, facts, proven, scope)
        except _facts.Denied as denied:
            raise _refused(denied.reason) from None
        token = seal(facts, await self._token_keys.ring(), now // 1_000_000)
        self._verification.keep_token(token, verified)
        return IssuedToken(token, verified.access)


def _refused(reason: str) -> Unauthorized:
    log.info("log-in refused: {reason}", reason=reason)
    return Unauthorized(reason)


def _both(first: _Proven | None, second: _Proven) -> _Proven:
    """Two methods of one log-in: they must name the same user; the narrower of each limit counts."""
    if first is None:
        return second
    if first.user_id != second.user_id:
        raise _refused("the methods name different users")
    if first.project_id and second.project_id and first.project_id != second.project_id:
        raise _refused("the methods are good for different projects")
    expiries = [expiry for expiry in (first.latest_expiry, second.latest_expiry) if expiry is not None]
    return _Proven(
        user_id=first.user_id,
        password_hash=first.password_hash or second.password_hash,
        methods=tuple(dict.fromkeys(first.methods + second.methods)),
        parent=first.parent or second.parent,
        latest_expiry=min(expiries, default=None),
        application_credential_id=first.application_credential_id or second.application_credential_id,
        ec2_access=first.ec2_access or second.ec2_access,
        project_id=first.project_id or second.project_id,
    )


def _find_application_credential(connection: Connection, login: ApplicationCredentialLogin) -> Row[Any] | None:
    table = tables.application_credential
    if login.id is not None:
        return connection.execute(select(table).where(table.c.id == login.id)).first()
    assert login.user is not None
    user = _facts.find_user(connection, login.user)
    if user is None:
        return None
    return connection.execute(select(table).where(table.c.user_id == user.id, table.c.name == login.name)).first()


def _scoped(
    connection: Connection, facts: TokenFacts, proven: _Proven, scope: Scope | None
) -> tuple[TokenFacts, _facts.Verified]:
    """The token's facts with the scope in them, and the access they give."""
    user = _facts.find_user(connection, UserRef(id=proven.user_id))
    if user is None or (proven.password_hash is not None and user.password_hash != proven.password_hash):
        raise _facts.Denied("the password was changed meanwhile")
    if proven.parent is not None:
        # On this snapshot: a cached parent may have been revoked a moment ago, and a child outlives the moment.
        _facts.verify(connection, proven.parent)
    facts = evolve(facts, seen=_revocation.position(connection))
    if proven.project_id is not None:
        _require_own_scope(connection, proven.project_id, scope)
        facts = evolve(facts, project_id=proven.project_id)
    elif scope is None and user.default_project_id is not None:
        try:
            in_default = evolve(facts, project_id=user.default_project_id)
            return in_default, _facts.verify(connection, in_default)
        except _facts.Denied:
            pass  # Keystone too gives an unscoped token when the default project is of no use
    elif isinstance(scope, ProjectScope):
        project = _facts.find_project(connection, scope)
        if project is None:
            raise _facts.Denied("the project is not known")
        facts = evolve(facts, project_id=project.id)
    elif isinstance(scope, DomainScope):
        domain = _facts.find_domain(connection, scope)
        if domain is None:
            raise _facts.Denied("the domain is not known")
        facts = evolve(facts, domain_id=domain.id)
    return facts, _facts.verify(connection, facts)


def _require_own_scope(connection: Connection, project_id: str, scope: Scope | None) -> None:
    """A credential that belongs to a project gives no other scope."""
    if scope is None:
        return
    asked = _facts.find_project(connection, scope) if isinstance(scope, ProjectScope) else None
    if asked is None or asked.id != project_id:
        raise _facts.Denied("the credential is good for its own project only")
