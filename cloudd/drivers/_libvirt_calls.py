# -*- test-case-name: tests.drivers.test_libvirt -*-
"""
What is asked of libvirt, one function a call; each blocks and runs in a thread, with the connection first.

All find done what is done.  Domains without our mark are of others and are left alone.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final

import libvirt
from attrs import frozen

from cloudd.interfaces.servers import DriverError, NoSuchGuest, Power, Seen

from ._libvirt_disks import grow
from ._libvirt_states import power_of
from ._libvirt_xml import NAMESPACE, Files, Mark, plugged, read_mark, root_disk

_EVERYTHING_KEPT: Final = (
    libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE
    | libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA
    | libvirt.VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA
    | libvirt.VIR_DOMAIN_UNDEFINE_NVRAM
)


@frozen
class Machine:
    """The host, as libvirt tells of it."""

    version: int
    vcpus: int
    memory_mib: int
    architecture: str
    capabilities: str


def machine(connection: Any) -> Machine:
    architecture, memory_mib, vcpus = connection.getInfo()[:3]
    return Machine(connection.getVersion(), vcpus, memory_mib, architecture, connection.getCapabilities())


# Looking


def find(connection: Any, server_id: str) -> Any:
    """
    The domain of a server, or ``None``.

    :raises DriverError: there is one with this id that is not ours
    """
    try:
        domain = connection.lookupByUUIDString(server_id)
    except libvirt.libvirtError as error:
        if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
            return None
        raise
    if _mark(domain) is None:
        raise DriverError(f"a domain {domain.name()} with the server's id is there and not of this cloud", "Rename it")
    return domain


def need(connection: Any, server_id: str) -> Any:
    """
    :raises NoSuchGuest: there is none
    """
    domain = find(connection, server_id)
    if domain is None:
        raise NoSuchGuest(f"this host has no guest {server_id}", "Build the server again")
    return domain


def exists(connection: Any, server_id: str) -> bool:
    """
    :raises DriverError: see ``find``
    """
    return find(connection, server_id) is not None


def disk(connection: Any, server_id: str) -> Path | None:
    """
    The file that is its root disk; ``None``: it is not defined.

    :raises DriverError: see ``find``
    """
    domain = find(connection, server_id)
    return None if domain is None else _disk(domain)


def _disk(domain: Any) -> Path:
    return Path(root_disk(domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)))


def power(connection: Any, server_id: str) -> Power:
    """
    :raises NoSuchGuest: see ``need``
    """
    seen = _seen(need(connection, server_id))
    return Power.UNKNOWN if seen is None else seen.power


def all_seen(connection: Any) -> list[Seen]:
    found = (_seen(domain) for domain in connection.listAllDomains(0))
    return [seen for seen in found if seen is not None]


def one_seen(connection: Any, uuid: str) -> Seen | None:
    """``None``: it is gone."""
    try:
        return _seen(connection.lookupByUUIDString(uuid))
    except libvirt.libvirtError as error:
        if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
            return None
        raise


def _seen(domain: Any) -> Seen | None:
    try:
        mark = _mark(domain)
        saved = bool(domain.hasManagedSaveImage(0)) if domain.isPersistent() else False
        state, reason = domain.state(0)
        power, cause = power_of(state, reason, saved)
        return Seen(id=mark.id if mark else "", name=domain.name(), power=power, cause=cause)
    except libvirt.libvirtError as error:
        if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:  # it went away meanwhile
            return None
        raise


def _mark(domain: Any) -> Mark | None:
    try:
        xml = domain.metadata(libvirt.VIR_DOMAIN_METADATA_ELEMENT, NAMESPACE, _affected(domain))
    except libvirt.libvirtError as error:
        if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN_METADATA:
            return None
        raise
    mark = read_mark(xml)
    return mark if mark.id == domain.UUIDString() else None


def _affected(domain: Any) -> int:
    """What is to be is in the definition; a domain that another program runs may have none."""
    return int(libvirt.VIR_DOMAIN_AFFECT_CONFIG if domain.isPersistent() else libvirt.VIR_DOMAIN_AFFECT_LIVE)


# Changing


def define(connection: Any, server_id: str, xml: str) -> None:
    find(connection, server_id)
    connection.defineXMLFlags(xml, libvirt.VIR_DOMAIN_DEFINE_VALIDATE)


def end_if_there(connection: Any, server_id: str) -> None:
    domain = find(connection, server_id)
    if domain is not None:
        _end(domain)


def undefine(connection: Any, server_id: str) -> None:
    domain = find(connection, server_id)
    if domain is None:
        return
    _end(domain)
    try:
        domain.undefineFlags(_EVERYTHING_KEPT)
    except libvirt.libvirtError as error:
        if error.get_error_code() != libvirt.VIR_ERR_NO_DOMAIN:
            raise


def start(connection: Any, server_id: str) -> None:
    """From off, from a pause or from its saved memory."""
    domain = need(connection, server_id)
    state = domain.state(0)[0]
    if state == libvirt.VIR_DOMAIN_PAUSED:
        domain.resume()
    elif state == libvirt.VIR_DOMAIN_PMSUSPENDED:
        domain.pMWakeup(0)
    elif not domain.isActive():
        mark = _mark(domain)
        if mark is not None and not domain.hasManagedSaveImage(0):
            grow(_disk(domain), mark.disk_bytes)
        domain.create()


def end(connection: Any, server_id: str) -> None:
    """At once, and for good: saved memory is thrown away."""
    _end(need(connection, server_id))


def _end(domain: Any) -> None:
    if domain.isActive():
        try:
            domain.destroy()
        except libvirt.libvirtError as error:
            if error.get_error_code() != libvirt.VIR_ERR_OPERATION_INVALID:  # it ended by itself meanwhile
                raise
    if domain.isPersistent() and domain.hasManagedSaveImage(0):
        domain.managedSaveRemove(0)


def press_power_button(connection: Any, server_id: str) -> bool:
    """``False``: nobody is there who could hear it."""
    domain = need(connection, server_id)
    if domain.state(0)[0] != libvirt.VIR_DOMAIN_RUNNING:
        return False
    try:
        domain.shutdownFlags(libvirt.VIR_DOMAIN_SHUTDOWN_ACPI_POWER_BTN)
    except libvirt.libvirtError:
        if domain.isActive():
            raise
    return True


def pause(connection: Any, server_id: str) -> None:
    domain = need(connection, server_id)
    _need_active(domain, "paused")
    if domain.state(0)[0] != libvirt.VIR_DOMAIN_PAUSED:
        domain.suspend()


def unpause(connection: Any, server_id: str) -> None:
    domain = need(connection, server_id)
    _need_active(domain, "unpaused")
    if domain.state(0)[0] == libvirt.VIR_DOMAIN_PAUSED:
        domain.resume()


def suspend(connection: Any, server_id: str) -> None:
    domain = need(connection, server_id)
    if not domain.isActive() and domain.hasManagedSaveImage(0):
        return
    _need_active(domain, "suspended")
    # Restored, it goes on, also where it was paused: that is what power_on promises.
    domain.managedSave(libvirt.VIR_DOMAIN_SAVE_RUNNING)


def _need_active(domain: Any, what: str) -> None:
    if not domain.isActive():
        raise DriverError(f"a guest that does not run cannot be {what}", "Start it first")


# Interfaces


def plug(connection: Any, server_id: str, port_id: str, xml: str) -> None:
    """Both where it runs and where it is defined, or neither; each alone may be left by a call that was cut off."""
    domain = need(connection, server_id)
    missing = 0
    if port_id not in plugged(domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)):
        missing |= libvirt.VIR_DOMAIN_AFFECT_CONFIG
    if domain.isActive() and port_id not in plugged(domain.XMLDesc(0)):
        missing |= libvirt.VIR_DOMAIN_AFFECT_LIVE
    try:
        if missing:
            domain.attachDeviceFlags(xml, missing)
    except libvirt.libvirtError:
        if missing == libvirt.VIR_DOMAIN_AFFECT_LIVE:  # half of a call that was cut off
            unplug(connection, server_id, port_id)
        raise


def unplug(connection: Any, server_id: str, port_id: str) -> bool:
    """
    Ask for it.

    :return: whether it is gone already; a running guest has to let go of it
    """
    domain = need(connection, server_id)
    defined = plugged(domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)).get(port_id)
    if defined is not None:
        domain.detachDeviceFlags(defined, libvirt.VIR_DOMAIN_AFFECT_CONFIG)
    running = plugged(domain.XMLDesc(0)).get(port_id) if domain.isActive() else None
    if running is None:
        return True
    try:
        domain.detachDeviceFlags(running, libvirt.VIR_DOMAIN_AFFECT_LIVE)
    except libvirt.libvirtError as error:
        if "in the process of unplug" not in str(error):
            raise
    return not is_plugged(connection, server_id, port_id)


def is_plugged(connection: Any, server_id: str, port_id: str) -> bool:
    domain = need(connection, server_id)
    return bool(domain.isActive() and port_id in plugged(domain.XMLDesc(0)))


# The console


def console_tail(files: Files, last_bytes: int) -> bytes:
    """virtlogd begins a new file when one is full and keeps the one before."""
    newest = _tail(files.console, last_bytes)
    if len(newest) == last_bytes:
        return newest
    older = files.console.with_name(f"{files.console.name}.0")
    return _tail(older, last_bytes - len(newest)) + newest


def _tail(file: Any, last_bytes: int) -> bytes:
    try:
        with file.open("rb") as opened:
            size = opened.seek(0, os.SEEK_END)
            opened.seek(max(0, size - last_bytes))
            return bytes(opened.read(last_bytes))
    except FileNotFoundError:
        return b""
