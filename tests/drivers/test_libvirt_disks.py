"""Root disks by the real qemu-img."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any
from uuid import uuid4

from twisted.trial.unittest import SynchronousTestCase

from cloudd.drivers._libvirt_disks import flatten, grow, make_layer, virtual_bytes
from cloudd.interfaces.servers import DriverError, Guest
from tests.small_disk import fill, small_disk

MIB = 1 << 20


class DiskTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).resolve()
        self.folder.mkdir()
        self.image = self.folder / "image"
        self.image.write_bytes(b"from the image".ljust(MIB, b"\0"))
        self.disk = self.folder / "disk.qcow2"

    def guest(self, disk_bytes: int, kind: str = "raw", image: Path | None = None) -> Guest:
        return Guest(
            id=str(uuid4()),
            name="one",
            vcpus=1,
            memory_mib=64,
            disk_bytes=disk_bytes,
            image=image or self.image,
            image_format=kind,
        )

    def content(self, file: Path) -> bytes:
        raw = self.folder / "raw"
        subprocess.run(["qemu-img", "convert", "-f", "qcow2", "-O", "raw", file, raw], check=True)
        return raw.read_bytes()

    def test_layer(self) -> None:
        """The image below is read, and the size is the guest's own."""
        make_layer(self.guest(2 * MIB), self.disk)
        self.assertEqual(virtual_bytes(self.disk), 2 * MIB)
        self.assertEqual(self.content(self.disk)[:14], b"from the image")
        self.assertEqual(sorted(path.name for path in self.folder.glob("*.part")), [])

    def test_grows_and_never_shrinks(self) -> None:
        make_layer(self.guest(2 * MIB), self.disk)
        for wanted in (4 * MIB, MIB):
            grow(self.disk, wanted)
            self.assertEqual(virtual_bytes(self.disk), 4 * MIB)

    def test_flattened(self) -> None:
        """It stands without the image."""
        make_layer(self.guest(2 * MIB), self.disk)
        target = self.folder / "snapshot"
        flatten(self.disk, target)
        self.image.unlink()
        self.assertEqual(self.content(target)[:14], b"from the image")

    def test_images_that_refer_to_others(self) -> None:
        """A snapshot would have the host's files in it."""
        layer, beside = self.folder / "layer", self.folder / "beside"
        make = ["qemu-img", "create", "-q", "-f", "qcow2"]
        subprocess.run([*make, "-b", self.image, "-F", "raw", layer], check=True)
        subprocess.run([*make, "-o", f"data_file={self.folder / 'data'}", beside, "1M"], check=True)
        for image in (layer, beside):
            error = self.assertRaises(DriverError, make_layer, self.guest(2 * MIB, "qcow2", image), self.disk)
            self.assertIn("refers to other files", error.cause)
            self.assertFalse(self.disk.exists())

    def test_refused(self) -> None:
        """With the next step in the cause, and nothing made."""
        for guest, word in (
            (self.guest(1), "bigger flavor"),
            (self.guest(2 * MIB, "vmdk"), "convert"),
            (self.guest(2 * MIB, "qcow2"), "qemu-img"),  # it is not what it is said to be
            (self.guest(2 * MIB, image=self.folder / "nowhere"), "fetch"),
        ):
            error = self.assertRaises(DriverError, make_layer, guest, self.disk)
            self.assertIn(word, str(error).lower())
            self.assertFalse(self.disk.exists())


class FullDiskTests(SynchronousTestCase):
    """On a real file system of 1 MiB."""

    def setUp(self) -> None:
        self.folder = small_disk(self, "1m")
        self.image = self.folder / "image"
        self.image.write_bytes(os.urandom(MIB // 2))
        size: dict[str, Any] = {"vcpus": 1, "memory_mib": 64, "disk_bytes": MIB}
        self.guest = Guest(id=str(uuid4()), name="one", **size, image=self.image, image_format="raw")

    def check(self, error: DriverError, kept: list[str]) -> None:
        """The cause names the disk, and nothing is left of the file."""
        self.assertIn("the disk of this host is full", error.cause)
        self.assertEqual(sorted(path.name for path in self.folder.iterdir()), kept)

    def test_new_disk(self) -> None:
        """One that is there stays as it is, and what has failed works when there is room."""
        disk = self.folder / "disk.qcow2"
        disk.write_bytes(b"as it was")
        filler = fill(self.folder)
        error = self.assertRaises(DriverError, make_layer, self.guest, disk)
        self.check(error, ["disk.qcow2", "filler", "image"])
        self.assertEqual(disk.read_bytes(), b"as it was")
        filler.unlink()
        make_layer(self.guest, disk)
        self.assertEqual(virtual_bytes(disk), MIB)

    def test_copy(self) -> None:
        """There is room for some of it."""
        disk = self.folder / "disk.qcow2"
        make_layer(self.guest, disk)
        error = self.assertRaises(DriverError, flatten, disk, self.folder / "snapshot")
        self.check(error, ["disk.qcow2", "image"])
