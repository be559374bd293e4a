# -*- test-case-name: tests.drivers.test_power -*-
"""
What each call makes of a guest, by what the guest is doing: the rules of ``IServerDriver`` as one table.  Pure.

A missing entry is a refusal, which leaves the guest as it was.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from cloudd.interfaces.servers import DriverError, Power

_ON: Final = {Power.RUNNING: Power.RUNNING, Power.PAUSED: Power.RUNNING}

AFTER: Final[Mapping[str, Mapping[Power, Power]]] = {
    "power_on": dict.fromkeys(Power, Power.RUNNING),
    "power_off": {**dict.fromkeys(Power, Power.OFF), Power.CRASHED: Power.CRASHED},
    "reboot": {power: Power.RUNNING for power in Power if power != Power.SUSPENDED},
    "soft_reboot": {Power.RUNNING: Power.RUNNING},
    "pause": {Power.RUNNING: Power.PAUSED, Power.PAUSED: Power.PAUSED},
    "unpause": _ON,
    "suspend": dict.fromkeys((*_ON, Power.SUSPENDED), Power.SUSPENDED),
    "snapshot": {power: power for power in Power},
    "rebuild_disk": {Power.OFF: Power.OFF, Power.CRASHED: Power.OFF, Power.SUSPENDED: Power.OFF},
}

_WORDS: Final = {"soft_reboot": "be asked to reboot", "rebuild_disk": "get a new disk"}
_STEPS: Final = {
    "reboot": "Resume the server first",
    "soft_reboot": "Start the server, or reboot it hard",
    "rebuild_disk": "Stop the server first",
}


def after(call: str, power: Power) -> Power:
    """
    What the guest does afterwards.

    :param call: a key of ``AFTER``
    :raises DriverError: a guest in this state refuses
    """
    present = AFTER[call].get(power)
    if present is None:
        raise DriverError(
            f"a guest that is {power.name} cannot {_WORDS.get(call, call)}", _STEPS.get(call, "Start the server first")
        )
    return present
