"""``script/libvirt`` ends what it has started, and nothing else."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.hypervisor.own_libvirt import OwnLibvirt
from tests.running_cloud import CHECKOUT


class LibvirtScriptTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).resolve()
        self.folder.mkdir()
        self.bystander = subprocess.Popen(["sleep", "600"])
        self.addCleanup(self.bystander.wait)
        self.addCleanup(self.bystander.kill)

    def stop(self) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "CLOUDD_LIBVIRT_PATIENCE_S": "1"}
        return subprocess.run(
            [CHECKOUT / "script/libvirt", "stop", self.folder],
            capture_output=True,
            text=True,
            env=environment,
            check=False,
        )

    def test_stale_numbers(self) -> None:
        """A number of before, which is somebody else's now, ends nobody."""
        for daemon in ("libvirtd", "virtlogd"):
            (self.folder / f"{daemon}.pid").write_text(f"{self.bystander.pid}\n")
        (self.folder / "keeper").write_text(f"{self.bystander.pid} 1")
        done = self.stop()
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIsNone(self.bystander.poll())

    def test_stale_number_of_a_keeper(self) -> None:
        """A keeper that has the lock and has not said its number yet: the one in the file is of the one before."""
        with (self.folder / "keeper").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            for number in (f"{self.bystander.pid}", f"{self.bystander.pid} 1"):
                (self.folder / "keeper").write_text(number)
                done = self.stop()
                self.assertEqual(done.returncode, 1)
                self.assertIn("does not say which it is", done.stderr)
                self.assertIsNone(self.bystander.poll())

    def test_killed_keeper(self) -> None:
        """A second start finds the daemons that it has left, and a stop ends them."""
        own = OwnLibvirt()
        self.addCleanup(own.remove)
        own.start()
        pids = {daemon: own.pid(daemon) for daemon in ("libvirtd", "virtlogd")}
        keeper = int((own.folder / "keeper").read_text().split()[0])
        os.kill(keeper, signal.SIGKILL)
        own.start()
        self.assertEqual({daemon: own.pid(daemon) for daemon in pids}, pids)
        own.stop()
        for pid in pids.values():
            self.assertFalse(self.runs(pid))

    def runs(self, pid: int) -> bool:
        try:
            return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
        except FileNotFoundError:
            return False
