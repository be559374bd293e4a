# -*- test-case-name: tests.guests.test_full_disk -*-
"""What drivers say of a file that cannot be written: a full disk is named, since nothing else is wrong then."""

from __future__ import annotations

import errno
from typing import Final

from cloudd.interfaces.servers import DriverError

FULL: Final = "the disk of this host is full"
ROOM: Final = "Make room there"


def of_file(error: OSError, what: str) -> DriverError:
    """
    :param what: whose file it is
    """
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DriverError(f"{FULL}: {what} cannot be written ({error})", ROOM)
    return DriverError(f"{what} cannot be used: {error}", "Look at the disk of this host")
