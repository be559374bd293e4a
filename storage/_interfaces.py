"""
The interface that every storage engine shares, and the values that cross it.

Names (account, container, object) are ``str`` that encode to UTF-8; listings are in the order of their UTF-8 bytes.
Times are whole microseconds since the epoch, as ``int``.  Metadata is a flat mapping of ``str`` to ``str``; the
store keeps it and never reads it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from enum import Enum
from typing import Any, Protocol

from attrs import field, frozen
from twisted.internet.defer import Deferred
from zope.interface import Attribute, Interface


class Hasher(Protocol):
    """The part of ``hashlib``'s objects that an upload needs; checksums wrap themselves in it."""

    def update(self, data: bytes, /) -> None:
        """Go on with more bytes; called in a thread."""

    def digest(self) -> bytes:
        """The digest of all bytes so far."""


@frozen(kw_only=True)
class AccountFacts:
    """An account and its exact counters; all zero for an account that has no row yet."""

    name: str
    metadata: Mapping[str, str]
    container_count: int
    object_count: int
    bytes_used: int
    created_us: int


@frozen(kw_only=True)
class ContainerFacts:
    """A container and its exact counters; ``modified_us`` is when its metadata was set last."""

    account: str
    name: str
    metadata: Mapping[str, str]
    object_count: int
    bytes_used: int
    created_us: int
    modified_us: int


@frozen
class Extent:
    """``length`` bytes of one data file; only the engine knows what ``file`` means."""

    file: str
    length: int


@frozen(kw_only=True)
class ObjectFacts:
    """One version of an object.  ``etag`` is its entity tag without quotes: MD5 in hex, or S3's ``md5-N``."""

    name: str
    size: int
    etag: str
    content_type: str
    modified_us: int
    metadata: Mapping[str, str]
    extents: tuple[Extent, ...] = field(default=(), repr=False)


@frozen
class CommonPrefix:
    """A roll-up row of a listing with a delimiter; ends with the delimiter."""

    name: str


@frozen(kw_only=True)
class Listing:
    """
    What part of a listing is asked for.  Bounds are exclusive; ``""`` means no bound.

    ``limit`` counts rows and common prefixes; the store sets no upper bound.

    In reverse, ``marker`` is the upper and ``end_marker`` the lower bound, as in Swift.  A ``marker`` that equals a
    common prefix skips everything under that prefix.
    """

    prefix: str = ""
    delimiter: str = ""
    marker: str = ""
    end_marker: str = ""
    limit: int = 10_000
    reverse: bool = False


@frozen(kw_only=True)
class Precondition:
    """
    What must hold for the version that a write replaces, tested inside the write's own transaction.

    ``if_absent``: there is no object (``If-None-Match: *``).  ``if_match``: its etag is one of these; ``("*",)``
    means that it exists.  ``if_none_match``: its etag is none of these.
    """

    if_absent: bool = False
    if_match: tuple[str, ...] = ()
    if_none_match: tuple[str, ...] = ()


@frozen(kw_only=True)
class MultipartFacts:
    """An unfinished multipart upload."""

    upload_id: str
    container: str
    name: str
    content_type: str
    metadata: Mapping[str, str]
    created_us: int


@frozen(kw_only=True)
class PartFacts:
    """One part of an unfinished multipart upload; ``number`` is the client's, from 1 on."""

    number: int
    size: int
    etag: str
    modified_us: int
    metadata: Mapping[str, str]


class ChangeKind(Enum):
    """What a change did.  The values are in the log for good."""

    OBJECT_CREATED = 1  # a new name, or a new version of one
    OBJECT_DELETED = 2
    CONTAINER_CREATED = 3
    CONTAINER_DELETED = 4


@frozen
class Change:
    """
    One entry of the store's log.  ``id`` rises by one from change to change, in the order in which they took effect.

    ``name``, ``size`` and ``etag`` are the object's, of a deleted one the last; empty for a container.
    """

    id: int
    at_us: int
    kind: ChangeKind
    account: str
    container: str
    name: str = ""
    size: int = 0
    etag: str = ""


@frozen
class ChangeSpan:
    """The ids of the oldest and the newest change that are kept; both 0 when nothing has ever changed."""

    oldest: int
    newest: int


@frozen(kw_only=True)
class SpaceFacts:
    """Bytes free for objects on the store's file system, the reserve that writes leave free, and its whole size."""

    free_bytes: int
    reserve_bytes: int
    total_bytes: int


