"""What goes and what stays."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from cloudd.image_cache._folder import (
    GRACE_S,
    Entry,
    Limits,
    clear_partial,
    entries,
    free_bytes,
    prune,
    surplus,
    want,
)

NOW = 1_000_000.0
LONG = GRACE_S * 10


def named(number: int) -> Path:
    return Path(f"/cache/{number:032x}.raw")


def entry(number: int, size: int, age_s: float) -> Entry:
    return Entry(named(number), size, NOW - age_s)


class SurplusTests(SynchronousTestCase):
    """The decision."""

    def went(self, found: list[Entry], limits: Limits, in_use: set[Path] | None = None) -> list[int]:
        going = surplus(sorted(found, key=lambda each: each.wanted_s), limits, in_use or set(), NOW)
        return [int(each.path.stem, 16) for each in going]

    def test_by_size(self) -> None:
        """The oldest go until the rest is small enough, and no more."""
        found = [entry(1, 10, LONG + 1), entry(2, 10, LONG + 3), entry(3, 10, LONG + 2)]
        self.assertEqual(self.went(found, Limits(20, 0)), [2])
        self.assertEqual(self.went(found, Limits(19, 0)), [2, 3])
        self.assertEqual(self.went(found, Limits(30, 0)), [])

    def test_by_age(self) -> None:
        """What nobody has wanted for longer goes, however little it is."""
        found = [entry(1, 10, LONG), entry(2, 10, LONG + 1)]
        self.assertEqual(self.went(found, Limits(0, LONG)), [2])

    def test_no_limits(self) -> None:
        """Nothing goes."""
        self.assertEqual(self.went([entry(1, 1 << 50, 1e9)], Limits(0, 0)), [])

    def test_in_use(self) -> None:
        """What is in use stays, and others go for it."""
        found = [entry(1, 10, LONG + 2), entry(2, 10, LONG + 1)]
        self.assertEqual(self.went(found, Limits(10, 1), {named(1)}), [2])

    def test_just_given(self) -> None:
        """What somebody was given stays until a disk can name it; so does what the clock says is of the future."""
        found = [entry(1, 10, GRACE_S - 1), entry(2, 10, -100.0)]
        self.assertEqual(self.went(found, Limits(1, 1)), [])


class FolderTests(SynchronousTestCase):
    """The files."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).resolve()
        self.folder.mkdir()

    def whole(self, number: int, size: int = 10, age_s: float = 0.0) -> Path:
        file = self.folder / f"{number:032x}.raw"
        file.write_bytes(b"x" * size)
        os.utime(file, (NOW - age_s, NOW - age_s))
        return file

    def test_entries(self) -> None:
        """Whole files only, the oldest first; sizes are those on disk."""
        self.whole(1, 10, 5.0)
        self.whole(2, 10_000, 6.0)
        for other in ("x.raw", f"{3:032x}.raw.abc.part", f"{3:032x}.vmdk", ".lock"):
            (self.folder / other).write_bytes(b"x")
        found = entries(self.folder)
        self.assertEqual([int(each.path.stem, 16) for each in found], [2, 1])
        self.assertTrue(all(each.bytes % 512 == 0 for each in found))

    def test_no_folder(self) -> None:
        """Before the first image there is none."""
        none = self.folder / "none"
        self.assertEqual((entries(none), prune(none, Limits(1, 1), set(), NOW), clear_partial(none)), ([], [], 0))
        self.assertFalse(want(none / "x", 1, NOW))

    def test_wanted(self) -> None:
        """What is wanted is young again; what is not there, or of another size, is fetched anew."""
        file = self.whole(1, 10, LONG)
        self.assertEqual(
            [want(file, 10, NOW), want(file, 11, NOW), want(self.folder / "no", 1, NOW)], [True, False, False]
        )
        self.assertEqual(prune(self.folder, Limits(1, 1), set(), NOW), [])

    def test_pruned(self) -> None:
        """What has gone is told, and what stays is as it was."""
        old, used, young = self.whole(1, 10, LONG), self.whole(2, 10, LONG), self.whole(3)
        [gone] = prune(self.folder, Limits(0, LONG - 1), {used}, NOW)
        self.assertEqual(gone.path, old)
        self.assertEqual({each.path for each in entries(self.folder)}, {used, young})

    def test_left_over(self) -> None:
        """Files of processes that are gone are removed; of those that write they are not."""
        left, written = self.folder / "a.raw.x.part", self.folder / "b.raw.x.part"
        left.write_bytes(b"half")
        with written.open("wb") as opened:
            fcntl.flock(opened, fcntl.LOCK_EX)
            self.assertEqual(clear_partial(self.folder), 1)
            self.assertTrue(written.exists())
        self.assertEqual(clear_partial(self.folder), 1)

    def test_killed(self) -> None:
        """A process that is killed while it writes leaves something that the next one removes."""
        program = (
            "import fcntl, os, sys, signal\n"
            "opened = open(sys.argv[1], 'wb')\n"
            "fcntl.flock(opened, fcntl.LOCK_EX)\n"
            "os.kill(os.getpid(), signal.SIGKILL)\n"
        )
        subprocess.run([sys.executable, "-c", program, str(self.folder / "a.raw.x.part")], check=False)
        self.assertEqual(clear_partial(self.folder), 1)

    def test_free(self) -> None:
        """As the file system says."""
        self.assertGreater(free_bytes(self.folder), 0)
