# -*- test-case-name: tests.drivers.test_qcow2 -*-
"""
As much of qcow2 as a driver without QEMU needs: how big an image is, and a disk of zeros.

Source: QEMU, ``docs/interop/qcow2.txt``.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Final

from cloudd.interfaces.servers import DriverError

MAGIC: Final = b"QFI\xfb"
CLUSTER_BITS: Final = 16
_HEADER: Final = struct.Struct(">4sIQIIQIIQQIIQQQQII")  # up to header_length, version 3
_V2_BYTES: Final = 72
_V3_BYTES: Final = 104
_EXTERNAL_DATA: Final = 1 << 2  # of incompatible_features
_LARGEST: Final = 1 << 50


def virtual_bytes(image: Path, image_format: str) -> int:
    """
    The size of the disk that a guest would see.  Blocks.

    :param image_format: ``raw`` or ``qcow2``
    :raises DriverError: it is not there, of another format, or refers to other files, which could be any of the host's
    """
    if image_format not in {"raw", "qcow2"}:
        raise DriverError(f"image_format: {image_format!r} is not known", "Convert the image to raw or qcow2")
    try:
        with image.open("rb") as opened:
            head = opened.read(_HEADER.size)
            size = opened.seek(0, 2)
    except OSError as error:
        raise DriverError(f"image: {image} cannot be read ({error.strerror})", "Fetch the image again") from None
    return size if image_format == "raw" else _size_in(head, image)


def _size_in(head: bytes, image: Path) -> int:
    if len(head) < _V2_BYTES or not head.startswith(MAGIC):
        raise DriverError(f"image: {image} is no qcow2 file", "Give its true format")
    facts = _HEADER.unpack(head.ljust(_HEADER.size, b"\0"))
    version, backing, size = facts[1], facts[2], facts[5]
    if version not in {2, 3} or size > _LARGEST:
        raise DriverError(f"image: {image} is a qcow2 file as none that is known", "Convert it by qemu-img")
    if backing or (version == 3 and facts[13] & _EXTERNAL_DATA):
        raise DriverError(f"image: {image} refers to other files", "Make one without them and upload that")
    return int(size)


def zeros(size_bytes: int) -> bytes:
    """
    A whole qcow2 file, version 3, without a backing file: header, reference counts and an empty first table.

    :param size_bytes: as the guest sees it
    """
    cluster = 1 << CLUSTER_BITS
    entries = -(-size_bytes // (cluster * cluster // 8))
    table_clusters = max(1, -(-entries * 8 // cluster))
    header = _HEADER.pack(
        MAGIC, 3, 0, 0, CLUSTER_BITS, size_bytes, 0, entries, 3 * cluster, cluster, 1, 0, 0, 0, 0, 0, 4, _V3_BYTES
    )
    counts = struct.pack(">H", 1) * (3 + table_clusters)
    parts = (header, struct.pack(">Q", 2 * cluster), counts)
    return b"".join(part.ljust(cluster, b"\0") for part in parts) + bytes(table_clusters * cluster)
