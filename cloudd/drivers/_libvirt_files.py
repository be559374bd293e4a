# -*- test-case-name: tests.drivers.test_libvirt_files -*-
"""The files of one guest: its folder, which of two names its disk has, what is removed with it.  All of this blocks."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Final

from cloudd.interfaces.servers import DriverError, Guest

from ._full import of_file
from ._libvirt_copies import MARK
from ._libvirt_disks import check_kept, make_layer
from ._libvirt_xml import NAME_PREFIX, Files

DISKS: Final = ("disk.qcow2", "disk-2.qcow2")
"""A disk that is made anew has the other name, so that the old one stays until the new one is defined."""


def of_files(error: OSError) -> DriverError:
    """What a driver says of it."""
    return of_file(error, "a file of the guest")


def has_disk(files: Files) -> bool:
    return any(files.disk.with_name(name).exists() for name in DISKS)


def other_disk(disk: Path) -> Path:
    return disk.with_name(DISKS[1] if disk.name == DISKS[0] else DISKS[0])


def prepare_disk(guest: Guest, files: Files) -> None:
    """
    Make the disk; one that is there stays, if it is the guest's.

    :raises DriverError: see ``make_layer`` and ``check_kept``
    """
    files.disk.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if files.disk.exists():
        check_kept(guest, files.disk)
    else:
        make_layer(guest, files.disk)
    other_disk(files.disk).unlink(missing_ok=True)  # of a rebuild that was cut off


def forget(files: Files) -> None:
    """Delete all of them, a copy that was not completed too.  None there is no error."""
    folder = files.disk.parent
    mark = folder / MARK
    if mark.exists():
        Path(mark.read_text()).unlink(missing_ok=True)
    try:
        shutil.rmtree(folder)
    except FileNotFoundError:
        return
    descriptor = os.open(folder.parent, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def forget_logs(logs: Path, uuid: str) -> None:
    """
    Delete what QEMU and libvirt have logged of a guest.

    :param logs: libvirt's folder of them; it need not be there
    """
    for file in logs.glob(f"{NAME_PREFIX}{uuid}.log*"):
        file.unlink(missing_ok=True)
