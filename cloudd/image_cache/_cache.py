# -*- test-case-name: tests.image_cache.test_cache -*-
"""
The cache of one host, in the worker that builds servers.

Two generations, or two processes while one hands over to the other, may have the same folder: each fetches for itself
then, into a file of its own, and what is whole is the same.
"""

from __future__ import annotations

import re
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from pathlib import Path
from typing import Any, Final, Protocol

from attrs import define, field, frozen
from twisted.internet.defer import Deferred, DeferredSemaphore
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from cloudd.image import Image, data_of
from cloudd.interfaces.application import PartHealth, Resources, SelfCheckFailed
from storage import DataDamaged, IObjectStore, IReading, NoSuchContainer, NoSuchObject

from ._copying import Copy, no_room
from ._errors import ImageCacheError, ImageDamaged, ImageNotHere, NoRoomForImage, UnfitImage
from ._folder import Entry, Limits, clear_partial, entries, free_bytes, prune, want
from ._holding import held, held_by, hold, release
from ._sharing import Shared

FOLDER: Final = "images-cache"
#: ``disk_format`` -> as what guests get it.  Amazon's machine, kernel and ramdisk images are nothing but their bytes.
FORMATS: Final[Mapping[str, str]] = {"raw": "raw", "qcow2": "qcow2", "ami": "raw", "aki": "raw", "ari": "raw"}
BOOTED: Final = "raw or qcow2"
FETCHES: Final = 2  # at once; a disk gains nothing by more
STEP_BYTES: Final = 16 << 20  # in one turn of a thread
UPKEEP_S: Final = 900.0
DAY_S: Final = 86_400.0
_DATA_ID: Final = re.compile(r"[0-9a-f]{32}")

log = Logger()

InUse = Callable[[], Awaitable[Collection[Path]]]


@frozen
class CachedImage:
    """
    An image as a file of this host.

    :ivar path: readable for all, to be changed by nobody
    :ivar format: ``raw`` or ``qcow2``
    """

    path: Path
    format: str


class HasPath(Protocol):
    """A file of this cache, as whoever asked for it calls it."""

    @property
    def path(self) -> Path:
        """The file."""


async def _nothing() -> Collection[Path]:
    return ()


