"""Kept objects: had without a thread, and never older than what anybody was told."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase, TestCase

from cloudd.database import open_object_index
from storage import FileStore, IReading, NoSuchObject, ObjectFacts
from storage._small_objects import SmallObjects
from tests.contracts.object_store import ACCOUNT, BOX, put_bytes, read_range
from tests.storage.test_files import PoolThreads

ROUNDS = 150
ROOT = Path(__file__).parent.parent.parent


class StatedIndex:
    """An ``Index`` of which only the version is asked."""

    number: int | None = 1

    def version(self) -> int | None:
        return self.number


def facts(name: str, size: int) -> ObjectFacts:
    return ObjectFacts(name=name, size=size, etag="", content_type="", modified_us=0, metadata={})


class SmallObjectsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.index = StatedIndex()
        self.small = SmallObjects(self.index, limit_bytes=10_000)  # type: ignore[arg-type]

    def keep(self, name: str, content: bytes = b"x") -> None:
        self.small.put(("a", "c", name), self.small.version(), facts(name, len(content)), content)

    def kept(self, name: str) -> bytes | None:
        found = self.small.get(("a", "c", name))
        return None if found is None else found.content

    def test_until_the_next_commit(self) -> None:
        self.keep("one", b"1")
        self.assertEqual(self.kept("one"), b"1")
        self.index.number = 2
        self.assertIsNone(self.kept("one"))
        self.index.number = 1
        self.assertIsNone(self.kept("one"))

    def test_read_before_a_commit(self) -> None:
        """What was read while somebody committed may be of before: it is not kept."""
        version = self.small.version()
        self.index.number = 2
        self.assertIsNone(self.kept("one"))
        self.small.put(("a", "c", "one"), version, facts("one", 1), b"1")
        self.assertIsNone(self.kept("one"))

    def test_unknown_version(self) -> None:
        self.index.number = None
        self.keep("one")
        self.assertIsNone(self.kept("one"))
        self.index.number = 1
        self.keep("one")
        self.index.number = None
        self.assertIsNone(self.kept("one"))
        self.index.number = 1
        self.assertIsNone(self.kept("one"))

    def test_bounded(self) -> None:
        """The ones not used for longest go first."""
        for name in ("one", "two", "three"):
            self.keep(name, b"x" * 1_000)
        self.assertIsNotNone(self.kept("one"))
        self.keep("four", b"x" * 1_000)
        self.assertIsNone(self.kept("two"))
        self.assertIsNotNone(self.kept("one"))
        self.keep("large", b"x" * 20_000)
        self.assertIsNone(self.kept("large"))

    def test_other_place(self) -> None:
        self.keep("one")
        self.assertIsNone(self.small.get(("b", "c", "one")))
        self.assertIsNone(self.small.get(("a", "d", "one")))


class OtherProcessTests(TestCase):
    """A ``FileStore`` here, and another process that changes its objects."""

    timeout = 120

    async def setUp(self) -> None:  # type: ignore[override]
        from twisted.internet import reactor

        folder = Path(self.mktemp()).resolve()
        folder.mkdir()
        threads = PoolThreads(reactor)
        self.addCleanup(threads.pool.stop)
        self.index = open_object_index(folder / "index.sqlite", reactor=reactor)
        self.addCleanup(self.index.close)
        self.store = FileStore(folder / "store", self.index, threads, reactor, reserve_bytes=0)
        self.addCleanup(self.store.close)
        await self.store.recover()
        await self.store.create_container(ACCOUNT, BOX, {})
        self.writer = subprocess.Popen(
            [sys.executable, "-m", "tests.storage.commanded_writer", str(folder)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.addCleanup(self.end)
        self.assertEqual(self.hear(), "ready")

    def end(self) -> None:
        self.writer.communicate()

    def hear(self) -> str:
        assert self.writer.stdout is not None
        return self.writer.stdout.readline().strip()

    def order(self, *words: str) -> None:
        """Returns in the moment in which the other process was told that its change is there."""
        assert self.writer.stdin is not None
        self.writer.stdin.write(" ".join(words) + "\n")
        self.writer.stdin.flush()
        self.assertEqual(self.hear(), "done")

    async def read(self, name: str = "a") -> tuple[bytes, ObjectFacts]:
        reading: IReading = await self.store.open(ACCOUNT, BOX, name)
        try:
            return await read_range(reading, 0, reading.facts.size), reading.facts
        finally:
            reading.close()

    async def kept(self) -> None:
        """Read until it is had at once, without a thread."""
        for _ in range(100):
            opening = self.store.open(ACCOUNT, BOX, "a")
            at_once = opening.called
            (await opening).close()
            if at_once:
                return
        self.fail("it is not kept")

    async def test_every_change_is_seen_at_once(self) -> None:
        """Overwritten, described anew and deleted in the other process, while it is kept here."""
        for number in range(ROUNDS):
            self.order("put", "a", str(number))
            content, _ = await self.read()
            self.assertEqual(content, str(number).encode())
            await self.kept()
            if number % 3 == 0:
                self.order("describe", "a", str(number))
                _, found = await self.read()
                self.assertEqual(found.metadata, {"meta:text": str(number)})
                await self.kept()
            if number % 5 == 0:
                self.order("delete", "a")
                with self.assertRaises(NoSuchObject):
                    await self.read()

    async def test_own_change_is_seen_at_once(self) -> None:
        for number in range(ROUNDS):
            await put_bytes(self.store, "a", str(number).encode())
            self.assertEqual((await self.read())[0], str(number).encode())
            await self.kept()

    async def test_kept_while_nothing_changes(self) -> None:
        self.order("put", "a", "text")
        await self.kept()
        version = self.index.version()
        for _ in range(50):
            await self.read()
        self.assertEqual(self.index.version(), version)

    async def test_a_kept_version_outlives_its_name(self) -> None:
        """As every open one does."""
        self.order("put", "a", "text")
        await self.kept()
        opening = self.store.open(ACCOUNT, BOX, "a")
        self.assertTrue(opening.called)
        reading: IReading = await opening
        self.order("delete", "a")
        self.assertEqual(await read_range(reading, 1, 2), b"ex")
        reading.close()
        reading.close()
