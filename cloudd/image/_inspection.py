# -*- test-case-name: tests.image.test_inspection -*-
"""
What the data of an image really is, found out while it passes by; and what of it nobody may boot.

An image that names other files on its host (a backing file, an external data file, an extent of its own path) would
have the hypervisor read them for its tenant: CVE-2015-5163, CVE-2022-47951, CVE-2024-32498.  So data is looked at
before it is used, by its first and last bytes and never by a program that would follow them, and what is not of the
format that its image has is refused.

``Inspector`` is fed all bytes in order, keeps the first 64 KiB and the last 1 KiB, and then judges.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from typing import Final

import msgspec
from attrs import frozen

HEAD_BYTES: Final = 65_536
TAIL_BYTES: Final = 1_024
MAX_VIRTUAL_BYTES: Final = 1 << 44  # 16 TiB
ISO_OFFSET: Final = 32_769
SECTOR: Final = 512

_QCOW2_MAGIC = b"QFI\xfb"
_QCOW2_HEADER_BYTES, _QCOW3_HEADER_BYTES = 72, 104
_QCOW2_DATA_FILE = 1 << 2
_QCOW2_HARMLESS = 0b11011  # dirty, corrupt, kind of compression, extended L2 entries
_VMDK_MAGIC = b"KDMV"
_VMDK_TYPES = (b"monolithicSparse", b"streamOptimized")
_VMDK_EXTENT = re.compile(rb"^\s*(?:RW|RDONLY|NOACCESS)\s+\d+\s+(\w+)\s+\"([^\"]*)\"", re.MULTILINE)
_VDI_SIGNATURE = b"\x7f\x10\xda\xbe"


class Findings(msgspec.Struct, frozen=True, kw_only=True):
    """
    What an inspection found.

    :ivar format: as in ``disk_format``; ``raw`` where nothing else was recognised
    :ivar virtual_size: of the disk, in bytes; None: of a raw disk, whose data it is
    :ivar harm: why nobody may boot it; empty: nothing was found
    """

    format: str
    virtual_size: int | None = None
    harm: str = ""


@frozen
class _Kind:
    name: str
    fits: Callable[[bytes, bytes], bool]
    judge: Callable[[bytes, bytes], Findings]


class Inspector:
    """Fed like a hash, by ``storage``'s uploads; ``digest`` gives ``Findings`` as JSON."""

    def __init__(self) -> None:
        self._head = b""
        self._tail = b""
        self._size = 0

    def update(self, data: bytes, /) -> None:
        """More of the data."""
        self._size += len(data)
        if len(self._head) < HEAD_BYTES:
            self._head += data[: HEAD_BYTES - len(self._head)]
        self._tail = (self._tail + data[-TAIL_BYTES:])[-TAIL_BYTES:]

    def digest(self) -> bytes:
        """What was found."""
        return msgspec.json.encode(self.findings())

    def findings(self) -> Findings:
        """The same as a value."""
        for kind in _KINDS:
            if kind.fits(self._head, self._tail):
                found = kind.judge(self._head, self._tail)
                if not found.harm and (found.virtual_size or 0) > MAX_VIRTUAL_BYTES:
                    harm = f"its disk has {found.virtual_size} bytes, more than {MAX_VIRTUAL_BYTES}"
                    return msgspec.structs.replace(found, harm=harm)
                return found
        return Findings(format="raw", virtual_size=self._size)


def read_findings(digest: bytes) -> Findings:
    """What ``Inspector.digest`` gave."""
    return msgspec.json.decode(digest, type=Findings)


def unfit(found: Findings, disk_format: str) -> str:
    """
    Why data with these findings cannot be an image of that format; empty: it can.

    :param disk_format: that the image has
    """
    if found.harm:
        return f"the {found.format} data is refused: {found.harm}"
    expected = {"ami": ("raw",), "ari": ("raw",), "aki": ("raw",), "ploop": ("raw",)}.get(disk_format, (disk_format,))
    # A raw disk may begin with an ISO's file system or a boot sector; it must not be of a format that is followed.
    if disk_format == "raw" and found.format == "iso":
        return ""
    if found.format in expected:
        return ""
    return f"the image has disk_format {disk_format}, and its data is {found.format}"


# ---- qcow2


def _is_qcow(head: bytes, _tail: bytes) -> bool:
    return head[:4] == _QCOW2_MAGIC


