# -*- test-case-name: tests.net.test_host -*-
"""One host's network, brought to a plan: look, compare, apply."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from typing import Final

from attrs import define, field, frozen

from ._changes import FIREWALL, Change, additions, removals
from ._errors import BadPlan
from ._firewall import plan_firewall
from ._libnftables import carry_out, read_tables
from ._netlink import Taps
from ._ruleset import Ruleset, difference
from ._taps import DEFAULT_PREFIX, Tap, plan_taps
from ._values import Plan

_PREFIX: Final = re.compile(r"[a-z][a-z0-9]{0,5}")


def _checked_prefix(value: str) -> str:
    if not _PREFIX.fullmatch(value):
        raise BadPlan(
            "prefix", f"{value[:40]!r} cannot begin names of taps", "Give one to six small letters and digits"
        )
    return value


@frozen
class Observed:
    """
    What of ours is on the host.

    :ivar taps: by name, without sysctls
    """

    taps: dict[str, Tap]
    firewall: Ruleset


@frozen
class Applied:
    """What was changed, in order; empty: all was as planned, and nothing was written."""

    changes: tuple[Change, ...]


@define
class HostNetwork:
    """
    The network of the namespace in which the calling thread is.  Blocks: call it in a thread.

    Calls from several threads wait for each other.  Another process with the same prefix
    would undo what this one does.

    :ivar _prefix: what names of our taps begin with
    :ivar _on_change: called after each change, for logs; what it raises ends the ``apply``
    """

    _prefix: str = field(default=DEFAULT_PREFIX, converter=_checked_prefix)
    _on_change: Callable[[Change], None] = lambda change: None
    _lock: threading.Lock = field(init=False, factory=threading.Lock)

    def observe(self) -> Observed:
        """
        :raises NetError: netlink or nftables do not answer
        """
        with self._lock, Taps(self._prefix) as kernel:
            return Observed(kernel.read({}), read_tables())

    def apply(self, plan: Plan) -> Applied:
        """
        Bring the host to ``plan``; safe to call again, also after a call that failed or was killed half-way.

        Afterwards each port has its tap, and each tap and rule of ours has its place in the plan.  Links, routes and
        tables that are not ours are never touched.  Established connections go on.

        :raises BadPlan: the plan cannot be made; nothing was changed
        :raises NetError: the host refuses a change; those before it stay
        """
        wanted, firewall = plan_taps(plan, self._prefix), plan_firewall(plan, self._prefix)
        changes: list[Change] = []
        with self._lock, Taps(self._prefix) as kernel:
            found = kernel.read(wanted)
            self._do(kernel, removals(found, wanted), wanted, changes)
            if commands := difference(read_tables(), firewall):
                carry_out(commands)
                self._note(Change(FIREWALL, "", f"{len(commands)} commands"), changes)
            self._do(kernel, additions(found, wanted), wanted, changes)
        return Applied(tuple(changes))

    def _do(self, kernel: Taps, planned: list[Change], wanted: dict[str, Tap], changes: list[Change]) -> None:
        for change in planned:
            kernel.do(change, wanted)
            self._note(change, changes)

    def _note(self, change: Change, changes: list[Change]) -> None:
        changes.append(change)
        self._on_change(change)
