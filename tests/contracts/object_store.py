"""
What every ``IObjectStore`` keeps to: a mixin of tests with one hook, ``make_store``.

    class MemoryStoreTests(ObjectStoreContract, TestCase):
        async def make_store(self) -> IObjectStore:
            return MemoryStore()
"""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING, Any

import msgspec
from twisted.trial.unittest import TestCase
from zope.interface.verify import verifyObject

from storage import (
    Change,
    ChangeKind,
    ChangeSpan,
    ContainerExists,
    ContainerFacts,
    ContainerNotEmpty,
    InvalidPart,
    IObjectStore,
    IReading,
    IUpload,
    Listing,
    NoSuchContainer,
    NoSuchObject,
    NoSuchUpload,
    NotTellable,
    ObjectFacts,
    Precondition,
    PreconditionFailed,
    UnknownState,
)

if TYPE_CHECKING:
    Base = TestCase
else:
    Base = object

ACCOUNT = "AUTH_one"
BOX = "bücher"


async def upload_bytes(store: IObjectStore, data: bytes, step: int = 100_000) -> IUpload:
    """A finished upload of ``data``, written in steps with back-pressure."""
    upload = await store.receive({"md5": hashlib.md5})
    for start in range(0, len(data), step):
        waiting = upload.write(data[start : start + step])
        if waiting is not None:
            await waiting
    digests = await upload.finish()
    assert digests["md5"] == hashlib.md5(data).digest()
    return upload


async def put_bytes(
    store: IObjectStore,
    name: str,
    data: bytes = b"",
    *,
    container: str = BOX,
    precondition: Precondition | None = None,
    metadata: dict[str, str] | None = None,
) -> ObjectFacts:
    """An object of these bytes, with their MD5 as its etag."""
    upload = await upload_bytes(store, data)
    return await store.put_object(
        ACCOUNT,
        container,
        name,
        upload,
        etag=hashlib.md5(data).hexdigest(),
        content_type="text/plain",
        metadata=metadata or {},
        precondition=precondition,
    )


async def read_bytes(store: IObjectStore, name: str, container: str = BOX) -> bytes:
    """The whole content of an object."""
    reading = await store.open(ACCOUNT, container, name)
    try:
        return await read_range(reading, 0, reading.facts.size)
    finally:
        reading.close()


async def read_range(reading: IReading, start: int, length: int) -> bytes:
    """Bytes of an open version, by both ways to get at them."""
    found = b""
    while len(found) < length:
        file, at, size = await reading.region(start + len(found), length - len(found))
        found += os.pread(file, size, at)
    assert found == b"".join(os.pread(file, size, at) for file, at, size in reading.regions(start, length))
    if reading.content is not None:
        assert reading.content[start : start + length] == found
    return found


def plain(state: dict[str, Any]) -> Any:
    """The state as it arrives in another process."""
    return msgspec.msgpack.decode(msgspec.msgpack.encode(state))


def is_open(descriptor: int) -> bool:
    """Whether this process has a descriptor of that number."""
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


async def write_all(upload: IUpload, data: bytes) -> None:
    """With back-pressure."""
    waiting = upload.write(data)
    if waiting is not None:
        await waiting


async def moved_upload(upload: IUpload, store: IObjectStore) -> IUpload:
    """The same upload as another process goes on with it; this one has let go of it."""
    state = plain(upload.tell())
    descriptors = tuple(map(os.dup, upload.descriptors()))
    upload.abandon()
    await upload.discard()
    return await store.resume_upload(state, descriptors, {"md5": hashlib.md5})


def moved_reading(reading: IReading, store: IObjectStore) -> IReading:
    """The same for a reading."""
    state = plain(reading.tell())
    descriptors = tuple(map(os.dup, reading.descriptors()))
    reading.close()
    return store.resume_reading(state, descriptors)


