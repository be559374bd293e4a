"""``script/guest-image``: the same bytes from the same packages, and nothing mounted."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tempfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.drivers.guest_image import guest_image
from tests.running_cloud import CHECKOUT


class GuestImageTests(SynchronousTestCase):
    def test_made_again(self) -> None:
        """In another folder, in a mount namespace where nobody may mount anything, it is the same."""
        made = guest_image().disk.parent
        folder = Path(tempfile.mkdtemp(prefix="cloudd-image-"))
        self.addCleanup(shutil.rmtree, folder)
        for package in made.glob("*.deb"):
            (folder / package.name).symlink_to(package)
        command: list[str | Path] = [
            "setpriv",
            "--bounding-set=-sys_admin",
            "--inh-caps=-sys_admin",
            CHECKOUT / "script/guest-image",
            folder,
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        for name in ("kernel", "initrd", "disk.qcow2", "arguments"):
            self.assertEqual(self.digest(folder / name), self.digest(made / name), name)
        self.assertEqual([path.name for path in folder.glob("work-*")], [])

    def digest(self, file: Path) -> str:
        return hashlib.sha256(file.read_bytes()).hexdigest()
