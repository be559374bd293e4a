"""A disk without room: uploads are refused, nothing is left of them, and what was there is untouched."""

from __future__ import annotations

import errno
import os
import sqlite3
import subprocess
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from storage import Listing, StoreFull
from tests.contracts.object_store import ACCOUNT, BOX, put_bytes, read_bytes, upload_bytes
from tests.storage.direct import DirectIndex, direct_store, files_below

MIB = 1 << 20


class SpaceTests(TestCase):
    """``FileStore`` and ``StoreFull``."""

    async def make_store(self, folder: Path | None = None, reserve_bytes: int = 0) -> None:
        """A store with one object, in ``folder``."""
        self.folder = folder or Path(self.mktemp()).resolve()
        self.folder.mkdir(exist_ok=True)
        self.index = DirectIndex(self.folder / "index.sqlite")
        self.addCleanup(self.index.close)
        self.store = direct_store(self.folder / "store", self.index, reserve_bytes=reserve_bytes)
        await self.store.recover()
        await self.store.create_container(ACCOUNT, BOX, {})

    async def put_one(self) -> None:
        """An object that was there before."""
        await put_bytes(self.store, "kept", b"k" * 1_000)
        await self.store.upkeep()

    async def check_untouched(self) -> None:
        """Exactly what ``put_one`` put is there."""
        self.assertEqual(await read_bytes(self.store, "kept"), b"k" * 1_000)
        self.assertEqual([row.name for row in await self.store.objects(ACCOUNT, BOX, Listing())], ["kept"])
        self.assertEqual(len(files_below(self.folder / "store")), 1)

    async def fails_full(self, name: str = "new", data: bytes = b"x" * 300_000) -> None:
        """Putting this object fails."""
        await self.assertFailure(Deferred.fromCoroutine(put_bytes(self.store, name, data)), StoreFull)

    async def test_expected_length(self) -> None:
        """A declared length that cannot fit is refused before a byte is taken."""
        await self.make_store()
        error = await self.assertFailure(self.store.receive({}, 1 << 50), StoreFull)
        self.assertIn("do not fit", str(error))

    async def test_reserve(self) -> None:
        """Data is not written into the reserve."""
        await self.make_store()
        await self.put_one()
        self.store = direct_store(self.folder / "store", self.index, reserve_bytes=1 << 50)
        await self.assertFailure(self.store.receive({}), StoreFull)
        await self.check_untouched()

    async def test_reserve_while_writing(self) -> None:
        """Without a declared length the upload ends where the reserve begins."""
        await self.make_store()
        await self.put_one()
        free = (await self.store.space()).free_bytes
        self.store = direct_store(self.folder / "store", self.index, reserve_bytes=free - 10 * MIB)
        upload = await self.store.receive({})

        async def fill() -> None:
            for _ in range(100):
                waiting = upload.write(bytes(MIB))
                if waiting is not None:
                    await waiting

        await self.assertFailure(Deferred.fromCoroutine(fill()), StoreFull)
        await self.assertFailure(upload.finish(), StoreFull)
        await upload.discard()
        await self.check_untouched()

    async def test_no_space_at_any_call(self) -> None:
        """ENOSPC, EDQUOT or EFBIG of whichever system call is ``StoreFull`` and leaves nothing."""
        await self.make_store()
        await self.put_one()
        for call in ("pwrite", "fsync", "link", "open"):
            for number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                patch = self.patch(os, call, failing(getattr(os, call), number, call))
                await self.fails_full()
                patch.restore()
                await self.check_untouched()
        await put_bytes(self.store, "new", b"fits again")

    async def test_full_while_copying(self) -> None:
        """A copy that finds no room for its name leaves nothing."""
        await self.make_store()
        await self.put_one()
        source = await self.store.object(ACCOUNT, BOX, "kept")
        patch = self.patch(os, "link", failing(os.link, errno.ENOSPC, "link"))
        copying = self.store.copy_object(source, ACCOUNT, BOX, "new", content_type="", metadata={})
        await self.assertFailure(copying, StoreFull)
        patch.restore()
        await self.check_untouched()

    async def test_full_index(self) -> None:
        """An index that cannot grow is a full store, for uploads and for other changes."""
        await self.make_store()
        await self.put_one()
        pages = self.index.connection.execute("PRAGMA page_count").fetchone()[0]
        self.index.connection.execute(f"PRAGMA max_page_count = {pages}")
        await self.assertFailure(
            Deferred.fromCoroutine(put_bytes(self.store, "new", b"x", metadata={"meta:a": "x" * 100_000})), StoreFull
        )
        await self.assertFailure(self.store.update_account(ACCOUNT, {"meta:a": "x" * 100_000}), StoreFull)
        await self.check_untouched()

    async def test_other_errors_stay(self) -> None:
        """An index in trouble is no full store."""
        await self.make_store()
        await self.put_one()
        self.index.fail_commit = sqlite3.OperationalError("disk I/O error")
        await self.assertFailure(Deferred.fromCoroutine(put_bytes(self.store, "new", b"x")), sqlite3.OperationalError)
        await self.check_untouched()

    async def test_small_disk(self) -> None:
        """On a real file system of 4 MiB: writes are refused at the reserve, deletes still work and make room."""
        mount = Path(self.mktemp()).resolve()
        mount.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", "size=4m", "none", str(mount)]
        if os.geteuid() or subprocess.run(command, capture_output=True, check=False).returncode:
            self.skipTest("mounting a tmpfs needs root")
        self.addCleanup(subprocess.run, ["umount", "-l", str(mount)], check=True)
        await self.make_store(mount, reserve_bytes=MIB)
        self.addCleanup(self.store.close)
        await self.put_one()
        names = []
        with self.assertRaises(StoreFull):
            for number in range(100):
                await put_bytes(self.store, f"n{number}", os.urandom(200_000))
                names.append(f"n{number}")
        self.assertGreater(len(names), 8)
        self.assertEqual(len(files_below(self.folder / "store")), len(names) + 1)
        for name in names:
            self.assertEqual(len(await read_bytes(self.store, name)), 200_000)
        await self.store.delete_objects(ACCOUNT, BOX, names)
        await self.store.upkeep()
        await self.check_untouched()
        upload = await upload_bytes(self.store, b"x" * 200_000)
        await upload.discard()


def failing(call: Any, number: int, name: str) -> Any:
    """``os``'s call, which has no room for data files."""

    def fail(*args: Any, **kwargs: Any) -> Any:
        if name == "open" and args[1] & os.O_TMPFILE != os.O_TMPFILE:
            return call(*args, **kwargs)
        raise OSError(number, os.strerror(number))

    return fail
