# -*- test-case-name: tests.daemon.test_orphan -*-
"""
A worker whose anchor has gone: it does what the anchor had decided before it died, serves on, and waits for another.

What was decided is the number in the record: see ``_committed``.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, Protocol

from attrs import define, field, frozen
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from cloudd.interfaces.application import Threads

from ._committed import RecordError, read_committed
from ._moving import Moving

Act = Literal["wait", "abort", "decide", "take_back", "end_window", "take_over", "end_at_once", "end"]


@frozen(kw_only=True)
class Standing:
    """
    How far a worker is in a hand-over.

    :ivar state: ``standby``, ``serving`` or ``leaving``
    :ivar generation: that it was forked for
    :ivar is_new: it was forked for a hand-over
    :ivar is_taking: it has an old worker that gives
    :ivar is_undecided: it gives, and waits for the decision
    :ivar is_leaving: it gives, or has given
    :ivar gives_to: the generation of those that it gives to
    """

    state: str
    generation: int
    is_new: bool = False
    is_taking: bool = False
    is_undecided: bool = False
    is_leaving: bool = False
    gives_to: int = 0


def act_of(standing: Standing, decided: int) -> Act:
    """
    What the record says that a worker has to do in a hand-over.

    :param decided: the generation that the host has decided for; 0: the record tells nothing
    """
    if standing.is_undecided:
        return "decide" if decided == standing.gives_to else "abort"
    if standing.is_leaving:
        return "take_back" if 0 < decided < standing.gives_to else "end_window"  # nobody supervises any more
    if standing.state == "standby":
        return "take_over" if decided == standing.generation else "end_at_once"
    if standing.is_new and 0 < decided < standing.generation and not standing.is_taking:
        return "end"  # the host goes back, and nobody takes anything back from here
    return "wait"


class Orphaned(Protocol):
    """The worker itself."""

    def standing(self) -> Standing: ...

    def settle(self, decided: int) -> None:
        """Do what was decided in a swap."""

    def take_over(self) -> None:
        """Serve from now on."""

    def end_soon(self, timeout_s: float) -> None:
        """End in order."""


@define(eq=False)
class Orphan:
    """
    What becomes of one worker without its anchor.

    :param code: the folder of the record
    :param wait_s: how long another anchor is waited for
    :param stop_timeout_s: how long requests in flight have when it ends
    :ivar is_announced: the anchor has said that it becomes other code
    """

    _name: str
    _reactor: Any
    _threads: Threads
    _code: Path
    _moving: Moving
    _worker: Orphaned
    _wait_s: Callable[[], float]
    _stop_timeout_s: Callable[[], float]
    is_announced: bool = False
    _timer: Any = field(init=False, default=None)
    log = Logger()

    def begin(self) -> None:
        """The anchor has gone."""
        begun = Deferred.fromCoroutine(self._begin())
        begun.addErrback(lambda failure: self.log.failure("serving without an anchor", failure))

    def end(self) -> None:
        """Another one has come."""
        if self._timer is not None and self._timer.active():
            self._timer.cancel()

    async def _begin(self) -> None:
        wait_s = self._wait_s()
        if not self.is_announced:
            self.log.error(
                "{worker}: the anchor has gone; serving on for {wait_s:g} s, until a new one comes",
                worker=self._name,
                wait_s=wait_s,
            )
        self.is_announced = False
        self._timer = self._reactor.callLater(wait_s, self._wait_is_over)
        decided = 0
        try:
            record = await self._threads.run(read_committed, self._code)
            decided = record.generation if record is not None else 0
        except (OSError, RecordError) as error:
            self.log.error("which code was decided for cannot be read: {error}", error=error)
        if self._worker.standing().state == "serving":
            self._worker.settle(decided)
        self._do(act_of(self._worker.standing(), decided))

    def _wait_is_over(self) -> None:
        self._worker.end_soon(self._stop_timeout_s())

    def _do(self, act: Act) -> None:
        moving = self._moving
        if act == "abort":
            moving.abort("the anchor has gone before it decided")
        elif act == "decide" and not moving.decide():
            moving.abort("the anchor has gone before the rehearsal had ended")
        elif act in {"decide", "end_window"}:
            moving.end_window()  # nobody will supervise
        elif act == "take_back":
            moving.take_back("the anchor had decided that the old code serves again")
        elif act == "take_over":
            self._worker.take_over()
        elif act == "end_at_once":
            self._worker.end_soon(0)
        elif act == "end":
            self._worker.end_soon(self._stop_timeout_s())
