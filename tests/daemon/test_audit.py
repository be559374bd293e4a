"""The audit log survives crashes, is bounded, and is read back."""

from __future__ import annotations

import stat
from pathlib import Path

from twisted.trial.unittest import TestCase

from cloudd.control import Actor, AuditEntry
from cloudd.daemon import _audit
from cloudd.daemon._audit import AuditLog, read_end

from .code_trees import ThreadsAtOnce

WHO = Actor(uid=7, pid=8, user="ann")


def entry(number: int, cause: str = "") -> AuditEntry:
    """One entry that is told from others by its time."""
    return AuditEntry(time=float(number), who=WHO, action="upgrade", result="committed", cause=cause)


class AuditLogTests(TestCase):
    def setUp(self) -> None:
        self.path = Path(self.mktemp()) / "log" / "audit.log"
        self.log = AuditLog(self.path, ThreadsAtOnce())

    async def test_entries_come_back_in_order(self) -> None:
        """The latest ones, oldest first, and whether there are more."""
        for number in range(5):
            await self.log.append(entry(number))
        found = await self.log.read(3)
        self.assertEqual(found.entries, [entry(2), entry(3), entry(4)])
        self.assertTrue(found.more)
        self.assertFalse((await self.log.read(5)).more)

    async def test_only_the_owner_reads_it(self) -> None:
        """The file is made with mode 0600; before the first entry there is none, and nothing to read."""
        self.assertEqual((await self.log.read(3)).entries, [])
        await self.log.append(entry(1))
        self.assertEqual(stat.S_IMODE(self.path.stat().st_mode), 0o600)

    async def test_a_torn_line_is_passed_over(self) -> None:
        """What a crash left half written is no entry, and does not spoil the next one."""
        await self.log.append(entry(1))
        with open(self.path, "ab") as file:
            file.write(b'{"time": 2, "who')
        await self.log.append(entry(3))
        self.assertEqual((await self.log.read(9)).entries, [entry(1), entry(3)])

    async def test_long_causes_are_cut(self) -> None:
        """A cause of any length makes a line of bounded length."""
        await self.log.append(entry(1, "x" * 100_000))
        found = (await self.log.read(1)).entries[0].cause
        self.assertEqual(len(found), _audit.MAX_CAUSE + 1)

    async def test_reading_is_bounded(self) -> None:
        """Of a large file only the end is read, from a whole line on."""
        for number in range(20):
            await self.log.append(entry(number))
        size = self.path.stat().st_size
        data, whole = read_end(self.path, size // 2)
        self.assertFalse(whole)
        self.assertTrue(data.startswith(b'{"time"'))
        self.assertLess(len(data), size // 2)
        self.patch(_audit, "MAX_READ_BYTES", size // 2)
        self.assertTrue((await self.log.read(100)).more)

    async def test_a_link_is_not_followed(self) -> None:
        """A log file that is a symbolic link is not written to."""
        self.path.parent.mkdir(parents=True)
        self.path.symlink_to(self.path.with_name("elsewhere"))
        with self.assertRaises(OSError):
            await self.log.append(entry(1))
