"""The store of files keeps the contract, step by step and with real threads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThreadPool
from twisted.python.threadpool import ThreadPool
from twisted.trial.unittest import TestCase

from cloudd.database import open_object_index
from storage import FileStore, IObjectStore
from tests.contracts.object_store import ObjectStoreContract
from tests.storage.direct import DirectIndex, direct_store


class DirectFileStoreTests(ObjectStoreContract, TestCase):
    """``FileStore`` with everything in one thread."""

    async def make_store(self) -> IObjectStore:
        folder = Path(self.mktemp())
        folder.mkdir()
        index = DirectIndex(folder / "index.sqlite")
        self.addCleanup(index.close)
        store = direct_store(folder / "store", index)
        await store.recover()
        self.addCleanup(store.close)
        return store


class PoolThreads:
    """A thread pool as the daemon has one."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self.pool = ThreadPool(0, 4)
        self.pool.start()

    def run(self, function: Any, /, *args: Any, **kwargs: Any) -> Deferred[Any]:
        return deferToThreadPool(self._reactor, self.pool, function, *args, **kwargs)


class ThreadedFileStoreTests(ObjectStoreContract, TestCase):
    """``FileStore`` over the daemon's own index and a thread pool."""

    async def make_store(self) -> IObjectStore:
        from twisted.internet import reactor

        folder = Path(self.mktemp())
        folder.mkdir()
        threads = PoolThreads(reactor)
        self.addCleanup(threads.pool.stop)
        index = open_object_index(folder / "index.sqlite", reactor=reactor)
        self.addCleanup(index.close)
        store = FileStore(folder / "store", index, threads, reactor, reserve_bytes=0)
        await store.recover()
        self.addCleanup(store.close)
        return store
