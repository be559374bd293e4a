"""
One file per object, on one node, durable.

A write goes: data into an unnamed file, in threads, with its digests; fsync; link into ``incoming/``; fsync of that
folder, shared with other writes; one index transaction that gives the name and keeps all counters; and only then the
Deferred fires.  ``_settling`` tells what follows, and what is left after a crash at every point.

Every process of a host may have a ``FileStore`` on the same folder and the same index at once.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any, Concatenate
from uuid import uuid4

from twisted.internet.defer import Deferred, succeed
from twisted.python.failure import Failure
from zope.interface import implementer

from . import _changes, _container_index, _multipart_index, _object_index
from ._borrowed import Arguments, Index, Result, Threads
from ._interfaces import (
    AccountFacts,
    Change,
    ChangeSpan,
    CommonPrefix,
    ContainerFacts,
    DataDamaged,
    Extent,
    Hasher,
    IObjectStore,
    IReading,
    IUpload,
    Listing,
    MultipartFacts,
    ObjectFacts,
    PartFacts,
    Precondition,
    SpaceFacts,
)
from ._layout import Layout
from ._multipart_index import NewPart, UploadKey
from ._object_index import NewVersion
from ._reading import FileReading, Gone, open_version, resume_version
from ._rows import Freed
from ._schema import migrate
from ._settling import Settler, clean
from ._small_objects import SmallObjects
from ._space import Space
from ._writing import Writing, refusal_of

_LOOKUPS = 8


@implementer(IObjectStore)
class FileStore:
    """
    Objects in the files of one folder.  ``recover`` must have run once on the host before the other calls.

    :param folder: created by ``recover``; everything in it is the store's
    :param index: a database of its own, on a disk that syncs as well as the folder's
    :param threads: for disk and hashing
    :param reactor: clock and delays (``IReactorTime``)
    :param reserve_bytes: uploads are refused when less than this would stay free
    """

    def __init__(
        self, folder: Path, index: Index, threads: Threads, reactor: Any, *, reserve_bytes: int = 67_108_864
    ) -> None:
        self._index = index
        self._threads = threads
        self._reactor = reactor
        self._layout = Layout(folder)
        self._space = Space(folder, reserve_bytes)
        self._small = SmallObjects(index)
        self._settler = Settler(self._layout, index, threads, reactor)
        self._writing = Writing(self._layout, index, threads, self._settler, self._space)

    # Accounts and containers

    def account(self, account: str) -> Deferred[AccountFacts]:
        """See ``IObjectStore``."""
        return self._index.read(_container_index.read_account, account)

    def update_account(self, account: str, changes: Mapping[str, str | None]) -> Deferred[None]:
        """See ``IObjectStore``."""
        return self._change(_container_index.update_account, account, changes, self._now())

    def containers(self, account: str, listing: Listing) -> Deferred[list[ContainerFacts | CommonPrefix]]:
        """See ``IObjectStore``."""
        return self._index.read(_container_index.list_containers, account, listing)

    def create_container(
        self, account: str, container: str, metadata: Mapping[str, str | None], exclusive: bool = False
    ) -> Deferred[bool]:
        """See ``IObjectStore``."""
        return self._change(_container_index.create_container, account, container, metadata, exclusive, self._now())

    def container(self, account: str, container: str) -> Deferred[ContainerFacts]:
        """See ``IObjectStore``."""
        return self._index.read(_container_index.read_container, account, container)

    def update_container(self, account: str, container: str, changes: Mapping[str, str | None]) -> Deferred[None]:
        """See ``IObjectStore``."""
        return self._change(_container_index.update_container, account, container, changes, self._now())

    def delete_container(self, account: str, container: str) -> Deferred[None]:
        """See ``IObjectStore``."""
        return self._freeing(_container_index.delete_container, account, container)

    # Objects

    def objects(self, account: str, container: str, listing: Listing) -> Deferred[list[ObjectFacts | CommonPrefix]]:
        """See ``IObjectStore``."""
        return self._index.read(_object_index.list_objects, account, container, listing)

    def object(self, account: str, container: str, name: str) -> Deferred[ObjectFacts]:
        """See ``IObjectStore``."""
        return self._index.read(_object_index.read_object, account, container, name)

    def objects_named(self, account: str, container: str, names: Collection[str]) -> Deferred[list[ObjectFacts]]:
        """See ``IObjectStore``."""
        return self._index.read(_object_index.read_objects, account, container, frozenset(names))

    def open(self, account: str, container: str, name: str) -> Deferred[IReading]:
        """See ``IObjectStore``."""
        kept = self._small.get((account, container, name))
        return Deferred.fromCoroutine(self._open(account, container, name)) if kept is None else succeed(kept)

    def receive(
        self, digests: Mapping[str, Callable[[], Hasher]], expected_bytes: int | None = None
    ) -> Deferred[IUpload]:
        """See ``IObjectStore``."""
        return Deferred.fromCoroutine(self._writing.receive(digests, expected_bytes or 0))

    def resume_upload(
        self, state: Mapping[str, Any], descriptors: Sequence[int], digests: Mapping[str, Callable[[], Hasher]]
    ) -> Deferred[IUpload]:
        """See ``IObjectStore``."""
        return Deferred.fromCoroutine(self._writing.resume(state, descriptors, digests))

    def resume_reading(self, state: Mapping[str, Any], descriptors: Sequence[int]) -> IReading:
        """See ``IObjectStore``."""
        return resume_version(self._layout, self._threads, state, descriptors)

    def put_object(
        self,
        account: str,
        container: str,
        name: str,
        upload: IUpload,
        *,
        etag: str,
        content_type: str,
        metadata: Mapping[str, str],
        precondition: Precondition | None = None,
    ) -> Deferred[ObjectFacts]:
        """See ``IObjectStore``."""

        def name_it(extents: tuple[Extent, ...]) -> Deferred[tuple[ObjectFacts, list[Freed]]]:
            version = NewVersion(
                etag=etag, content_type=content_type, metadata=metadata, extents=extents, now_us=self._now()
            )
            return self._index.write(_object_index.put_object, account, container, name, version, precondition)

        return _uncancellable(self._writing.put(upload, name_it))

    def copy_object(
        self,
        source: ObjectFacts,
        account: str,
        container: str,
        name: str,
        *,
        content_type: str,
        metadata: Mapping[str, str],
        precondition: Precondition | None = None,
        etag: str | None = None,
    ) -> Deferred[ObjectFacts]:
        """See ``IObjectStore``."""

        def name_it(extents: tuple[Extent, ...]) -> Deferred[tuple[ObjectFacts, list[Freed]]]:
            version = NewVersion(
                etag=etag or source.etag,
                content_type=content_type,
                metadata=metadata,
                extents=extents,
                now_us=self._now(),
            )
            return self._index.write(_object_index.put_object, account, container, name, version, precondition)

        return _uncancellable(self._writing.copy(source, name_it))

    def update_object(
        self, account: str, container: str, name: str, *, content_type: str | None, metadata: Mapping[str, str]
    ) -> Deferred[None]:
        """See ``IObjectStore``."""
        return self._change(_object_index.update_object, account, container, name, content_type, metadata, self._now())

    def delete_object(
        self, account: str, container: str, name: str, precondition: Precondition | None = None
    ) -> Deferred[None]:
        """See ``IObjectStore``."""
        return self._freeing(_object_index.delete_object, account, container, name, precondition)

    def delete_objects(
        self, account: str, container: str, names: Collection[str], until_us: int | None = None
    ) -> Deferred[set[str]]:
        """See ``IObjectStore``."""

        async def delete() -> set[str]:
            change, chosen = _object_index.delete_objects, frozenset(names)
            found, freed = await self._change(change, account, container, chosen, until_us)
            self._settler.add(garbage=freed)
            return found

        return _uncancellable(delete())

    # Multipart uploads

    def begin_multipart(
        self, account: str, container: str, name: str, *, content_type: str, metadata: Mapping[str, str]
    ) -> Deferred[MultipartFacts]:
        """See ``IObjectStore``."""
        facts = MultipartFacts(
            upload_id=uuid4().hex,
            container=container,
            name=name,
            content_type=content_type,
            metadata=dict(metadata),
            created_us=self._now(),
        )
        return self._change(_multipart_index.begin_multipart, account, facts).addCallback(lambda _: facts)

    def multipart(self, account: str, container: str, name: str, upload_id: str) -> Deferred[MultipartFacts]:
        """See ``IObjectStore``."""
        return self._index.read(_multipart_index.read_multipart, UploadKey(account, container, name, upload_id))

    def multiparts(
        self,
        account: str,
        container: str,
        *,
        prefix: str = "",
        key_marker: str = "",
        id_marker: str = "",
        limit: int = 1000,
    ) -> Deferred[list[MultipartFacts]]:
        """See ``IObjectStore``."""
        return self._index.read(
            _multipart_index.list_multiparts, account, container, prefix, key_marker, id_marker, limit
        )

    def put_part(
        self,
        account: str,
        container: str,
        name: str,
        upload_id: str,
        number: int,
        upload: IUpload,
        *,
        etag: str,
        metadata: Mapping[str, str],
    ) -> Deferred[PartFacts]:
        """See ``IObjectStore``."""
        key = UploadKey(account, container, name, upload_id)

        def name_it(extents: tuple[Extent, ...]) -> Deferred[tuple[PartFacts, list[Freed]]]:
            part = NewPart(number=number, etag=etag, metadata=metadata, extents=extents, now_us=self._now())
            return self._index.write(_multipart_index.put_part, key, part)

        return _uncancellable(self._writing.put(upload, name_it))

    def parts(
        self, account: str, container: str, name: str, upload_id: str, *, marker: int = 0, limit: int = 1000
    ) -> Deferred[list[PartFacts]]:
        """See ``IObjectStore``."""
        key = UploadKey(account, container, name, upload_id)
        return self._index.read(_multipart_index.list_parts, key, marker, limit)

    def complete_multipart(
        self,
        account: str,
        container: str,
        name: str,
        upload_id: str,
        parts: Sequence[tuple[int, str]],
        *,
        etag: str,
        metadata: Mapping[str, str],
        precondition: Precondition | None = None,
    ) -> Deferred[ObjectFacts]:
        """See ``IObjectStore``."""
        key = UploadKey(account, container, name, upload_id)

        async def complete() -> ObjectFacts:
            facts, freed = await self._change(
                _multipart_index.complete_multipart, key, parts, etag, metadata, precondition, self._now()
            )
            self._settler.add(garbage=freed)
            return facts

        return _uncancellable(complete())

    def abort_multipart(self, account: str, container: str, name: str, upload_id: str) -> Deferred[None]:
        """See ``IObjectStore``."""
        return self._freeing(_multipart_index.abort_multipart, UploadKey(account, container, name, upload_id))

    # The log

    def changes(
        self, after: int, limit: int, account: str | None = None, within: int | None = None
    ) -> Deferred[tuple[ChangeSpan, list[Change]]]:
        """See ``IObjectStore``."""
        return self._index.read(_changes.read_changes, after, limit, account, within)

    def prune_changes(self, keep: int, before_us: int, limit: int) -> Deferred[int]:
        """See ``IObjectStore``."""

        async def prune() -> int:
            if not await self._index.read(_changes.has_old_changes, keep, before_us):
                return 0
            return await self._change(_changes.prune_changes, keep, before_us, limit)

        return _uncancellable(prune())

    # Upkeep

    def recover(self) -> Deferred[int]:
        """See ``IObjectStore``."""

        async def recover() -> int:
            await self._threads.run(self._layout.prepare)
            await self._index.write(migrate)
            return await self._clean()

        return _uncancellable(recover())

    def upkeep(self) -> Deferred[int]:
        """See ``IObjectStore``."""
        return _uncancellable(self._clean())

    def space(self) -> Deferred[SpaceFacts]:
        """See ``IObjectStore``."""
        return self._threads.run(self._space.facts)

    def close(self) -> Deferred[None]:
        """See ``IObjectStore``.  Call it when no write is under way."""

        async def close() -> None:
            await self._settler.flush()
            await self._writing.close()

        return _uncancellable(close())

    # Private

    def _now(self) -> int:
        return int(self._reactor.seconds() * 1_000_000)

    def _change(
        self,
        function: Callable[Concatenate[Any, Arguments], Result],
        /,
        *args: Arguments.args,
        **kwargs: Arguments.kwargs,
    ) -> Deferred[Result]:
        """A transaction that touches no file."""
        changed = self._index.write(function, *args, **kwargs)
        changed.addErrback(_refuse)
        return changed

    def _freeing(
        self,
        function: Callable[Concatenate[Any, Arguments], list[Freed]],
        /,
        *args: Arguments.args,
        **kwargs: Arguments.kwargs,
    ) -> Deferred[None]:
        """A transaction after which files are garbage."""

        async def change() -> None:
            self._settler.add(garbage=await self._change(function, *args, **kwargs))

        return _uncancellable(change())

    async def _open(self, account: str, container: str, name: str) -> IReading:
        for _ in range(_LOOKUPS):
            version = self._small.version()
            try:
                reading = await self._index.read(self._look_up_and_open, account, container, name)
            except Gone as error:
                cause = str(error)
                continue
            if reading.content is not None:
                self._small.put((account, container, name), version, reading.facts, reading.content)
            return reading
        raise DataDamaged(f"{name!r}: data file {cause} is missing")

    def _look_up_and_open(self, connection: Any, account: str, container: str, name: str) -> FileReading:
        """Both in one thread job: a small object then costs one."""
        facts = _object_index.read_object(connection, account, container, name)
        return open_version(self._layout, self._threads, facts)

    async def _clean(self) -> int:
        return await clean(self._layout, self._index, self._threads, self._writing.owner_name)


def _uncancellable(work: Coroutine[Any, Any, Result]) -> Deferred[Result]:
    """Work that goes on when nobody waits any more: half a write would leave its files behind."""
    outer: Deferred[Result] = Deferred()
    Deferred.fromCoroutine(work).chainDeferred(outer)
    return outer


def _refuse(failure: Failure) -> None:
    assert isinstance(failure.value, Exception)
    raise refusal_of(failure.value) from failure.value
