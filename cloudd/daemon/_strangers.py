# -*- test-case-name: tests.daemon.test_strangers -*-
"""
Children that nobody here has started: what detaches itself below a worker, as dnsmasq does, becomes the anchor's child,
since the anchor adopts workers whose loader ends (``_succession``).  When such a one ends somebody has to take notice.
"""

from __future__ import annotations

import os
from typing import Any, Final

from attrs import define, field
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

LOOK_S: Final = 5.0

log = Logger()


@define(eq=False)
class StrangerReaper:
    """Takes notice of children that have ended and that nobody else has asked for from one look to the next."""

    _reactor: Any
    _seen: int | None = field(init=False, default=None)
    _timer: LoopingCall | None = field(init=False, default=None)

    def start(self) -> None:
        """Look from time to time."""
        self._timer = LoopingCall(self.look)
        self._timer.clock = self._reactor
        self._timer.start(LOOK_S).addErrback(lambda failure: log.failure("nobody looks for ended children", failure))

    def stop(self) -> None:
        """No more; safe to call before ``start``."""
        if self._timer is not None and self._timer.running:
            self._timer.stop()

    def look(self) -> None:
        """Whoever waits for a child of its own does so at once; what is there for the second time is nobody's."""
        ended = _ended()
        if ended is not None and ended == self._seen:
            os.waitpid(ended, os.WNOHANG)
            ended = _ended()
        self._seen = ended


def _ended() -> int | None:
    """A child that has ended, which stays so."""
    try:
        found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return None
    return None if found is None else found.si_pid
