# -*- test-case-name: tests.nodes.test_pins -*-
"""
Which versions of messages and rows are written while nodes of several releases work together.  Nothing here waits.

Each node tells in its row which versions of each payload its code reads.  What is written must be read by all who
live: **the newest version that every live node that knows the payload reads**, and never a newer one than our own code
wants to write.  A node that does not know a payload at all takes no part in its work, and so has no say.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from attrs import frozen

from cloudd.interfaces.payloads import Readable, newest_common

from ._rows import Node


@frozen
class Pins:
    """
    :param read_by: what each live node reads, our own included, and the code that can still be gone back to
    """

    read_by: tuple[Readable, ...] = ()

    @classmethod
    def of(cls, nodes: Iterable[Node], lost_s: float, before: Readable | None = None) -> Pins:
        """
        From the registry: all nodes count that are not removed, have said something, and are not lost.

        :param before: what the code reads that an open release can go back to
        """
        live = (node for node in nodes if node.state != "removed" and node.age_s is not None)
        read_by = [node.payloads for node in live if not node.is_lost(lost_s)]
        return cls(tuple(read_by if before is None else [*read_by, before]))

    def emits(self, name: str, wanted: int, readable: Sequence[int]) -> int:
        """
        The version in which a payload is written now.

        :param wanted: the newest that our code may write (``Form.emits``)
        :param readable: those that our code reads, which are those that it can write
        :return: see ``newest_common``
        """
        return newest_common(name, wanted, readable, self.read_by)

    def served(self, name: str, ours: Sequence[int]) -> tuple[int, int]:
        """
        The range of an API's versions that clients are shown: what every live node serves that knows the API.

        So a client that was told a version by one node is not refused it by the next, and nodes of new code show what
        the oldest shows until that is gone.

        :param ours: versions that our code serves, at least one
        :return: the lowest and the highest; where nobody shares one with us, ours
        """
        known = [set(reads[name]) for reads in self.read_by if name in reads]
        common = set(ours).intersection(*known) or set(ours)
        return min(common), max(common)
