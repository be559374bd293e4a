"""
The way of new data into the store: receive, link, commit; and what happens to the data when one of them fails.

The steps and their order are explained in ``_settling``.
"""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, DeferredLock
from twisted.logger import Logger
from twisted.python.failure import Failure

from ._batch import Batch
from ._borrowed import Index, Threads
from ._interfaces import Extent, Hasher, IUpload, NoSuchObject, ObjectFacts, StoreError, StoreFull
from ._layout import Layout, Owner, copy_data, refusing_when_full
from ._pending_index import has_arrived
from ._rows import Freed
from ._settling import Settler
from ._space import Space
from ._upload import DataFile, FileUpload, check_state

Facts = TypeVar("Facts")
#: The transaction that names these extents; fires with the facts and the files that lost their name by it.
NameIt = Callable[[tuple[Extent, ...]], Deferred[tuple[Facts, list[Freed]]]]


class Writing:
    """What one process is writing into the store."""

    log = Logger()

    def __init__(self, layout: Layout, index: Index, threads: Threads, settler: Settler, space: Space) -> None:
        self._layout = layout
        self._index = index
        self._threads = threads
        self._settler = settler
        self._space = space
        self._owner: Owner | None = None
        self._turns = DeferredLock()
        self._links: Batch[Callable[[], None], None] = Batch(threads, self._link_all)

    @property
    def owner_name(self) -> str:
        """What this process's files begin with; ``""`` while it has none."""
        return "" if self._owner is None else self._owner.name

    async def receive(self, digests: Mapping[str, Callable[[], Hasher]], expected_bytes: int) -> FileUpload:
        """Begin an upload; see ``IObjectStore.receive``."""
        if not self._space.surely_fits(expected_bytes):
            await self._threads.run(self._space.check, expected_bytes)
        file = (await self._own()).new_file()
        return FileUpload(self._threads, DataFile(self._layout, self._space, file, digests), self._turns)

    async def resume(
        self, state: Mapping[str, Any], descriptors: Sequence[int], digests: Mapping[str, Callable[[], Hasher]]
    ) -> FileUpload:
        """Go on with an upload of another process; see ``IObjectStore.resume_upload``."""
        left = list(descriptors)
        try:
            check_state(state, left)
            data = DataFile(self._layout, self._space, (await self._own()).new_file(), digests)
            if left:
                await self._threads.run(data.adopt, left.pop(), state["written"], state["file"])
        finally:
            for descriptor in left:
                os.close(descriptor)
        upload = FileUpload(self._threads, data, self._turns)
        upload.go_on(state)
        return upload

    async def put(self, upload: IUpload, name_it: NameIt[Facts]) -> Facts:
        """Commit an upload."""
        assert isinstance(upload, FileUpload), "an upload of another store"
        data = await upload.take()
        if data.extents:
            await self._link(data.link, undo=data.discard)
        facts = await self._commit(data.extents, name_it, undo=data.discard)
        data.close()
        return facts

    async def copy(self, source: ObjectFacts, name_it: NameIt[Facts]) -> Facts:
        """Commit a second object of the same bytes."""
        if source.size and not source.extents:
            raise ValueError("facts from a listing have no extents: ask for the object")
        owner = await self._own()
        extents = tuple(Extent(owner.new_file(), extent.length) for extent in source.extents)
        undo = partial(self._remove_copies, extents)
        if extents:
            await self._link(partial(self._link_copies, source, extents), undo)
        return await self._commit(extents, name_it, undo)

    async def close(self) -> None:
        """Release the right to make files; no write may be under way."""
        if self._owner is not None:
            owner, self._owner = self._owner, None
            await self._threads.run(owner.release)

    async def _own(self) -> Owner:
        if self._owner is None:
            owner = await self._threads.run(Owner, self._layout)
            if self._owner is None:
                self._owner = owner
            else:  # another upload was quicker
                await self._threads.run(owner.release)
        return self._owner

    async def _link(self, link: Callable[[], None], undo: Callable[[], None]) -> None:
        try:
            await self._links.submit(link)
        except Exception:
            await self._threads.run(undo)
            raise

    async def _commit(self, extents: tuple[Extent, ...], name_it: NameIt[Facts], undo: Callable[[], None]) -> Facts:
        """Name files that are linked; ``undo`` them when that failed."""
        files = [extent.file for extent in extents]
        try:
            facts, freed = await name_it(extents)
        except Exception as error:
            # What the transaction's own function raised has undone it.  Of other failures that is not so sure.
            if isinstance(error, StoreError) or not await self._happened(files):
                await self._threads.run(undo)
            else:
                self._settler.add(files)
            raise refusal_of(error) from error
        self._settler.add(files, freed)
        return facts

    async def _happened(self, files: Sequence[str]) -> bool:
        """Whether a commit that was reported as failed is in the index after all; if unknown, yes."""
        try:
            return bool(files) and await self._index.read(has_arrived, files)
        except Exception:
            self.log.failure("the fate of {files} is unknown; upkeep finds out", files=files)
            return True

    def _link_all(self, links: Sequence[Callable[[], None]]) -> Sequence[Failure | None]:
        """In a thread: give all their names, then sync them together."""
        results: list[Failure | None] = []
        for link in links:
            try:
                with refusing_when_full():
                    link()
            except Exception:
                results.append(Failure())
            else:
                results.append(None)
        with refusing_when_full():
            self._layout.sync_incoming()
        return results

    def _link_copies(self, source: ObjectFacts, extents: Sequence[Extent]) -> None:
        try:
            for old, new in zip(source.extents, extents, strict=True):
                self._link_copy(old.file, new.file)
        except BaseException as error:
            self._remove_copies(extents)
            if isinstance(error, FileNotFoundError):
                raise NoSuchObject(source.name) from None
            raise

    def _link_copy(self, old: str, new: str) -> None:
        descriptor = self._layout.open(old)
        try:
            self._layout.link(descriptor, new)
        except OSError as error:
            if error.errno != errno.EMLINK:
                raise
            self._copy_data(descriptor, new)  # it has as many names as the file system allows
        finally:
            os.close(descriptor)

    def _copy_data(self, source: int, new: str) -> None:
        target, is_linked = self._layout.create(new)
        try:
            copy_data(source, target)
            os.fsync(target)
            if not is_linked:
                self._layout.link(target, new)
        finally:
            os.close(target)

    def _remove_copies(self, extents: Sequence[Extent]) -> None:
        for extent in extents:
            self._layout.remove_incoming(extent.file)


def refusal_of(error: Exception) -> Exception:
    """What a failed index transaction means to the caller: a full disk is ``StoreFull``, the rest stays what it is."""
    code = getattr(error, "sqlite_errorcode", None)
    if isinstance(error, sqlite3.Error) and code is not None and code & 0xFF == sqlite3.SQLITE_FULL:
        return StoreFull("the disk has no room for the index")
    return error
