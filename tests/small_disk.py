"""A real file system that is soon full."""

from __future__ import annotations

import errno
import os
import subprocess
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

PAGE = bytes(4096)


def small_disk(case: SynchronousTestCase, size: str, folder: Path | None = None) -> Path:
    """
    Where it is mounted until the test ends.

    :param size: as mount knows it: ``1m``
    :param folder: which is there and empty; None: a new one
    """
    mount = folder or Path(case.mktemp()).resolve()
    mount.mkdir(exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(mount)]
    if os.geteuid() or subprocess.run(command, capture_output=True, check=False).returncode:
        case.skipTest("mounting a tmpfs needs root")
    case.addCleanup(subprocess.run, ["umount", "-l", str(mount)], check=True)
    return mount


def fill(folder: Path) -> Path:
    """Have nothing left there; the file to delete for room."""
    file = folder / "filler"
    try:
        with file.open("wb", buffering=0) as opened:
            while True:
                opened.write(PAGE)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
    return file
