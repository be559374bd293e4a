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

from ._inheritance import Inheritance, become, hear_signals, hold_signals, keep_from_exec, leave
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
    :param note: told what the operator should know when it could not be done
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
    _note: Callable[[str], None]
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
        self._threads.stop()
        try:
            self._leave_and_become(self._pool.decided)
        except Exception as error:
            self._stay(error)

    def _leave_and_become(self, decided: Decided) -> None:
        inheritance = self._leave()
        file = leave(inheritance)
        try:
            own, copy = self._own_code(), self._code_folder / decided.tree_hash
            become(file, decided.interpreter, copy, own, self._environment)
        except BaseException:
            keep_from_exec(inheritance, file)
            raise

    def _stay(self, error: Exception) -> None:
        """There is no next self: work on."""
        be_normal()
        self._threads.start()
        self._hear_again()
        if isinstance(error, OSError):
            self.log.error("the anchor stays what it is: {error}", error=error)
        else:
            self.log.failure("the anchor stays what it is")
        self._note(f"it could not become the code of its workers: {error}; it tries again at the next hand-over")
