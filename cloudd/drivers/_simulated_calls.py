# -*- test-case-name: tests.drivers.test_simulated -*-
"""
What the calls of a driver do to the records of a simulated host: one function each, which blocks.

Each gives the record as it is afterwards, ``None`` when the guest is gone, and finds done what is done.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final
from uuid import uuid4

import msgspec

from cloudd.interfaces.servers import DriverError, Guest, GuestInterface, Power

from ._power import after
from ._qcow2 import virtual_bytes, zeros
from ._simulated_console import boot_text, end_text
from ._simulated_records import Record, Records, defined, image_of, interface_facts

_MAC: Final = re.compile(r"([0-9a-fA-F]{2}:){5}[0-9a-fA-F]{2}")
_PORT: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
_TAP: Final = re.compile(r"[A-Za-z0-9._-]{0,15}")
NAME_CHARACTERS: Final = 255


def define(records: Records, server_id: str, guest: Guest) -> Record:
    before = records.find(server_id)
    _check(guest, before)
    return _kept(records, defined(guest, before))


def remove(records: Records, server_id: str) -> None:
    records.find(server_id)  # one of others is refused
    records.forget(server_id)


def power_on(records: Records, server_id: str) -> Record:
    record = records.need(server_id)
    power = after("power_on", Power(record.power))
    if record.power in {Power.OFF, Power.CRASHED, Power.UNKNOWN}:
        return _booted(records, record)
    return _come_to(records, record, power)


def power_off(records: Records, server_id: str, patience_s: float) -> Record:
    record = records.need(server_id)
    if record.power == Power.RUNNING and patience_s > 0:
        records.write_console(record.id, end_text())
    return _come_to(records, record, after("power_off", Power(record.power)))


def reboot(records: Records, server_id: str, soft: bool) -> Record:
    record = records.need(server_id)
    after("soft_reboot" if soft else "reboot", Power(record.power))
    if soft:
        records.write_console(record.id, end_text())
    return _booted(records, record)


def change(records: Records, server_id: str, call: str) -> Record:
    """``pause``, ``unpause`` and ``suspend``."""
    record = records.need(server_id)
    return _come_to(records, record, after(call, Power(record.power)))


def attach(records: Records, server_id: str, interface: GuestInterface) -> Record:
    record = records.need(server_id)
    _check_interface(interface)
    if interface.port_id in record.interfaces:
        return record
    record.interfaces = {**record.interfaces, interface.port_id: interface_facts(interface)}
    return _kept(records, record)


def detach(records: Records, server_id: str, port_id: str) -> Record:
    record = records.need(server_id)
    if port_id not in record.interfaces:
        return record
    record.interfaces = {port: facts for port, facts in record.interfaces.items() if port != port_id}
    return _kept(records, record)


def snapshot(records: Records, server_id: str, file: Path) -> Record:
    """A disk of zeros: simulated guests write nothing."""
    record = records.need(server_id)
    after("snapshot", Power(record.power))
    partial = file.with_name(f"{file.name}.part")
    partial.write_bytes(zeros(record.disk_bytes))
    partial.replace(file)
    return record


def rebuild(records: Records, server_id: str, guest: Guest) -> Record:
    before = records.need(server_id)
    power = after("rebuild_disk", Power(before.power))
    _check(guest, None)
    fresh = msgspec.structs.replace(before, disk=str(uuid4()), boots=0, power=power, cause="")
    return _kept(records, defined(guest, fresh))


def _booted(records: Records, record: Record) -> Record:
    for needed in record.needs:
        if not Path(needed).is_file():
            raise DriverError(f"{needed} is not there, and the guest cannot start without it", "Build the server again")
    record.boots += 1
    macs = [mac for mac, _, _ in record.interfaces.values()]
    text = boot_text(record.owner["name"], record.boots, record.vcpus, record.memory_mib, macs, record.kernel_arguments)
    records.write_console(record.id, text)
    return _come_to(records, record, Power.RUNNING)


def _come_to(records: Records, record: Record, power: Power) -> Record:
    if record.power == power:
        return _kept(records, record)
    record.power, record.cause = power, ""
    return _kept(records, record)


def _kept(records: Records, record: Record) -> Record:
    records.keep(record.id, record)
    return record


def _check(guest: Guest, before: Record | None) -> None:
    for field, value in (("vcpus", guest.vcpus), ("memory_mib", guest.memory_mib), ("disk_bytes", guest.disk_bytes)):
        if value < 1:
            raise DriverError(f"{field}: {value} is too small", "Take at least 1")
    if len(guest.name) > NAME_CHARACTERS:
        raise DriverError(f"name: it has {len(guest.name)} characters", f"Take at most {NAME_CHARACTERS}")
    if guest.kernel is None and (guest.initrd is not None or guest.kernel_arguments):
        raise DriverError("kernel: initrd and kernel_arguments are for one, and there is none", "Name one, or neither")
    if not guest.kernel_arguments.isprintable():
        raise DriverError("kernel_arguments: they have characters that cannot be printed", "Leave those out")
    least = virtual_bytes(guest.image, guest.image_format) if guest.image else 0
    if guest.disk_bytes < least:
        raise DriverError(f"disk_bytes: {guest.disk_bytes} is less than the image's {least}", "Take a bigger flavor")
    if before is not None and before.image not in {None, image_of(guest)}:
        raise DriverError(
            f"image: {image_of(guest) or 'none'} is not {before.image or 'none'}, from which the disk was made",
            "Rebuild the server to have another image",
        )
    if before is not None and guest.disk_bytes < before.disk_bytes:
        raise DriverError(
            f"disk_bytes: {guest.disk_bytes} is less than the disk's {before.disk_bytes}",
            "A disk cannot be made smaller; take a bigger flavor",
        )
    for interface in guest.interfaces:
        _check_interface(interface)


def _check_interface(interface: GuestInterface) -> None:
    for field, pattern, value in (
        ("port_id", _PORT, interface.port_id),
        ("mac_address", _MAC, interface.mac_address),
        ("tap", _TAP, interface.tap),
    ):
        if not pattern.fullmatch(value):
            raise DriverError(f"{field}: {value!r} cannot be one", "Give the port's own")
