"""How big an image is, and disks of zeros."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from cloudd.drivers._qcow2 import virtual_bytes, zeros
from cloudd.interfaces.servers import DriverError

GIB = 1 << 30


class Qcow2Tests(SynchronousTestCase):
    def file(self, content: bytes) -> Path:
        file = Path(self.mktemp())
        file.write_bytes(content)
        return file

    def test_round_trip(self) -> None:
        """A disk of zeros is a small file that says its size."""
        for size in (1, 1 << 20, GIB, 40 * GIB, 9_000 * GIB):
            content = zeros(size)
            self.assertEqual(virtual_bytes(self.file(content), "qcow2"), size)
            self.assertEqual(len(content) % 65_536, 0)
            self.assertLess(len(content), 1 << 20)

    def test_raw(self) -> None:
        self.assertEqual(virtual_bytes(self.file(b"12345"), "raw"), 5)

    def test_refused(self) -> None:
        """What is none, what is of a version to come, and what refers to other files, which could be the host's."""
        good = zeros(GIB)
        backing = good[:8] + (104).to_bytes(8, "big") + good[16:]
        external = good[:72] + (4).to_bytes(8, "big") + good[80:]
        later = good[:4] + (9).to_bytes(4, "big") + good[8:]
        for content, words in (
            (b"", "no qcow2"),
            (good[:40], "no qcow2"),
            (b"x" * 200, "no qcow2"),
            (backing, "refers"),
            (external, "refers"),
            (later, "none that is known"),
            (zeros(1 << 52), "none that is known"),
        ):
            error = self.assertRaises(DriverError, virtual_bytes, self.file(content), "qcow2")
            self.assertIn(words, error.cause)
            self.assertTrue(error.cause.startswith("image: "))

    def test_format(self) -> None:
        error = self.assertRaises(DriverError, virtual_bytes, self.file(b""), "vmdk")
        self.assertIn("image_format", error.cause)
