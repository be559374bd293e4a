"""Uploads that go on in another process: whose the file is, and what happens when threads are at work meanwhile."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase

from storage import DataDamaged, FileStore, IUpload
from storage._upload import SLICE_BYTES, STEP_BYTES, WINDOW_BYTES, FileUpload
from tests.contracts.object_store import ACCOUNT, BOX, is_open, moved_upload, plain, read_bytes, write_all
from tests.storage.direct import DirectIndex, direct_store, files_below
from tests.storage.test_upload import SteppedThreads

DIGESTS = {"md5": hashlib.md5}


class OwnershipTests(TestCase):
    """Two processes, as two stores on one folder."""

    async def setUp(self) -> None:  # type: ignore[override]
        self.folder = Path(self.mktemp()).resolve()
        self.folder.mkdir()
        self.index = DirectIndex(self.folder / "index.sqlite")
        self.addCleanup(self.index.close)
        self.old, self.new = self.process(), self.process()
        await self.old.recover()
        await self.old.create_container(ACCOUNT, BOX, {})
        self.data = os.urandom(600_000)

    def process(self) -> FileStore:
        return direct_store(self.folder / "store", self.index)

    async def half_read(self) -> IUpload:
        upload = await self.old.receive(DIGESTS)
        await write_all(upload, self.data[:400_000])
        return upload

    async def end(self, upload: IUpload) -> None:
        """Write the rest, and give it its name."""
        await write_all(upload, self.data[400_000:])
        self.assertEqual((await upload.finish())["md5"], hashlib.md5(self.data).digest())
        await self.new.put_object(ACCOUNT, BOX, "a", upload, etag="", content_type="", metadata={})
        self.assertEqual(await read_bytes(self.new, "a"), self.data)
        await self.new.close()
        self.assertEqual(len(files_below(self.folder / "store")), 1)

    async def test_old_process_ends(self) -> None:
        """Neither its end nor what others clean up then touches the data; the name is the new owner's."""
        upload = await moved_upload(await self.half_read(), self.new)
        await self.old.close()
        self.assertEqual(await self.process().upkeep(), 0)
        await self.end(upload)
        (file,) = files_below(self.folder / "store")
        self.assertEqual(len(list(self.folder.glob("store/incoming/*.lock"))), 0)
        self.assertTrue(file)

    async def test_new_process_dies_before_it_goes_on(self) -> None:
        """What was told is still whole where it was."""
        upload = await self.half_read()
        state, descriptors = plain(upload.tell()), tuple(map(os.dup, upload.descriptors()))
        gone = await self.new.resume_upload(state, descriptors, DIGESTS)
        gone.abandon()
        await write_all(upload, self.data[400_000:])
        self.assertEqual((await upload.finish())["md5"], hashlib.md5(self.data).digest())
        await self.old.put_object(ACCOUNT, BOX, "a", upload, etag="", content_type="", metadata={})
        self.assertEqual(await read_bytes(self.old, "a"), self.data)

    async def test_there_and_back(self) -> None:
        upload = await moved_upload(await moved_upload(await self.half_read(), self.new), self.old)
        upload = await moved_upload(upload, self.new)
        await self.end(upload)

    def without_unnamed_files(self) -> None:
        real = os.open

        def no_unnamed(path: Any, flags: int, *rest: Any) -> int:
            if flags & os.O_TMPFILE == os.O_TMPFILE:
                raise OSError(95, "EOPNOTSUPP")
            return real(path, flags, *rest)

        self.patch(os, "open", no_unnamed)

    async def test_named_file(self) -> None:
        """On a file system without unnamed files it changes its owner with its name."""
        self.without_unnamed_files()
        upload = await moved_upload(await self.half_read(), self.new)
        await self.old.close()
        self.assertEqual(await self.process().upkeep(), 0)
        self.assertEqual(len(files_below(self.folder / "store")), 1)
        await self.end(upload)

    async def test_named_file_of_a_process_that_died_before(self) -> None:
        """Upkeep was quicker and removed the name: the open data is copied."""
        self.without_unnamed_files()
        upload = await self.half_read()
        state, descriptors = plain(upload.tell()), tuple(map(os.dup, upload.descriptors()))
        upload.abandon()
        await self.old.close()
        self.assertEqual(await self.process().upkeep(), 1)
        upload = await self.new.resume_upload(state, descriptors, DIGESTS)
        self.assertEqual(len(files_below(self.folder / "store")), 1)
        await self.end(upload)

    async def test_discarded_named_file(self) -> None:
        self.without_unnamed_files()
        upload = await moved_upload(await self.half_read(), self.new)
        await upload.discard()
        self.assertEqual(files_below(self.folder / "store"), [])

    async def test_lock_of_an_object_of_parts(self) -> None:
        """The anchor's lock goes along: whoever deletes waits for the reader in the other process."""
        facts = await self.old.begin_multipart(ACCOUNT, BOX, "p", content_type="", metadata={})
        for number in (1, 2):
            part = await self.old.receive({})
            await write_all(part, b"%d" % number * 100_000)
            await self.old.put_part(ACCOUNT, BOX, "p", facts.upload_id, number, part, etag="e", metadata={})
        await self.old.complete_multipart(
            ACCOUNT, BOX, "p", facts.upload_id, [(1, "e"), (2, "e")], etag="", metadata={}
        )
        reading = await self.old.open(ACCOUNT, BOX, "p")
        moved = self.new.resume_reading(plain(reading.tell()), tuple(map(os.dup, reading.descriptors())))
        reading.close()
        await self.old.delete_object(ACCOUNT, BOX, "p")
        await self.old.close()
        await self.process().upkeep()
        descriptor, offset, length = await moved.region(100_000, 100_000)
        self.assertEqual(os.pread(descriptor, length, offset), b"2" * 100_000)
        moved.close()
        await self.process().upkeep()
        self.assertEqual(files_below(self.folder / "store"), [])


