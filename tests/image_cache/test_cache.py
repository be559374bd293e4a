"""The cache: one fetch for all, from a real store's data, within its limits."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path
from typing import Any

from attrs import evolve
from twisted.internet.defer import CancelledError, Deferred

from cloudd.image import DIGESTS, Image, data_of
from cloudd.image_cache import (
    CachedImage,
    ImageCache,
    ImageCacheError,
    ImageDamaged,
    ImageNotHere,
    NoRoomForImage,
    UnfitImage,
    _cache,
)
from cloudd.image_cache._folder import GRACE_S
from cloudd.interfaces.settings import ComputeSettings
from tests.protocols.rest.image.cloud import FORMATS, ImageCase
from tests.protocols.swift.face import an_access

ALICE = an_access("alice", "p1", "member")
MIB = 1 << 20


class SlowStore:
    """A store whose opening a test lets through, one by one."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self.asked: list[Deferred[None]] = []
        self.closed = 0

    def open(self, *name: str) -> Deferred[Any]:
        waiting: Deferred[Any] = Deferred()
        self.asked.append(waiting)
        return waiting.addCallback(lambda _: self._store.open(*name))


class CacheTests(ImageCase):
    async def setUp(self) -> None:  # type: ignore[override]
        await super().setUp()
        state = Path(self.mktemp()).resolve()
        state.mkdir()
        settings = evolve(
            self.resources.settings, state=state, compute=ComputeSettings(image_cache_bytes=2 * MIB, image_cache_days=1)
        )
        self.resources = evolve(self.resources, settings=settings, role="agent")
        self.folder = state / "images-cache"
        self.used: set[Path] = set()
        self.now = 1_000_000.0
        self.slow = SlowStore(self.store)
        self.cache = self.new_cache(self.store)

    def new_cache(self, store: Any) -> ImageCache:
        return ImageCache(self.resources, store, self.in_use, lambda: self.now)

    async def in_use(self) -> Collection[Path]:
        return self.used

    async def image(self, data: bytes = b"boot", **members: Any) -> Image:
        """An active image of that data."""
        made = await self.made(**{**FORMATS, **members})
        saving = await self.images.begin_upload(ALICE, made["id"])
        upload = await self.store.receive(DIGESTS)
        upload.write(data)
        return await self.images.keep(saving, upload)

    async def cannot(self, error: type[Exception], image: Image) -> Any:
        refusal = await self.assertFailure(Deferred.fromCoroutine(self.cache.get(image)), error)
        self.assertEqual(self.files(), [])
        return refusal

    def files(self) -> list[str]:
        """All but the lock."""
        return sorted(set(os.listdir(self.folder)) - {".lock"}) if self.folder.exists() else []

    def health(self) -> tuple[bool, str]:
        [part] = self.cache.health()
        return part.ok, part.cause

    # ---- getting

    async def test_fetched_once(self) -> None:
        """The file is the data; the second time it is there already, also for another cache on the same folder."""
        image = await self.image(b"boot" * 1000)
        cached = await self.cache.get(image)
        self.assertEqual(cached, CachedImage(self.folder / f"{image.data_id}.raw", "raw"))
        self.assertEqual(cached.path.read_bytes(), b"boot" * 1000)
        before = cached.path.stat().st_ino
        for each in (self.cache, self.new_cache(None)):
            self.assertEqual(await each.get(image), cached)
        self.assertEqual(cached.path.stat().st_ino, before)

    async def test_waits_for_the_same(self) -> None:
        """Many that want one image cause one fetch."""
        image = await self.image()
        cache = self.new_cache(self.slow)
        getting = [Deferred.fromCoroutine(cache.get(image)) for _ in range(5)]
        [asked] = self.slow.asked
        asked.callback(None)
        self.assertEqual(len({(await each).path for each in getting}), 1)

    async def test_bounded(self) -> None:
        """Of several images some are fetched at once; the next one follows."""
        images = [await self.image(bytes([number])) for number in range(4)]
        cache = self.new_cache(self.slow)
        getting = [Deferred.fromCoroutine(cache.get(each)) for each in images]
        self.assertEqual(len(self.slow.asked), _cache.FETCHES)
        for number in range(4):
            self.slow.asked[number].callback(None)
        self.assertEqual(len({(await each).path for each in getting}), 4)

    async def test_cancelled(self) -> None:
        """Who gives up leaves the fetch to others; the last one ends it, and it can be begun anew."""
        image = await self.image()
        cache = self.new_cache(self.slow)
        first, second = (Deferred.fromCoroutine(cache.get(image)) for _ in range(2))
        first.cancel()
        await self.assertFailure(first, CancelledError)
        self.assertFalse(second.called)
        second.cancel()
        await self.assertFailure(second, CancelledError)
        third = Deferred.fromCoroutine(cache.get(image))
        self.slow.asked[-1].callback(None)
        self.assertTrue((await third).path.exists())

    async def test_cut_off(self) -> None:
        """A file that lost its end, whoever did that, is fetched anew."""
        image = await self.image(b"boot" * 1000)
        cached = await self.cache.get(image)
        os.truncate(cached.path, 100)
        await self.cache.get(image)
        self.assertEqual(cached.path.stat().st_size, 4000)

    async def test_big(self) -> None:
        """Data of many steps."""
        self.patch(_cache, "STEP_BYTES", 1000)
        data = os.urandom(700_000)
        self.assertEqual((await self.cache.get(await self.image(data))).path.read_bytes(), data)

    # ---- refusals

    async def test_elsewhere(self) -> None:
        """Data that this host's store does not have: what is the matter, and what to do; another host may have it."""
        image = await self.image()
        await self.store.delete_object(*data_of(image))
        error = await self.cannot(ImageNotHere, image)
        self.assertIn("Nodes do not copy images yet", error.cause)
        self.assertTrue(error.elsewhere)

    async def test_no_data(self) -> None:
        """An image that was never uploaded, or whose data has a name that is none."""
        image = await self.image()
        for broken in (evolve(image, data_id=None), evolve(image, size=None), evolve(image, data_id="../../etc/x")):
            await self.cannot(ImageNotHere, broken)

    async def test_format(self) -> None:
        """Formats that nobody boots from are refused by name, before anything is fetched."""
        for kind in ("vmdk", "iso", "vhdx", "", None):
            error = await self.cannot(UnfitImage, evolve(await self.image(), disk_format=kind))
            self.assertIn("Convert it to raw or qcow2", error.cause)
            self.assertFalse(error.elsewhere)

    async def test_amazon(self) -> None:
        """Kernels and ramdisks beside a disk are files of raw bytes."""
        kernel = await self.image(b"kernel", disk_format="aki", container_format="aki")
        self.assertEqual((await self.cache.get(kernel)).format, "raw")

    async def test_changed_data(self) -> None:
        """Data that is not what the record says is not kept."""
        image = await self.image()
        await self.cannot(ImageDamaged, evolve(image, checksum="0" * 32, hash_algorithm=None))

    async def test_no_room(self) -> None:
        """What cannot fit is refused before it is begun, and health says so until there is room."""
        image = await self.image()
        real = os.statvfs
        self.patch(os, "statvfs", lambda path: _With(real(path), f_bavail=0))
        error = await self.cannot(NoRoomForImage, image)
        self.assertIn(f"no room for image {image.id} (4 bytes)", error.cause)
        self.assertEqual(self.health(), (False, error.cause))
        self.patch(os, "statvfs", real)
        await self.cache.get(image)
        self.assertEqual(self.health(), (True, ""))

    async def test_makes_room(self) -> None:
        """What nobody uses goes before an image is refused, and only as much as is needed."""
        old = []
        for _ in range(3):
            self.now += 1
            old.append(await self.cache.get(await self.image(os.urandom(50_000))))
        self.now += GRACE_S + 1
        self.used = {old[0].path}
        image = await self.image(os.urandom(50_000))
        reserve = self.resources.settings.objects.reserve_bytes
        real = os.statvfs

        def nearly_full(path: Any) -> Any:
            free = 50_000 + reserve - 1 if old[1].path.exists() else 1 << 40
            return _With(real(path), f_bavail=free, f_frsize=1)

        self.patch(os, "statvfs", nearly_full)
        await self.cache.get(image)
        self.assertEqual([each.path.exists() for each in old], [True, False, True])

    async def test_folder_cannot_be_made(self) -> None:
        """A file in the folder's place."""
        self.folder.write_text("")
        image = await self.image()
        getting: Deferred[Any] = Deferred.fromCoroutine(self.cache.get(image))
        error = await self.assertFailure(getting, ImageCacheError)
        self.assertIn("cannot be kept on this host", error.cause)

    # ---- upkeep

    async def test_pruned(self) -> None:
        """By size and by age; what is in use stays."""
        kept = await self.cache.get(await self.image(os.urandom(900_000)))
        gone = await self.cache.get(await self.image(os.urandom(900_000)))
        self.used = {kept.path}
        self.assertEqual(await self.cache.prune(), [])
        self.now += 86_401
        self.assertEqual([each.path for each in await self.cache.prune()], [gone.path])

    async def test_held(self) -> None:
        """What a server needs besides its disk stays until the server has gone."""
        kernel = await self.cache.get(await self.image(b"kernel"))
        await self.cache.hold("s1", [kernel])
        self.now += 86_401
        self.assertEqual(await self.cache.prune(), [])
        self.assertEqual(await self.cache.held("s1"), [kernel])
        await self.cache.release("s1")
        self.assertEqual(await self.cache.held("s1"), [])
        self.assertEqual([each.path for each in await self.cache.prune()], [kernel.path])

    async def test_upkeep(self) -> None:
        """What a killed process left goes at the start; the timer begins once and ends."""
        self.folder.mkdir()
        (self.folder / "x.raw.y.part").write_bytes(b"half")
        self.cache.lead()
        self.cache.lead()
        self.assertEqual(self.files(), [])
        self.assertEqual(len(self.resources.reactor.getDelayedCalls()), 1)
        self.cache.retire()
        self.assertEqual(self.resources.reactor.getDelayedCalls(), [])

    async def test_all_in_use(self) -> None:
        """More than there should be, and nothing that may go: told, and no fault."""
        for _ in range(3):
            self.used.add((await self.cache.get(await self.image(os.urandom(900_000)))).path)
        self.now += GRACE_S + 1
        await self.cache.keep_up()
        self.assertEqual(len(self.files()), 3)
        ok, cause = self.health()
        self.assertTrue(ok)
        self.assertIn("all are in use", cause)

    async def test_use_unknown(self) -> None:
        """Where nobody can tell what is in use nothing goes, and health says so until somebody can."""
        await self.cache.get(await self.image())
        self.now += 86_401
        self.used = None  # type: ignore[assignment]
        await self.cache.keep_up()
        self.assertEqual(len(self.flushLoggedErrors(TypeError)), 1)
        self.assertEqual((len(self.files()), self.health()[0]), (1, False))
        self.used = set()
        await self.cache.keep_up()
        self.assertEqual((self.files(), self.health()), ([], (True, "")))


class _With:
    """A value of the system with some facts changed."""

    def __init__(self, real: Any, **changed: Any) -> None:
        self._real = real
        self.__dict__.update(changed)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)
