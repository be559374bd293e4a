"""A writer is killed with -9 again and again: nothing acknowledged is lost, nothing is left over."""

from __future__ import annotations

import hashlib
import random
import signal
import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import TestCase

from storage import FileStore, Listing, NoSuchObject, ObjectFacts
from tests.contracts.object_store import ACCOUNT, BOX, read_bytes
from tests.storage.direct import DirectIndex, direct_store, files_below

ROUNDS = 20


class Expectation:
    """What the killed writers' words say must be there: name -> etag, or None; ``unsure`` were under way."""

    def __init__(self) -> None:
        self.etags: dict[str, str | None] = {}
        self.unsure: set[str] = set()
        self.acknowledged = 0

    def read(self, said: str) -> None:
        """
        Take the words of one writer, whose last line may be cut.

        What an earlier writer left unsure stays so until a change of it is acknowledged: ``end`` only says that this
        writer changed nothing.
        """
        carried = set(self.unsure)
        for line in said.splitlines(keepends=True):
            words = line.split()
            if not line.endswith("\n") or len(words) < 2:
                continue
            if words[0] == "begin":
                self.unsure.add(words[1])
            elif words[0] == "end":
                if words[1] not in carried:
                    self.unsure.discard(words[1])
            elif words[0] in ("put", "delete"):
                self.unsure.discard(words[1])
                carried.discard(words[1])
                self.acknowledged += 1
                self.etags[words[1]] = words[2] if words[0] == "put" else None


class CrashTests(TestCase):
    """``FileStore`` under ``kill -9``."""

    timeout = 300

    async def test_killed_writers(self) -> None:
        """After each of 20 kills every acknowledged change is there, whole, and no file is without a name."""
        folder = Path(self.mktemp()).resolve()
        folder.mkdir()
        expected, chance = Expectation(), random.Random(4)
        for number in range(ROUNDS):
            if number % 5 == 4:
                # This one may die while it recovers, or before; the next has more to do.
                expected.read(self.run_and_kill(folder, 0, -1, chance.uniform(0.25, 0.6)))
            lines, after_s = chance.randrange(20, 300), chance.uniform(0, 0.02)
            expected.read(self.run_and_kill(folder, number, lines, after_s))
            await self.check(folder, expected)
        self.assertGreater(expected.acknowledged, 1_000)

    async def test_two_writers_one_killed(self) -> None:
        """Upkeep by a living process takes away what a dead one left, and nothing of its own."""
        folder = Path(self.mktemp()).resolve()
        folder.mkdir()
        expected = Expectation()
        first = direct_store(folder / "store", DirectIndex(folder / "index.sqlite"))
        await first.recover()
        await first.create_container(ACCOUNT, BOX, {})
        living = await first.receive({})
        self.assertIsNone(living.write(b"mine"))
        for number in range(3):
            expected.read(self.run_and_kill(folder, number, 40, 0.01, recovers=False))
            await first.upkeep()
        await first.put_object(ACCOUNT, BOX, "mine", living, etag="", content_type="", metadata={})
        self.assertEqual(await read_bytes(first, "mine"), b"mine")
        await first.delete_object(ACCOUNT, BOX, "mine")
        await first.close()
        await self.check(folder, expected)

    def run_and_kill(self, folder: Path, seed: int, lines: int, after_s: float, recovers: bool = True) -> str:
        """
        What the writer said until it was killed.

        :param lines: how much it says before it is killed; -1: it may not even have begun
        :param after_s: how much longer it lives
        """
        command = [sys.executable, "-m", "tests.storage.crashing_writer", str(folder), str(seed), str(int(recovers))]
        root = Path(__file__).parent.parent.parent
        with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=root, text=True) as writer:
            assert writer.stdout is not None
            said: list[str] = []
            while len(said) <= lines:
                said.append(writer.stdout.readline())
                self.assertNotEqual(said[-1], "", f"the writer ended after {said!r}")
            try:
                writer.wait(after_s)
            except subprocess.TimeoutExpired:
                writer.send_signal(signal.SIGKILL)
            rest = writer.stdout.read()
        self.assertEqual(writer.returncode, -signal.SIGKILL)
        return "".join(said) + rest

    async def check(self, folder: Path, expected: Expectation) -> None:
        """Recover, compare everything; then settle the unsure ones as they are found."""
        index = DirectIndex(folder / "index.sqlite")
        store = direct_store(folder / "store", index)
        await store.recover()
        for name in expected.etags.keys() | expected.unsure:
            found = await self.digest(store, name)
            if name not in expected.unsure:
                self.assertEqual(found, expected.etags[name], name)
            expected.etags[name] = found
        expected.unsure.clear()
        await self.check_books(store, folder, index)
        index.close()

    async def digest(self, store: FileStore, name: str) -> str | None:
        """The MD5 of what is there, which must be the etag."""
        try:
            facts = await store.object(ACCOUNT, BOX, name)
        except NoSuchObject:
            return None
        content = await read_bytes(store, name)
        self.assertEqual(hashlib.md5(content).hexdigest(), facts.etag, name)
        return facts.etag

    async def check_books(self, store: FileStore, folder: Path, index: DirectIndex) -> None:
        """Counters are exact; the files are those that rows name, all in their place."""
        rows = await store.objects(ACCOUNT, BOX, Listing())
        container = await store.container(ACCOUNT, BOX)
        self.assertEqual(container.object_count, len(rows))
        self.assertEqual(container.bytes_used, sum(row.size for row in rows if isinstance(row, ObjectFacts)))
        named = [
            piece.partition(":")[0]
            for table in ("objects", "parts")
            for (extents,) in index.connection.execute(f"SELECT extents FROM {table}")
            for piece in extents.split()
        ]
        self.assertEqual(files_below(folder / "store"), sorted(named))
        self.assertEqual(list((folder / "store" / "incoming").iterdir()), [])
        for table in ("arrived", "garbage"):
            self.assertEqual(index.connection.execute(f"SELECT * FROM {table}").fetchall(), [])
