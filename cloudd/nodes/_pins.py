# -*- test-case-name: tests.nodes.test_pins -*-
"""
Which versions of messages and rows are written while nodes of several releases work together.  Nothing here waits.

Each node tells in its row which versions of each payload its code reads.  What is written must be read by all who
live: **the newest version that every live node that knows the payload reads**, and never a newer one than our own code
wants to write.  A node that does not know a payload at all takes no part in its work, and so has no say.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from attrs import frozen

from ._rows import Node

Readable = Mapping[str, Sequence[int]]


@frozen
class Pins:
    """
    :param read_by: what each live node reads, our own included
    """

    read_by: tuple[Readable, ...] = ()

    @classmethod
    def of(cls, nodes: Iterable[Node], lost_s: float) -> Pins:
        """
        From the registry: all nodes count that are not removed, have said something, and are not lost.
        """
        live = (node for node in nodes if node.state != "removed" and node.age_s is not None)
        return cls(tuple(node.payloads for node in live if not node.is_lost(lost_s)))

    def emits(self, name: str, wanted: int, readable: Sequence[int]) -> int:
        """
        The version in which a payload is written now.

        :param wanted: the newest that our code may write (``Form.emits``)
        :param readable: those that our code reads, which are those that it can write
        :return: at most ``wanted``; where there is none that all read, the oldest that we can write, since
            whoever is older than our previous release must not run beside us
        """
        known = [set(reads[name]) for reads in self.read_by if name in reads]
        common = {version for version in readable if version <= wanted}.intersection(*known)
        return max(common) if common else min(readable, default=wanted)

    def too_old(self, name: str, readable: Sequence[int]) -> bool:
        """Whether somebody who lives reads no version that our code can write."""
        known = (set(reads[name]) for reads in self.read_by if name in reads)
        return any(not reads & set(readable) for reads in known)