class StoreError(Exception):
    """Base of what a store refuses; nothing was changed."""


class NoSuchAccount(StoreError):
    """The account has no row yet: it never had a container or metadata."""


class NoSuchContainer(StoreError):
    """The container does not exist, or no longer."""


class NoSuchObject(StoreError):
    """The object, or the version asked for, does not exist, or no longer."""


class NoSuchUpload(StoreError):
    """The multipart upload was completed, aborted or never begun."""


class InvalidPart(StoreError):
    """A part named at completion is missing or has another etag; ``number`` says which."""

    def __init__(self, number: int) -> None:
        super().__init__(f"part {number} is missing or has another etag")
        self.number = number


class ContainerExists(StoreError):
    """Exclusive creation found a container of that name."""


class ContainerNotEmpty(StoreError):
    """The container still holds objects: delete them first."""


class PreconditionFailed(StoreError):
    """The present version (``found``, or None) does not satisfy the precondition of the write."""

    def __init__(self, found: ObjectFacts | None) -> None:
        super().__init__("the object's present version does not satisfy the precondition")
        self.found = found


class UnknownFormat(StoreError):
    """
    The folder or its index was written by a newer cloudd, or is no store of ours; nothing was touched.

    Start the newer version again, or point the store at another folder.
    """


class DataDamaged(StoreError):
    """The index names data that the disk does not have, or not whole: restore the file from a backup."""


class StoreFull(StoreError):
    """Free space would fall below the reserve, or the disk said ENOSPC; nothing was kept, earlier data is whole."""


class NotTellable(StoreError):
    """An upload is ending: it cannot go on in another process, and need not."""


class UnknownState(StoreError):
    """What another process told of an upload or a reading is not understood here, or does not fit the files with it."""


class IUpload(Interface):
    """
    The data of one object on its way to disk; not yet visible under any name.

    Ends in exactly one of: given to ``put_object`` or ``put_part``, ``discard``, or ``abandon``.
    """

    size = Attribute("Bytes written so far: ``int``.")

    def write(data: bytes) -> Deferred[None] | None:
        """
        Take the next bytes.  Returns None when more is welcome at once, else a Deferred that fires when it is
        (back-pressure: at most a few hundred KiB are held in memory).

        :raises StoreFull: by the Deferred; call ``discard``
        """

    def finish() -> Deferred[Mapping[str, bytes]]:
        """
        Make the data durable (fsync) and give the digests that were asked for, by name.  Writes nothing visible.
        Asking again gives the same digests.

        :raises StoreFull: call ``discard``
        """

    def discard() -> Deferred[None]:
        """Forget the data and free its space.  Safe in any state and more than once."""

    def tell() -> dict[str, Any]:
        """
        What ``IObjectStore.resume_upload`` needs to go on with it, here or in another process: plain data, at most
        about 1 MiB.  Changes nothing.

        :raises NotTellable: it is being finished, has failed, or has ended
        """

    def descriptors() -> tuple[int, ...]:
        """The open files that belong to what ``tell`` gives at this moment.  They stay the upload's."""

    def abandon() -> None:
        """
        Another one goes on with what was told: close our descriptors and leave the data alone, also in ``discard``.

        Safe in any state and more than once.
        """

    def feed(hasher: Hasher, start: int) -> Deferred[None]:
        """
        Give ``hasher`` the bytes from ``start`` on, in a thread; nothing may be written meanwhile.

        For a digest of the latest bytes that was begun in another process.
        """


class IReading(Interface):
    """One open version of an object; stays readable while newer versions come and the object is deleted."""

    facts = Attribute("The version that is open: ``ObjectFacts``.")
    content = Attribute(
        "The whole content as ``bytes`` when it is small (at most 64 KiB) and was read while opening, else ``None``. "
        "``regions`` works in both cases."
    )

    def regions(start: int, length: int) -> Sequence[tuple[int, int, int]]:
        """
        The bytes ``start`` to ``start + length`` as ``(descriptor, offset, length)``, in order.

        Opens every data file that they lie in, at once: for an object of many parts use ``region``.
        """

    def region(start: int, length: int) -> Deferred[tuple[int, int, int]]:
        """
        The first bytes of ``start`` to ``start + length`` as ``(descriptor, offset, length)``: as many as lie together.

        The descriptor is good until the next call or ``close``.  Opens what it needs in a thread.

        :raises DataDamaged:
        """

    def close() -> None:
        """Close the descriptors.  Safe more than once."""

    def tell() -> dict[str, Any]:
        """
        What ``IObjectStore.resume_reading`` needs to open the same version here or in another process, whatever has
        become of its name: plain data.  Changes nothing.
        """

    def descriptors() -> tuple[int, ...]:
        """The open files that belong to what ``tell`` gives at this moment.  They stay the reading's."""


