# -*- test-case-name: tests.guests.test_sight -*-
"""
What follows from a look at a guest: the rules of Nova's ``sync_power_state``, as one pure function.

What a guest does by itself is written down, not undone: a server whose guest has ended is stopped.  Only a guest that
runs though somebody has stopped its server is ended, and one that is off though nobody has is started where the
settings say so.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

from attrs import frozen

from cloudd.compute import OnHost, State, Wanted
from cloudd.interfaces.servers import Power, Seen

Verb = Literal["", "start", "stop"]


@frozen
class Change:
    """
    :ivar verb: what is to be ordered; empty: nothing
    """

    state: State
    power: Power
    verb: Verb = ""


_OFF: Final = frozenset({Power.OFF, Power.CRASHED})
_FOLLOWS: Final[Mapping[State, Mapping[Power, State]]] = {
    State.ACTIVE: {Power.OFF: State.STOPPED, Power.CRASHED: State.STOPPED, Power.SUSPENDED: State.SUSPENDED},
    State.STOPPED: {Power.RUNNING: State.ACTIVE},
    State.PAUSED: {Power.OFF: State.STOPPED, Power.CRASHED: State.STOPPED, Power.RUNNING: State.ACTIVE},
    State.SUSPENDED: {Power.OFF: State.STOPPED, Power.CRASHED: State.STOPPED, Power.RUNNING: State.ACTIVE},
}


def change_of(server: OnHost, seen: Seen | None, *, resumes: bool) -> Change | None:
    """
    :param seen: None: the host has no guest for it
    :param resumes: start what is off and was stopped by nobody
    :return: None: nothing follows, or somebody is at it
    """
    if server.doing is not None or server.state is State.BUILDING or server.wanted is Wanted.DELETED:
        return None
    power = Power.UNKNOWN if seen is None else seen.power
    verb = _verb(server, power, resumes=resumes)
    state = server.state if verb else _FOLLOWS.get(server.state, {}).get(power, server.state)
    change = Change(state, power, verb)
    return None if change == Change(server.state, server.power) else change


def _verb(server: OnHost, power: Power, *, resumes: bool) -> Verb:
    if server.state is State.STOPPED and server.wanted is Wanted.STOPPED and power is Power.RUNNING:
        return "stop"
    if resumes and power is Power.OFF and server.wanted is Wanted.RUNNING:
        return "start" if server.state in (State.ACTIVE, State.STOPPED) else ""
    return ""