@define(eq=False)
class ImageCache:
    """
    A part of an application.

    :param store: of this host
    :param in_use: files that stay however old they are, as resolved paths; where it fails nothing is removed
    :param now: seconds since the epoch
    """

    _resources: Resources
    _store: IObjectStore
    _in_use: InUse = _nothing
    _now: Callable[[], float] = time.time
    _folder: Path = field(init=False)
    _slots: DeferredSemaphore = field(init=False, factory=lambda: DeferredSemaphore(FETCHES))
    _fetching: dict[str, Shared] = field(init=False, factory=dict)
    _timer: LoopingCall | None = field(init=False, default=None)
    _no_room: str = field(init=False, default="")
    _no_upkeep: str = field(init=False, default="")
    _told: str = field(init=False, default="")

    def __attrs_post_init__(self) -> None:
        self._folder = self._resources.settings.state / FOLDER

    async def get(self, image: Image) -> CachedImage:
        """
        Have an image here.  It stays for a quarter of an hour at least, and then for as long as it is ``in_use``.

        Safe to call again, also while it is being fetched: then it is waited for.  Cancelling stops the fetch when
        nobody else waits for it.

        :raises ImageNotHere: it has no data, or the object store of this host has not
        :raises UnfitImage: nobody boots from such data
        :raises ImageDamaged: the data is not what it was
        :raises NoRoomForImage: the disk is full
        :raises ImageCacheError: the disk fails
        """
        cached = self._place_of(image)
        if not await self._want(cached.path, image):
            await self._shared(image, cached.path).wait()
            await self._want(cached.path, image)
        return cached

    async def hold(self, server_id: str, files: Collection[HasPath]) -> None:
        """
        A server of this host needs these for as long as it is here: its image, and kernel and ramdisk, which its disk
        does not name.

        :raises OSError: that cannot be written
        """
        await self._resources.threads.run(hold, self._folder, server_id, [each.path for each in files])

    async def held(self, server_id: str) -> list[CachedImage]:
        """
        What a server was said to need, in that order, whatever has become of the images; none: nothing was said.

        :raises OSError: that cannot be read
        """
        files = await self._resources.threads.run(held_by, self._folder, server_id)
        return [CachedImage(each, each.suffix.removeprefix(".")) for each in files]

    async def release(self, server_id: str) -> None:
        """It is not here any more; safe to call again."""
        await self._resources.threads.run(release, self._folder, server_id)

    async def prune(self) -> list[Entry]:
        """
        Remove what is too old, or too much; the one that was wanted longest ago goes first.

        :return: what has gone
        """
        return await self._prune(self._limits)

    def _place_of(self, image: Image) -> CachedImage:
        kind = FORMATS.get(image.disk_format or "")
        if kind is None:
            raise UnfitImage(
                f"Servers do not boot from image {image.id}: its disk_format is {image.disk_format or 'not told'}.  "
                f"Convert it to {BOOTED} and upload that."
            )
        if image.size is None or not _DATA_ID.fullmatch(image.data_id or ""):
            raise ImageNotHere(f"Image {image.id} has no data (it is {image.status}).  Upload some.")
        return CachedImage(self._folder / f"{image.data_id}.{kind}", kind)

    async def _want(self, file: Path, image: Image) -> bool:
        return await self._resources.threads.run(want, file, image.size or 0, self._now())

    # ---- fetching

    def _shared(self, image: Image, file: Path) -> Shared:
        name = file.name
        found = self._fetching.get(name)
        if found is None:
            work = self._slots.run(lambda: Deferred.fromCoroutine(self._fetch(image, file)))
            found = Shared(work, lambda: self._forget(name))
            if not found.has_ended:
                self._fetching[name] = found
        return found

    def _forget(self, name: str) -> None:
        self._fetching.pop(name, None)

    async def _fetch(self, image: Image, file: Path) -> None:
        began = self._resources.reactor.seconds()
        try:
            reading = await self._open(image)
            try:
                await self._make_room(image)
                await self._copy(image, reading, file)
            finally:
                reading.close()
        except NoRoomForImage as error:
            self._no_room = error.cause
            raise
        self._no_room = ""
        duration_s = self._resources.reactor.seconds() - began
        log.info("image {image_id} is here after {duration_s:.1f} s", image_id=image.id, duration_s=duration_s)

    async def _open(self, image: Image) -> IReading:
        try:
            return await self._store.open(*data_of(image))
        except (NoSuchObject, NoSuchContainer):
            raise ImageNotHere(
                f"The data of image {image.id} is not on this host.  Nodes do not copy images yet: upload it by the "
                "API of this host, or let the server be made on the node by which it was uploaded."
            ) from None

    async def _make_room(self, image: Image) -> None:
        """Files that nobody uses go before an image is refused, whatever the limits."""
        run, size = self._resources.threads.run, image.size or 0
        await run(_make_folder, image, self._folder)
        needed = size + self._resources.settings.objects.reserve_bytes
        free = await run(free_bytes, self._folder)
        if free >= needed:
            return
        there = sum(each.bytes for each in await run(entries, self._folder))
        await self._prune(Limits(max(1, there - (needed - free)), self._limits.age_s))
        if await run(free_bytes, self._folder) < needed:
            raise no_room(image)

    async def _copy(self, image: Image, reading: IReading, file: Path) -> None:
        run = self._resources.threads.run
        copy = Copy(image, file)
        try:
            await run(copy.begin)
            await self._take_all(copy, image, reading)
            await run(copy.keep)
        except BaseException:
            await run(copy.discard)
            raise

    async def _take_all(self, copy: Copy, image: Image, reading: IReading) -> None:
        size = reading.facts.size
        done = 0
        try:
            while done < size:
                descriptor, offset, length = await reading.region(done, min(STEP_BYTES, size - done))
                await self._resources.threads.run(copy.take, descriptor, offset, length)
                done += length
        except DataDamaged as error:
            cause = f"The data of image {image.id} is damaged.  Delete the image and upload it again."
            raise ImageDamaged(cause) from error

    # ---- upkeep

    @property
    def _limits(self) -> Limits:
        settings = self._resources.settings.compute
        return Limits(settings.image_cache_bytes, settings.image_cache_days * DAY_S)

    async def _prune(self, limits: Limits) -> list[Entry]:
        run = self._resources.threads.run
        in_use = {*await self._in_use(), *await run(held, self._folder)}
        gone = await run(prune, self._folder, limits, in_use, self._now())
        for each in gone:
            log.info("{file} is removed: no server has used it of late", file=each.path.name)
        return gone

    async def keep_up(self) -> None:
        """What is done now and again; what fails is logged and told in health."""
        try:
            if left := await self._resources.threads.run(clear_partial, self._folder):
                log.info("{count} files of fetches whose process was killed are removed", count=left)
            await self._prune(self._limits)
            self._told = _told_of(await self._resources.threads.run(entries, self._folder), self._limits)
            self._no_upkeep = ""
        except Exception as error:
            log.failure("the upkeep of the cache of images failed; it is tried again")
            self._no_upkeep = f"The cache of images cannot be kept small: {error}.  Look at {self._folder}."

    # ---- as a part

    async def self_check(self) -> None:
        """
        :raises SelfCheckFailed: the folder cannot be read
        """
        try:
            await self._resources.threads.run(entries, self._folder)
        except OSError as error:
            raise SelfCheckFailed("cloudd.image_cache", str(error)) from error

    def start(self, state: Mapping[str, Any]) -> None:
        """Nothing runs by itself before ``lead``."""

    def lead(self) -> None:
        """
        In the agent's worker: remove what is left over, and prune now and again, until ``retire``.  Safe to call again.
        """
        if self._timer is None and self._resources.role in ("agent", "all"):
            self._timer = LoopingCall(lambda: Deferred.fromCoroutine(self.keep_up()))
            self._timer.clock = self._resources.reactor
            self._timer.start(UPKEEP_S).addErrback(lambda failure: log.failure("upkeep has ended", failure))

    def snapshot(self) -> dict[str, Any]:
        """All that there is, is in files."""
        return {}

    def retire(self) -> None:
        """Stop the upkeep; what is being fetched is waited for by tasks, which end it."""
        if self._timer is not None and self._timer.running:
            self._timer.stop()

    def health(self) -> list[PartHealth]:
        """Not well while there is no room for an image that a server needs."""
        trouble = self._no_room or self._no_upkeep
        return [PartHealth("image cache", not trouble, trouble or self._told)]


def _make_folder(image: Image, folder: Path) -> None:
    try:
        folder.mkdir(mode=0o711, exist_ok=True)
    except OSError as error:
        raise ImageCacheError(
            f"Image {image.id} cannot be kept on this host: {error.strerror}.  Look at {folder}."
        ) from error


def _told_of(found: list[Entry], limits: Limits) -> str:
    """What an operator should know; empty: nothing."""
    total = sum(each.bytes for each in found)
    if not limits.bytes or total <= limits.bytes:
        return ""
    return (
        f"{len(found)} images of servers take {total} bytes, more than [compute] image_cache_bytes ({limits.bytes}): "
        "all are in use."
    )
