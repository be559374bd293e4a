"""What servers need besides their disks."""

from __future__ import annotations

import os
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from cloudd.image_cache._holding import held, hold, release


class HoldingTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).resolve()
        self.kernel, self.ramdisk = self.folder / "kernel.raw", self.folder / "ramdisk.raw"

    def test_until_released(self) -> None:
        """Two servers may need the same; it is free when neither does."""
        hold(self.folder, "s1", [self.kernel, self.ramdisk])
        hold(self.folder, "s2", [self.kernel])
        self.assertEqual(held(self.folder), {self.kernel, self.ramdisk})
        release(self.folder, "s1")
        self.assertEqual(held(self.folder), {self.kernel})
        for _ in range(2):
            release(self.folder, "s2")
            self.assertEqual(held(self.folder), set())

    def test_anew(self) -> None:
        """What a server needs now takes the place of what it needed."""
        hold(self.folder, "s1", [self.kernel])
        hold(self.folder, "s1", [self.ramdisk])
        self.assertEqual(held(self.folder), {self.ramdisk})

    def test_nothing(self) -> None:
        """Before anybody needs something, and of a process that was killed in the midst of saying it."""
        self.assertEqual(held(self.folder), set())
        release(self.folder, "s1")
        hold(self.folder, "s1", [])
        (self.folder / "held" / ".part-x").write_text("kernel.raw\n")
        self.assertEqual(held(self.folder), set())

    def test_no_room(self) -> None:
        """What was said before holds."""
        hold(self.folder, "s1", [self.kernel])
        self.patch(os, "fsync", full)
        with self.assertRaises(OSError):
            hold(self.folder, "s1", [self.ramdisk])
        self.assertEqual((held(self.folder), os.listdir(self.folder / "held")), ({self.kernel}, ["s1"]))

    def test_no_id(self) -> None:
        """What is no id is no path either."""
        for name in ("..", "", "a/b", ".part-x"):
            with self.assertRaises(ValueError):
                hold(self.folder, name, [])
        self.assertFalse(self.folder.exists())


def full(_descriptor: int) -> None:
    raise OSError(28, "No space left on device")