class BusyTests(TestCase):
    """An upload is told while a thread writes."""

    async def setUp(self) -> None:  # type: ignore[override]
        self.folder = Path(self.mktemp()).resolve()
        self.folder.mkdir()
        index = DirectIndex(self.folder / "index.sqlite")
        self.addCleanup(index.close)
        self.threads = SteppedThreads()
        self.store = FileStore(self.folder / "store", index, self.threads, Clock(), reserve_bytes=0)
        await self.store.recover()
        upload = await self.store.receive(DIGESTS)
        assert isinstance(upload, FileUpload)
        self.upload = upload
        self.threads.direct = False

    def resumed(self, state: dict[str, Any], descriptors: tuple[int, ...]) -> FileUpload:
        self.threads.direct = True
        upload = self.successResultOf(self.store.resume_upload(state, descriptors, DIGESTS))
        assert isinstance(upload, FileUpload)
        return upload

    def finish(self, upload: FileUpload) -> Any:
        """The MD5."""
        self.threads.direct = True
        return self.successResultOf(upload.finish())["md5"]

    async def test_always_busy(self) -> None:
        """
        A job is under way and more waits; what it writes and what waits goes along, and the late thread does no harm.
        """
        pieces = [os.urandom(STEP_BYTES) for _ in range(4)]
        self.upload.write(pieces[0])
        self.threads.step()
        self.upload.write(pieces[1])  # a thread is writing this
        self.upload.write(pieces[2])  # this waits
        state = plain(self.upload.tell())
        self.assertEqual((state["size"], state["written"]), (3 * STEP_BYTES, STEP_BYTES))
        self.assertLessEqual(len(state["pieces"]), WINDOW_BYTES + STEP_BYTES)
        descriptors = tuple(map(os.dup, self.upload.descriptors()))
        own = self.upload.data_file.descriptor
        late, self.threads.jobs = self.threads.jobs, []
        self.upload.abandon()
        self.assertTrue(is_open(own))  # the thread is still writing to it
        new = self.resumed(state, descriptors)
        new.write(pieces[3])
        self.threads.jobs = late
        self.threads.step()
        self.assertFalse(is_open(own))
        self.assertEqual(self.threads.jobs, [])
        self.assertEqual(self.finish(new), hashlib.md5(b"".join(pieces)).digest())
        self.assertEqual(os.pread(new.data_file.descriptor, 5 * STEP_BYTES, 0), b"".join(pieces))
        self.successResultOf(new.discard())

    async def test_nothing_is_surely_written(self) -> None:
        """The first job is under way: no file goes along."""
        self.upload.write(b"a" * STEP_BYTES)
        state = plain(self.upload.tell())
        self.assertEqual((state["written"], self.upload.descriptors()), (0, ()))
        new = self.resumed(state, ())
        self.upload.abandon()
        while self.threads.jobs:
            self.threads.step()
        self.assertFalse(is_open(self.upload.data_file.descriptor))
        self.assertEqual(self.finish(new), hashlib.md5(b"a" * STEP_BYTES).digest())
        self.successResultOf(new.discard())

    def long_one(self, slices: int) -> tuple[FileUpload, bytes]:
        """An upload that is moved when it has so many slices to catch up; its first job is under way."""
        data = os.urandom(SLICE_BYTES * slices)
        others, self.threads.jobs = self.threads.jobs, []
        self.threads.direct = True
        old = self.successResultOf(self.store.receive(DIGESTS))
        for begin in range(0, len(data), STEP_BYTES):
            old.write(data[begin : begin + STEP_BYTES])
        state, descriptors = plain(old.tell()), tuple(map(os.dup, old.descriptors()))
        old.abandon()
        self.threads.direct = False
        resuming = self.store.resume_upload(state, descriptors, DIGESTS)
        self.threads.step()
        self.threads.jobs = others + self.threads.jobs
        upload = self.successResultOf(resuming)
        assert isinstance(upload, FileUpload)
        return upload, data

    async def test_catching_up(self) -> None:
        """Slices and steps take turns; only the end waits for the digests."""
        upload, data = self.long_one(3)
        done: list[str] = []
        for name in ("append", "catch_up", "finish"):
            self.patch(upload.data_file, name, self.noting(done, name, getattr(upload.data_file, name)))
        self.assertEqual(len(self.threads.jobs), 1)
        self.assertIsNone(upload.write(b"x" * STEP_BYTES))
        self.threads.step()
        self.threads.step()
        self.assertIsNone(upload.write(b"y" * STEP_BYTES))
        while self.threads.jobs:
            self.threads.step()
        self.assertEqual(done, ["append", "catch_up", "append", "catch_up", "catch_up"])
        self.assertIsNone(upload.write(b"z" * STEP_BYTES))  # it has caught up: digests are fed as ever
        self.threads.step()
        self.assertEqual((done[-1], self.threads.jobs), ("append", []))
        whole = data + b"".join(letter * STEP_BYTES for letter in (b"x", b"y", b"z"))
        self.assertEqual(self.finish(upload), hashlib.md5(whole).digest())
        self.successResultOf(upload.discard())

    def noting(self, done: list[str], name: str, function: Any) -> Any:
        def call(*args: Any) -> Any:
            done.append(name)
            return function(*args)

        return call

    async def test_uploads_take_turns(self) -> None:
        """However many catch up, one slice is read at a time; steps wait for no turn, and each comes to its end."""
        first, data = self.long_one(2)
        second, other = self.long_one(2)
        third, _ = self.long_one(2)
        self.assertEqual(len(self.threads.jobs), 1)
        self.assertIsNone(second.write(b"x" * STEP_BYTES))
        self.assertEqual(len(self.threads.jobs), 2)  # the first one's slice, and the second one's step
        third.abandon()
        finishing = [first.finish(), second.finish()]
        most = 0
        while self.threads.jobs:
            most = max(most, len(self.threads.jobs))
            self.threads.step()
        self.assertEqual(most, 2)
        digests = [self.successResultOf(waiting)["md5"] for waiting in finishing]
        self.assertEqual(digests, [hashlib.md5(data).digest(), hashlib.md5(other + b"x" * STEP_BYTES).digest()])

    async def test_turn_of_one_that_fails(self) -> None:
        """It is passed on; also when it failed while it waited for its turn."""
        uploads = [self.long_one(2)[0] for _ in range(3)]
        last, data = self.long_one(1)
        os.ftruncate(uploads[0].data_file.descriptor, 10)
        self.patch(uploads[1].data_file, "append", self.failing)
        uploads[1].write(b"x" * STEP_BYTES)
        discarding = uploads[2].discard()
        finishing = [upload.finish() for upload in (uploads[0], uploads[1], last)]
        while self.threads.jobs:
            self.threads.step()
        self.failureResultOf(finishing[0], DataDamaged)
        self.failureResultOf(finishing[1], OSError)
        self.successResultOf(discarding)
        self.assertEqual(self.successResultOf(finishing[2])["md5"], hashlib.md5(data).digest())

    def failing(self, _: object) -> None:
        raise OSError("EIO")

    async def test_end_waits_for_the_digests(self) -> None:
        upload, data = self.long_one(2)
        finishing = upload.finish()
        self.threads.step()
        self.assertNoResult(finishing)
        while self.threads.jobs:
            self.threads.step()
        self.assertEqual(self.successResultOf(finishing)["md5"], hashlib.md5(data).digest())

    async def test_discarded_while_it_catches_up(self) -> None:
        """No further slice is read."""
        upload, _ = self.long_one(3)
        discarding = upload.discard()
        self.threads.step()
        self.threads.step()
        self.successResultOf(discarding)
        self.assertEqual((self.threads.jobs, files_below(self.folder / "store")), ([], []))

    async def test_moved_on_while_it_catches_up(self) -> None:
        """The file is closed here when the thread has done with it."""
        upload, data = self.long_one(3)
        state, descriptors = plain(upload.tell()), tuple(map(os.dup, upload.descriptors()))
        own = upload.data_file.descriptor
        upload.abandon()
        self.assertTrue(is_open(own))
        self.threads.step()
        self.assertFalse(is_open(own))
        self.assertEqual(self.threads.jobs, [])
        self.assertEqual(self.finish(self.resumed(state, descriptors)), hashlib.md5(data).digest())

    async def test_file_that_became_shorter(self) -> None:
        """Then the upload fails, as after an error of the disk; it does not wait for ever."""
        upload, _ = self.long_one(2)
        os.ftruncate(upload.data_file.descriptor, 10)
        self.threads.step()
        self.failureResultOf(upload.finish(), DataDamaged)
        self.assertEqual(self.threads.jobs, [])
        self.threads.direct = True
        self.successResultOf(upload.discard())
