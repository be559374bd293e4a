# -*- test-case-name: tests.daemon.test_generations,tests.daemon.test_freeing -*-
"""
What becomes of a generation that no longer answers: its last requests end, then it is freed, in steps between which
the reactor serves others.  Weak references tell whether it is gone; what holds one that is not is named.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from cloudd.interfaces.application import IApplication
from reload import FEW_OBJECTS, Generation, old_objects

from ._heaps import give_back

DELAY_S = 0.3
STEP_PAUSE_S = 0.002
LONGEST_STEP_PAUSE_S = 0.01
STEP_RESTS = 3  # requests and other processes want the processor, too
LOOKS_BEFORE_HOLDERS = 5
LATE_LOOK_S = 30.0  # whether one that was held is gone after all
EARLY_LOOKS = 2  # what holds it is most often an answer that is still to come, no garbage


@define(eq=False)
class Running:
    """One generation in this worker.  ``in_flight`` is changed by ``Generations`` alone."""

    number: int
    tree_hash: str
    generation: Generation
    application: IApplication | None
    lent: tuple[object, ...]  # what its resources are
    in_flight: int = 0
    total: int = 0
    retired: bool = False


@define(eq=False)
class Freeing:
    """
    :param kept: what generations may know and do not own, besides what they are lent
    :param forget: called when a generation is let go, to empty caches of the kernel that may hold its values
    :param delay_s: after which one whose last request has ended is let go
    :param step_pause_s: at least, between two steps
    :param step_rests: how many times as long as a step the pause after it is, up to ``LONGEST_STEP_PAUSE_S``
    """

    _reactor: Any
    _kept: Callable[[], Iterable[object]]
    _forget: Callable[[], object] = field(default=lambda: None)
    _delay_s: float = DELAY_S
    _step_pause_s: float = STEP_PAUSE_S
    _step_rests: float = STEP_RESTS
    _find_holders: Callable[[Generation, Any], Deferred[list[str]]] = field(default=Generation.find_holders)
    retired: dict[int, Running] = field(init=False, factory=dict)
    leaks: dict[int, list[str]] = field(init=False, factory=dict)  # number -> what holds it, for the operator
    log = Logger()

    def retire(self, running: Running) -> None:
        """It no longer answers; its requests may still run."""
        running.retired = True
        self.retired[running.number] = running

    def free(self, running: Running) -> None:
        """Nothing of it runs any more, or ever did: let it go."""
        running.application = None
        # Not at once: frames of the last request are still on the stack, and all workers have just switched.
        self._reactor.callLater(self._delay_s, self._let_go, running)

    @property
    def is_under_way(self) -> bool:
        """Whether a retired one has ended and waits to be freed, if it can be."""
        return any(old.application is None and number not in self.leaks for number, old in self.retired.items())

    def _let_go(self, running: Running) -> None:
        self._step(running.generation.release_in_steps(), partial(self._released, running))

    def _released(self, running: Running) -> None:
        self._forget()
        self._reactor.callLater(0, self._look, running, 1)

    def _look(self, running: Running, look: int) -> None:
        # A full collection finds all that holds it and is garbage itself; with many connections it takes its time,
        # and to count the objects takes some, too.
        thorough = look == LOOKS_BEFORE_HOLDERS or (look > EARLY_LOOKS and old_objects() < FEW_OBJECTS)
        kept = [self, self._reactor, *running.lent, *self._kept()]
        steps = running.generation.free(kept, thorough=thorough)
        self._step(steps, partial(self._look_whether_gone, running, look))

    def _step(self, steps: Iterator[None], then: Callable[[], object]) -> None:
        begin = time.perf_counter()
        for _ in steps:
            rest_s = min(LONGEST_STEP_PAUSE_S, self._step_rests * (time.perf_counter() - begin))
            pause_s = max(self._step_pause_s, rest_s)
            self._reactor.callLater(pause_s, self._step, steps, then)
            return
        then()

    def _look_whether_gone(self, running: Running, look: int) -> None:
        if running.generation.living() == 0:
            self.retired.pop(running.number, None)
            self.leaks.pop(running.number, None)
            give_back()
            return
        running.lent = ()  # it may be what holds it
        if look == LOOKS_BEFORE_HOLDERS:
            self._find_holders(running.generation, self._reactor).addCallback(self._note_leak, running)
        if look <= LOOKS_BEFORE_HOLDERS:
            self._reactor.callLater(self._delay_s * 2**look, self._look, running, look + 1)
        else:
            self._reactor.callLater(LATE_LOOK_S, self._look_whether_gone, running, look)

    def _note_leak(self, holders: list[str], running: Running) -> None:
        if running.number in self.retired:
            self.leaks[running.number] = holders
        self.log.error("generation {number} is not freed; held by {holders}", number=running.number, holders=holders)
