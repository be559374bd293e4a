# -*- test-case-name: tests.drivers.test_libvirt_states -*-
"""What libvirt's states mean.  Pure."""

from __future__ import annotations

from typing import Final

import libvirt

from cloudd.interfaces.servers import Power

# A guest is paused for a moment while libvirt does something with it: nobody has paused it.
_ON_THE_WAY: Final = {
    libvirt.VIR_DOMAIN_PAUSED_MIGRATION,
    libvirt.VIR_DOMAIN_PAUSED_SAVE,
    libvirt.VIR_DOMAIN_PAUSED_DUMP,
    libvirt.VIR_DOMAIN_PAUSED_FROM_SNAPSHOT,
    libvirt.VIR_DOMAIN_PAUSED_SHUTTING_DOWN,
    libvirt.VIR_DOMAIN_PAUSED_SNAPSHOT,
    libvirt.VIR_DOMAIN_PAUSED_STARTING_UP,
}

_PANIC: Final = "The guest's kernel has panicked; its console may say why."
_OTHERS: Final = {
    libvirt.VIR_DOMAIN_RUNNING: (Power.RUNNING, ""),
    libvirt.VIR_DOMAIN_BLOCKED: (Power.RUNNING, ""),
    libvirt.VIR_DOMAIN_SHUTDOWN: (Power.RUNNING, ""),  # about to be off
    libvirt.VIR_DOMAIN_PMSUSPENDED: (Power.PAUSED, ""),
    libvirt.VIR_DOMAIN_CRASHED: (Power.CRASHED, _PANIC),
}


def power_of(state: int, reason: int, saved: bool) -> tuple[Power, str]:
    """
    :param state: ``VIR_DOMAIN_*``
    :param reason: ``VIR_DOMAIN_*_*``, of that state
    :param saved: whether its memory is on disk
    :return: and the cause of a crash, else an empty one
    """
    if state == libvirt.VIR_DOMAIN_PAUSED:
        return _paused(reason)
    if state == libvirt.VIR_DOMAIN_SHUTOFF:
        return _off(reason, saved)
    return _OTHERS.get(state, (Power.UNKNOWN, ""))


def _off(reason: int, saved: bool) -> tuple[Power, str]:
    if saved:
        return Power.SUSPENDED, ""
    if reason == libvirt.VIR_DOMAIN_SHUTOFF_CRASHED:
        return Power.CRASHED, "QEMU has ended without being asked to; start the server again."
    return Power.OFF, ""


def _paused(reason: int) -> tuple[Power, str]:
    if reason in _ON_THE_WAY:
        return Power.RUNNING, ""
    if reason == libvirt.VIR_DOMAIN_PAUSED_IOERROR:
        return Power.PAUSED, "Its disk cannot be written; make room on the host and start the server again."
    if reason == libvirt.VIR_DOMAIN_PAUSED_CRASHED:
        return Power.CRASHED, _PANIC
    return Power.PAUSED, ""
