"""What ``script/server`` starts beside cloudd."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.hypervisor.own_libvirt import OwnLibvirt
from tests.running_cloud import CHECKOUT

PATIENCE_S = 120


class RealServersTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="cloudd-real-"))
        self.addCleanup(shutil.rmtree, self.folder)
        self.state = self.folder / "state"

    def run_it(self, **more: str) -> str:
        """By a shell that has ended afterwards, as if cloudd had; gives what was said, to the end of what it left."""
        said = self.folder / "said"
        with said.open("w") as errors:
            command = f'"{sys.executable}" script/real-servers --state "{self.state}"; true'
            subprocess.run(
                ["sh", "-c", command], cwd=CHECKOUT, stderr=errors, env={**os.environ, **more}, check=True, timeout=120
            )
        return said.read_text()

    def test_libvirt_outlives(self) -> None:
        """It is in the state folder, which is nobody else's, and the second time it is the same."""
        own = OwnLibvirt(self.state / "libvirt")
        self.addCleanup(own.stop)
        self.state.mkdir(mode=0o700)
        (self.state / "first-server").write_text("done\n")
        pids = []
        for _ in range(2):
            self.assertIn("libvirtd answers", self.run_it())
            pids.append(own.pid("libvirtd"))
        self.assertEqual(pids[0], pids[1])
        self.assertEqual((self.state / "libvirt/run/libvirt-sock").stat().st_uid, os.geteuid())

    def test_simulated(self) -> None:
        """It says so, makes the folder for root alone, and ends what it has begun when cloudd does."""
        said = self.run_it(CLOUDD_SIMULATED="1")
        self.assertIn("servers are simulated", said)
        self.assertEqual(self.state.stat().st_mode & 0o777, 0o700)
        self.assertFalse((self.state / "libvirt").exists())
        end = time.monotonic() + PATIENCE_S
        while "cloudd has ended" not in (self.folder / "said").read_text():
            self.assertLess(time.monotonic(), end)
            time.sleep(0.1)
        self.assertEqual((self.state / "first-server").read_text(), "wanted\n")

    def test_an_old_cloud(self) -> None:
        """One that is there gets nothing new."""
        self.state.mkdir(mode=0o700)
        (self.state / "clouds.yaml").write_text("clouds:\n")
        self.run_it(CLOUDD_SIMULATED="1")
        self.assertFalse((self.state / "first-server").exists())
