# -*- test-case-name: tests.identity.test_verification -*-
"""
From a token or an EC2 key to an ``Access``: by the cache, or by the keys and the database.

What was verified is kept until it expires or an event about it is read (``_watch``).  Nothing is given from the
cache when the last look at the events is too old; then the database is asked, and if it cannot answer nobody gets in.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from operator import attrgetter
from typing import Any

from attrs import define, field
from attrs import fields as attrs_fields
from cryptography.fernet import InvalidToken as NotOpened
from sqlalchemy import Connection, select

from cloudd.database import tables

from . import _facts, _revocation
from ._cache import Entry, Remembered
from ._checks import is_identifier
from ._errors import InvalidToken, NoSuchCredential
from ._keys import Keys
from ._shared import Shared
from ._store import Store
from ._tokens import NotOpenedByAnyKey, TokenFacts, new_audit_id, unseal
from ._values import Access, Ec2Access, RoleRef
from ._watch import Watch

TOKENS_KEPT = 10_000
CREDENTIALS_KEPT = 5_000
SNAPSHOT_LIMIT = 500  # 2 ms to take and 3 ms to restore, in which nothing else runs
KEYS_EVERY_S = 1.0
_ATTEMPTS = 3

#: Whether what has just changed may make an access another one, or end it.
Concerns = Callable[[Access], bool]


@define(eq=False)
class Verification:
    """The verified tokens and EC2 keys of one worker."""

    _reactor: Any
    _store: Store
    _token_keys: Keys
    _credential_keys: Keys
    _lifetime_s: int
    tokens: Remembered[Access] = field(init=False, factory=lambda: Remembered(TOKENS_KEPT))
    credentials: Remembered[Ec2Access] = field(init=False, factory=lambda: Remembered(CREDENTIALS_KEPT))
    watch: Watch = field(init=False)
    followers: list[Callable[[Concerns], None]] = field(init=False, factory=list)
    _under_way: Shared[Any] = field(init=False, factory=Shared)
    _keys_read_s: float = field(init=False, default=float("-inf"))

    def watched_every(self, poll_s: float) -> None:
        """Finish construction: the watch empties these caches."""
        self.watch = Watch(self._reactor, self._store, poll_s, self._forget, self._forget_all)

    def cached(self, token: str) -> Access | None:
        """The access of a token that was verified lately.  The hot path: no I/O, about a microsecond."""
        entry = self.tokens.entries.get(token)
        if entry is None:
            return None
        now = self._reactor.seconds()
        if now < entry.expires_s and self.watch.fresh_since <= now < self.watch.fresh_until:
            return entry.value
        return None

    async def token(self, token: str) -> Access:
        """
        The access of a token.

        :raises InvalidToken: malformed, foreign, expired or revoked
        :raises IdentityUnavailable: this cannot be found out now
        """
        await self.watch.ensure_fresh()
        access = self.tokens.get(token, self._reactor.seconds())
        return access or await self._under_way.call(token, self._verify_token, token)

    async def facts(self, token: str) -> TokenFacts:
        """
        What a token says, whether it still holds or not; keys that were added are found.

        :raises InvalidToken: malformed, foreign or expired
        """
        ring = await self._token_keys.ring()
        try:
            facts = unseal(token, ring)
        except NotOpenedByAnyKey:
            if not await self._new_keys():
                raise
            facts = unseal(token, await self._token_keys.ring())
        if self.now_us() >= facts.expires_at:
            raise InvalidToken("the token has expired; log in again")
        return facts

    async def ec2(self, access_key: str) -> Ec2Access:
        """
        The secret and the access of an EC2 key.

        :raises NoSuchCredential: unknown or deleted, or its user or project is disabled, or has no role left
        :raises IdentityUnavailable: this cannot be found out now
        """
        if not is_identifier(access_key):
            raise NoSuchCredential(access_key)
        if not self.watch.is_fresh:
            await self.watch.ensure_fresh()
        found = self.credentials.get(access_key, self._reactor.seconds())
        return found or await self._under_way.call((access_key,), self._verify_ec2, access_key)

    def keep_token(self, token: str, verified: _facts.Verified) -> None:
        """Remember a token, unless events were read that its verification did not see."""
        if verified.position >= self.watch.position >= 0:
            expires_s = verified.access.expires_at / 1e6
            self.tokens.put(token, Entry(expires_s, verified.access, verified.subjects))

    def now_us(self) -> int:
        return int(self._reactor.seconds() * 1_000_000)

    async def _verify_token(self, token: str) -> Access:
        facts = await self.facts(token)
        verified = await self._verified(facts)
        self.keep_token(token, verified)
        return verified.access

    async def _verified(self, facts: TokenFacts) -> _facts.Verified:
        """Ask the database; again if meanwhile an event was read that the answer did not consider."""
        for attempt in range(_ATTEMPTS):
            try:
                verified = await self._store.read(_facts.verify, facts)
            except _facts.Denied as denied:
                raise InvalidToken(f"the token is not valid: {denied.reason}") from None
            if verified.position >= self.watch.position or attempt == _ATTEMPTS - 1:
                break
        return verified

    async def _verify_ec2(self, access_key: str) -> Ec2Access:
        now = self.now_us()
        try:
            row, verified = await self._store.read(_ec2_facts, access_key, now, now + self._lifetime_s * 1_000_000)
        except _facts.Denied:
            raise NoSuchCredential(access_key) from None
        found = Ec2Access(await self._opened(row.sealed_secret, access_key), verified.access)
        if verified.position >= self.watch.position >= 0:
            expires_s = verified.access.expires_at / 1e6
            self.credentials.put(access_key, Entry(expires_s, found, verified.subjects))
        return found

    async def _opened(self, sealed: str, access_key: str) -> str:
        for _ in range(2):
            ring = await self._credential_keys.ring()
            try:
                return ring.fernet.decrypt(sealed).decode()
            except NotOpened:
                await self._credential_keys.read_again()
        raise NoSuchCredential(access_key)

    async def _new_keys(self) -> bool:
        """Read the key folder again, at most once in ``KEYS_EVERY_S``: forged tokens must not keep the disk busy."""
        now = self._reactor.seconds()
        if now - self._keys_read_s < KEYS_EVERY_S:
            return False
        self._keys_read_s = now
        return await self.read_keys()

    async def read_keys(self) -> bool:
        """Take up keys that were added, drop those that were removed and all that they had verified."""
        changed = await self._token_keys.read_again()
        if changed:
            self.tokens.clear()
            self._tell_followers(lambda _: True)
        return changed

    def _forget(self, subjects: frozenset[str]) -> None:
        self.tokens.forget(subjects)
        self.credentials.forget(subjects)
        self._tell_followers(lambda access: _revocation.may_concern(subjects, access))

    def _forget_all(self) -> None:
        self.tokens.clear()
        self.credentials.clear()
        self._tell_followers(lambda _: True)

    def _tell_followers(self, concerns: Concerns) -> None:
        for told in list(self.followers):
            told(concerns)

    # --- over a swap of code ---

    def snapshot(self) -> dict[str, Any]:
        """The newest tokens and how far events were read, as plain data; secrets of EC2 keys stay behind."""
        kept = list(self.tokens.entries.items())[-SNAPSHOT_LIMIT:]
        return {
            "position": self.watch.position,
            "fresh_since": self.watch.fresh_since,
            "fresh_until": self.watch.fresh_until,
            "fields": list(_FIELDS),
            "tokens": {key: [_values(entry.value), _roles(entry.value), list(entry.subjects)] for key, entry in kept},
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on where ``snapshot`` was taken; a field of ``Access`` that is new since then has its default."""
        self.watch.position = state["position"]
        self.watch.fresh_since, self.watch.fresh_until = state["fresh_since"], state["fresh_until"]
        names = [name if name in _FIELDS else None for name in state["fields"]]
        for key, (values, roles, subjects) in state["tokens"].items():
            fields = {name: value for name, value in zip(names, values, strict=True) if name is not None}
            fields["methods"], fields["audit_ids"] = tuple(fields["methods"]), tuple(fields["audit_ids"])
            access = Access(roles=tuple(RoleRef(*role) for role in roles), **fields)
            self.tokens.put(key, Entry(access.expires_at / 1e6, access, frozenset(subjects)))


_FIELDS = tuple(field.name for field in attrs_fields(Access) if field.init and field.name != "roles")
_values = attrgetter(*_FIELDS)


def _roles(access: Access) -> list[tuple[str, str]]:
    return [(role.id, role.name) for role in access.roles]


def _ec2_facts(connection: Connection, access_key: str, now_us: int, expires_us: int) -> tuple[Any, _facts.Verified]:
    table = tables.ec2_credential
    row = connection.execute(select(table).where(table.c.access == access_key)).first()
    if row is None:
        raise _facts.Denied("the EC2 credential is not known")
    facts = TokenFacts(
        user_id=row.user_id,
        methods=("ec2credential",),
        audit_ids=(new_audit_id(),),
        issued_at=now_us,
        expires_at=expires_us,
        project_id=row.project_id,
        ec2_access=access_key,
        seen=_revocation.position(connection),
    )
    return row, _facts.verify(connection, facts)
