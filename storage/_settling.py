"""
What follows a commit, in the background: named files move to their place, files without a name are deleted.

**Why in two steps.**  A file must be on disk before the index names it, and a process may be killed between the two.
So data gets its first name in ``incoming/``; the transaction that names the object also books the file as *arrived*;
the transaction that takes a file's last name away books it as *garbage*.  What is to be done after a crash is then
known from ``incoming/`` and two short tables, whatever the store holds.

**Every point of death**, by ``kill -9`` (the kernel goes on, everything written is there) or by power cut (only what
was synced is there, and of the rest any part may be):

1. *while data arrives*: the file is unnamed (``O_TMPFILE``): the kernel frees it.  Where the file system has no
   unnamed files it lies in ``incoming/`` and ends as in 3.
2. *after the data's fsync, before its link*: the same.
3. *after the link, before the commit*: it lies in ``incoming/``, no row names it.  Its owner's lock has ended with
   the process; ``clean`` gets the lock, then reads *arrived*, does not find it, and deletes it.  In this order: an
   owner whose lock can be had never commits any more.
4. *after the commit*: the link was synced before the transaction began, so index and file are both on disk.  Readers
   look into ``incoming/``, too.  ``clean`` finds the row of *arrived* and moves the file.
5. *after the move*: until the folders are synced a power cut may put it back into ``incoming/``, so the row stays
   until then, and ``clean`` does the move again.
6. *after a commit that freed files*: the rows of *garbage* are in it; ``clean`` deletes.
7. *after the deletion*: until the folders are synced a power cut may bring the file back, so the row stays until
   then.  Deleting what is not there is no error.
8. *inside the commit*: SQLite's log gives all of the transaction or nothing of it.  When the commit fails and the
   process lives, the index is asked whether it happened before the file is deleted (``FileStore``).

A file that is garbage and still in ``incoming/`` is deleted there first, then in its place: it moves in that
direction only, so one of the two finds it.

**Readers.**  A deleted file lives on for those who have it open.  An object of several files is read with only its
first one, the anchor, held and locked; ``Remover`` deletes under the anchor's exclusive lock, the anchor first, and
leaves alone what is being read: its rows stay, ``upkeep`` comes back.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any

from attrs import Factory, define
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from ._borrowed import Index, Threads
from ._layout import Layout, lock, lock_dead_owner
from ._pending_index import Pending, find_pending, forget
from ._rows import Freed

DELAY_S = 0.2


@define
class Done:
    """What a pass over files has brought to disk; its rows may be forgotten."""

    settled: list[str] = Factory(list)
    removed: list[str] = Factory(list)
    orphans: int = 0


class Settler:
    """
    Collects the work of this process and does it in batches.

    :param reactor: for the delay in which a batch grows (``IReactorTime``)
    """

    log = Logger()

    def __init__(self, layout: Layout, index: Index, threads: Threads, reactor: Any) -> None:
        self._layout = layout
        self._index = index
        self._threads = threads
        self._reactor = reactor
        self._arrived: list[str] = []
        self._garbage: list[Freed] = []
        self._timer: Any = None
        self._pass: Deferred[None] | None = None

    def add(self, arrived: Iterable[str] = (), garbage: Iterable[Freed] = ()) -> None:
        """Have this done soon; the rows were committed."""
        self._arrived += arrived
        self._garbage += garbage
        if (self._arrived or self._garbage) and self._timer is None and self._pass is None:
            self._timer = self._reactor.callLater(DELAY_S, self._begin)

    def flush(self) -> Deferred[None]:
        """Do it now; fires when nothing is left."""
        return Deferred.fromCoroutine(self._flush())

    async def _flush(self) -> None:
        while self._timer is not None or self._pass is not None:
            if self._timer is not None:
                self._timer.cancel()
                self._begin()
            ended: Deferred[None] = Deferred()
            if self._pass is not None:
                self._pass.addCallback(ended.callback)
                await ended

    def _begin(self) -> None:
        self._timer = None
        self._pass = Deferred.fromCoroutine(self._run())
        self._pass.addErrback(lambda failure: self.log.failure("settling failed; upkeep tries again", failure=failure))
        self._pass.addCallback(self._end)

    def _end(self, _: None) -> None:
        self._pass = None
        self.add()

    async def _run(self) -> None:
        arrived, self._arrived = self._arrived, []
        garbage, self._garbage = self._garbage, []
        done = await self._threads.run(settle_and_remove, self._layout, arrived, garbage)
        await self._index.write(forget, done.settled, done.removed)


async def clean(layout: Layout, index: Index, threads: Threads, own: str) -> int:
    """
    End what other processes left half done when they died.  What living ones are at is left to them.

    :param own: the owner name of the caller
    :return: how many orphaned files were removed
    """
    files, owners = await threads.run(layout.list_incoming)
    dead = await threads.run(_lock_dead, layout, owners - {own})
    try:
        pending = await index.read(find_pending)
        done = await threads.run(_clean, layout, files, set(dead), pending)
    finally:
        await threads.run(_end_locks, layout, dead)
    if done.settled or done.removed:
        await index.write(forget, done.settled, done.removed)
    return done.orphans


def settle_and_remove(layout: Layout, arrived: Sequence[str], garbage: Sequence[Freed]) -> Done:
    """Move and delete, and sync; blocks."""
    done = Done()
    for file in arrived:
        layout.settle(file)
        done.settled.append(file)
    for anchor, group in groupby(sorted(garbage, key=lambda freed: freed.anchor), key=lambda freed: freed.anchor):
        files = [freed.file for freed in group]
        done.removed += _remove_group(layout, anchor, files) if anchor else _remove(layout, files)
    layout.sync_places([*done.settled, *done.removed])
    return done


def _clean(layout: Layout, files: Sequence[str], dead: set[str], pending: Pending) -> Done:
    done = settle_and_remove(layout, sorted(pending.arrived), pending.garbage)
    garbage = {freed.file for freed in pending.garbage}
    for file in files:
        named = file in pending.arrived or file in garbage
        if not named and layout.owner_of(file) in dead and layout.remove_incoming(file):
            done.orphans += 1
    return done


def _remove(layout: Layout, files: Iterable[str]) -> list[str]:
    removed = []
    for file in files:
        layout.remove(file)
        removed.append(file)
    return removed


def _remove_group(layout: Layout, anchor: str, files: Sequence[str]) -> list[str]:
    """Delete an object's files, unless somebody reads it."""
    try:
        descriptor = layout.open(anchor)
    except FileNotFoundError:
        return _remove(layout, files)  # begun by somebody who had the lock, so nobody reads it
    try:
        if not lock(descriptor, fcntl.LOCK_EX):
            return []
        return _remove(layout, sorted(files, key=lambda file: file != anchor))
    finally:
        os.close(descriptor)


def _lock_dead(layout: Layout, owners: Iterable[str]) -> dict[str, int]:
    found = ((owner, lock_dead_owner(layout, owner)) for owner in owners)
    return {owner: descriptor for owner, descriptor in found if descriptor is not None}


def _end_locks(layout: Layout, dead: dict[str, int]) -> None:
    for owner, descriptor in dead.items():
        if descriptor >= 0:
            layout.remove_lock(owner)
            os.close(descriptor)
