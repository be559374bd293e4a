# -*- test-case-name: tests.backups.test_kind -*-
"""A backup as a task: write it, then delete the oldest ones."""

from __future__ import annotations

import time
from pathlib import Path

from attrs import frozen

from cloudd.database import BackupError, write_backup
from cloudd.interfaces.application import Threads, Transactions
from cloudd.tasks import Fields, Form, Kind, Retry, Step, Task

from . import _folder

BACK_UP = Form(name="backups.back_up")
"""No fields: where to, and how many are kept, the node's settings say when it is done."""


def backup_kind(database: Transactions, threads: Threads, secrets: Path, folder: Path, keep: int) -> Kind:
    """
    :param secrets: folder of keys
    :param folder: of backups
    :param keep: how many of them stay
    """
    steps = _BackUp(database, threads, secrets, folder, keep)
    return Kind(
        form=BACK_UP,
        steps=(Step("write", steps.write), Step("prune", steps.prune)),
        retry=Retry(attempts=10, first_s=2.0, longest_s=120.0),
        permanent=(BackupError,),
    )


@frozen
class _BackUp:
    """The steps.  ``state``: the ``name`` of the file."""

    database: Transactions
    threads: Threads
    secrets: Path
    folder: Path
    keep: int

    async def write(self, task: Task) -> Fields | None:
        """One snapshot; an attempt after one that was cut off finds its file, or writes another one in its place."""
        name = task.state.get("name") or _folder.name_of(task.id, time.time())
        await task.save({"name": name})
        await self.threads.run(_folder.make, self.folder)
        if not await self.threads.run((self.folder / name).exists):
            work = _folder.work_name(name)
            await self.database.read(write_backup, self.secrets, self.folder / work)
            await self.threads.run(_folder.put_in_place, self.folder, work, name)
        return None

    async def prune(self, task: Task) -> Fields | None:
        """Delete the oldest."""
        name = task.state["name"]
        await self.threads.run(_folder.prune, self.folder, self.keep)
        found = await self.threads.run((self.folder / name).stat)
        return {"file": str(self.folder / name), "bytes": found.st_size}
