"""Several workers on one folder and one index, with real threads, as a host has them."""

from __future__ import annotations

import hashlib
from pathlib import Path

from twisted.internet.defer import Deferred, gatherResults
from twisted.trial.unittest import TestCase

from cloudd.database import open_object_index
from storage import FileStore, NoSuchObject, Precondition, PreconditionFailed
from tests.contracts.object_store import ACCOUNT, BOX, put_bytes, read_range
from tests.storage.direct import files_below
from tests.storage.test_files import PoolThreads

ROUNDS = 60


class WorkersTests(TestCase):
    """Two ``FileStore`` of one host."""

    timeout = 120

    async def setUp(self) -> None:  # type: ignore[override]
        from twisted.internet import reactor

        self.folder = Path(self.mktemp()).resolve()
        self.folder.mkdir()
        self.stores: list[FileStore] = []
        for _ in range(2):
            threads = PoolThreads(reactor)
            self.addCleanup(threads.pool.stop)
            index = open_object_index(self.folder / "index.sqlite", reactor=reactor)
            self.addCleanup(index.close)
            self.stores.append(FileStore(self.folder / "store", index, threads, reactor, reserve_bytes=0))
        await self.stores[0].recover()
        await self.stores[0].create_container(ACCOUNT, BOX, {})

    async def test_overwrite_under_readers(self) -> None:
        """While one worker replaces and deletes, the other reads one whole version or none, never a mixture."""
        seen: set[bytes] = set()

        async def write() -> None:
            for number in range(ROUNDS):
                await put_bytes(self.stores[0], "a", bytes([number]) * 100_000)
                if number % 7 == 6:
                    await self.stores[0].delete_object(ACCOUNT, BOX, "a")
                if number % 10 == 9:
                    await self.stores[0]._settler.flush()
                    await self.stores[1].upkeep()

        async def read() -> None:
            while not writing.called:
                try:
                    reading = await self.stores[1].open(ACCOUNT, BOX, "a")
                except NoSuchObject:
                    continue
                content = await read_range(reading, 0, reading.facts.size)
                reading.close()
                self.assertEqual(hashlib.md5(content).hexdigest(), reading.facts.etag)
                seen.add(content[:1])

        writing = Deferred.fromCoroutine(write())
        await gatherResults([writing, *(Deferred.fromCoroutine(read()) for _ in range(3))])
        self.assertGreater(len(seen), 5)
        await self.all_settled(1)

    async def test_one_winner(self) -> None:
        """Of all who create a name at once, in both workers, exactly one is told so."""
        only_new = Precondition(if_absent=True)

        async def create(number: int) -> int:
            try:
                await put_bytes(self.stores[number % 2], "lock", b"%d" % number, precondition=only_new)
            except PreconditionFailed:
                return 0
            return 1

        won = await gatherResults([Deferred.fromCoroutine(create(number)) for number in range(20)])
        self.assertEqual(sum(won), 1)
        await self.all_settled(1)

    async def all_settled(self, files: int) -> None:
        """After both are closed only the named files are there."""
        for store in self.stores:
            await store.close()
        self.assertEqual(len(files_below(self.folder / "store")), files)
        self.assertEqual(list(self.folder.glob("store/incoming/*")), [])
