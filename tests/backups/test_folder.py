"""The folder of backups: names in order of time, and what is deleted."""

from __future__ import annotations

import os
import time
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from cloudd.backups import _folder

TASK = "0f8fad5b-d9cb-469f-a165-70867728950e"


class FolderTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = Path(self.mktemp())

    def filled(self, *ordered: float) -> list[str]:
        """Backups that were ordered at these times, and their names."""
        _folder.make(self.folder)
        names = [_folder.name_of(TASK, at) for at in ordered]
        for name in names:
            (self.folder / name).write_text("whole")
        return names

    def test_names(self) -> None:
        """They tell when it was ordered, and by which task."""
        self.assertEqual(_folder.name_of(TASK, 1_700_000_000.9), "control-20231114T221320Z-0f8fad5b.backup")
        self.assertIsNone(_folder.newest(self.folder))
        self.filled(1_700_000_000, 1_600_000_000)
        self.assertEqual(_folder.newest(self.folder), 1_700_000_000)
        self.assertEqual(self.folder.stat().st_mode & 0o777, 0o700)

    def test_put_in_place(self) -> None:
        """Each attempt writes its own file, and the whole one gets the name."""
        _folder.make(self.folder)
        name = _folder.name_of(TASK, 0)
        work = _folder.work_name(name)
        self.assertNotEqual(work, _folder.work_name(name))
        (self.folder / work).write_text("whole")
        self.assertIsNone(_folder.newest(self.folder))
        _folder.put_in_place(self.folder, work, name)
        self.assertEqual(os.listdir(self.folder), [name])

    def test_pruned(self) -> None:
        """All but the newest go, and what was abandoned; strangers and what is being written stay."""
        old, *kept = self.filled(10, 20, 30)
        stranger, fresh, abandoned = "notes.txt", _folder.work_name(kept[0]), _folder.work_name(old)
        for name in (stranger, fresh, abandoned):
            (self.folder / name).write_text("")
        long_ago = time.time() - _folder.ABANDONED_S - 1
        os.utime(self.folder / abandoned, (long_ago, long_ago))
        self.assertEqual(_folder.prune(self.folder, 2), [old])
        self.assertEqual(sorted(os.listdir(self.folder)), sorted([*kept, stranger, fresh]))
        self.assertEqual(_folder.prune(self.folder, 2), [])
