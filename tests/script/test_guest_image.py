"""``script/guest-image``: the same bytes from the same packages, and a guest that says what it finds."""

from __future__ import annotations

import gzip
import hashlib
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.drivers.guest_image import guest_image
from tests.running_cloud import CHECKOUT
from tests.script.metadata_house import KEY

PATIENCE_S = 120
PT_LOAD, PT_INTERP = 1, 3  # kinds of parts of an ELF file


class GuestImageTests(SynchronousTestCase):
    def test_made_again(self) -> None:
        """In another folder, by a process that cannot mount anything, it is the same."""
        made = guest_image().disk.parent
        folder = Path(tempfile.mkdtemp(prefix="cloudd-image-"))
        self.addCleanup(shutil.rmtree, folder)
        for package in made.glob("*.deb"):
            (folder / package.name).symlink_to(package)
        without = ["setpriv", "--bounding-set=-sys_admin", "--inh-caps=-sys_admin"]
        command: list[str | Path] = [*without, CHECKOUT / "script/guest-image", folder]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        for name in ("kernel", "initrd", "disk.qcow2", "arguments"):
            self.assertEqual(self.digest(folder / name), self.digest(made / name), name)
        self.assertEqual([path.name for path in folder.glob("work-*")], [])

    def test_runs_without_libraries(self) -> None:
        """Whatever busybox the machine itself has, the guest's needs no interpreter of ELF files."""
        archive = gzip.decompress(guest_image().initrd.read_bytes())
        unpack = ["cpio", "--extract", "--to-stdout", "--quiet", "bin/busybox"]
        busybox = subprocess.run(unpack, input=archive, capture_output=True, check=True).stdout
        self.assertEqual(busybox[:4], b"\x7fELF")
        (start,), (size, count) = struct.unpack_from("<Q", busybox, 32), struct.unpack_from("<HH", busybox, 54)
        kinds = [struct.unpack_from("<I", busybox, start + number * size)[0] for number in range(count)]
        self.assertIn(PT_LOAD, kinds)
        self.assertNotIn(PT_INTERP, kinds)

    def digest(self, file: Path) -> str:
        return hashlib.sha256(file.read_bytes()).hexdigest()


class NetworkTests(SynchronousTestCase):
    """In a network namespace of its own."""

    def setUp(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="cloudd-guest-"))
        self.addCleanup(shutil.rmtree, self.folder)
        self.space = f"cloudd-guest-{os.getpid()}"
        self.ip("netns", "add", self.space)
        self.addCleanup(self.ip, "netns", "delete", self.space)
        self.ip("-n", self.space, "link", "set", "lo", "up")
        self.ip("-n", self.space, "tuntap", "add", "tap0", "mode", "tap")
        for address in ("10.20.0.1/24", "169.254.169.254/32"):
            self.ip("-n", self.space, "address", "add", address, "dev", "tap0")
        self.ip("-n", self.space, "link", "set", "tap0", "up")

    def ip(self, *words: str) -> None:
        subprocess.run(["ip", *words], check=True, env={**os.environ, "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"})

    def begin(self, *command: str | Path, stdout: int | None = None) -> subprocess.Popen[str]:
        words = ["/sbin/ip", "netns", "exec", self.space, *map(str, command)]
        process = subprocess.Popen(words, cwd=CHECKOUT, stdin=subprocess.DEVNULL, stdout=stdout, text=True)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process

    def test_says_what_it_finds(self) -> None:
        """Its address by DHCP, what the metadata service says, and what a script in its user data does."""
        lease = "--dhcp-range=10.20.0.5,10.20.0.5,255.255.255.0"
        routes = "--dhcp-option=121,0.0.0.0/0,10.20.0.1,169.254.169.254/32,10.20.0.1"
        files = [f"--dhcp-leasefile={self.folder}/leases", "--pid-file", "--conf-file=/dev/null"]
        self.begin("/usr/sbin/dnsmasq", "--keep-in-foreground", "--port=0", "--user=root", *files, lease, routes)
        service = self.begin(sys.executable, "-m", "tests.script.metadata_house", stdout=subprocess.PIPE)
        assert service.stdout is not None
        self.addCleanup(service.stdout.close)
        self.assertEqual(service.stdout.readline(), "ready\n")
        console = self.boot()
        for line in (
            "eth0 has 10.20.0.5",
            "metadata from the service",
            "hostname first.example",
            "uuid u-1",
            "user data #!/bin/sh",
            "user data ended with status 7",
            "user data says: I am first.example",
            f"ready, host first.example, addresses 10.20.0.5, key {KEY[:40]}",
        ):
            self.assertIn(f"cloudd guest: {line}\n", console)
        self.assertNotIn(KEY, console)

    def boot(self) -> str:
        """The console of a guest with a card in the namespace, as far as it says that it is ready."""
        image, console = guest_image(), self.folder / "console"
        card = ["-netdev", "tap,id=net0,ifname=tap0,script=no,downscript=no", "-device", "virtio-net-pci,netdev=net0"]
        kernel: list[str | Path] = ["-kernel", image.kernel, "-initrd", image.initrd, "-append", image.arguments]
        machine = ["-machine", "q35", "-accel", "tcg", "-m", "128", "-nodefaults", "-display", "none"]
        self.begin("qemu-system-x86_64", *machine, *kernel, *card, "-serial", f"file:{console}")
        end, said = time.monotonic() + PATIENCE_S, ""
        while "\n" not in said.partition("cloudd guest: ready,")[2]:
            self.assertLess(time.monotonic(), end, said)
            time.sleep(0.1)
            said = console.read_text(errors="replace") if console.exists() else ""
        return said
