# -*- test-case-name: tests.compute.test_passwords -*-
"""
Passwords of servers' administrators: made, and kept sealed with the keys in ``SECRETS/servers``.

Keys are as those of the identity service: the highest number seals, all of them open.
"""

from __future__ import annotations

import secrets
import string
from pathlib import Path

from attrs import define, field
from cryptography.fernet import InvalidToken

from cloudd.identity import Keys, create_keys
from cloudd.interfaces.application import Threads

from .._errors import ComputeConflict

FOLDER = "servers"
LENGTH = 12
_LETTERS = string.ascii_letters + string.digits


def new_password() -> str:
    """One that nobody guesses, of letters and digits."""
    return "".join(secrets.choice(_LETTERS) for _ in range(LENGTH))


def create_server_keys(secrets: Path) -> None:
    """
    Before the first server, so that machines which join get the same keys.  Blocks; safe to call again.

    :param secrets: the folder of the cloud's keys
    """
    create_keys(secrets / FOLDER)


@define(eq=False)
class ServerPasswords:
    """One for a worker; ``secrets`` is the folder of the cloud's keys."""

    _secrets: Path
    _threads: Threads
    _keys: Keys | None = field(init=False, default=None)

    async def seal(self, password: str) -> str:
        """What is kept of it."""
        ring = await (await self._present()).ring()
        return ring.fernet.encrypt(password.encode("utf-8")).decode("ascii")

    async def open(self, sealed: str) -> str:
        """
        :raises ComputeConflict: no key opens it
        """
        keys = await self._present()
        for again in (False, True):
            if again and not await keys.read_again():
                break
            try:
                return (await keys.ring()).fernet.decrypt(sealed).decode("utf-8")
            except InvalidToken:
                continue
        raise ComputeConflict("No key in SECRETS/servers opens the server's password: restore the keys from a backup.")

    async def _present(self) -> Keys:
        if self._keys is None:
            await self._threads.run(create_server_keys, self._secrets)
            self._keys = Keys(self._secrets / FOLDER, self._threads)
        return self._keys
