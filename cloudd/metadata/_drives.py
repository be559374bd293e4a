# -*- test-case-name: tests.metadata.test_drives -*-
"""The config drives of one host: a folder for each server that has one."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Final

from attrs import define

from cloudd.compute import Server
from cloudd.interfaces.application import Threads, Transactions
from cloudd.network import Port

from ._drive import config_drive
from ._openstack import Entropy
from ._reading import read_facts

FOLDER: Final = "config-drives"
_NAME: Final = re.compile(r"[0-9A-Za-z][0-9A-Za-z-]{0,63}")


async def _no_password(_sealed: str) -> str:
    return ""


@define(eq=False)
class ConfigDrives:
    """
    :param folder: below which they are, usually ``STATE / FOLDER``
    :param open_password: what is sealed in ``Server.sealed_password`` -> the password, which the guest is told
    """

    _database: Transactions
    _threads: Threads
    _folder: Path
    _open_password: Callable[[str], Awaitable[str]] = _no_password
    _entropy: Entropy = os.urandom

    async def make(self, server: Server, ports: Sequence[Port] = ()) -> Path | None:
        """
        Write a server's drive anew, of what the records say; one that is there is replaced when the new one is whole.

        Cancelling does not stop a thread that writes; a file is there whole or not at all.

        :param ports: which the records say as well; not looked at
        :return: None: the server is to have none
        :raises OSError: it cannot be written
        """
        if not server.config_drive:
            return None
        facts = await self._database.read(read_facts, server.id)
        sealed = server.sealed_password
        password = await self._open_password(sealed) if sealed else ""
        return await self._threads.run(config_drive, facts, self._folder_of(server.id), password, self._entropy)

    async def remove(self, server_id: str) -> None:
        """None there is no error."""
        await self._threads.run(_remove, self._folder_of(server_id))

    def _folder_of(self, server_id: str) -> Path:
        if not _NAME.fullmatch(server_id):
            raise ValueError(f"{server_id[:80]!r} is no id of a server")
        return self._folder / server_id


def _remove(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)
