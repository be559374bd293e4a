# -*- test-case-name: tests.reload.test_collecting -*-
"""
How a generation is made without a collection of everything that lives.

A full ``gc.collect()`` looks at every object of the process: some 5 µs for each connection that is held.  While code
loads, nothing is collected by itself (``QuietLoading``).  At the end the youngest objects are, which are those of the
load, so that what loading left over is gone.
"""

from __future__ import annotations

import gc
import sys
import threading

from ._pacing import rest

POLITE_SWITCH_S = 0.0001
YOUNG_OBJECTS = 1_500  # half a millisecond


class Quiet:
    """
    Nothing is collected by itself as long as somebody asks for it.

    The collector and the interval at which threads change places are the process's own, so this is counted for all.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._asked: list[float] = []  # the switch interval that each who asks wants
        self._usual = (True, 0.005)

    def begin(self, switch_s: float) -> None:
        with self._lock:
            if not self._asked:
                self._usual = gc.isenabled(), sys.getswitchinterval()
                gc.disable()
            self._asked.append(switch_s)
            sys.setswitchinterval(min(self._asked))

    @property
    def is_asked_for(self) -> bool:
        return bool(self._asked)

    def end(self, switch_s: float) -> None:
        with self._lock:
            self._asked.remove(switch_s)
            sys.setswitchinterval(min(self._asked, default=self._usual[1]))
            if not self._asked and self._usual[0]:
                gc.enable()


quiet = Quiet()


class QuietLoading:
    """
    Load code inside, in a thread, beside a reactor that must not stand still.  A context manager, to be used once.

    Threads change places fifty times as often as usual, and nothing is collected by itself.

    Each time that the reactor's thread reads or writes, it lets go of the interpreter, which the loading thread takes
    and keeps for that long: with half a millisecond instead of a tenth, reads and writes of a thousand requests a
    second take all of a second.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open = False

    def __enter__(self) -> None:
        self._open = True
        quiet.begin(POLITE_SWITCH_S)

    def __exit__(self, kind: type[BaseException] | None, *_details: object) -> None:
        if self.give_up() and kind is None:  # an error leads to frames, which lead to what was loaded
            gc.collect(0)

    def give_up(self) -> bool:
        """Wait no longer for its end, in whichever thread; false when that has come, or this was called before."""
        with self._lock:
            was, self._open = self._open, False
        if was:
            quiet.end(POLITE_SWITCH_S)
        return was


def collect_loaded() -> None:
    """
    During a quiet load, collect the youngest objects when they are many, and let those of the load get old: little at
    a time.  Else a later collection would look at all of them at once.  Rest, too, if it is ``paced``.  At other times
    it does nothing.

    For code that makes a lot while it is loaded, in between; the end of each module is such a place by itself.  To be
    called when no class is being made: else what its making leaves over would get older, and hold the class until a
    full collection.
    """
    rest()
    if quiet.is_asked_for and gc.get_count()[0] > YOUNG_OBJECTS:
        gc.collect(1)
