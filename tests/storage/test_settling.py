"""What is left after a process died at each point of a write, and what recovery makes of it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase

from storage import DataDamaged, FileStore, UnknownFormat
from storage._layout import Layout
from storage._pending_index import forget
from storage._settling import DELAY_S
from tests.contracts.object_store import ACCOUNT, BOX, put_bytes, read_bytes, read_range, upload_bytes
from tests.storage.direct import DirectIndex, direct_store, files_below


class Killed(BaseException):
    """Stands for ``kill -9``: no code of the store catches it and cleans up."""


class SettlingTests(TestCase):
    """``FileStore.recover``, ``upkeep`` and what happens between them."""

    async def setUp(self) -> None:  # type: ignore[override]
        self.folder = Path(self.mktemp()).resolve()
        self.folder.mkdir()
        self.index = DirectIndex(self.folder / "index.sqlite")
        self.addCleanup(self.index.close)
        self.clock = Clock()
        self.store = await self.started()
        await self.store.create_container(ACCOUNT, BOX, {})

    async def started(self) -> FileStore:
        """The store as the next process opens it."""
        store = direct_store(self.folder / "store", self.index, self.clock)
        await store.recover()
        return store

    async def restarted(self) -> int:
        """The process dies, its locks end, the next one recovers; how many orphans were removed."""
        owner = self.store._writing._owner
        if owner is not None:
            os.close(owner._descriptor)
            owner._descriptor = -1
        self.store = direct_store(self.folder / "store", self.index, self.clock)
        return await self.store.recover()

    def incoming(self) -> list[str]:
        """Names in ``incoming/``, without locks."""
        return [path.name for path in self.folder.glob("store/incoming/*") if path.suffix != ".lock"]

    def pending(self) -> tuple[int, int]:
        """Rows of ``arrived`` and ``garbage``."""
        counts = [self.index.connection.execute(f"SELECT count(*) FROM {t}") for t in ("arrived", "garbage")]
        return counts[0].fetchone()[0], counts[1].fetchone()[0]

    def settled(self, files: int) -> None:
        """Nothing is pending, and so many files are in their place."""
        self.assertEqual((self.incoming(), self.pending()), ([], (0, 0)))
        self.assertEqual(len(files_below(self.folder / "store")), files)

    async def test_in_the_background(self) -> None:
        """Moves and deletions happen a little later, all together; both ways the object is readable."""
        await put_bytes(self.store, "a", b"1")
        await put_bytes(self.store, "a", b"2")
        self.assertEqual((len(self.incoming()), self.pending()), (2, (2, 1)))
        self.assertEqual(await read_bytes(self.store, "a"), b"2")
        self.clock.advance(DELAY_S)
        self.settled(1)
        self.assertEqual(await read_bytes(self.store, "a"), b"2")

    async def test_order_of_durability(self) -> None:
        """Data is synced, then its link, then the commit; rows are forgotten only after the folders are synced."""
        old = await put_bytes(self.store, "a", b"old")
        self.clock.advance(DELAY_S)
        events: list[str] = []

        def noting(call: Any, describe: Any) -> Any:
            def noted(*args: Any, **kwargs: Any) -> Any:
                result = call(*args, **kwargs)
                events.append(describe(*args))
                return result

            return noted

        def synced(descriptor: int) -> str:
            path = Path(f"/proc/self/fd/{descriptor}").readlink()
            return "fsync data" if path.suffix or path.name.startswith("#") else f"fsync {path.name}"

        self.patch(os, "fsync", noting(os.fsync, synced))
        self.patch(os, "link", noting(os.link, lambda *_: "link"))
        self.patch(self.index, "write", noting(self.index.write, lambda function, *_: f"commit {function.__name__}"))
        self.patch(Path, "rename", noting(Path.rename, lambda *_: "rename"))
        self.patch(Path, "unlink", noting(Path.unlink, lambda path, *_: "unlink"))
        new = await put_bytes(self.store, "a", b"new")
        self.assertEqual(events, ["fsync data", "link", "fsync incoming", "commit put_object"])
        events.clear()
        self.clock.advance(DELAY_S)
        places = {f"fsync {facts.extents[0].file[-4:-2]}" for facts in (old, new)}
        self.assertEqual(events[:2], ["rename", "unlink"])
        self.assertEqual(set(events[2:-2]), places)
        self.assertEqual(events[-2:], ["fsync incoming", "commit forget"])

    async def test_close_settles(self) -> None:
        """A store that is closed in order leaves nothing to do, not even its lock."""
        await put_bytes(self.store, "a", b"1")
        await self.store.close()
        self.settled(1)
        self.assertEqual(list(self.folder.glob("store/incoming/*")), [])

    async def test_killed_while_receiving(self) -> None:
        """Data without a name is gone with its process."""
        upload = await self.store.receive({})
        waiting = upload.write(b"x" * 600_000)
        if waiting is not None:
            await waiting
        self.assertEqual(files_below(self.folder / "store"), [])
        self.assertEqual(await self.restarted(), 0)

    async def test_killed_between_link_and_commit(self) -> None:
        """Data that got a name on disk, but none in the index, is removed; the old version stays."""
        await put_bytes(self.store, "a", b"old")
        upload = await upload_bytes(self.store, b"new")
        self.index.fail_commit = Killed()  # type: ignore[assignment]
        await self.dies(self.store.put_object(ACCOUNT, BOX, "a", upload, etag="", content_type="", metadata={}))
        self.assertEqual(len(self.incoming()), 2)
        self.assertEqual(await self.restarted(), 1)
        self.assertEqual(await read_bytes(self.store, "a"), b"old")
        self.settled(1)

    async def test_killed_after_commit(self) -> None:
        """A committed write is there, and the version it replaced is not."""
        await put_bytes(self.store, "a", b"old")
        self.clock.advance(DELAY_S)
        upload = await upload_bytes(self.store, b"new")
        self.index.fail_commit, self.index.after_commit = Killed(), True  # type: ignore[assignment]
        await self.dies(self.store.put_object(ACCOUNT, BOX, "a", upload, etag="", content_type="", metadata={}))
        self.assertEqual(self.pending(), (1, 1))
        self.assertEqual(await self.restarted(), 0)
        self.assertEqual(await read_bytes(self.store, "a"), b"new")
        self.settled(1)

    async def test_killed_while_recovering(self) -> None:
        """Recovery that dies after its work, but before it forgets what it was, is done again."""
        await put_bytes(self.store, "a", b"old")
        await put_bytes(self.store, "a", b"new")
        upload = await upload_bytes(self.store, b"never named")
        upload.data_file.link()  # type: ignore[attr-defined]
        real = self.index.write

        def dies_at_forget(function: Any, /, *args: Any, **kwargs: Any) -> Any:
            self.index.fail_commit = Killed() if function is forget else None  # type: ignore[assignment]
            return real(function, *args, **kwargs)

        patch = self.patch(self.index, "write", dies_at_forget)
        await self.dies(Deferred.fromCoroutine(self.restarted()))
        patch.restore()
        self.assertEqual((self.incoming(), self.pending()), ([], (2, 1)))
        self.assertEqual(await self.restarted(), 0)
        self.assertEqual(await read_bytes(self.store, "a"), b"new")
        self.settled(1)

    async def test_power_cut_undoes_a_move(self) -> None:
        """A file that was moved, but lies in ``incoming/`` again, is moved again: its row is still there."""
        await put_bytes(self.store, "a", b"1")
        (file,) = self.incoming()
        self.patch(self.store._settler, "_begin", lambda: None)  # dies before the pass forgets the rows
        layout = Layout(self.folder / "store")
        layout.settle(file)
        self.assertEqual(await read_bytes(self.store, "a"), b"1")
        layout._place(file).rename(layout.incoming / file)
        self.assertEqual(await self.restarted(), 0)
        self.assertEqual(await read_bytes(self.store, "a"), b"1")
        self.settled(1)

    async def test_killed_between_deletion_and_forgetting(self) -> None:
        """Deleting again what is deleted already is no error."""
        await put_bytes(self.store, "a", b"1")
        await self.store.delete_object(ACCOUNT, BOX, "a")
        Layout(self.folder / "store").remove(self.incoming()[0])
        self.assertEqual(await self.restarted(), 0)
        self.settled(0)

    async def test_copy_killed_before_commit(self) -> None:
        """The names of a copy that was not committed go; the source keeps its own."""
        source = await put_bytes(self.store, "a", b"1")
        self.clock.advance(DELAY_S)
        self.index.fail_commit = Killed()  # type: ignore[assignment]
        await self.dies(self.store.copy_object(source, ACCOUNT, BOX, "b", content_type="", metadata={}))
        self.assertEqual(await self.restarted(), 1)
        self.assertEqual(await read_bytes(self.store, "a"), b"1")
        self.settled(1)

    async def test_commit_that_happened_after_all(self) -> None:
        """A write is reported as failed, but the index has it: the data stays."""
        upload = await upload_bytes(self.store, b"data")
        self.index.fail_commit, self.index.after_commit = OSError("lost the answer"), True
        await self.assertFailure(
            self.store.put_object(ACCOUNT, BOX, "a", upload, etag="", content_type="", metadata={}), OSError
        )
        self.clock.advance(DELAY_S)
        self.assertEqual(await read_bytes(self.store, "a"), b"data")
        self.settled(1)

    async def test_commit_of_unknown_fate(self) -> None:
        """When not even the index can be asked, the data stays for upkeep to decide about."""
        upload = await upload_bytes(self.store, b"data")
        self.index.fail_commit = OSError("lost")
        read = self.patch(self.index, "read", lambda *_: Deferred.fromCoroutine(failing()))
        await self.assertFailure(
            self.store.put_object(ACCOUNT, BOX, "a", upload, etag="", content_type="", metadata={}), OSError
        )
        read.restore()
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 1)
        self.assertEqual(len(self.incoming()), 1)
        self.assertEqual(await self.restarted(), 1)
        self.settled(0)

    async def test_failed_pass_is_upkeep_s(self) -> None:
        """When settling fails, upkeep does it."""
        await put_bytes(self.store, "a", b"1")
        patch = self.patch(Layout, "sync_places", raising(OSError("EIO")))
        self.clock.advance(DELAY_S)
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 1)
        patch.restore()
        self.assertEqual(self.pending(), (1, 0))
        self.assertEqual(await self.store.upkeep(), 0)
        self.settled(1)

    async def test_living_owner(self) -> None:
        """What another living process has linked is left alone by upkeep."""
        other = direct_store(self.folder / "store", self.index, self.clock)
        upload = await upload_bytes(other, b"data")
        data = upload.data_file  # type: ignore[attr-defined]
        data.link()
        self.assertEqual(await self.store.upkeep(), 0)
        self.assertEqual(self.incoming(), [data.file])
        await other.put_object(ACCOUNT, BOX, "a", upload, etag="", content_type="", metadata={})
        self.assertEqual(await read_bytes(self.store, "a"), b"data")

    async def test_garbage_that_is_read(self) -> None:
        """An object of several files is not deleted under its reader."""
        begun = await self.store.begin_multipart(ACCOUNT, BOX, "big", content_type="", metadata={})
        for number in (1, 2, 3):
            upload = await upload_bytes(self.store, b"%d" % number * 1_000)
            key = (ACCOUNT, BOX, "big", begun.upload_id)
            await self.store.put_part(*key, number, upload, etag="e", metadata={})
        await self.store.complete_multipart(*key, [(1, "e"), (2, "e"), (3, "e")], etag="e", metadata={})
        reading = await self.store.open(ACCOUNT, BOX, "big")
        await self.store.delete_object(ACCOUNT, BOX, "big")
        self.clock.advance(DELAY_S)
        self.assertEqual(len(files_below(self.folder / "store")), 3)
        self.assertEqual(await read_range(reading, 0, 3_000), b"1" * 1_000 + b"2" * 1_000 + b"3" * 1_000)
        reading.close()
        await self.store.upkeep()
        self.settled(0)

    async def test_half_deleted_group(self) -> None:
        """When the anchor has gone already, the rest goes."""
        await self.test_garbage_that_is_read()
        add = "INSERT INTO garbage VALUES ('aaaaaaaaaaaaaaaa00000002', 'aaaaaaaaaaaaaaaa00000001')"
        self.index.connection.execute(add)
        await self.store.upkeep()
        self.settled(0)

    async def test_damage(self) -> None:
        """Data that is missing or cut short is an error of its own, never other bytes."""
        await put_bytes(self.store, "missing", b"1")
        await put_bytes(self.store, "short", b"12345")
        self.clock.advance(DELAY_S)
        missing = await self.store.object(ACCOUNT, BOX, "missing")
        short = await self.store.object(ACCOUNT, BOX, "short")
        layout = Layout(self.folder / "store")
        layout.remove(missing.extents[0].file)
        os.truncate(layout._place(short.extents[0].file), 4)
        await self.assertFailure(self.store.open(ACCOUNT, BOX, "missing"), DataDamaged)
        await self.assertFailure(self.store.open(ACCOUNT, BOX, "short"), DataDamaged)

    async def test_race_with_overwrite(self) -> None:
        """A version that is deleted between lookup and open is looked up again."""
        await put_bytes(self.store, "a", b"old")
        real, calls = Layout.open, []

        def replaced_once(layout: Layout, file: str) -> int:
            calls.append(file)
            if len(calls) == 1:
                raise FileNotFoundError(file)
            return real(layout, file)

        self.patch(Layout, "open", replaced_once)
        self.assertEqual(await read_bytes(self.store, "a"), b"old")

    async def test_formats(self) -> None:
        """A folder of another version is left as it is, and an index that does not allow this code."""
        (self.folder / "store" / "format").write_text("cloudd object files 99\n")
        error = await self.assertFailure(self.store.recover(), UnknownFormat)
        self.assertIn("99", str(error))
        (self.folder / "store" / "format").write_text("cloudd object files 1\n")
        self.index.connection.execute("PRAGMA user_version = 99")
        await self.store.recover()
        self.index.connection.execute("UPDATE oldest_reader SET version = 98")
        await self.assertFailure(self.store.recover(), UnknownFormat)
        self.index.connection.execute("DROP TABLE oldest_reader")
        await self.assertFailure(self.store.recover(), UnknownFormat)

    async def test_without_unnamed_files(self) -> None:
        """A file system without O_TMPFILE serves as well; what is left by a dead process is removed."""
        real = os.open

        def no_unnamed(path: Any, flags: int, *rest: Any) -> int:
            if flags & os.O_TMPFILE == os.O_TMPFILE:
                raise OSError(95, "EOPNOTSUPP")
            return real(path, flags, *rest)

        self.patch(os, "open", no_unnamed)
        await put_bytes(self.store, "a", b"1")
        discarded = await upload_bytes(self.store, b"2")
        await discarded.discard()
        await upload_bytes(self.store, b"3")
        self.assertEqual(len(self.incoming()), 2)
        self.assertEqual(await self.restarted(), 1)
        self.assertEqual(await read_bytes(self.store, "a"), b"1")
        self.settled(1)

    async def test_too_many_links(self) -> None:
        """Where a file cannot have one more name, a copy gets its own bytes."""
        source = await put_bytes(self.store, "a", b"bytes")
        self.clock.advance(DELAY_S)
        real, calls = os.link, []

        def full_once(*args: Any, **kwargs: Any) -> None:
            calls.append(args)
            if len(calls) == 1:
                raise OSError(31, "EMLINK")
            real(*args, **kwargs)

        self.patch(os, "link", full_once)
        await self.store.copy_object(source, ACCOUNT, BOX, "b", content_type="", metadata={})
        self.assertEqual(await read_bytes(self.store, "b"), b"bytes")
        await self.store.close()
        self.assertEqual([path.stat().st_nlink for path in self.folder.glob("store/data/*/*")], [1, 1])

    async def dies(self, waiting: Deferred[Any]) -> None:
        """The process ended in this call."""
        await self.assertFailure(waiting, Killed)


async def failing() -> None:
    """A read that fails."""
    raise OSError("no answer")


def raising(error: Exception) -> Any:
    """A function that raises."""

    def fail(*_: Any) -> None:
        raise error

    return fail