class IObjectStore(Interface):
    """
    Accounts, containers and objects.  Calls for different names may overlap.  A write's Deferred fires only when
    data and name are on disk and every process of the host sees it.

    Cancelling a read drops its result.  Cancelling a write does not stop it: it happens whole, or not at all.
    A write that fails has changed nothing.  Any call may fail with the engine's own errors (an I/O error, a busy
    database); then, as with a lost connection, a write may have happened, and asking tells.

    Account rows come into being with their first container or metadata.  Providers pass
    ``tests.contracts.object_store.ObjectStoreContract``.
    """

    def account(account: str) -> Deferred[AccountFacts]:
        """Facts and counters as of now; empty facts for an account without a row."""

    def update_account(account: str, changes: Mapping[str, str | None]) -> Deferred[None]:
        """Set metadata keys, remove those whose value is None."""

    def containers(account: str, listing: Listing) -> Deferred[list[ContainerFacts | CommonPrefix]]:
        """One page of the account's containers; an account without a row has none."""

    def create_container(
        account: str, container: str, metadata: Mapping[str, str | None], exclusive: bool = False
    ) -> Deferred[bool]:
        """
        Create, or with ``exclusive=False`` update the metadata of an existing one.

        :return: whether it was new
        :raises ContainerExists: only with ``exclusive=True``
        """

    def container(account: str, container: str) -> Deferred[ContainerFacts]:
        """:raises NoSuchContainer:"""

    def update_container(account: str, container: str, changes: Mapping[str, str | None]) -> Deferred[None]:
        """:raises NoSuchContainer:"""

    def delete_container(account: str, container: str) -> Deferred[None]:
        """
        Unfinished multipart uploads in it are aborted.

        :raises NoSuchContainer:
        :raises ContainerNotEmpty:
        """

    def objects(account: str, container: str, listing: Listing) -> Deferred[list[ObjectFacts | CommonPrefix]]:
        """
        One page of the container.  The facts have no ``extents``: ask for the object before copying it.

        :raises NoSuchContainer:
        """

    def object(account: str, container: str, name: str) -> Deferred[ObjectFacts]:
        """
        :raises NoSuchContainer:
        :raises NoSuchObject:
        """

    def objects_named(account: str, container: str, names: Collection[str]) -> Deferred[list[ObjectFacts]]:
        """
        Those of these that exist, as of one moment.

        :raises NoSuchContainer:
        """

    def open(account: str, container: str, name: str) -> Deferred[IReading]:
        """
        Open the present version for reading; the caller closes it.

        :raises NoSuchContainer:
        :raises NoSuchObject:
        """

    def receive(digests: Mapping[str, Callable[[], Hasher]], expected_bytes: int | None = None) -> Deferred[IUpload]:
        """
        Begin to take data.  Digests are computed in threads, each fed every byte.

        :param expected_bytes: the declared length, to refuse early what cannot fit
        :raises StoreFull:
        """

    def resume_upload(
        state: Mapping[str, Any], descriptors: Sequence[int], digests: Mapping[str, Callable[[], Hasher]]
    ) -> Deferred[IUpload]:
        """
        Go on with an upload of this store that another process, or this one, has told of.

        The data is ours from now on: the other process may end, and ``recover`` and ``upkeep`` leave it alone.

        :param descriptors: ours from now on, also when this fails
        :param digests: as for ``receive``; they are computed anew in the background
        :raises UnknownState:
        """

    def resume_reading(state: Mapping[str, Any], descriptors: Sequence[int]) -> IReading:
        """
        Open again what another process, or this one, has told of.

        :param descriptors: ours from now on, also when this fails
        :raises UnknownState:
        """

    def put_object(
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
        """
        Give the upload its name, replacing the present version.  Finishes it first if that was not done.  On any
        failure the upload is discarded.  The new version's ``modified_us`` is later than the replaced one's.

        :raises NoSuchContainer:
        :raises PreconditionFailed:
        :raises StoreFull:
        """

    def copy_object(
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
        """
        A second object with the same bytes, without moving them; the source may be deleted at any time.

        Source and destination may be one object, to replace its metadata.

        :param etag: when it is not the source's
        :raises NoSuchContainer: of the destination
        :raises NoSuchObject: the source's version has gone meanwhile; ask for it again
        :raises PreconditionFailed:
        """

    def update_object(
        account: str, container: str, name: str, *, content_type: str | None, metadata: Mapping[str, str]
    ) -> Deferred[None]:
        """
        Replace all metadata, keep the data.

        :raises NoSuchContainer:
        :raises NoSuchObject:
        """

    def delete_object(
        account: str, container: str, name: str, precondition: Precondition | None = None
    ) -> Deferred[None]:
        """
        :raises NoSuchContainer:
        :raises NoSuchObject:
        :raises PreconditionFailed:
        """

    def delete_objects(
        account: str, container: str, names: Collection[str], until_us: int | None = None
    ) -> Deferred[set[str]]:
        """
        Delete many in one transaction.

        :param until_us: what was modified later stays; None: nothing stays
        :return: the names that were deleted
        :raises NoSuchContainer:
        """

    def begin_multipart(
        account: str, container: str, name: str, *, content_type: str, metadata: Mapping[str, str]
    ) -> Deferred[MultipartFacts]:
        """:raises NoSuchContainer:"""

    def multipart(account: str, container: str, name: str, upload_id: str) -> Deferred[MultipartFacts]:
        """:raises NoSuchUpload:"""

    def multiparts(
        account: str, container: str, *, prefix: str = "", key_marker: str = "", id_marker: str = "", limit: int = 1000
    ) -> Deferred[list[MultipartFacts]]:
        """
        Unfinished uploads, by name, then by upload id.

        :raises NoSuchContainer:
        """

    def put_part(
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
        """
        Keep a part, replacing an earlier one of that number.

        :raises NoSuchUpload: the upload's data is discarded
        """

    def parts(
        account: str, container: str, name: str, upload_id: str, *, marker: int = 0, limit: int = 1000
    ) -> Deferred[list[PartFacts]]:
        """:raises NoSuchUpload:"""

    def complete_multipart(
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
        """
        One object of these parts (number, etag) in this order; the other parts are freed, the upload id ends.
        No data moves.  The content type is the one given at ``begin_multipart``.

        :param parts: each number at most once

        :param metadata: the object's whole metadata
        :raises NoSuchUpload:
        :raises InvalidPart: nothing was changed
        :raises PreconditionFailed: nothing was changed
        """

    def abort_multipart(account: str, container: str, name: str, upload_id: str) -> Deferred[None]:
        """:raises NoSuchUpload:"""

    def changes(
        after: int, limit: int, account: str | None = None, within: int | None = None
    ) -> Deferred[tuple[ChangeSpan, list[Change]]]:
        """
        The log of created and deleted objects and containers: what is kept, and the first changes after ``after``.

        A change is in the log when the Deferred of the write that made it fires.  Metadata alone is no change.  No
        change has been lost when ``after >= span.oldest - 1``.

        :param limit: most changes in one answer
        :param account: only this one's
        :param within: look no further than so many changes, whosoever they are: the log has no index by account, so
            this is what bounds the cost
        """

    def prune_changes(keep: int, before_us: int, limit: int) -> Deferred[int]:
        """
        Forget the oldest changes: all but the newest ``keep``, and of these all before a time.  The newest stays.

        :param limit: most changes that one call forgets
        :return: how many were forgotten
        """

    def recover() -> Deferred[int]:
        """
        Once per host, before the first request: create or migrate the layout, end what a killed process left.

        Its cost grows with what was pending, not with what is stored.

        :return: how many orphaned files were removed
        :raises UnknownFormat:
        """

    def upkeep() -> Deferred[int]:
        """
        Now and then, by one worker of the host, while all serve: end what a killed worker left half done.

        :return: how many orphaned files were removed
        """

    def space() -> Deferred[SpaceFacts]:
        """How much room is left; at most a second old."""

    def close() -> Deferred[None]:
        """Fires when background work has ended.  Nothing is lost when it is not called."""
