# -*- test-case-name: tests.protocols.http.test_lots -*-
"""
Lots for connections: by them a share of all connections is chosen by chance, and each stays chosen for its life.

Of every 20 lots that are drawn one after the other, one lies in each twentieth of [0, 1), in an order of chance.  So a
share of 5 % is one connection out of 20 also where there are few, and nobody can tell which one it will be.
"""

from __future__ import annotations

from random import Random

STRATA = 20


class Lots:
    """
    :param random: where chance comes from
    """

    def __init__(self, random: Random) -> None:
        self._random = random
        self._left: list[int] = []

    def draw(self) -> float:
        """A number from 0 to below 1."""
        if not self._left:
            self._left = list(range(STRATA))
            self._random.shuffle(self._left)
        return (self._left.pop() + self._random.random()) / STRATA
