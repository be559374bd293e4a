"""
A store that lives in memory: the verified fake of ``FileStore``.

It passes the same contract (``tests/contracts/object_store.py``), so tests of the faces may use it in place of disks.
Every call is done when it returns; the Deferreds have fired.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from attrs import evolve
from twisted.internet.defer import Deferred, maybeDeferred, succeed
from zope.interface import implementer

from ._conditions import check_precondition
from ._interfaces import (
    AccountFacts,
    Change,
    ChangeKind,
    ChangeSpan,
    CommonPrefix,
    ContainerExists,
    ContainerFacts,
    ContainerNotEmpty,
    Extent,
    Hasher,
    InvalidPart,
    IObjectStore,
    IReading,
    IUpload,
    Listing,
    MultipartFacts,
    NoSuchContainer,
    NoSuchObject,
    NoSuchUpload,
    ObjectFacts,
    PartFacts,
    Precondition,
    SpaceFacts,
    StoreFull,
)
from ._memory_data import (
    Account,
    Container,
    MemoryReading,
    MemoryUpload,
    Multipart,
    change,
    container_facts,
    ending,
    page,
    total_size,
)


@implementer(IObjectStore)
class MemoryStore:
    """
    Accounts, containers and objects in dictionaries.

    :param seconds: the clock
    :param capacity_bytes: beyond it writes are refused with ``StoreFull``
    """

    def __init__(self, seconds: Callable[[], float] = time.time, capacity_bytes: int = 1 << 40) -> None:
        self._seconds = seconds
        self._capacity = capacity_bytes
        self._accounts: dict[str, Account] = {}
        self._files: dict[str, bytes] = {}
        self._ids = itertools.count(1)
        self._changes: list[Change] = []
        self._change_ids = itertools.count(1)

    # Accounts and containers

    def account(self, account: str) -> Deferred[AccountFacts]:
        """See ``IObjectStore``."""
        return maybeDeferred(self._account_facts, account)

    def update_account(self, account: str, changes: Mapping[str, str | None]) -> Deferred[None]:
        """See ``IObjectStore``."""
        change(self._account_row(account).metadata, changes)
        return succeed(None)

    def containers(self, account: str, listing: Listing) -> Deferred[list[ContainerFacts | CommonPrefix]]:
        """See ``IObjectStore``."""
        held = self._accounts[account].containers if account in self._accounts else {}
        rows = {name: container_facts(account, name, container) for name, container in held.items()}
        return maybeDeferred(page, rows, listing)

    def create_container(
        self, account: str, container: str, metadata: Mapping[str, str | None], exclusive: bool = False
    ) -> Deferred[bool]:
        """See ``IObjectStore``."""
        return maybeDeferred(self._create_container, account, container, metadata, exclusive)

    def container(self, account: str, container: str) -> Deferred[ContainerFacts]:
        """See ``IObjectStore``."""
        return maybeDeferred(lambda: container_facts(account, container, self._held(account, container)))

    def update_container(self, account: str, container: str, changes: Mapping[str, str | None]) -> Deferred[None]:
        """See ``IObjectStore``."""
        return maybeDeferred(self._update_container, account, container, changes)

    def delete_container(self, account: str, container: str) -> Deferred[None]:
        """See ``IObjectStore``."""
        return maybeDeferred(self._delete_container, account, container)

    # Objects

    def objects(self, account: str, container: str, listing: Listing) -> Deferred[list[ObjectFacts | CommonPrefix]]:
        """See ``IObjectStore``."""

        def find() -> list[ObjectFacts | CommonPrefix]:
            held = self._held(account, container).objects
            return page({name: evolve(facts, extents=()) for name, facts in held.items()}, listing)

        return maybeDeferred(find)

    def object(self, account: str, container: str, name: str) -> Deferred[ObjectFacts]:
        """See ``IObjectStore``."""
        return maybeDeferred(self._object, account, container, name)

    def objects_named(self, account: str, container: str, names: Collection[str]) -> Deferred[list[ObjectFacts]]:
        """See ``IObjectStore``."""

        def find() -> list[ObjectFacts]:
            held = self._held(account, container).objects
            return [held[name] for name in set(names) & held.keys()]

        return maybeDeferred(find)

    def open(self, account: str, container: str, name: str) -> Deferred[IReading]:
        """See ``IObjectStore``."""
        return maybeDeferred(self._open, account, container, name)

    def receive(
        self, digests: Mapping[str, Callable[[], Hasher]], expected_bytes: int | None = None
    ) -> Deferred[IUpload]:
        """See ``IObjectStore``."""
        return maybeDeferred(self._receive, digests, expected_bytes)

    def resume_upload(
        self, state: Mapping[str, Any], descriptors: Sequence[int], digests: Mapping[str, Callable[[], Hasher]]
    ) -> Deferred[IUpload]:
        """See ``IObjectStore``."""
        return maybeDeferred(MemoryUpload.resumed, state, descriptors, self.room, digests)

    def resume_reading(self, state: Mapping[str, Any], descriptors: Sequence[int]) -> IReading:
        """See ``IObjectStore``."""
        return MemoryReading.resumed(state, descriptors)

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

        def put() -> ObjectFacts:
            held = self._held(account, container)
            check_precondition(precondition, held.objects.get(name))
            extents = self._keep(upload)
            return self._name((account, container), name, extents, etag, content_type, metadata)

        return ending(upload, maybeDeferred(put))

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

        def copy() -> ObjectFacts:
            held = self._held(account, container)
            check_precondition(precondition, held.objects.get(name))
            if source.size and not source.extents:
                raise ValueError("facts from a listing have no extents: ask for the object")
            if any(extent.file not in self._files for extent in source.extents):
                raise NoSuchObject(source.name)
            extents = tuple(self._file(self._files[extent.file]) for extent in source.extents)
            return self._name((account, container), name, extents, etag or source.etag, content_type, metadata)

        return maybeDeferred(copy)

    def update_object(
        self, account: str, container: str, name: str, *, content_type: str | None, metadata: Mapping[str, str]
    ) -> Deferred[None]:
        """See ``IObjectStore``."""

        def update() -> None:
            facts = self._object(account, container, name)
            self._held(account, container).objects[name] = evolve(
                facts,
                content_type=content_type or facts.content_type,
                metadata=dict(metadata),
                modified_us=self._later_than(facts),
            )

        return maybeDeferred(update)

    def delete_object(
        self, account: str, container: str, name: str, precondition: Precondition | None = None
    ) -> Deferred[None]:
        """See ``IObjectStore``."""

        def delete() -> None:
            facts = self._object(account, container, name)
            check_precondition(precondition, facts)
            self._unname((account, container), name)

        return maybeDeferred(delete)

    def delete_objects(
        self, account: str, container: str, names: Collection[str], until_us: int | None = None
    ) -> Deferred[set[str]]:
        """See ``IObjectStore``."""

        def delete() -> set[str]:
            held = self._held(account, container)
            found = held.objects.keys() & set(names)
            if until_us is not None:
                found = {name for name in found if held.objects[name].modified_us <= until_us}
            for name in found:
                self._unname((account, container), name)
            return found

        return maybeDeferred(delete)

    # Multipart uploads

    def begin_multipart(
        self, account: str, container: str, name: str, *, content_type: str, metadata: Mapping[str, str]
    ) -> Deferred[MultipartFacts]:
        """See ``IObjectStore``."""

        def begin() -> MultipartFacts:
            held = self._held(account, container)
            facts = MultipartFacts(
                upload_id=f"{next(self._ids):032x}",
                container=container,
                name=name,
                content_type=content_type,
                metadata=dict(metadata),
                created_us=self._now(),
            )
            held.multiparts[facts.upload_id] = Multipart(facts)
            return facts

        return maybeDeferred(begin)

    def multipart(self, account: str, container: str, name: str, upload_id: str) -> Deferred[MultipartFacts]:
        """See ``IObjectStore``."""
        return maybeDeferred(lambda: self._multipart(account, container, name, upload_id).facts)

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

        def find() -> list[MultipartFacts]:
            held = [multipart.facts for multipart in self._held(account, container).multiparts.values()]
            found = [facts for facts in held if facts.name.startswith(prefix) and after(facts)]
            return sorted(found, key=lambda facts: (facts.name, facts.upload_id))[:limit]

        def after(facts: MultipartFacts) -> bool:
            if id_marker and facts.name == key_marker:
                return facts.upload_id > id_marker
            return not key_marker or facts.name > key_marker

        return maybeDeferred(find)

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

        def put() -> PartFacts:
            held = self._multipart(account, container, name, upload_id)
            self._free(held.parts[number][1] if number in held.parts else ())
            extents = self._keep(upload)
            facts = PartFacts(
                number=number,
                size=total_size(extents),
                etag=etag,
                modified_us=self._now(),
                metadata=dict(metadata),
            )
            held.parts[number] = (facts, extents)
            return facts

        return ending(upload, maybeDeferred(put))

    def parts(
        self, account: str, container: str, name: str, upload_id: str, *, marker: int = 0, limit: int = 1000
    ) -> Deferred[list[PartFacts]]:
        """See ``IObjectStore``."""

        def find() -> list[PartFacts]:
            held = self._multipart(account, container, name, upload_id).parts
            return [held[number][0] for number in sorted(held) if number > marker][:limit]

        return maybeDeferred(find)

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

        def complete() -> ObjectFacts:
            multipart = self._multipart(account, container, name, upload_id)
            held = self._held(account, container)
            check_precondition(precondition, held.objects.get(name))
            left = dict(multipart.parts)
            extents: list[Extent] = []
            for number, part_etag in parts:
                if number not in left or left[number][0].etag != part_etag:
                    raise InvalidPart(number)
                extents += left.pop(number)[1]
            for _, unused in left.values():
                self._free(unused)
            del held.multiparts[upload_id]
            place = (account, container)
            return self._name(place, name, tuple(extents), etag, multipart.facts.content_type, metadata)

        return maybeDeferred(complete)

    def abort_multipart(self, account: str, container: str, name: str, upload_id: str) -> Deferred[None]:
        """See ``IObjectStore``."""

        def abort() -> None:
            self._abort(self._multipart(account, container, name, upload_id))
            del self._held(account, container).multiparts[upload_id]

        return maybeDeferred(abort)

    # The log

    def changes(
        self, after: int, limit: int, account: str | None = None, within: int | None = None
    ) -> Deferred[tuple[ChangeSpan, list[Change]]]:
        """See ``IObjectStore``."""
        looked_at = [one for one in self._changes if after < one.id and (within is None or one.id <= after + within)]
        found = [one for one in looked_at if account in (None, one.account)]
        return succeed((self._span(), found[:limit]))

    def prune_changes(self, keep: int, before_us: int, limit: int) -> Deferred[int]:
        """See ``IObjectStore``."""
        newest = self._span().newest

        def is_old(one: Change) -> bool:
            return one.id < newest and (one.id <= newest - keep or one.at_us < before_us)

        old = len(list(itertools.takewhile(is_old, self._changes[:limit])))
        del self._changes[:old]
        return succeed(old)

    def _span(self) -> ChangeSpan:
        return ChangeSpan(self._changes[0].id, self._changes[-1].id) if self._changes else ChangeSpan(0, 0)

    # Upkeep

    def recover(self) -> Deferred[int]:
        """There is never anything to recover."""
        return succeed(0)

    def upkeep(self) -> Deferred[int]:
        """There is never anything to do."""
        return succeed(0)

    def space(self) -> Deferred[SpaceFacts]:
        """What is left of the capacity."""
        return succeed(SpaceFacts(free_bytes=self.room(), reserve_bytes=0, total_bytes=self._capacity))

    def close(self) -> Deferred[None]:
        """There is no background work."""
        return succeed(None)

    def room(self) -> int:
        """How many more bytes fit."""
        return self._capacity - sum(len(data) for data in self._files.values())

    # Private

    def _now(self) -> int:
        return int(self._seconds() * 1_000_000)

    def _later_than(self, present: ObjectFacts | None) -> int:
        return max(self._now(), present.modified_us + 1 if present else 0)

    def _account_row(self, account: str) -> Account:
        return self._accounts.setdefault(account, Account(self._now()))

    def _account_facts(self, account: str) -> AccountFacts:
        row = self._accounts.get(account, Account(0))
        containers = [container_facts(account, name, held) for name, held in row.containers.items()]
        return AccountFacts(
            name=account,
            metadata=dict(row.metadata),
            container_count=len(containers),
            object_count=sum(facts.object_count for facts in containers),
            bytes_used=sum(facts.bytes_used for facts in containers),
            created_us=row.created_us,
        )

    def _held(self, account: str, container: str) -> Container:
        try:
            return self._accounts[account].containers[container]
        except KeyError:
            raise NoSuchContainer(container) from None

    def _create_container(
        self, account: str, container: str, metadata: Mapping[str, str | None], exclusive: bool
    ) -> bool:
        containers = self._account_row(account).containers
        if container in containers:
            if exclusive:
                raise ContainerExists(container)
            if metadata:
                self._update_container(account, container, metadata)
            return False
        containers[container] = Container(self._now(), self._now(), {})
        change(containers[container].metadata, metadata)
        self._log(ChangeKind.CONTAINER_CREATED, account, container)
        return True

    def _update_container(self, account: str, container: str, changes: Mapping[str, str | None]) -> None:
        held = self._held(account, container)
        change(held.metadata, changes)
        held.modified_us = self._now()

    def _delete_container(self, account: str, container: str) -> None:
        held = self._held(account, container)
        if held.objects:
            raise ContainerNotEmpty(container)
        for multipart in held.multiparts.values():
            self._abort(multipart)
        del self._accounts[account].containers[container]
        self._log(ChangeKind.CONTAINER_DELETED, account, container)

    def _object(self, account: str, container: str, name: str) -> ObjectFacts:
        try:
            return self._held(account, container).objects[name]
        except KeyError:
            raise NoSuchObject(name) from None

    def _open(self, account: str, container: str, name: str) -> IReading:
        facts = self._object(account, container, name)
        return MemoryReading(facts, [self._files[extent.file] for extent in facts.extents])

    def _receive(self, digests: Mapping[str, Callable[[], Hasher]], expected_bytes: int | None) -> IUpload:
        if (expected_bytes or 0) > self.room():
            raise StoreFull("the store has no room for this object")
        return MemoryUpload(self.room, digests)

    def _multipart(self, account: str, container: str, name: str, upload_id: str) -> Multipart:
        try:
            multipart = self._held(account, container).multiparts[upload_id]
        except (KeyError, NoSuchContainer):
            raise NoSuchUpload(upload_id) from None
        if multipart.facts.name != name:
            raise NoSuchUpload(upload_id)
        return multipart

    def _abort(self, multipart: Multipart) -> None:
        for _, extents in multipart.parts.values():
            self._free(extents)

    def _keep(self, upload: IUpload) -> tuple[Extent, ...]:
        assert isinstance(upload, MemoryUpload)
        assert not upload.ended
        data = upload.take()
        return (self._file(data),) if data else ()

    def _file(self, data: bytes) -> Extent:
        file = str(next(self._ids))
        self._files[file] = data
        return Extent(file, len(data))

    def _free(self, extents: Sequence[Extent]) -> None:
        for extent in extents:
            del self._files[extent.file]

    def _log(self, kind: ChangeKind, account: str, container: str, facts: ObjectFacts | None = None) -> None:
        at_us = facts.modified_us if facts and kind is ChangeKind.OBJECT_CREATED else self._now()
        row = (next(self._change_ids), at_us, kind, account, container)
        self._changes.append(Change(*row, facts.name, facts.size, facts.etag) if facts else Change(*row))

    def _unname(self, place: tuple[str, str], name: str) -> None:
        facts = self._held(*place).objects.pop(name)
        self._free(facts.extents)
        self._log(ChangeKind.OBJECT_DELETED, *place, facts)

    def _name(
        self,
        place: tuple[str, str],
        name: str,
        extents: tuple[Extent, ...],
        etag: str,
        content_type: str,
        metadata: Mapping[str, str],
    ) -> ObjectFacts:
        held = self._held(*place)
        present = held.objects.get(name)
        self._free(present.extents if present else ())
        named = held.objects[name] = ObjectFacts(
            name=name,
            size=total_size(extents),
            etag=etag,
            content_type=content_type,
            modified_us=self._later_than(present),
            metadata=dict(metadata),
            extents=extents,
        )
        self._log(ChangeKind.OBJECT_CREATED, *place, named)
        return named
