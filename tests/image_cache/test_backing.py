"""Which images disks lie above, said by disks that qemu-img has made where it is there, and by hand."""

from __future__ import annotations

import os
import socket
import struct
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from cloudd.image_cache import backing_files


def layer(file: Path, backing: str) -> None:
    """The head of a qcow2 file above another one."""
    name = os.fsencode(backing)
    head = b"QFI\xfb" + struct.pack(">IQI", 3, 4096 if name else 0, len(name))
    file.write_bytes(head.ljust(4096, b"\0") + name)


class BackingTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).resolve()
        (self.folder / "below").mkdir(parents=True)

    def test_named(self) -> None:
        """By absolute and by relative names, in folders below too; each once."""
        image = self.folder / "cache" / "ä.raw"
        layer(self.folder / "a.qcow2", str(image))
        layer(self.folder / "below" / "b", "../cache/ä.raw")
        self.assertEqual(backing_files([self.folder]), {image})

    def test_without(self) -> None:
        """Disks of their own, files of other kinds, short ones, sockets and links to nowhere name nothing."""
        layer(self.folder / "own", "")
        (self.folder / "raw").write_bytes(bytes(5000))
        (self.folder / "short").write_bytes(b"QFI\xfb")
        (self.folder / "nowhere").symlink_to("none")
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(os.path.relpath(self.folder / "socket"))
            self.assertEqual(backing_files([self.folder, self.folder / "none"]), set())

    def test_unknown(self) -> None:
        """What cannot be read is not taken for nothing."""
        layer(self.folder / "a", "b")
        self.patch(Path, "open", broken)
        with self.assertRaises(OSError):
            backing_files([self.folder])


def broken(*_arguments: object) -> None:
    raise OSError(5, "Input/output error")
