"""The state folder and its locks."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from cloudd.daemon._state_folder import ProcessLock, StateFolder, StateFolderError

HOLD = """
import sys
from pathlib import Path
from cloudd.daemon._state_folder import ProcessLock
lock = ProcessLock(Path(sys.argv[1]), shared=sys.argv[2] == "shared")
print(lock.take(), flush=True)
sys.stdin.read()
"""


class StateFolderTests(SynchronousTestCase):
    def test_create(self) -> None:
        """All folders are made for the user alone, also where the folder was open before."""
        path = Path(self.mktemp())
        path.mkdir(mode=0o755)
        state = StateFolder(path)
        state.create()
        state.create()
        for folder in (path, state.code, state.secrets, state.log):
            self.assertEqual(stat.S_IMODE(folder.stat().st_mode), 0o700, folder)

    def test_cannot_be_made(self) -> None:
        """The error names the place and the way out."""
        file = Path(self.mktemp())
        file.write_text("")
        error = self.assertRaises(StateFolderError, StateFolder(file / "state").create)
        self.assertIn("--state", str(error))

    def test_of_someone_else(self) -> None:
        """Another user's folder is refused."""
        if os.geteuid() != 0:
            raise SkipTest("only root can give a folder away")
        path = Path(self.mktemp())
        path.mkdir()
        os.chown(path, 12345, -1)
        self.assertIn("belongs to user 12345", str(self.assertRaises(StateFolderError, StateFolder(path).create)))


class LockTests(SynchronousTestCase):
    def hold(self, path: Path, kind: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", HOLD, str(path), kind], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.addCleanup(process.communicate)
        assert process.stdout is not None
        self.assertEqual(process.stdout.readline(), "0\n")
        return process

    def test_exclusive(self) -> None:
        """Another process's lock is seen with its number, and is free when that process was killed."""
        path = Path(self.mktemp())
        other = self.hold(path, "exclusive")
        lock = ProcessLock(path, shared=False)
        self.assertEqual(lock.take(), other.pid)
        other.kill()
        other.wait()
        self.assertEqual(lock.take(), 0)
        lock.release()

    def test_shared(self) -> None:
        """Many share; one that wants it alone has to wait for them."""
        path = Path(self.mktemp())
        other = self.hold(path, "shared")
        lock = ProcessLock(path, shared=True)
        self.assertEqual(lock.take(), 0)
        lock.release()
        alone = ProcessLock(path, shared=False)
        self.assertEqual(alone.take(), other.pid)
        alone.release()
