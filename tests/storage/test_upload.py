"""How data goes to disk: in steps, in order, with the client held back, whatever happens meanwhile."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase

from storage import FileStore
from storage._batch import Batch
from storage._upload import STEP_BYTES, WINDOW_BYTES, FileUpload
from tests.contracts.object_store import ACCOUNT, BOX, read_bytes
from tests.storage.direct import DirectIndex, files_below


class SteppedThreads:
    """Threads that work only when told, so that a test may look while one is busy."""

    def __init__(self) -> None:
        self.jobs: list[tuple[Callable[[], Any], Deferred[Any]]] = []
        self.direct = True

    def run(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Deferred[Any]:
        done: Deferred[Any] = Deferred()
        self.jobs.append((lambda: function(*args, **kwargs), done))
        if self.direct:
            self.step()
        return done

    def step(self) -> None:
        """Do the oldest job."""
        job, done = self.jobs.pop(0)
        try:
            result = job()
        except Exception:
            done.errback()
        else:
            done.callback(result)


class UploadTests(TestCase):
    """``FileUpload``."""

    async def setUp(self) -> None:  # type: ignore[override]
        self.folder = Path(self.mktemp()).resolve()
        self.folder.mkdir()
        index = DirectIndex(self.folder / "index.sqlite")
        self.addCleanup(index.close)
        self.threads = SteppedThreads()
        self.store = FileStore(self.folder / "store", index, self.threads, Clock(), reserve_bytes=0)
        await self.store.recover()
        await self.store.create_container(ACCOUNT, BOX, {})
        upload = await self.store.receive({"md5": hashlib.md5})
        assert isinstance(upload, FileUpload)
        self.upload = upload
        self.threads.direct = False

    async def test_small_data_waits(self) -> None:
        """Less than a step stays in memory; no thread is bothered."""
        self.assertIsNone(self.upload.write(b"x" * (STEP_BYTES - 1)))
        self.assertEqual(self.threads.jobs, [])

    async def test_client_is_held_back(self) -> None:
        """Beyond the window the client waits until a step is on disk."""
        self.assertIsNone(self.upload.write(b"a" * STEP_BYTES))
        self.assertEqual(len(self.threads.jobs), 1)
        waiting = self.upload.write(b"b" * (WINDOW_BYTES - STEP_BYTES))
        assert waiting is not None
        self.assertEqual(len(self.threads.jobs), 1)
        self.assertNoResult(waiting)
        self.threads.step()
        self.successResultOf(waiting)
        self.assertEqual(len(self.threads.jobs), 1)
        finishing = self.upload.finish()
        self.threads.step()
        self.assertNoResult(finishing)
        self.threads.step()
        expected = hashlib.md5(b"a" * STEP_BYTES + b"b" * (WINDOW_BYTES - STEP_BYTES)).digest()
        self.assertEqual(self.successResultOf(finishing), {"md5": expected})

    async def test_failed_step(self) -> None:
        """A step that fails fails who waits, what comes later, and the end."""
        self.upload.write(b"a" * STEP_BYTES)
        waiting = self.upload.write(b"b" * STEP_BYTES)
        assert waiting is not None
        self.patch(self.upload.data_file._space, "take", self.no_disk)
        self.threads.step()
        self.failureResultOf(waiting, OSError)
        later = self.upload.write(b"c")
        assert later is not None
        self.failureResultOf(later, OSError)
        self.failureResultOf(self.upload.finish(), OSError)
        self.assertEqual(self.threads.jobs, [])

    async def test_discard_while_busy(self) -> None:
        """The file is closed only when the thread has done with it."""
        self.upload.write(b"a" * STEP_BYTES)
        discarding = self.upload.discard()
        self.assertEqual(len(self.threads.jobs), 1)
        self.threads.step()
        self.assertNoResult(discarding)
        self.threads.step()
        self.successResultOf(discarding)
        late = self.upload.write(b"late")
        assert late is not None
        self.failureResultOf(late, ValueError)
        self.assertEqual(files_below(self.folder / "store"), [])

    async def test_discard_while_finishing(self) -> None:
        """A client that left during the fsync: the thread ends first."""
        self.upload.write(b"a")
        finishing = self.upload.finish()
        finishing.addErrback(lambda _: None)
        finishing.cancel()
        discarding = self.upload.discard()
        self.assertEqual(len(self.threads.jobs), 1)
        self.threads.step()
        self.assertNoResult(discarding)
        self.threads.step()
        self.successResultOf(discarding)

    async def test_cancelled_put_goes_on(self) -> None:
        """Nobody waits for the answer any more, the object comes all the same, whole."""
        self.upload.write(b"data")
        putting = self.store.put_object(ACCOUNT, BOX, "a", self.upload, etag="", content_type="", metadata={})
        putting.addErrback(lambda _: None)
        putting.cancel()
        self.successResultOf(self.upload.discard())
        while self.threads.jobs:
            self.threads.step()
        self.threads.direct = True
        self.assertEqual(await read_bytes(self.store, "a"), b"data")

    async def test_failed_finish_of_put(self) -> None:
        """A put whose data does not reach the disk leaves nothing."""
        self.upload.write(b"data")
        self.patch(self.upload.data_file._space, "take", self.no_disk)
        self.threads.direct = True
        put = self.store.put_object(ACCOUNT, BOX, "a", self.upload, etag="", content_type="", metadata={})
        self.failureResultOf(put, OSError)
        self.assertEqual(files_below(self.folder / "store"), [])

    async def test_ended_twice(self) -> None:
        """An upload makes one object."""
        self.threads.direct = True
        names: Any = {"etag": "", "content_type": "", "metadata": {}}
        self.successResultOf(self.store.put_object(ACCOUNT, BOX, "a", self.upload, **names))
        self.failureResultOf(self.store.put_object(ACCOUNT, BOX, "b", self.upload, **names), ValueError)

    async def test_two_first_uploads(self) -> None:
        """Two uploads that begin together share one owner."""
        self.threads.direct = True
        await self.store.close()
        self.threads.direct = False
        first, second = self.store.receive({}), self.store.receive({})
        while self.threads.jobs:
            self.threads.step()
        self.successResultOf(first)
        self.successResultOf(second)
        self.assertEqual(len(list(self.folder.glob("store/incoming/*.lock"))), 1)

    def no_disk(self, _: int) -> None:
        raise OSError("EIO")


class BatchTests(TestCase):
    """``Batch``."""

    def test_groups(self) -> None:
        """What comes while a batch runs is done together in the next one."""
        threads, seen = SteppedThreads(), []
        threads.direct = False

        def work(items: Any) -> Any:
            seen.append(list(items))
            return [item * 2 for item in items]

        batch: Batch[int, int] = Batch(threads, work)
        done = [batch.submit(number) for number in (1, 2, 3)]
        threads.step()
        threads.step()
        self.assertEqual(seen, [[1], [2, 3]])
        self.assertEqual([self.successResultOf(deferred) for deferred in done], [2, 4, 6])

    def test_failure_of_all(self) -> None:
        """When the work itself fails, each one hears it, and the next batch runs."""
        threads = SteppedThreads()

        def work(items: Any) -> Any:
            if items == [1]:
                raise OSError("fsync")
            return items

        batch: Batch[int, int] = Batch(threads, work)
        self.failureResultOf(batch.submit(1), OSError)
        self.assertEqual(self.successResultOf(batch.submit(2)), 2)
