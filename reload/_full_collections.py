# -*- test-case-name: tests.reload.test_full_collections -*-
"""
Full garbage collections seldom, and at times that have nothing to do with upgrades.

CPython begins one by itself when a quarter more objects have got old than the last one left (``gc.set_threshold``).  A
generation is some 45,000 objects that get old at once, and a full collection stops the reactor for 30 ms with 60,000
objects on a busy machine: with some connections every second swap would have one.
"""

from __future__ import annotations

import gc
import random
import sys
from collections.abc import Callable
from typing import Any

LOOK_S = 10.0
GROWTH = 1.5
FEW_OBJECTS = 80_000  # a full collection of so many takes 20 to 70 ms; the code of a cloud alone is 45,000
GROWTH_OF_FEW = 1.1
USUAL_OBJECTS = 100_000  # three generations and what a daemon has: no sign of garbage
OBJECTS_EACH = 20  # of a connection; it has 8 when it is idle, 13 as a stream
OBJECTS_OF_GENERATION = 45_000
MOST_POSTPONED = 6  # looks: where one change follows the other, garbage would never go
_NEVER = 1_000_000_000
_FEW_MIDDLE_COLLECTIONS = 20  # since the last full one: then hardly anything has got old


class FullCollections:
    """
    The collector's own full collections are off; instead there is one when there are many old objects, and half as many
    again as after the last one; where there are few, when a tenth has come that neither connections nor generations
    explain: each load lets some get old that are garbage soon after, such as statements on their way to the database.
    Where nobody is connected a tenth is enough.

    What is frozen (``gc.freeze``) is neither counted nor looked at.

    :param reactor: whose timer looks every ``LOOK_S``, or a little sooner
    :param is_changing: whether a generation is being loaded or tried or has just taken over, when clients wait already,
        or is being freed in steps, which a full collection would do in one
    :param held: how many connections there are, whose objects are no garbage
    :param generations: how many live of those that were loaded in this process, whose objects are none either
    """

    def __init__(
        self,
        reactor: Any,
        is_changing: Callable[[], bool] = lambda: False,
        held: Callable[[], int] = lambda: 0,
        generations: Callable[[], int] = lambda: 0,
    ) -> None:
        self._reactor = reactor
        self._is_changing = is_changing
        self._held = held
        self._generations = generations
        self._left = 0  # old objects after the last one, when there were
        self._held_then = 0
        self._generations_then = 0
        self._postponed = 0  # looks
        self._counted = 0  # old objects when they were counted last, and
        self._blocks = 0  # blocks of memory at that time
        self._look_later: Any = None
        self._usual = gc.get_threshold()

    def start(self) -> None:
        """From now on; ``stop`` ends it."""
        young, middle, _old = self._usual
        gc.set_threshold(young, middle, _NEVER)
        self._wait()

    def first(self) -> None:
        """One before clients come: else there would be one soon after, since it is not known what is no garbage."""
        gc.collect()
        self._note(self._count())

    def stop(self) -> None:
        """Leave it to the collector again."""
        gc.set_threshold(*self._usual)
        if self._look_later is not None and self._look_later.active():
            self._look_later.cancel()

    def _wait(self) -> None:
        # Processes that began together do not all collect in the same moment.
        self._look_later = self._reactor.callLater(LOOK_S * (1 - random.random() / 4), self._look)  # noqa: S311

    def _look(self) -> None:
        self._wait()
        if not gc.isenabled():
            return  # a collector that is off rests for a load
        if self._is_changing() and self._postponed < MOST_POSTPONED:
            self._postponed += 1
            return
        self._postponed = 0
        if gc.get_count()[2] < _FEW_MIDDLE_COLLECTIONS or not self._may_be_due():
            return  # to count the objects takes milliseconds, too
        objects = self._count()
        if self._is_due(objects):
            self._note(objects - gc.collect())

    def _note(self, left: int) -> None:
        self._left, self._held_then, self._generations_then = left, self._held(), self._generations()

    def _count(self) -> int:
        self._counted, self._blocks = old_objects(), sys.getallocatedblocks()
        return self._counted

    def _may_be_due(self) -> bool:
        """An object is a block of memory at least, and those are counted in microseconds."""
        more = sys.getallocatedblocks() - self._blocks
        at_least, at_most = self._counted + min(0, more), self._counted + max(0, more)
        return self._is_due(at_most) or (at_least <= FEW_OBJECTS and self._is_due(min(at_most, FEW_OBJECTS)))

    def _is_due(self, objects: int) -> bool:
        held = self._held()
        if not held:
            return objects > self._left * GROWTH_OF_FEW  # nobody waits for it
        no_garbage = self._left + OBJECTS_EACH * max(0, held - self._held_then)
        no_garbage += OBJECTS_OF_GENERATION * (self._generations() - self._generations_then)
        if objects <= FEW_OBJECTS:
            return objects > no_garbage * GROWTH_OF_FEW
        return objects > max(self._left * GROWTH, USUAL_OBJECTS + OBJECTS_EACH * held, no_garbage * GROWTH_OF_FEW)


def old_objects() -> int:
    """How many objects only a full collection looks at.  Takes up to 10 ms for 100,000."""
    return len(gc.get_objects(generation=2))
