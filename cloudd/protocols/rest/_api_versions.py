# -*- test-case-name: tests.protocols.rest.identity.test_discovery -*-
"""
Which versions of an API clients are shown.

Code serves a range of versions; a face shows the part of it that all live nodes serve (``cloudd.nodes.Pins.served``),
so that in a cloud of mixed code no node promises what the next one refuses, and what was promised before an upgrade is
served all through it.  A face registers what it serves as ``NAME -> versions``; nodes tell each other in their rows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

Served = Callable[[str, Sequence[int]], tuple[int, int]]
"""Name of an API and the versions that our code serves -> the lowest and the highest that are shown."""


def all_of_ours(_name: str, ours: Sequence[int]) -> tuple[int, int]:
    """What a machine alone shows."""
    return min(ours), max(ours)
