"""
Small objects that were read lately, kept in memory with their facts.

They are good as long as nothing at all was committed to the index: then every name still means the same version, and
a version never changes.  The index tells that without waiting (``Index.version``), so a kept object is had without a
thread.  With the first commit, by whichever process, all of them go; what is kept is small and soon there again.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import Deferred, succeed
from zope.interface import implementer

from ._borrowed import Index
from ._interfaces import IReading, ObjectFacts
from ._plain import READING_FORMAT, object_to_plain

LIMIT_BYTES = 8_388_608
_OVERHEAD_BYTES = 2_048  # of the facts and the place in the table

Place = tuple[str, str, str]
"""Account, container and name."""


class SmallObjects:
    """
    The kept objects of one process.

    :param limit_bytes: most memory they may take; the ones not used for longest go first
    """

    def __init__(self, index: Index, limit_bytes: int = LIMIT_BYTES) -> None:
        self._index = index
        self._limit_bytes = limit_bytes
        self._kept: OrderedDict[Place, tuple[ObjectFacts, bytes]] = OrderedDict()
        self._bytes = 0
        self._version: int | None = None

    def version(self) -> int | None:
        """The index's version now, for ``get`` and ``put``; forgets everything when it is another one than before."""
        version = self._index.version()
        if version != self._version:
            self._version = version
            self._kept.clear()
            self._bytes = 0
        return version

    def get(self, place: Place) -> IReading | None:
        """What is kept of ``place``, right at this moment."""
        if self.version() is None:
            return None
        kept = self._kept.get(place)
        if kept is None:
            return None
        self._kept.move_to_end(place)
        return KeptReading(*kept)

    def put(self, place: Place, version: int | None, facts: ObjectFacts, content: bytes) -> None:
        """
        Keep an object that was read.

        :param version: of the index, asked before the reading began
        """
        if version is None or version != self._version or place in self._kept:
            return
        self._kept[place] = (facts, content)
        self._bytes += len(content) + _OVERHEAD_BYTES
        while self._bytes > self._limit_bytes:
            _, (_, dropped) = self._kept.popitem(last=False)
            self._bytes -= len(dropped) + _OVERHEAD_BYTES


@implementer(IReading)
class KeptReading:
    """One kept version; gets a descriptor, of memory, only when somebody asks for regions."""

    __slots__ = ("_descriptor", "content", "facts")

    def __init__(self, facts: ObjectFacts, content: bytes) -> None:
        self.facts = facts
        self.content = content
        self._descriptor = -1

    def regions(self, start: int, length: int) -> Sequence[tuple[int, int, int]]:
        """See ``IReading``."""
        if self._descriptor < 0:
            self._descriptor = os.memfd_create("object")
            os.write(self._descriptor, self.content)
        return [(self._descriptor, start, length)] if length else []

    def region(self, start: int, length: int) -> Deferred[tuple[int, int, int]]:
        """See ``IReading``."""
        return succeed(self.regions(start, length)[0])

    def tell(self) -> dict[str, Any]:
        """See ``IReading``."""
        return {
            "format": READING_FORMAT,
            "object": object_to_plain(self.facts),
            "content": self.content,
            "open": [],
        }

    def descriptors(self) -> tuple[int, ...]:
        """See ``IReading``."""
        return ()

    def close(self) -> None:
        """See ``IReading``."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def __del__(self) -> None:
        self.close()
