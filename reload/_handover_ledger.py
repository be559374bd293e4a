# -*- test-case-name: tests.reload.test_handover_ledger -*-
"""
Who serves what, in memory that both processes share and that outlives either of them.

A message can be lost with its sender, a written byte of shared memory cannot.  So a process writes down what it is
about to do with a connection *before* it does it, and the survivor of a death reads how far the other one came:

- the giver writes ``OFFERED`` before it sends a connection, ``TAKEN_BACK`` before it thaws it;
- the taker writes ``RESUMED`` before it serves it, which it does only after ``Commit`` or after the giver's death.

Each side reads only when it has seen the end of the link, which comes after the other's last deed: a process closes
the link when it dies, or when it has dropped all that it does not serve.  Each entry carries its batch's number, so
that an entry of another batch is never mistaken for this one's.
"""

from __future__ import annotations

import mmap
import os
import struct
from enum import IntEnum

from ._handover_interfaces import ProtocolViolation
from ._handover_messages import MAX_BATCH

_ENTRY = struct.Struct("=Q")  # written as one machine word
_BYTES = MAX_BATCH * _ENTRY.size


class Mark(IntEnum):
    """How far one connection of a batch has come."""

    NONE = 0
    OFFERED = 1
    TAKEN_BACK = 2
    RESUMED = 3


class Ledger:
    """
    The entries of one direction of a link; one batch is under way at a time.

    :param descriptor: of a ledger that the other side created, or ``None`` to create one; owned from now on
    :raises ProtocolViolation: ``descriptor`` is no ledger
    """

    def __init__(self, descriptor: int | None = None) -> None:
        if descriptor is None:
            descriptor = os.memfd_create("handover-ledger", os.MFD_CLOEXEC)
            os.ftruncate(descriptor, _BYTES)
        self.descriptor = descriptor
        try:
            if os.fstat(descriptor).st_size != _BYTES:
                raise ProtocolViolation("the ledger has another size")
            self._memory = mmap.mmap(descriptor, _BYTES)
        except (OSError, ValueError) as error:
            raise ProtocolViolation(f"the ledger cannot be mapped: {error}") from None

    def mark(self, batch: int, slot: int, mark: Mark) -> None:
        """Write an entry."""
        _ENTRY.pack_into(self._memory, slot * _ENTRY.size, batch << 8 | mark)

    def read(self, batch: int, slot: int) -> Mark:
        """The entry, ``NONE`` when it is another batch's."""
        (entry,) = _ENTRY.unpack_from(self._memory, slot * _ENTRY.size)
        if entry >> 8 != batch:
            return Mark.NONE
        return Mark(entry & 0xFF)

    def close(self) -> None:
        """Forget the shared memory; a second call does nothing."""
        if self.descriptor >= 0:
            self._memory.close()
            os.close(self.descriptor)
            self.descriptor = -1
