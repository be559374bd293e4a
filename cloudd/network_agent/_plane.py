# -*- test-case-name: tests.network_agent.test_agent -*-
"""
A host's data plane as one thing: links, firewall and DHCP, with the turn of whoever changes them.  Blocking.

**The turn.**  For a while two generations of one cloud may both change the network of a host: while a canary runs, and
while tasks of an old one end.  Each knows the host from before, so one that has read older records would take away what
the other has just made.  So who changes it first takes the turn, a ``flock(2)``, then reads the records, and lets go
when they are applied: nobody ever applies records that are older than those which were applied last.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from attrs import define, field, frozen

from net import Dhcp, HostNetwork, NetError, Plan, Update

_PATIENCE_S: Final = 30.0
_NAP_S: Final = 0.005


@frozen
class Outcome:
    """
    :ivar changes: what was done, in words
    :ivar refused: ids of ports whose tap the host refuses -> why
    """

    changes: tuple[str, ...] = ()
    refused: Mapping[str, NetError] = field(factory=dict)


@define(eq=False)
class Plane:
    """
    :ivar _lock: file of the turn
    """

    _network: HostNetwork
    _dhcp: Dhcp
    _lock: Path
    _turn: int | None = field(init=False, default=None)

    def take_turn(self) -> None:
        """
        :raises NetError: another process does not let go
        """
        self._lock.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(self._lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        deadline = time.monotonic() + _PATIENCE_S
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    os.close(descriptor)
                    raise NetError(
                        f"another process has held {self._lock} for {_PATIENCE_S:g} s",
                        f"See which one, and whether it hangs: fuser {self._lock}",
                    ) from None
                time.sleep(_NAP_S)
            else:
                self._turn = descriptor
                return

    def give_turn(self) -> None:
        turn, self._turn = self._turn, None
        if turn is not None:
            os.close(turn)

    def neighbourhood(self) -> frozenset[str]:
        """
        What the host has itself or reaches directly: addresses with the lengths of their prefixes.

        :raises NetError:
        """
        return self._network.neighbourhood()

    def apply(self, plan: Plan) -> Outcome:
        """
        Look at everything and bring it to ``plan``.

        :raises NetError:
        """
        applied = self._network.apply(plan)
        told = self._dhcp.apply(plan)
        return Outcome((*map(str, applied.changes), *told), applied.refused)

    def change(self, update: Update) -> Outcome:
        """
        The same for a difference to what was asked for last.

        :raises NetError: afterwards the whole plan has to be applied
        """
        applied = self._network.change(update)
        told = self._dhcp.change(update)
        return Outcome((*map(str, applied.changes), *told), applied.refused)

    def look(self) -> Outcome:
        """
        Put right what the kernel has told of, and a dnsmasq that has ended; cheap.

        :raises NetError:
        """
        applied = self._network.change(Update())
        return Outcome((*map(str, applied.changes), *self._dhcp.repair()), applied.refused)

    def repair(self) -> Outcome:
        """
        Look at everything, in slices, and put it right.

        :raises NetError:
        """
        applied = self._network.repair()
        return Outcome((*map(str, applied.changes), *self._dhcp.repair()), applied.refused)

    def close(self) -> None:
        """Stop listening; the network stays."""
        self.give_turn()
        self._network.close()
