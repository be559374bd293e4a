"""A file on its way into the cache."""

from __future__ import annotations

import hashlib
import os
import threading
from pathlib import Path
from typing import Any

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from cloudd.image import Image
from cloudd.image_cache import ImageCacheError, ImageDamaged, NoRoomForImage, UnfitImage
from cloudd.image_cache._copying import Copy
from tests.image import formats

GOOD = b"boot" * 100_000 + bytes(2_000_000) + b"end"


def image_of(data: bytes, **members: Any) -> Image:
    """As the image service has written it."""
    given = {"disk_format": "raw", "size": len(data), "checksum": hashlib.md5(data).hexdigest(), **members}
    return Image(id="i1", project_id="p1", status="active", data_id="a" * 32, **given)


class CopyTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        self.file = self.folder / "image"

    def copied(self, data: bytes, image: Image, length: int | None = None) -> Path:
        """What comes out, in steps that are no multiple of anything."""
        source = self.folder / "source"
        source.write_bytes(data)
        copy = Copy(image, self.file)
        try:
            with source.open("rb") as opened:
                copy.begin()
                total = len(data) if length is None else length
                for offset in range(0, total, 700_001):
                    copy.take(opened.fileno(), offset, min(700_001, total - offset))
                copy.keep()
        finally:
            copy.discard()
            source.unlink()
        return self.file

    def refused(self, error: type[Exception], data: bytes, image: Image, length: int | None = None) -> str:
        with self.assertRaises(error) as caught:
            self.copied(data, image, length)
        self.assertEqual(set(os.listdir(self.folder)) - {".lock"}, set())
        return str(caught.exception)

    def test_whole(self) -> None:
        """Every byte, readable for all, and zeros take no room."""
        file = self.copied(GOOD, image_of(GOOD))
        self.assertEqual(file.read_bytes(), GOOD)
        self.assertEqual(file.stat().st_mode & 0o777, 0o644)
        self.assertLess(file.stat().st_blocks * 512, 1_500_000)
        self.assertEqual(set(os.listdir(self.folder)), {".lock", "image"})

    def test_zeros_at_the_end(self) -> None:
        """The file is as long as the data, though nothing is written there."""
        data = b"x" + bytes(3_000_000)
        self.assertEqual(self.copied(data, image_of(data)).read_bytes(), data)

    def test_nothing(self) -> None:
        """Data of no bytes is data."""
        self.assertEqual(self.copied(b"", image_of(b"")).read_bytes(), b"")

    def test_hash(self) -> None:
        """The better checksum is compared, where the image has one."""
        good = hashlib.sha512(GOOD).hexdigest()
        self.copied(GOOD, image_of(GOOD, hash_algorithm="sha512", hash_value=good, checksum="?"))
        bad = image_of(GOOD, hash_algorithm="sha512", hash_value="0" * 128)
        self.assertIn("another checksum", self.refused_after(bad))

    def refused_after(self, image: Image) -> str:
        self.file.unlink()
        return self.refused(ImageDamaged, GOOD, image)

    def test_damaged(self) -> None:
        """Another checksum, fewer or more bytes: it is not kept, and the next step is told."""
        image = image_of(GOOD)
        self.assertIn("upload it again", self.refused(ImageDamaged, GOOD[:-1] + b"?", image))
        self.assertIn("2400002 bytes", self.refused(ImageDamaged, GOOD[:-1], image))
        self.assertIn("2400004 bytes", self.refused(ImageDamaged, GOOD + b"x", image))
        self.assertIn("shorter", self.refused(ImageDamaged, GOOD, image, len(GOOD) + 1))

    def test_qcow2(self) -> None:
        """Good data of the other format."""
        data = formats.qcow2()
        self.assertEqual(self.copied(data, image_of(data, disk_format="qcow2")).read_bytes(), data)

    def test_unfit(self) -> None:
        """Whatever the service has let in: what refers to other files, or is of another format, is not booted."""
        for data, kind, cause in (
            (formats.qcow2(backing=200), "qcow2", "backing file"),
            (formats.qcow2(incompatible=4), "qcow2", "external file"),
            (formats.qcow2(), "raw", "its data is qcow2"),
            (b"x" * 5_000, "qcow2", "its data is raw"),
            (formats.vmdk(), "raw", "its data is vmdk"),
        ):
            self.assertIn(cause, self.refused(UnfitImage, data, image_of(data, disk_format=kind)))

    def test_full(self) -> None:
        """A disk that becomes full: nothing is left, and it is said."""
        self.patch(os, "pwrite", failing(28))
        self.assertIn("no room", self.refused(NoRoomForImage, GOOD, image_of(GOOD)))

    def test_full_at_the_end(self) -> None:
        """Some file systems say it only when all is to be on disk."""
        self.patch(os, "fsync", failing(122))
        self.refused(NoRoomForImage, GOOD, image_of(GOOD))

    def test_broken_disk(self) -> None:
        """What a disk says is told."""
        self.patch(os, "fsync", failing(5))
        self.assertIn("error", self.refused(ImageCacheError, GOOD, image_of(GOOD)).lower())

    def test_one_that_is_there(self) -> None:
        """It is replaced whole; who has it open reads on in the old one."""
        self.file.write_bytes(b"old")
        with self.file.open("rb") as opened:
            self.copied(GOOD, image_of(GOOD))
            self.assertEqual((opened.read(), self.file.read_bytes()), (b"old", GOOD))

    def test_given_up_before(self) -> None:
        """A thread that comes too late makes nothing and reads nothing."""
        copy = Copy(image_of(GOOD), self.file)
        copy.discard()
        copy.begin()
        copy.take(-1, 0, 10)
        self.assertEqual(os.listdir(self.folder), [".lock"])

    def test_given_up_meanwhile(self) -> None:
        """Whoever gives it up waits for the thread that writes, and nothing is left."""
        copy, reads, goes_on = Copy(image_of(GOOD), self.file), threading.Event(), threading.Event()
        copy.begin()

        def slow(_descriptor: int, size: int, _offset: int) -> bytes:
            reads.set()
            goes_on.wait(10)
            return b"x" * size

        self.patch(os, "pread", slow)
        writing = threading.Thread(target=copy.take, args=(-1, 0, 10))
        giving_up = threading.Thread(target=copy.discard)
        writing.start()
        reads.wait(10)
        giving_up.start()
        self.assertTrue(giving_up.is_alive())
        goes_on.set()
        writing.join(10)
        giving_up.join(10)
        self.assertEqual(os.listdir(self.folder), [".lock"])

    def test_formats_by_name(self) -> None:
        """An image that names no format has none that fits."""
        self.refused(UnfitImage, GOOD, evolve(image_of(GOOD), disk_format=None))


def failing(number: int) -> Any:
    def fail(*_arguments: object) -> None:
        raise OSError(number, os.strerror(number))

    return fail
