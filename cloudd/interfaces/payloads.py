# -*- test-case-name: tests.nodes.test_pins -*-
"""Which version of a payload is written, so that all who may read it can.  Nothing here waits."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

Readable = Mapping[str, Sequence[int]]
"""Name of a payload -> the versions that some code reads."""


def newest_common(name: str, wanted: int, readable: Sequence[int], read_by: Iterable[Readable]) -> int:
    """
    The newest version that all read who know the payload; who does not know it takes no part in its work.

    :param wanted: the newest that our code may write
    :param readable: those that our code reads, which are those that it can write
    :param read_by: what each of the others reads
    :return: at most ``wanted``; where there is none that all read, the oldest that we can write, since whoever is older
        than our previous release must not run beside us
    """
    known = [set(reads[name]) for reads in read_by if name in reads]
    common = {version for version in readable if version <= wanted}.intersection(*known)
    return max(common) if common else min(readable, default=wanted)
