# -*- test-case-name: tests.daemon.test_becoming -*-
"""
When the anchor becomes an anchor of other code: after a hand-over, when all has been said.

How it does is in ``_inheritance``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from attrs import define
from twisted.logger import Logger

from cloudd.protocols.control import ControlFactory

from ._inheritance import Inheritance, become, hear_signals, hold_signals, leave
from ._priority import be_normal
from ._threads import WorkerThreads
from ._workers import Decided

NEXT_SELF_S = 0.1
QUIET_S = 5.0  # longest wait for answers on the control socket before the anchor becomes other code


class Pool(Protocol):
    """What is needed of the ``WorkerPool``."""

    decided: Decided

    def tell_all(self, call: str, **body: Any) -> None:
        """Cast to every ready worker."""


@define(eq=False)
class Becoming:
    """
    :param control: serves the control socket
    :param control_port: accepts on it
    :param is_changing: whether an upgrade or rollback is under way
    :param is_stopping: whether the daemon ends
    :param leave: tells what the next self gets
    :param own_code: tells where the code lies that runs now, for the way back
    :param code_folder: of the staged copies
    """

    _reactor: Any
    _pool: Pool
    _control: ControlFactory
    _control_port: Any
    _threads: WorkerThreads
    _is_changing: Callable[[], bool]
    _is_stopping: Callable[[], bool]
    _leave: Callable[[], Inheritance]
    _own_code: Callable[[], Path]
    _code_folder: Path
    _environment: Mapping[str, str]
    _timer: Any = None  # of the next look; None: nothing is to be become
    _deadline: float = 0.0
    log = Logger()

    def soon(self) -> None:
        """Become an anchor of the code that was decided for, when all has been said and no change is under way."""
        self._deadline = self._reactor.seconds() + QUIET_S
        if self._timer is None:
            self._look_again()

    def _look_again(self) -> None:
        self._timer = self._reactor.callLater(NEXT_SELF_S, self._look)

    def _look(self) -> None:
        self._timer = None
        if self._is_stopping():
            return
        if self._is_changing():
            # It may be refused, or end in any other way: we go on whatever becomes of it.
            self.soon()
        elif self._control.is_busy() and self._reactor.seconds() < self._deadline:
            self._look_again()
        else:
            self._fall_silent()

    def _fall_silent(self) -> None:
        self.log.info("the anchor becomes {tree}", tree=self._pool.decided.tree_hash[:12])
        self._pool.tell_all("anchor_changes")
        hold_signals()
        # What is asked from now on waits in the kernel for the next self.
        self._control_port.stopReading()
        self._control.hold()
        # When that has been sent, and a signal that came before has taken effect.
        self._reactor.callLater(0, self._reactor.callLater, 0, self._exec)

    def _hear_again(self) -> None:
        hear_signals()
        self._control_port.startReading()
        self._control.hear()

    def _exec(self) -> None:
        if self._is_stopping() or getattr(self._reactor, "_stopped", False):
            hear_signals()
            return  # a signal came first
        if self._is_changing():
            self._hear_again()
            self.soon()
            return  # a worker's visitor came first
        decided = self._pool.decided
        self._threads.stop()
        try:
            become(
                leave(self._leave()),
                decided.interpreter,
                self._code_folder / decided.tree_hash,
                self._own_code(),
                self._environment,
            )
        except OSError as error:
            be_normal()
            self._hear_again()
            self.log.error("the anchor stays what it is: {error}", error=error)
            self._threads.start()
