# -*- test-case-name: tests.guests.test_stored -*-
"""Data of images out of the image service for guests of this host, and disks of guests into it, with files between."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final, Protocol

from attrs import define, field, frozen
from twisted.internet.defer import DeferredLock
from twisted.logger import Logger

from cloudd.identity import Access, RoleRef
from cloudd.image import DIGESTS, Image, ImageConflict, ImageForbidden, NoSuchImage, data_of
from cloudd.interfaces.application import Threads
from storage import IObjectStore, IUpload, NoSuchContainer, NoSuchObject

_log = Logger()

CHUNK: Final = 1 << 20
BOOTS: Final = ("raw", "qcow2", "ami", "aki", "ari", "iso")
ACTIVE, QUEUED, SAVING = "active", "queued", "saving"


class ImageService(Protocol):
    """``cloudd.image.Images``, as far as it is used here."""

    store: IObjectStore

    async def get(self, access: Access, image_id: str) -> Image: ...

    async def begin_upload(self, access: Access, image_id: str) -> Image: ...

    async def keep(self, image: Image, upload: IUpload) -> Image: ...

    async def give_up(self, image: Image) -> None: ...

    async def delete(self, access: Access, image_id: str) -> None: ...

    def hold(self, image: Image) -> Any: ...


@frozen
class StoredFile:
    """One file of an image."""

    path: Path
    format: str


@define(eq=False)
class StoredImages:
    """
    Each image's data as one file, which stays: the simplest ``ImageSource``.

    :param folder: of the files, named by their data
    """

    _store: IObjectStore
    _threads: Threads
    _folder: Path
    _turns: dict[str, DeferredLock] = field(init=False, factory=dict)

    async def get(self, image: Image) -> StoredFile:
        """
        :raises ImageConflict: it has no data, or none that a guest boots from
        """
        if image.status != ACTIVE or not image.data_id:
            raise ImageConflict(f"Image {image.id} is not active.")
        if image.disk_format not in BOOTS:
            raise ImageConflict(f"Image {image.id} is of the format {image.disk_format}, which no guest here boots.")
        file = self._folder / image.data_id
        turn = self._turns.setdefault(image.data_id, DeferredLock())
        await turn.acquire()
        try:
            if not await self._threads.run(file.exists):
                await self._fetch(image, file)
        finally:
            turn.release()
        return StoredFile(file, "qcow2" if image.disk_format == "qcow2" else "raw")

    async def _fetch(self, image: Image, file: Path) -> None:
        try:
            reading = await self._store.open(*data_of(image))
        except (NoSuchObject, NoSuchContainer):
            raise ImageConflict(f"The data of image {image.id} is not on this host.") from None
        partial = file.with_name(f"{file.name}.part")
        try:
            await self._threads.run(_begin, partial)
            position, size = 0, reading.facts.size
            while position < size:
                descriptor, offset, count = await reading.region(position, min(CHUNK, size - position))
                await self._threads.run(_append, partial, descriptor, offset, count)
                position += count
            await self._threads.run(partial.replace, file)
        finally:
            reading.close()


@define(eq=False)
class StoredSnapshots:
    """``SnapshotStore`` on the image service.  Whoever calls has the only task that brings this image its data."""

    _images: ImageService
    _threads: Threads

    async def keep(self, image_id: str, file: Path) -> None:
        """
        :raises ImageError: see there
        """
        try:
            image = await self._images.get(_CLOUD, image_id)
        except NoSuchImage:
            return
        if image.status == ACTIVE:
            return
        if image.status == SAVING:  # of a process that was killed
            await self._images.give_up(image)
        await self._upload(await self._images.begin_upload(_CLOUD, image_id), file)

    async def _upload(self, image: Image, file: Path) -> None:
        held = self._images.hold(image)
        upload = await self._images.store.receive(DIGESTS)
        try:
            position = 0
            while chunk := await self._threads.run(_read, file, position):
                position += len(chunk)
                waiting = upload.write(chunk)
                if waiting is not None:
                    await waiting
            await self._images.keep(image, upload)
        except BaseException:
            await upload.discard()
            raise
        finally:
            held.stop()

    async def drop(self, image_id: str) -> None:
        """None there is no error; one that has data stays."""
        try:
            image = await self._images.get(_CLOUD, image_id)
            if image.status in (QUEUED, SAVING):
                await self._images.delete(_CLOUD, image_id)
        except NoSuchImage:
            return

    async def delete(self, image_id: str) -> None:
        """None there is no error; one that is protected stays."""
        try:
            await self._images.delete(_CLOUD, image_id)
        except NoSuchImage:
            return
        except ImageForbidden:
            _log.info("image {image_id} is protected, and stays beyond its rotation", image_id=image_id)


_CLOUD: Final = Access(
    user_id="",
    user_name="",
    user_domain_id="",
    user_domain_name="",
    roles=tuple(RoleRef(name, name) for name in ("admin", "member", "reader")),
)


def _begin(partial: Path) -> None:
    partial.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    partial.write_bytes(b"")


def _append(partial: Path, descriptor: int, offset: int, count: int) -> None:
    with partial.open("ab") as opened:
        while count:
            data = os.pread(descriptor, count, offset)
            if not data:
                raise OSError("an image's data ends too soon")
            opened.write(data)
            offset, count = offset + len(data), count - len(data)


def _read(file: Path, position: int) -> bytes:
    with file.open("rb") as opened:
        opened.seek(position)
        return opened.read(CHUNK)
