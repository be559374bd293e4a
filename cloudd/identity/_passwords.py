# -*- test-case-name: tests.identity.test_passwords -*-
"""
Passwords and other secrets that people choose: argon2id, in a thread, a few at a time.

One hash takes about 20 ms of a core and 19 MiB (OWASP's first choice), so a flood of log-ins must neither fill the
thread pool, which disks need too, nor the memory: ``CONCURRENT`` run, ``WAITING_LIMIT`` wait, the rest is refused.
An unknown user costs the same time as a wrong password: the password is checked against a hash that nothing matches.
"""

from __future__ import annotations

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from attrs import define, field
from twisted.internet.defer import DeferredSemaphore

from cloudd.interfaces.application import Threads

from ._errors import IdentityUnavailable

CONCURRENT = 2
WAITING_LIMIT = 200

_HASHER = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)
# The hash of 32 random bytes that were thrown away, with the parameters above.
NOBODY = "$argon2id$v=19$m=19456,t=2,p=1$enjpa+ydm+EbgqF/j4XjEQ$Liwi7gf7bR+byJtJGKZYX7SEUkFswikGo8663vjjtHw"


def hash_secret(secret: str) -> str:
    """The argon2id hash of ``secret``, with its salt and parameters.  Blocks for about 20 ms."""
    return _HASHER.hash(secret)


def matches(hashed: str | None, secret: str) -> bool:
    """Whether ``secret`` is the one; ``None`` for a user who does not exist.  Blocks for about 20 ms."""
    try:
        return _HASHER.verify(hashed or NOBODY, secret) and hashed is not None
    except (VerificationError, InvalidHashError):
        return False


@define(eq=False)
class Passwords:
    """The two functions above, from the reactor."""

    _threads: Threads
    _turns: DeferredSemaphore = field(init=False, factory=lambda: DeferredSemaphore(CONCURRENT))

    async def hash(self, secret: str) -> str:
        """
        The argon2id hash of ``secret``.

        :raises IdentityUnavailable: too many log-ins wait already
        """
        await self._turn()
        try:
            return await self._threads.run(hash_secret, secret)
        finally:
            self._turns.release()

    async def matches(self, hashed: str | None, secret: str) -> bool:
        """
        Whether ``secret`` has this hash; takes as long for ``None``.

        :raises IdentityUnavailable: too many log-ins wait already
        """
        await self._turn()
        try:
            return await self._threads.run(matches, hashed, secret)
        finally:
            self._turns.release()

    async def _turn(self) -> None:
        if len(self._turns.waiting) >= WAITING_LIMIT:
            raise IdentityUnavailable("too many log-ins wait to be checked; try again in a moment")
        await self._turns.acquire()
