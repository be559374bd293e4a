"""Heads of disk images, made by hand: what a program that follows them would be led astray by."""

from __future__ import annotations

import struct

GIB = 1 << 30


def qcow2(version: int = 3, size: int = GIB, backing: int = 0, incompatible: int = 0) -> bytes:
    """A header, and nothing behind it but zeros."""
    head = b"QFI\xfb" + struct.pack(">IQIIQ", version, backing, 8 if backing else 0, 16, size)
    head = head.ljust(72, b"\0") + struct.pack(">QQQII", incompatible, 0, 0, 4, 104)
    return head.ljust(4096, b"\0")


def vmdk(kind: str = "monolithicSparse", extent: str = 'RW 2048 SPARSE "disk.vmdk"', more: str = "") -> bytes:
    """A sparse extent with its descriptor in the second sector."""
    text = f'# Disk DescriptorFile\nversion=1\ncreateType="{kind}"\n{more}\n{extent}\n'.encode()
    head = b"KDMV" + struct.pack("<II", 1, 3) + struct.pack("<QQQQ", 2048, 128, 1, 4)
    return head.ljust(512, b"\0") + text.ljust(4 * 512, b"\0")


def vhd(kind: int = 2, size: int = GIB) -> bytes:
    """A disk whose footer is its end."""
    footer = b"conectix".ljust(48, b"\0") + struct.pack(">Q", size) + b"\0" * 4 + struct.pack(">I", kind)
    return b"\0" * 1024 + footer.ljust(512, b"\0")


def vdi(kind: int = 1, size: int = GIB) -> bytes:
    """A header."""
    head = b"<<< Oracle VM VirtualBox Disk Image >>>".ljust(0x40, b"\0") + b"\x7f\x10\xda\xbe"
    head = head.ljust(0x4C, b"\0") + struct.pack("<I", kind)
    return head.ljust(0x170, b"\0") + struct.pack("<Q", size)


def iso() -> bytes:
    """A volume descriptor where it belongs."""
    return (b"\0" * 32_768 + b"\x01CD001\x01").ljust(40_000, b"\0")