class ObjectStoreContract(Base):
    """The contract; ``make_store`` gives an empty, recovered store."""

    store: IObjectStore

    async def make_store(self) -> IObjectStore:
        """The hook."""
        raise NotImplementedError

    async def setUp(self) -> None:  # type: ignore[override]
        self.store = await self.make_store()
        await self.store.create_container(ACCOUNT, BOX, {})

    async def refuses(self, error: type[Exception], waiting: Any) -> Any:
        """The error with which ``waiting`` failed."""
        return await self.assertFailure(waiting, error)

    async def test_provides_the_interface(self) -> None:
        """The store, its uploads and its readings have every method, with the right arguments."""
        verifyObject(IObjectStore, self.store)
        upload = await self.store.receive({})
        verifyObject(IUpload, upload)
        await upload.discard()
        await put_bytes(self.store, "a", b"x")
        reading = await self.store.open(ACCOUNT, BOX, "a")
        verifyObject(IReading, reading)
        reading.close()

    # Accounts and containers

    async def test_unknown_account_is_empty(self) -> None:
        """An account without a row has zero of everything."""
        facts = await self.store.account("AUTH_unknown")
        self.assertEqual((facts.name, facts.container_count, facts.bytes_used), ("AUTH_unknown", 0, 0))
        self.assertEqual(await self.store.containers("AUTH_unknown", Listing()), [])

    async def test_account_metadata(self) -> None:
        """Keys are set one by one, and removed by None."""
        await self.store.update_account(ACCOUNT, {"meta:a": "1", "meta:b": "ß"})
        await self.store.update_account(ACCOUNT, {"meta:a": None, "meta:c": "3", "meta:never": None})
        self.assertEqual((await self.store.account(ACCOUNT)).metadata, {"meta:b": "ß", "meta:c": "3"})

    async def test_account_metadata_makes_the_account(self) -> None:
        """Metadata may come before the first container."""
        await self.store.update_account("AUTH_new", {"meta:a": "1"})
        facts = await self.store.account("AUTH_new")
        self.assertEqual((facts.metadata, facts.container_count), ({"meta:a": "1"}, 0))
        self.assertGreater(facts.created_us, 0)

    async def test_create_container(self) -> None:
        """Creating tells whether it was new; creating again updates the metadata."""
        self.assertTrue(await self.store.create_container(ACCOUNT, "new", {"meta:a": "1", "meta:x": None}))
        self.assertFalse(await self.store.create_container(ACCOUNT, "new", {"meta:b": "2"}))
        facts = await self.store.container(ACCOUNT, "new")
        self.assertEqual(facts.metadata, {"meta:a": "1", "meta:b": "2"})
        self.assertEqual((facts.account, facts.name, facts.object_count), (ACCOUNT, "new", 0))
        self.assertEqual((await self.store.account(ACCOUNT)).container_count, 2)

    async def test_create_container_exclusively(self) -> None:
        """An exclusive creation of what exists changes nothing."""
        await self.refuses(ContainerExists, self.store.create_container(ACCOUNT, BOX, {"meta:a": "1"}, exclusive=True))
        self.assertEqual((await self.store.container(ACCOUNT, BOX)).metadata, {})
        self.assertTrue(await self.store.create_container(ACCOUNT, "other", {}, exclusive=True))

    async def test_update_container(self) -> None:
        """Metadata changes key by key."""
        await self.store.update_container(ACCOUNT, BOX, {"meta:a": "1", "acl:read": ".r:*"})
        await self.store.update_container(ACCOUNT, BOX, {"meta:a": None})
        self.assertEqual((await self.store.container(ACCOUNT, BOX)).metadata, {"acl:read": ".r:*"})

    async def test_missing_container(self) -> None:
        """Every call that needs a container says that it is missing."""
        nowhere = (ACCOUNT, "nowhere")
        for waiting in (
            self.store.container(*nowhere),
            self.store.update_container(*nowhere, {}),
            self.store.delete_container(*nowhere),
            self.store.objects(*nowhere, Listing()),
            self.store.object(*nowhere, "a"),
            self.store.open(*nowhere, "a"),
            self.store.update_object(*nowhere, "a", content_type=None, metadata={}),
            self.store.delete_object(*nowhere, "a"),
            self.store.delete_objects(*nowhere, ["a"]),
            self.store.begin_multipart(*nowhere, "a", content_type="", metadata={}),
            self.store.multiparts(*nowhere),
        ):
            await self.refuses(NoSuchContainer, waiting)

    async def test_delete_container(self) -> None:
        """A deleted container is gone and no longer counted; its name may be used again."""
        await self.store.delete_container(ACCOUNT, BOX)
        await self.refuses(NoSuchContainer, self.store.container(ACCOUNT, BOX))
        self.assertEqual((await self.store.account(ACCOUNT)).container_count, 0)
        self.assertTrue(await self.store.create_container(ACCOUNT, BOX, {}))

    async def test_full_container_stays(self) -> None:
        """A container with objects is not deleted."""
        await put_bytes(self.store, "a", b"1")
        await self.refuses(ContainerNotEmpty, self.store.delete_container(ACCOUNT, BOX))
        self.assertEqual(await read_bytes(self.store, "a"), b"1")

    async def test_list_containers(self) -> None:
        """Containers are listed in order, with all their facts."""
        for name in ("zebra", "a/b", "apple"):
            await self.store.create_container(ACCOUNT, name, {})
        await put_bytes(self.store, "x", b"123", container="apple")
        found = await self.store.containers(ACCOUNT, Listing(limit=3))
        self.assertEqual([row.name for row in found], ["a/b", "apple", BOX])
        assert isinstance(found[1], ContainerFacts)
        self.assertEqual((found[1].object_count, found[1].bytes_used), (1, 3))
        backwards = await self.store.containers(ACCOUNT, Listing(reverse=True, end_marker="apple"))
        self.assertEqual([row.name for row in backwards], ["zebra", BOX])

    # Objects

    async def test_put_and_read(self) -> None:
        """What is put is read: bytes, facts, metadata; of any size."""
        for size in (0, 1, 65_536, 65_537, 1_500_000):
            data = os.urandom(size)
            put = await put_bytes(self.store, f"of {size}", data, metadata={"meta:ü": "wert"})
            found = await self.store.object(ACCOUNT, BOX, f"of {size}")
            self.assertEqual(found, put)
            self.assertEqual((found.size, found.content_type), (size, "text/plain"))
            self.assertEqual((found.etag, found.metadata), (hashlib.md5(data).hexdigest(), {"meta:ü": "wert"}))
            self.assertEqual(await read_bytes(self.store, f"of {size}"), data)

    async def test_missing_object(self) -> None:
        """Every call that needs an object says that it is missing."""
        for waiting in (
            self.store.object(ACCOUNT, BOX, "a"),
            self.store.open(ACCOUNT, BOX, "a"),
            self.store.update_object(ACCOUNT, BOX, "a", content_type=None, metadata={}),
            self.store.delete_object(ACCOUNT, BOX, "a"),
            self.store.delete_object(ACCOUNT, BOX, "a", Precondition(if_match=("x",))),
        ):
            await self.refuses(NoSuchObject, waiting)

    async def test_put_into_missing_container(self) -> None:
        """The upload is discarded; a second discard does no harm."""
        upload = await upload_bytes(self.store, b"data")
        await self.refuses(
            NoSuchContainer,
            self.store.put_object(ACCOUNT, "nowhere", "a", upload, etag="", content_type="", metadata={}),
        )
        await upload.discard()
        await upload.discard()

    async def test_overwrite(self) -> None:
        """The new version replaces the old one in counters and content, and is later."""
        first = await put_bytes(self.store, "a", b"first")
        second = await put_bytes(self.store, "a", b"2nd")
        self.assertEqual(await read_bytes(self.store, "a"), b"2nd")
        self.assertGreater(second.modified_us, first.modified_us)
        facts = await self.store.container(ACCOUNT, BOX)
        self.assertEqual((facts.object_count, facts.bytes_used), (1, 3))

    async def test_counters(self) -> None:
        """Container and account count exactly over put, overwrite, copy and delete."""
        await put_bytes(self.store, "a", b"12345")
        await put_bytes(self.store, "b", b"1")
        await put_bytes(self.store, "b", b"22")
        await self.store.create_container(ACCOUNT, "second", {})
        source = await self.store.object(ACCOUNT, BOX, "a")
        await self.store.copy_object(source, ACCOUNT, "second", "c", content_type="", metadata={})
        await self.store.delete_object(ACCOUNT, BOX, "a")
        box, second = await self.store.container(ACCOUNT, BOX), await self.store.container(ACCOUNT, "second")
        account = await self.store.account(ACCOUNT)
        self.assertEqual((box.object_count, box.bytes_used), (1, 2))
        self.assertEqual((second.object_count, second.bytes_used), (1, 5))
        self.assertEqual((account.container_count, account.object_count, account.bytes_used), (2, 2, 7))

    async def test_ranges_of_a_reading(self) -> None:
        """Any part of an object can be read, and the reading closed twice."""
        data = os.urandom(200_000)
        await put_bytes(self.store, "a", data)
        reading = await self.store.open(ACCOUNT, BOX, "a")
        for start, length in ((0, 1), (199_999, 1), (70_000, 100_000)):
            self.assertEqual(await read_range(reading, start, length), data[start : start + length])
        reading.close()
        reading.close()

    # Going on in another process

    async def test_moved_upload(self) -> None:
        """An upload that moves between its pieces is the same upload: no byte is lost, the digests are of all."""
        data = os.urandom(1_700_000)
        for cuts in ((0, 0), (1,), (100_000, 100_001), (700_000, 1_300_000), (len(data),)):
            upload = await self.store.receive({"md5": hashlib.md5})
            begin = 0
            for cut in cuts:
                await write_all(upload, data[begin:cut])
                upload = await moved_upload(upload, self.store)
                self.assertEqual(upload.size, cut)
                verifyObject(IUpload, upload)
                begin = cut
            await write_all(upload, data[begin:])
            digests = await upload.finish()
            self.assertEqual(digests["md5"], hashlib.md5(data).digest())
            await self.store.put_object(ACCOUNT, BOX, "a", upload, etag="", content_type="", metadata={})
            self.assertEqual(await read_bytes(self.store, "a"), data)

    async def test_upload_that_was_told_and_stays(self) -> None:
        """Telling changes nothing."""
        data = os.urandom(900_000)
        upload = await self.store.receive({"md5": hashlib.md5})
        for begin in range(0, len(data), 100_000):
            upload.tell()
            upload.descriptors()
            await write_all(upload, data[begin : begin + 100_000])
        self.assertEqual((await upload.finish())["md5"], hashlib.md5(data).digest())
        await upload.discard()

    async def test_moved_upload_that_is_discarded(self) -> None:
        """Nothing is left of it, and a second end does no harm."""
        before = (await self.store.account(ACCOUNT)).bytes_used
        upload = await self.store.receive({"md5": hashlib.md5})
        await write_all(upload, os.urandom(600_000))
        upload = await moved_upload(upload, self.store)
        await upload.discard()
        upload.abandon()
        await upload.discard()
        self.assertEqual((await self.store.account(ACCOUNT)).bytes_used, before)

    async def test_ending_upload_cannot_be_told(self) -> None:
        """Finished, discarded, abandoned: there is nothing to go on with."""
        for end in ("finish", "discard", "abandon"):
            upload = await self.store.receive({})
            await write_all(upload, b"data")
            ended = getattr(upload, end)()
            if ended is not None:
                await ended
            self.assertRaises(NotTellable, upload.tell)
            await upload.discard()

    async def test_feed(self) -> None:
        """A digest of the latest bytes, wherever they are."""
        data = os.urandom(900_001)
        upload = await self.store.receive({"md5": hashlib.md5})
        await write_all(upload, data[:600_000])
        await write_all(upload, data[600_000:])
        for moves in range(2):
            for start in (0, 599_999, 900_000, 900_001):
                hasher = hashlib.sha256()
                await upload.feed(hasher, start)
                self.assertEqual(hasher.digest(), hashlib.sha256(data[start:]).digest(), (moves, start))
            upload = await moved_upload(upload, self.store)
        self.assertEqual((await upload.finish())["md5"], hashlib.md5(data).digest())
        await upload.discard()

    async def test_moved_reading(self) -> None:
        """The version that was begun is read to its end, though its name is gone; of any size, and of parts."""
        small, large = os.urandom(10), os.urandom(200_000)
        await put_bytes(self.store, "empty")
        await put_bytes(self.store, "small", small)
        await put_bytes(self.store, "large", large)
        parts = [os.urandom(size) for size in (300_000, 1, 150_000)]
        await self.put_in_parts("parts", parts)
        for name, data in (("empty", b""), ("small", small), ("large", large), ("parts", b"".join(parts))):
            for start in (0, len(data) // 2, max(0, len(data) - 1)):
                reading = await self.store.open(ACCOUNT, BOX, name)
                facts = reading.facts
                if start:
                    await reading.region(0, 1)
                    await reading.region(start, 1)
                for _ in range(2):
                    reading = moved_reading(reading, self.store)
                    verifyObject(IReading, reading)
                self.assertEqual(reading.facts, facts)
                await put_bytes(self.store, "other", b"new")
                if start:
                    await self.store.delete_object(ACCOUNT, BOX, name)
                    await self.store.upkeep()
                found = b""
                while start + len(found) < len(data):
                    file, at, size = await reading.region(start + len(found), len(data) - start - len(found))
                    found += os.pread(file, size, at)
                self.assertEqual(found, data[start:], (name, start))
                reading.close()
                if start:
                    break

    async def put_in_parts(self, name: str, parts: list[bytes]) -> None:
        """An object of these parts."""
        facts = await self.store.begin_multipart(ACCOUNT, BOX, name, content_type="", metadata={})
        for number, data in enumerate(parts, 1):
            upload = await upload_bytes(self.store, data)
            await self.store.put_part(
                ACCOUNT, BOX, name, facts.upload_id, number, upload, etag=str(number), metadata={}
            )
        numbers = [(number, str(number)) for number in range(1, len(parts) + 1)]
        await self.store.complete_multipart(ACCOUNT, BOX, name, facts.upload_id, numbers, etag="parts-3", metadata={})

    async def test_strange_states(self) -> None:
        """What is not understood is refused, and its files are closed."""
        upload = await self.store.receive({})
        await write_all(upload, os.urandom(600_000))
        await put_bytes(self.store, "a", os.urandom(100_000))
        reading = await self.store.open(ACCOUNT, BOX, "a")
        await read_range(reading, 0, 1)
        told = ((upload.tell(), upload.descriptors()), (reading.tell(), reading.descriptors()))
        for (state, files), resume in zip(told, (self.resume_upload, self.store.resume_reading), strict=True):
            self.assertTrue(files)
            for changed in ({**state, "format": 99}, {**state, "size": 10_000_000, "open": [0, 1]}):
                descriptors = tuple(map(os.dup, files))
                with self.assertRaises(UnknownState):
                    await resume(changed, descriptors)
                self.assertFalse(any(map(is_open, descriptors)))
        reading.close()
        await upload.discard()

    def resume_upload(self, state: dict[str, Any], descriptors: tuple[int, ...]) -> Any:
        return self.store.resume_upload(state, descriptors, {})

    async def test_reading_outlives_the_object(self) -> None:
        """What is open stays readable while it is replaced and deleted."""
        for data in (b"small", os.urandom(100_000)):
            await put_bytes(self.store, "a", data)
            reading = await self.store.open(ACCOUNT, BOX, "a")
            await put_bytes(self.store, "a", b"new")
            await self.store.delete_object(ACCOUNT, BOX, "a")
            self.assertEqual(await read_range(reading, 0, len(data)), data)
            reading.close()

    async def test_preconditions_of_put(self) -> None:
        """``if_absent``, ``if_match`` and ``if_none_match`` hold for the version that is replaced."""
        failed = await self.refuses(
            PreconditionFailed, put_bytes_deferred(self.store, "a", Precondition(if_match=("*",)))
        )
        self.assertIsNone(failed.found)
        first = await put_bytes(self.store, "a", b"1", precondition=Precondition(if_absent=True))
        for refused in (
            Precondition(if_absent=True),
            Precondition(if_match=("other",)),
            Precondition(if_none_match=("x", first.etag)),
        ):
            failed = await self.refuses(PreconditionFailed, put_bytes_deferred(self.store, "a", refused))
            self.assertEqual(failed.found.etag, first.etag)
        self.assertEqual(await read_bytes(self.store, "a"), b"1")
        await put_bytes(self.store, "a", b"2", precondition=Precondition(if_match=("x", first.etag)))
        await put_bytes(self.store, "a", b"3", precondition=Precondition(if_match=("*",)))
        await put_bytes(self.store, "a", b"4", precondition=Precondition(if_none_match=(first.etag,)))
        self.assertEqual(await read_bytes(self.store, "a"), b"4")

    async def test_update_object(self) -> None:
        """All metadata is replaced; data, etag and, if not given, the type stay."""
        before = await put_bytes(self.store, "a", b"1", metadata={"meta:a": "1"})
        await self.store.update_object(ACCOUNT, BOX, "a", content_type=None, metadata={"meta:b": "2"})
        after = await self.store.object(ACCOUNT, BOX, "a")
        self.assertEqual((after.metadata, after.content_type), ({"meta:b": "2"}, "text/plain"))
        self.assertEqual((after.etag, await read_bytes(self.store, "a")), (before.etag, b"1"))
        self.assertGreater(after.modified_us, before.modified_us)
        await self.store.update_object(ACCOUNT, BOX, "a", content_type="image/png", metadata={})
        self.assertEqual((await self.store.object(ACCOUNT, BOX, "a")).content_type, "image/png")

    async def test_delete_object(self) -> None:
        """A deleted object is gone; a precondition may forbid it."""
        facts = await put_bytes(self.store, "a", b"1")
        await self.refuses(
            PreconditionFailed, self.store.delete_object(ACCOUNT, BOX, "a", Precondition(if_match=("other",)))
        )
        await self.store.delete_object(ACCOUNT, BOX, "a", Precondition(if_match=(facts.etag,)))
        await self.refuses(NoSuchObject, self.store.open(ACCOUNT, BOX, "a"))

    async def test_delete_objects(self) -> None:
        """Many at once, whether they exist or not, named twice or not."""
        for name in ("a", "b", "c"):
            await put_bytes(self.store, name, b"1")
        self.assertEqual(await self.store.delete_objects(ACCOUNT, BOX, ["a", "x", "c", "a"]), {"a", "c"})
        self.assertEqual(await self.names(), ["b"])
        self.assertEqual((await self.store.container(ACCOUNT, BOX)).bytes_used, 1)

    async def test_delete_objects_of_an_earlier_time(self) -> None:
        """What was modified after that stays, also where its metadata alone were."""
        for name in ("a", "b", "c", "d"):
            await put_bytes(self.store, name, b"1")
        until_us = max(
            facts.modified_us for facts in await self.store.objects_named(ACCOUNT, BOX, ["a", "b", "c", "d"])
        )
        await put_bytes(self.store, "a", b"2")
        await self.store.update_object(ACCOUNT, BOX, "b", content_type="x/y", metadata={})
        self.assertEqual(await self.store.delete_objects(ACCOUNT, BOX, ["a", "b", "c", "x"], until_us), {"c"})
        self.assertEqual(await self.names(), ["a", "b", "d"])

    async def test_objects_named(self) -> None:
        """Those that exist, each once, as each would be by itself."""
        for name in ("a", "b"):
            await put_bytes(self.store, name, b"1")
        found = await self.store.objects_named(ACCOUNT, BOX, ["a", "x", "a"])
        self.assertEqual(found, [await self.store.object(ACCOUNT, BOX, "a")])
        await self.refuses(NoSuchContainer, self.store.objects_named(ACCOUNT, "none", ["a"]))

    async def test_copy_object(self) -> None:
        """A copy has the bytes, its own metadata, and outlives its source."""
        data = os.urandom(100_000)
        source = await put_bytes(self.store, "a", data, metadata={"meta:a": "1"})
        made = await self.store.copy_object(
            source, ACCOUNT, BOX, "b", content_type="image/png", metadata={"meta:b": "2"}
        )
        self.assertEqual((made.name, made.etag, made.size), ("b", source.etag, len(data)))
        self.assertEqual((made.content_type, made.metadata), ("image/png", {"meta:b": "2"}))
        await self.store.delete_object(ACCOUNT, BOX, "a")
        self.assertEqual(await read_bytes(self.store, "b"), data)

    async def test_copy_onto_itself(self) -> None:
        """An object may be copied onto itself to replace its metadata."""
        source = await put_bytes(self.store, "a", b"data")
        made = await self.store.copy_object(source, ACCOUNT, BOX, "a", content_type="x/y", metadata={}, etag="other")
        self.assertEqual((made.etag, await read_bytes(self.store, "a")), ("other", b"data"))
        self.assertEqual((await self.store.container(ACCOUNT, BOX)).bytes_used, 4)

    async def test_copy_of_what_has_gone(self) -> None:
        """A version that was replaced meanwhile is not copied."""
        source = await put_bytes(self.store, "a", b"data")
        await put_bytes(self.store, "a", b"newer")
        await self.store.upkeep()
        copying = self.store.copy_object(source, ACCOUNT, BOX, "b", content_type="", metadata={})
        await self.refuses(NoSuchObject, copying)
        self.assertEqual(await self.names(), ["a"])

    async def test_copy_preconditions(self) -> None:
        """The destination's version and container are tested."""
        source = await put_bytes(self.store, "a", b"data")
        to: Any = {"content_type": "", "metadata": {}}
        await self.refuses(NoSuchContainer, self.store.copy_object(source, ACCOUNT, "nowhere", "b", **to))
        await self.refuses(
            PreconditionFailed,
            self.store.copy_object(source, ACCOUNT, BOX, "a", precondition=Precondition(if_absent=True), **to),
        )
        empty = await put_bytes(self.store, "empty")
        made = await self.store.copy_object(empty, ACCOUNT, BOX, "b", **to)
        self.assertEqual((made.size, await read_bytes(self.store, "b")), (0, b""))

    async def test_listed_facts_are_not_copied(self) -> None:
        """Facts from a listing know no data; copying them would lose it."""
        await put_bytes(self.store, "a", b"1")
        (row,) = await self.store.objects(ACCOUNT, BOX, Listing())
        assert isinstance(row, ObjectFacts)
        await self.refuses(ValueError, self.store.copy_object(row, ACCOUNT, BOX, "b", content_type="", metadata={}))
        self.assertEqual(await self.names(), ["a"])

    # Listings

    async def names(self, **listing: Any) -> list[str]:
        """The names in ``BOX``."""
        return [row.name for row in await self.store.objects(ACCOUNT, BOX, Listing(**listing))]

    async def test_listing_order(self) -> None:
        """Names are listed in the order of their UTF-8 bytes."""
        names = ["z", "ä", "a", "Z", "\U0001f600", "\uffff", "a b", "a%20", "", "~"]
        for name in filter(None, names):
            await put_bytes(self.store, name)
        ordered = sorted(filter(None, names), key=str.encode)
        self.assertEqual(await self.names(), ordered)
        self.assertEqual(await self.names(reverse=True), ordered[::-1])

    async def test_listing_facts(self) -> None:
        """A listing has what a face shows."""
        put = await put_bytes(self.store, "a", b"12", metadata={"checksum:crc32": "x"})
        (row,) = await self.store.objects(ACCOUNT, BOX, Listing())
        assert isinstance(row, ObjectFacts)
        self.assertEqual((row.name, row.size, row.etag, row.modified_us), ("a", 2, put.etag, put.modified_us))
        self.assertEqual((row.content_type, row.metadata), ("text/plain", {"checksum:crc32": "x"}))

    async def test_listing_bounds(self) -> None:
        """Markers are exclusive, in both directions; a limit of 0 is an empty page."""
        for name in "abcde":
            await put_bytes(self.store, name)
        self.assertEqual(await self.names(marker="b", end_marker="e"), ["c", "d"])
        self.assertEqual(await self.names(marker="e", end_marker="b", reverse=True), ["d", "c"])
        self.assertEqual(await self.names(marker="bb", limit=2), ["c", "d"])
        self.assertEqual(await self.names(limit=0), [])
        self.assertEqual(await self.names(marker="d", end_marker="b"), [])
        self.assertEqual(await self.names(marker="z"), [])

    async def test_listing_prefix(self) -> None:
        """A prefix is a prefix of characters, whatever they are."""
        for name in ("a", "ab", "ab/c", "abd", "ac", "b", "\U0010ffff", "\U0010ffff1", "%", "_"):
            await put_bytes(self.store, name)
        self.assertEqual(await self.names(prefix="ab"), ["ab", "ab/c", "abd"])
        self.assertEqual(await self.names(prefix="\U0010ffff"), ["\U0010ffff", "\U0010ffff1"])
        self.assertEqual(await self.names(prefix="_"), ["_"])
        self.assertEqual(await self.names(prefix="ab", marker="ab", reverse=False), ["ab/c", "abd"])
        self.assertEqual(await self.names(prefix="ab", marker="abd", reverse=True), ["ab/c", "ab"])

    async def test_listing_delimiter(self) -> None:
        """What lies below a common prefix is one row, and counts as one."""
        for name in ("a", "a/1", "a/2/3", "a0", "b/", "b/x", "c"):
            await put_bytes(self.store, name)
        self.assertEqual(await self.names(delimiter="/"), ["a", "a/", "a0", "b/", "c"])
        self.assertEqual(await self.names(delimiter="/", reverse=True), ["c", "b/", "a0", "a/", "a"])
        self.assertEqual(await self.names(delimiter="/", prefix="a/"), ["a/1", "a/2/"])
        self.assertEqual(await self.names(delimiter="/", limit=2), ["a", "a/"])
        self.assertEqual(await self.names(delimiter="/", marker="a/"), ["a0", "b/", "c"])
        self.assertEqual(await self.names(delimiter="/", marker="a/1"), ["a/", "a0", "b/", "c"])
        self.assertEqual(await self.names(delimiter="/", marker="b/", reverse=True), ["a0", "a/", "a"])
        self.assertEqual(await self.names(delimiter="/2/"), ["a", "a/1", "a/2/", "a0", "b/", "b/x", "c"])

    # Multipart uploads

    async def begin(self, name: str = "big") -> str:
        """A new multipart upload."""
        facts = await self.store.begin_multipart(ACCOUNT, BOX, name, content_type="video/mp4", metadata={"meta:a": "1"})
        return facts.upload_id

    async def put_part(self, upload_id: str, number: int, data: bytes, name: str = "big") -> str:
        """A part, and its etag."""
        upload = await upload_bytes(self.store, data)
        etag = hashlib.md5(data).hexdigest()
        facts = await self.store.put_part(
            ACCOUNT, BOX, name, upload_id, number, upload, etag=etag, metadata={"checksum:crc32": str(number)}
        )
        self.assertEqual((facts.number, facts.size, facts.etag), (number, len(data), etag))
        return etag

    async def test_multipart(self) -> None:
        """Parts, out of order and one replaced, become one object; the upload is over."""
        upload_id = await self.begin()
        pieces = {number: os.urandom(100_000 + number) for number in (1, 2, 3, 5)}
        await self.put_part(upload_id, 3, b"replaced below")
        etags = {number: await self.put_part(upload_id, number, pieces[number]) for number in (5, 3, 1, 2)}
        self.assertEqual(await self.names(), [])
        wanted = [(number, etags[number]) for number in (1, 3, 5)]
        made = await self.store.complete_multipart(
            ACCOUNT, BOX, "big", upload_id, wanted, etag="abc-3", metadata={"parts": "3"}
        )
        data = pieces[1] + pieces[3] + pieces[5]
        self.assertEqual((made.size, made.etag, made.content_type), (len(data), "abc-3", "video/mp4"))
        self.assertEqual(made.metadata, {"parts": "3"})
        self.assertEqual(await read_bytes(self.store, "big"), data)
        reading = await self.store.open(ACCOUNT, BOX, "big")
        self.assertEqual(await read_range(reading, 99_990, 100_020), data[99_990:200_010])
        reading.close()
        await self.refuses(NoSuchUpload, self.store.multipart(ACCOUNT, BOX, "big", upload_id))
        self.assertEqual((await self.store.container(ACCOUNT, BOX)).bytes_used, len(data))

    async def test_multipart_copy_and_delete(self) -> None:
        """An object of several parts is copied and deleted like any other."""
        upload_id = await self.begin()
        wanted = [(number, await self.put_part(upload_id, number, b"%d" % number)) for number in (1, 2)]
        made = await self.store.complete_multipart(ACCOUNT, BOX, "big", upload_id, wanted, etag="e", metadata={})
        reading = await self.store.open(ACCOUNT, BOX, "big")
        await self.store.copy_object(made, ACCOUNT, BOX, "copy", content_type="", metadata={})
        await self.store.delete_object(ACCOUNT, BOX, "big")
        await self.store.upkeep()
        self.assertEqual(await read_range(reading, 0, 2), b"12")
        reading.close()
        await self.store.upkeep()
        self.assertEqual(await read_bytes(self.store, "copy"), b"12")

    async def test_multipart_facts(self) -> None:
        """The upload and its parts can be asked for."""
        upload_id = await self.begin()
        facts = await self.store.multipart(ACCOUNT, BOX, "big", upload_id)
        self.assertEqual((facts.upload_id, facts.container, facts.name), (upload_id, BOX, "big"))
        self.assertEqual((facts.content_type, facts.metadata), ("video/mp4", {"meta:a": "1"}))
        for number in (1, 2, 7):
            await self.put_part(upload_id, number, b"x" * number)
        parts = await self.store.parts(ACCOUNT, BOX, "big", upload_id)
        self.assertEqual([(part.number, part.size) for part in parts], [(1, 1), (2, 2), (7, 7)])
        self.assertEqual(parts[2].metadata, {"checksum:crc32": "7"})
        page = await self.store.parts(ACCOUNT, BOX, "big", upload_id, marker=1, limit=1)
        self.assertEqual([part.number for part in page], [2])

    async def test_listing_multiparts(self) -> None:
        """Unfinished uploads are listed by name, then by id, from both markers on."""
        ids = sorted([await self.begin("b"), await self.begin("b")])
        first, last = await self.begin("a/1"), await self.begin("c")

        async def found(**bounds: Any) -> list[str]:
            return [facts.upload_id for facts in await self.store.multiparts(ACCOUNT, BOX, **bounds)]

        self.assertEqual(await found(), [first, *ids, last])
        self.assertEqual(await found(limit=2), [first, ids[0]])
        self.assertEqual(await found(key_marker="a/1"), [*ids, last])
        self.assertEqual(await found(key_marker="b"), [last])
        self.assertEqual(await found(key_marker="b", id_marker=ids[0]), [ids[1], last])
        self.assertEqual(await found(prefix="a/"), [first])
        self.assertEqual(await found(prefix="b", key_marker="a"), ids)
        self.assertEqual(await found(prefix="b", key_marker="b", id_marker=ids[0]), [ids[1]])

    async def test_invalid_parts(self) -> None:
        """A part that is missing, has another etag or is named twice is refused; nothing changes."""
        upload_id = await self.begin()
        etag = await self.put_part(upload_id, 1, b"one")
        for parts, blamed in (([(1, etag), (2, "x")], 2), ([(1, "other")], 1), ([(1, etag), (1, etag)], 1)):
            error = await self.refuses(
                InvalidPart,
                self.store.complete_multipart(ACCOUNT, BOX, "big", upload_id, parts, etag="e", metadata={}),
            )
            self.assertEqual(error.number, blamed)
        self.assertEqual(len(await self.store.parts(ACCOUNT, BOX, "big", upload_id)), 1)
        self.assertEqual(await self.names(), [])

    async def test_multipart_precondition(self) -> None:
        """A refused completion leaves the upload open and the object as it was."""
        await put_bytes(self.store, "big", b"present")
        upload_id = await self.begin()
        parts = [(1, await self.put_part(upload_id, 1, b"one"))]

        def complete(condition: Precondition | None) -> Any:
            return self.store.complete_multipart(
                ACCOUNT, BOX, "big", upload_id, parts, etag="e", metadata={}, precondition=condition
            )

        await self.refuses(PreconditionFailed, complete(Precondition(if_absent=True)))
        self.assertEqual(await read_bytes(self.store, "big"), b"present")
        await complete(None)
        self.assertEqual(await read_bytes(self.store, "big"), b"one")

    async def test_abort_multipart(self) -> None:
        """An aborted upload takes no more parts and is not listed."""
        upload_id = await self.begin()
        await self.put_part(upload_id, 1, b"one")
        await self.store.abort_multipart(ACCOUNT, BOX, "big", upload_id)
        self.assertEqual(await self.store.multiparts(ACCOUNT, BOX), [])
        await self.unknown_upload(BOX, "big", upload_id)

    async def test_unknown_upload(self) -> None:
        """An id counts only with its own container and name."""
        upload_id = await self.begin()
        await self.unknown_upload("nowhere", "big", upload_id)
        await self.unknown_upload(BOX, "other", upload_id)
        await self.unknown_upload(BOX, "big", "x")

    async def unknown_upload(self, container: str, name: str, upload_id: str) -> None:
        """Every call says that there is no such upload."""
        key = (ACCOUNT, container, name, upload_id)
        upload = await upload_bytes(self.store, b"data")
        for waiting in (
            self.store.multipart(*key),
            self.store.put_part(*key, 1, upload, etag="", metadata={}),
            self.store.parts(*key),
            self.store.complete_multipart(*key, [], etag="", metadata={}),
            self.store.abort_multipart(*key),
        ):
            await self.refuses(NoSuchUpload, waiting)

    async def test_deleted_container_aborts(self) -> None:
        """Unfinished uploads do not keep a container; they end with it."""
        upload_id = await self.begin()
        await self.put_part(upload_id, 1, b"one")
        await self.store.delete_container(ACCOUNT, BOX)
        await self.store.create_container(ACCOUNT, BOX, {})
        self.assertEqual(await self.store.multiparts(ACCOUNT, BOX), [])
        await self.unknown_upload(BOX, "big", upload_id)

    # Uploads and upkeep

    async def test_digests(self) -> None:
        """Every digest asked for sees every byte; asking twice gives the same."""
        upload = await self.store.receive({"md5": hashlib.md5, "sha256": hashlib.sha256}, 6)
        for piece in (b"ab", b"", b"cdef"):
            self.assertIsNone(upload.write(piece))
        digests = await upload.finish()
        self.assertEqual(upload.size, 6)
        self.assertEqual(
            dict(digests),
            {"md5": hashlib.md5(b"abcdef").digest(), "sha256": hashlib.sha256(b"abcdef").digest()},
        )
        self.assertEqual(dict(await upload.finish()), dict(digests))
        await upload.discard()

    async def test_put_finishes(self) -> None:
        """An upload that nobody finished is finished by the put."""
        upload = await self.store.receive({})
        upload.write(b"data")
        await self.store.put_object(ACCOUNT, BOX, "a", upload, etag="e", content_type="", metadata={})
        self.assertEqual(await read_bytes(self.store, "a"), b"data")

    async def test_upkeep_leaves_living_work_alone(self) -> None:
        """Upkeep while an upload is under way changes nothing about it."""
        upload = await self.store.receive({})
        waiting = upload.write(b"x" * 1_000_000)
        if waiting is not None:
            await waiting
        self.assertEqual(await self.store.upkeep(), 0)
        await self.store.put_object(ACCOUNT, BOX, "a", upload, etag="e", content_type="", metadata={})
        self.assertEqual(await self.store.upkeep(), 0)
        self.assertEqual(await read_bytes(self.store, "a"), b"x" * 1_000_000)

    async def test_recover_again(self) -> None:
        """Recovery of a whole store loses nothing."""
        await put_bytes(self.store, "a", b"data")
        self.assertEqual(await self.store.recover(), 0)
        self.assertEqual(await read_bytes(self.store, "a"), b"data")

    async def test_space(self) -> None:
        """There is room, and the figures fit each other."""
        space = await self.store.space()
        self.assertGreaterEqual(space.total_bytes, space.free_bytes)
        self.assertGreater(space.free_bytes, 0)

    # The log

    async def logged(self, after: int = 0, limit: int = 1000, account: str | None = None) -> list[Change]:
        """The changes after one."""
        return (await self.store.changes(after, limit, account))[1]

    async def test_changes_are_logged(self) -> None:
        """Whatever names or unnames an object or a container is in the log once, in order, with its facts."""
        one, two, three = ChangeKind.OBJECT_CREATED, ChangeKind.OBJECT_DELETED, ChangeKind.CONTAINER_CREATED
        await self.store.create_container(ACCOUNT, "other", {"meta:a": "1"})
        first = await put_bytes(self.store, "a", b"1")
        second = await put_bytes(self.store, "a", b"22")
        await self.store.copy_object(second, ACCOUNT, "other", "ß", content_type="", metadata={})
        begun = await self.store.begin_multipart(ACCOUNT, BOX, "m", content_type="", metadata={})
        key = (ACCOUNT, BOX, "m", begun.upload_id)
        await self.store.put_part(*key, 1, await upload_bytes(self.store, b"333"), etag="p", metadata={})
        await self.store.complete_multipart(*key, [(1, "p")], etag="p-1", metadata={})
        await self.store.delete_object(ACCOUNT, BOX, "a")
        await self.store.delete_objects(ACCOUNT, BOX, ["m", "never"])
        await self.store.delete_container(ACCOUNT, BOX)
        found = await self.logged()
        self.assertEqual(
            [(each.kind, each.container, each.name, each.size, each.etag) for each in found],
            [
                (three, BOX, "", 0, ""),
                (three, "other", "", 0, ""),
                (one, BOX, "a", 1, first.etag),
                (one, BOX, "a", 2, second.etag),
                (one, "other", "ß", 2, second.etag),
                (one, BOX, "m", 3, "p-1"),
                (two, BOX, "a", 2, second.etag),
                (two, BOX, "m", 3, "p-1"),
                (ChangeKind.CONTAINER_DELETED, BOX, "", 0, ""),
            ],
        )
        self.assertEqual([each.id for each in found], list(range(1, 10)))
        self.assertEqual({each.account for each in found}, {ACCOUNT})
        self.assertEqual(found[2].at_us, first.modified_us)
        self.assertTrue(all(each.at_us > 1_600_000_000_000_000 for each in found))

    async def test_what_is_not_logged(self) -> None:
        """Metadata, a creation of what exists, an unfinished upload, and whatever fails."""
        await put_bytes(self.store, "a", b"1")
        before = await self.logged()
        await self.store.update_object(ACCOUNT, BOX, "a", content_type="text/x", metadata={"meta:a": "1"})
        await self.store.update_container(ACCOUNT, BOX, {"meta:a": "1"})
        await self.store.create_container(ACCOUNT, BOX, {"meta:b": "1"})
        await self.store.begin_multipart(ACCOUNT, BOX, "m", content_type="", metadata={})
        await self.refuses(ContainerExists, self.store.create_container(ACCOUNT, BOX, {}, exclusive=True))
        await self.refuses(ContainerNotEmpty, self.store.delete_container(ACCOUNT, BOX))
        await self.refuses(NoSuchObject, self.store.delete_object(ACCOUNT, BOX, "never"))
        await self.refuses(PreconditionFailed, put_bytes_deferred(self.store, "a", Precondition(if_absent=True)))
        self.assertEqual(await self.logged(), before)

    async def test_reading_the_log(self) -> None:
        """By position, by pages and by account; what is kept is told."""
        self.assertEqual(await self.store.changes(1, 10), (ChangeSpan(1, 1), []))
        for number in range(4):
            await self.store.create_container("AUTH_two" if number % 2 else ACCOUNT, f"b{number}", {})
        self.assertEqual([each.id for each in await self.logged(1, 2)], [2, 3])
        self.assertEqual([each.container for each in await self.logged(3, account=ACCOUNT)], ["b2"])
        self.assertEqual([each.container for each in await self.logged(0, 1, "AUTH_two")], ["b1"])
        self.assertEqual(await self.store.changes(5, 10, "AUTH_three"), (ChangeSpan(1, 5), []))
        for within, ids in ((1, []), (2, [3]), (100, [3, 5])):
            _span, found = await self.store.changes(1, 10, "AUTH_two", within)
            self.assertEqual([each.id for each in found], ids)

    async def test_pruning_the_log(self) -> None:
        """The oldest go, by count and by time and not all at once; the newest stays, and no id comes again."""
        for number in range(9):
            await self.store.create_container(ACCOUNT, f"b{number}", {})
        self.assertEqual(await self.store.prune_changes(20, 0, 100), 0)
        self.assertEqual(await self.store.prune_changes(8, 0, 100), 2)
        self.assertEqual(await self.store.prune_changes(2, 0, 5), 5)
        self.assertEqual([each.id for each in await self.logged()], [8, 9, 10])
        self.assertEqual(await self.store.prune_changes(20, 1 << 62, 100), 2)
        self.assertEqual(await self.store.prune_changes(0, 1 << 62, 100), 0)
        await self.store.create_container(ACCOUNT, "late", {})
        self.assertEqual(await self.store.changes(0, 1), (ChangeSpan(10, 11), [(await self.logged())[0]]))
        self.assertEqual([each.id for each in await self.logged()], [10, 11])


def put_bytes_deferred(store: IObjectStore, name: str, condition: Precondition) -> Any:
    """``put_bytes`` as a Deferred."""
    from twisted.internet.defer import Deferred

    return Deferred.fromCoroutine(put_bytes(store, name, b"refused", precondition=condition))
