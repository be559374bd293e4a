"""
A libvirt of one's own, by ``script/libvirt``, for tests that boot guests.

``own_libvirt()`` starts it at the first call; it and all its guests end with the test process.
"""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import subprocess
import tempfile
from contextlib import suppress
from functools import cache
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent.parent


class OwnLibvirt:
    """
    :param folder: of its own, if none is given
    :ivar uri: where it is reached
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or Path(tempfile.mkdtemp(prefix="cloudd-libvirt-"))
        self.uri = f"qemu+unix:///system?socket={self.folder}/run/libvirt-sock"

    def start(self) -> None:
        assert self._script("start").strip() == self.uri

    def stop(self) -> None:
        """End the daemons; guests go on."""
        self._script("stop")

    def pid(self, daemon: str) -> int:
        return int((self.folder / f"{daemon}.pid").read_text())

    def guest_pid(self, domain: str) -> int:
        return int((self.folder / "run/qemu" / f"{domain}.pid").read_text())

    def remove(self) -> None:
        """End everything and leave nothing."""
        guests = [int(file.read_text()) for file in (self.folder / "run/qemu").glob("cloudd-*.pid")]
        self.stop()
        for guest in guests:
            with suppress(ProcessLookupError):
                os.kill(guest, signal.SIGKILL)
        shutil.rmtree(self.folder)

    def _script(self, wish: str) -> str:
        done = subprocess.run(
            [CHECKOUT / "script/libvirt", wish, self.folder], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


@cache
def own_libvirt() -> OwnLibvirt:
    started = OwnLibvirt()
    atexit.register(started.remove)
    started.start()
    return started
