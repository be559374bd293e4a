# -*- test-case-name: tests.image_cache.test_backing -*-
"""
Which files the disks of guests lie above, as the disks themselves say it.

Source: QEMU, ``docs/interop/qcow2.txt``: offset and length of the backing file's name stand in the header.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Final

_MAGIC: Final = b"QFI\xfb"
_HEADER: Final = struct.Struct(">4sIQI")
_LONGEST: Final = 1_023


def backing_files(folders: Iterable[Path]) -> set[Path]:
    """
    All files that qcow2 files in these folders, or in folders below them, name as their backing files.  Blocks.

    :raises OSError: one cannot be read: then nothing is known of any
    """
    found: set[Path] = set()
    for folder in folders:
        for above, _, names in os.walk(folder, onerror=_fail):
            for name in names:
                if (backing := _backing_of(Path(above) / name)) is not None:
                    found.add(backing)
    return found


def _fail(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error


def _backing_of(file: Path) -> Path | None:
    if not file.is_file():
        return None  # a socket, or gone by now
    try:
        opened = file.open("rb")
    except FileNotFoundError:
        return None
    with opened:
        head = opened.read(_HEADER.size)
        if len(head) < _HEADER.size or not head.startswith(_MAGIC):
            return None
        _, _, offset, length = _HEADER.unpack(head)
        if not offset or not 0 < length <= _LONGEST:
            return None
        opened.seek(offset)
        named = os.fsdecode(opened.read(length))
    return (file.parent / named).resolve()
