"""The store in memory keeps the contract."""

from __future__ import annotations

from twisted.trial.unittest import TestCase

from storage import IObjectStore, MemoryStore, StoreFull
from tests.contracts.object_store import ACCOUNT, BOX, ObjectStoreContract


class MemoryStoreTests(ObjectStoreContract, TestCase):
    """``MemoryStore``."""

    async def make_store(self) -> IObjectStore:
        return MemoryStore()

    async def test_capacity(self) -> None:
        """What does not fit is refused at the start, or when it comes."""
        store = MemoryStore(capacity_bytes=10)
        await store.create_container(ACCOUNT, BOX, {})
        await self.refuses(StoreFull, store.receive({}, 11))
        upload = await store.receive({})
        self.assertIsNone(upload.write(b"x" * 10))
        await self.refuses(StoreFull, upload.write(b"x"))
        await upload.discard()
        self.assertEqual((await store.space()).free_bytes, 10)
        await store.close()
