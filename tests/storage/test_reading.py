"""Open versions: which descriptors are held, when they are closed, and what happens when deletion comes near."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase

from storage import DataDamaged, FileStore, NoSuchObject, _layout, _reading
from storage._reading import FileReading
from tests.contracts.object_store import ACCOUNT, BOX, put_bytes, read_range, upload_bytes
from tests.storage.direct import DirectIndex
from tests.storage.test_upload import SteppedThreads


class ReadingTests(TestCase):
    """``FileReading``."""

    async def setUp(self) -> None:  # type: ignore[override]
        self.folder = Path(self.mktemp()).resolve()
        self.folder.mkdir()
        self.index = DirectIndex(self.folder / "index.sqlite")
        self.addCleanup(self.index.close)
        self.threads = SteppedThreads()
        self.store = FileStore(self.folder / "store", self.index, self.threads, Clock(), reserve_bytes=0)
        await self.store.recover()
        await self.store.create_container(ACCOUNT, BOX, {})
        self.before = self.descriptors()

    def descriptors(self) -> int:
        """How many descriptors on data files of this test's store this process has; other tests' are not its own."""
        links = [path for path in Path("/proc/self/fd").iterdir() if path.is_symlink()]
        store = f"{self.folder}/store/"
        return sum(self.target(link).startswith(store) for link in links)

    def target(self, link: Path) -> str:
        """Where the link goes; nowhere when it has gone."""
        try:
            return str(link.readlink())
        except FileNotFoundError:
            return ""

    async def put_big(self, parts: int = 4) -> None:
        """``big``, an object of several files of 100 bytes each."""
        begun = await self.store.begin_multipart(ACCOUNT, BOX, "big", content_type="", metadata={})
        key = (ACCOUNT, BOX, "big", begun.upload_id)
        for number in range(1, parts + 1):
            upload = await upload_bytes(self.store, b"%d" % number * 100)
            await self.store.put_part(*key, number, upload, etag="e", metadata={})
        wanted = [(number, "e") for number in range(1, parts + 1)]
        await self.store.complete_multipart(*key, wanted, etag="e", metadata={})
        await self.store.upkeep()
        self.before = self.descriptors()

    async def open(self, name: str) -> FileReading:
        """The present version."""
        reading = await self.store.open(ACCOUNT, BOX, name)
        assert isinstance(reading, FileReading)
        return reading

    async def test_few_descriptors(self) -> None:
        """Going through an object of many parts holds two of them open."""
        await self.put_big()
        reading = await self.open("big")
        self.assertEqual(self.descriptors() - self.before, 1)
        for number in range(4):
            file, at, size = await reading.region(number * 100 + 10, 1_000)
            self.assertEqual((at, size), (10, 90))
            self.assertEqual(os.pread(file, 1, at), b"%d" % (number + 1))
            self.assertLessEqual(self.descriptors() - self.before, 2)
        reading.close()
        self.assertEqual(self.descriptors(), self.before)

    async def test_closed_while_opening(self) -> None:
        """A client leaves while a thread opens the next part: it is closed as soon as it is open."""
        await self.put_big()
        reading = await self.open("big")
        self.threads.direct = False
        waiting = reading.region(150, 10)
        reading.close()
        self.threads.step()
        self.failureResultOf(waiting, ValueError)
        self.assertEqual(self.descriptors(), self.before)

    async def test_cancelled_while_opening(self) -> None:
        """The same when who waits was cancelled first."""
        await self.put_big()
        reading = await self.open("big")
        self.threads.direct = False
        waiting = reading.region(150, 10)
        waiting.addErrback(lambda _: None)
        waiting.cancel()
        self.threads.step()
        reading.close()
        self.assertEqual(self.descriptors(), self.before)

    async def test_large_is_closed_in_a_thread(self) -> None:
        """The last descriptor of a large file may free many blocks."""
        self.patch(_reading, "_QUICK_TO_CLOSE_BYTES", 10)
        await put_bytes(self.store, "a", b"x" * 11)
        reading = await self.open("a")
        self.threads.direct = False
        reading.close()
        reading.close()
        self.assertEqual(len(self.threads.jobs), 1)
        self.threads.step()

    async def test_forgotten(self) -> None:
        """A reading that nobody closed costs no descriptor for ever."""
        await put_bytes(self.store, "a", b"x")
        self.before = self.descriptors()
        reading = await self.open("a")
        self.assertEqual(self.descriptors() - self.before, 1)
        del reading
        self.assertEqual(self.descriptors(), self.before)

    async def test_missing_part(self) -> None:
        """A part that the disk has lost is an error, not a shorter object."""
        await self.put_big()
        reading = await self.open("big")
        self.store._layout.remove(reading.facts.extents[2].file)
        await self.assertFailure(reading.region(250, 1), DataDamaged)
        reading.close()

    async def test_locked_by_a_deleter(self) -> None:
        """While somebody deletes, opening waits a little; then the object is looked up again."""
        self.patch(_reading, "_LOCK_WAIT_S", 0)
        await self.put_big()
        facts = await self.store.object(ACCOUNT, BOX, "big")
        descriptor = self.store._layout.open(facts.extents[0].file)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        await self.assertFailure(self.store.open(ACCOUNT, BOX, "big"), DataDamaged)
        os.close(descriptor)
        reading = await self.open("big")
        self.assertEqual(await read_range(reading, 199, 2), b"23")
        reading.close()

    async def test_anchor_deleted_meanwhile(self) -> None:
        """Who opened the anchor just before it was deleted must not start reading."""
        await self.put_big()
        facts = await self.store.object(ACCOUNT, BOX, "big")
        real = _reading._lock_shared

        def too_late(descriptor: int) -> bool:
            _reading._lock_shared = real
            os.close(os.dup(descriptor))
            self.store._layout.remove(facts.extents[0].file)
            self.index.connection.execute("DELETE FROM objects")
            return real(descriptor)

        self.patch(_reading, "_lock_shared", too_late)
        await self.assertFailure(self.store.open(ACCOUNT, BOX, "big"), NoSuchObject)
        self.assertEqual(self.descriptors(), self.before)

    async def test_lock_of_a_dead_claim(self) -> None:
        """A lock file that upkeep takes away before it is locked is not used."""
        real, calls = _layout.lock, []

        def taken_once(descriptor: int, kind: int) -> bool:
            calls.append(descriptor)
            return len(calls) > 1 and real(descriptor, kind)

        self.patch(_layout, "lock", taken_once)
        owner = _layout.Owner(self.store._layout)
        self.assertEqual(len(calls), 2)
        owner.release()
        owner.release()
