# -*- test-case-name: tests.drivers.test_libvirt -*-
"""
Copies of disks that are in use.  Each function blocks and runs in a thread, with the connection first.

QEMU mirrors what the guest writes until it is told to end, whoever told it to begin.  So each copy has a mark, a file
in the guest's folder with the path of the copy, which whoever makes it touches again and again: a mark that nobody has
touched for a while is of a process that is no more.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Final

import libvirt

from cloudd.interfaces.servers import DriverError

from ._libvirt_calls import find, need
from ._libvirt_xml import DISK, copy_target_xml, is_ready

MARK: Final = "copying"


def begin_copy(connection: Any, server_id: str, mark: Path, target: Path) -> bool:
    """``False``: the guest does not run, so its disk is at rest."""
    domain = need(connection, server_id)
    if not domain.isActive():
        return False
    end_copy(connection, server_id, mark)  # of a call that was cut off
    target.unlink(missing_ok=True)
    mark.write_text(str(target))
    try:
        domain.blockCopy(DISK, copy_target_xml(target), flags=libvirt.VIR_DOMAIN_BLOCK_COPY_TRANSIENT_JOB)
    except libvirt.libvirtError:
        mark.unlink()
        raise
    return True


def copy_is_ready(connection: Any, server_id: str, mark: Path) -> bool:
    """
    :raises DriverError: it ended before it was complete
    """
    mark.touch()
    domain = need(connection, server_id)
    if not domain.isActive() or not domain.blockJobInfo(DISK, 0):
        raise DriverError("the copy of the disk ended early", "The guest has ended, or the host's disk is full")
    return is_ready(domain.XMLDesc(0))


def end_copy(connection: Any, server_id: str, mark: Path) -> None:
    """A copy that is ready is complete as of this moment; any other is of no use."""
    domain = find(connection, server_id)
    if domain is not None and domain.isActive() and domain.blockJobInfo(DISK, 0):
        domain.blockJobAbort(DISK, 0)
    mark.unlink(missing_ok=True)


def end_stray_copies(connection: Any, folder: Path, quiet_s: float) -> int:
    """
    End the copies whose marks nobody has touched for so long, and delete what there is of them.

    :param folder: of all guests
    :return: how many others there are
    """
    others = 0
    for mark in folder.glob(f"*/{MARK}"):
        try:
            is_stray = time.time() - mark.stat().st_mtime >= quiet_s
            target = Path(mark.read_text())
        except FileNotFoundError:  # it has just ended
            continue
        if is_stray:
            end_copy(connection, mark.parent.name, mark)
            target.unlink(missing_ok=True)
        else:
            others += 1
    return others
