"""A guest's folder."""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from cloudd.drivers._libvirt_copies import MARK
from cloudd.drivers._libvirt_disks import make_layer
from cloudd.drivers._libvirt_files import forget, forget_logs, has_disk, other_disk, prepare_disk
from cloudd.drivers._libvirt_xml import Files
from cloudd.interfaces.servers import DriverError, Guest

MIB = 1 << 20


class FilesTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).resolve()
        self.folder.mkdir()
        self.image = self.folder / "image"
        self.image.write_bytes(b"\0" * MIB)
        self.files = Files(self.folder / "guest/disk.qcow2", self.folder / "guest/console.log")
        self.guest = Guest(
            id=str(uuid4()),
            name="one",
            vcpus=1,
            memory_mib=64,
            disk_bytes=2 * MIB,
            image=self.image,
            image_format="raw",
        )

    def test_of_another_image(self) -> None:
        """A disk stays with the image that it was made from, told by the disk itself."""
        prepare_disk(self.guest, self.files)
        prepare_disk(evolve(self.guest, disk_bytes=4 * MIB), self.files)
        other = self.folder / "other"
        other.write_bytes(self.image.read_bytes())
        for wrong in ({"image": other}, {"image": None}, {"image_format": "qcow2"}, {"disk_bytes": MIB}):
            error = self.assertRaises(DriverError, prepare_disk, evolve(self.guest, **wrong), self.files)
            self.assertTrue(error.cause.startswith(("image", "disk_bytes")), error)
        empty = evolve(self.guest, image=None)
        make_layer(empty, self.files.disk)
        prepare_disk(empty, self.files)
        self.assertRaises(DriverError, prepare_disk, self.guest, self.files)

    def test_rebuild_cut_off(self) -> None:
        """What it has left goes."""
        prepare_disk(self.guest, self.files)
        left = other_disk(self.files.disk)
        left.write_bytes(b"")
        self.assertEqual(other_disk(left), self.files.disk)
        prepare_disk(self.guest, self.files)
        self.assertFalse(left.exists())
        self.assertTrue(has_disk(self.files))

    def test_forgotten(self) -> None:
        """With the copy that was under way; nothing there is no error."""
        prepare_disk(self.guest, self.files)
        copy = self.folder / "copy.part"
        copy.write_bytes(b"")
        self.files.disk.with_name(MARK).write_text(str(copy))
        for _ in range(2):
            forget(self.files)
            self.assertFalse(copy.exists() or self.files.disk.parent.exists() or has_disk(self.files))

    def test_logs(self) -> None:
        """Of this guest alone."""
        others = f"cloudd-{uuid4()}.log"
        for name in (f"cloudd-{self.guest.id}.log", f"cloudd-{self.guest.id}.log.0", others):
            (self.folder / name).write_bytes(b"")
        forget_logs(self.folder, self.guest.id)
        self.assertEqual([file.name for file in self.folder.glob("*.log*")], [others])