def _judge_qcow(head: bytes, _tail: bytes) -> Findings:
    if len(head) < _QCOW2_HEADER_BYTES:
        return Findings(format="qcow2", harm="its header is cut off")
    version, backing_offset, _backing_length, _bits, size = struct.unpack(">IQIIQ", head[4:32])
    if version not in (2, 3):
        harm = f"it is of version {version}; known are 2 and 3"
    elif backing_offset:
        harm = "it has a backing file"
    else:
        harm = _harm_in_features(head) if version == 3 else ""
    return Findings(format="qcow2", virtual_size=size, harm=harm)


def _harm_in_features(head: bytes) -> str:
    if len(head) < _QCOW3_HEADER_BYTES:
        return "its header is cut off"
    (incompatible,) = struct.unpack(">Q", head[72:80])
    if incompatible & _QCOW2_DATA_FILE:
        return "its data is in an external file"
    if unknown := incompatible & ~_QCOW2_HARMLESS:
        return f"it has unknown features ({unknown:#x})"
    return ""


# ---- vmdk


def _is_vmdk(head: bytes, _tail: bytes) -> bool:
    return head[:4] == _VMDK_MAGIC or head[:512].lstrip().startswith(b"# Disk DescriptorFile")


def _judge_vmdk(head: bytes, _tail: bytes) -> Findings:
    if head[:4] != _VMDK_MAGIC:
        return Findings(format="vmdk", harm="it is a descriptor alone, whose data is in other files")
    if len(head) < SECTOR:
        return Findings(format="vmdk", harm="its header is cut off")
    capacity, _grain, offset, length = struct.unpack("<QQQQ", head[12:44])
    descriptor = head[offset * SECTOR : (offset + length) * SECTOR]
    if not offset or len(descriptor) < length * SECTOR:
        harm = "its descriptor is not within its first 64 KiB"
    else:
        harm = _harm_in_descriptor(descriptor.split(b"\0", 1)[0])
    return Findings(format="vmdk", virtual_size=capacity * SECTOR, harm=harm)


def _harm_in_descriptor(text: bytes) -> str:
    kind = re.search(rb"^\s*createType\s*=\s*\"?(\w+)\"?", text, re.MULTILINE)
    if kind is None or kind[1] not in _VMDK_TYPES:
        return f"its createType is {kind[1].decode('ascii', 'replace') if kind else 'not told'}"
    extents = _VMDK_EXTENT.findall(text)
    if any(extent_type != b"SPARSE" or b"/" in name or b"\\" in name for extent_type, name in extents):
        return "an extent of it is another file"
    if re.search(rb"^\s*parentFileNameHint\s*=", text, re.MULTILINE):
        return "it has a parent"
    return ""


# ---- the others


def _judge_vhd(head: bytes, tail: bytes) -> Findings:
    footer = tail[-512:] if tail[-512:-504] == b"conectix" else head[:512]
    if len(footer) < 64:
        return Findings(format="vhd", harm="its footer is cut off")
    (size,) = struct.unpack(">Q", footer[48:56])
    (kind,) = struct.unpack(">I", footer[60:64])
    harm = "it differs from a parent" if kind == 4 else ""
    return Findings(format="vhd", virtual_size=size, harm=harm)


def _judge_vdi(head: bytes, _tail: bytes) -> Findings:
    if len(head) < 0x178:
        return Findings(format="vdi", harm="its header is cut off")
    (kind,) = struct.unpack("<I", head[0x4C:0x50])
    (size,) = struct.unpack("<Q", head[0x170:0x178])
    return Findings(format="vdi", virtual_size=size, harm="it differs from a parent" if kind == 4 else "")


_KINDS = (
    _Kind("qcow2", _is_qcow, _judge_qcow),
    _Kind("vmdk", _is_vmdk, _judge_vmdk),
    _Kind("vhd", lambda head, tail: head[:8] == b"conectix" or tail[-512:-504] == b"conectix", _judge_vhd),
    _Kind("vhdx", lambda head, _tail: head[:8] == b"vhdxfile", lambda _head, _tail: Findings(format="vhdx")),
    _Kind("vdi", lambda head, _tail: head[0x40:0x44] == _VDI_SIGNATURE, _judge_vdi),
    _Kind(
        "iso",
        lambda head, _tail: head[ISO_OFFSET : ISO_OFFSET + 5] == b"CD001",
        lambda _head, _tail: Findings(format="iso"),
    ),
)
