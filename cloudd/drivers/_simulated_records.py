# -*- test-case-name: tests.drivers.test_simulated -*-
"""
The guests of a simulated host: a folder for each, which outlives every process.

``FOLDER/guests/<server id>/guest.json`` is the guest, in one file that is replaced as a whole; ``console.log`` is what
it wrote.  A folder without the first is what a call that was cut off has left.  All of this blocks.  Nothing is synced:
these guests outlive processes, not power cuts.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from uuid import UUID, uuid4

import msgspec

from cloudd.interfaces.servers import DriverError, Guest, GuestInterface, NoSuchGuest, Power, Seen

FORMAT: Final = 1
CONSOLE_BYTES: Final = 64 << 10


class Record(msgspec.Struct, kw_only=True):
    """
    One guest.

    :ivar id: of its server; empty: of others
    :ivar boots: how often it was started with this disk
    :ivar disk: id of the disk; another one after each rebuild
    :ivar image: the file that the disk was made from; empty: from none; ``None``: a record of before has not kept it
    :ivar needs: files without which it cannot start
    :ivar interfaces: MAC address, tap, MTU; by port
    """

    format: int = FORMAT
    id: str = ""
    name: str = ""
    power: int = Power.OFF
    cause: str = ""
    vcpus: int = 1
    memory_mib: int = 1
    disk_bytes: int = 0
    disk: str = ""
    image: str | None = None
    boots: int = 0
    needs: list[str] = []
    kernel_arguments: str = ""
    interfaces: dict[str, tuple[str, str, int]] = {}
    owner: dict[str, str] = {}

    def seen(self) -> Seen:
        return Seen(id=self.id, name=self.name, power=Power(self.power), cause=self.cause)


def canonical(server_id: str) -> str:
    """
    :raises DriverError: it is no UUID, and thus no name of a folder either
    """
    try:
        return str(UUID(server_id))
    except ValueError:
        raise DriverError(f"id: {server_id!r} is no UUID", "Name the server by its id") from None


def interface_facts(interface: GuestInterface) -> tuple[str, str, int]:
    return interface.mac_address, interface.tap, interface.mtu


def image_of(guest: Guest) -> str:
    """As a record has it."""
    return str(guest.image.resolve()) if guest.image is not None else ""


def defined(guest: Guest, before: Record | None) -> Record:
    """``guest`` as a record, with the life and the disk that it had."""
    lived = before or Record(disk=str(uuid4()))
    return Record(
        id=canonical(guest.id),
        name=f"cloudd-{canonical(guest.id)}",
        power=lived.power,
        cause=lived.cause,
        vcpus=guest.vcpus,
        memory_mib=guest.memory_mib,
        disk_bytes=guest.disk_bytes,
        disk=lived.disk,
        image=image_of(guest),
        boots=lived.boots,
        needs=[str(file) for file in (guest.image, guest.kernel, guest.initrd, guest.config_drive) if file],
        kernel_arguments=guest.kernel_arguments,
        interfaces={interface.port_id: interface_facts(interface) for interface in guest.interfaces},
        owner={**guest.owner, "name": guest.name},
    )


class Records:
    """The guests below one folder."""

    def __init__(self, folder: Path) -> None:
        self._guests = folder / "guests"

    def prepare(self) -> None:
        self._guests.mkdir(mode=0o700, parents=True, exist_ok=True)

    def find(self, server_id: str) -> Record | None:
        """
        :raises DriverError: there is one of others with this id
        """
        record = self._read(self._file(server_id))
        if record is not None and not record.id:
            raise DriverError(
                f"a guest {record.name} with the server's id is there and not of this cloud", "Remove it by hand"
            )
        return record

    def get(self, folder_name: str) -> Record | None:
        """Whosever it is."""
        return self._read(self._file(folder_name))

    def need(self, server_id: str) -> Record:
        """
        :raises NoSuchGuest: there is none
        """
        record = self.find(server_id)
        if record is None:
            raise NoSuchGuest(f"this host has no guest {server_id}", "Build the server again")
        return record

    def all(self) -> list[Record]:
        return [record for record in map(self._read, self._files()) if record is not None]

    def marks(self) -> dict[str, tuple[int, int]]:
        """What differs, by id, when somebody has replaced a guest's file."""
        marks = {}
        for file in self._files():
            try:
                facts = file.stat()
            except FileNotFoundError:
                continue
            marks[file.parent.name] = (facts.st_ino, facts.st_mtime_ns)
        return marks

    def keep(self, folder_name: str, record: Record) -> None:
        file = self._file(folder_name)
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        partial = file.with_suffix(f".{os.getpid()}.part")
        partial.write_bytes(msgspec.json.encode(record))
        partial.replace(file)

    def forget(self, server_id: str) -> None:
        """Its record goes first, so that what is left when this is cut off is no guest any more."""
        file = self._file(server_id)
        file.unlink(missing_ok=True)
        if file.parent.exists():
            shutil.rmtree(file.parent)

    def write_console(self, server_id: str, text: bytes) -> None:
        """Add ``text``; the oldest goes when there is too much."""
        file = self._file(server_id).with_name("console.log")
        with file.open("ab") as opened:
            opened.write(text)
            full = opened.tell() > 2 * CONSOLE_BYTES
        if full:
            file.write_bytes(self.console(server_id, CONSOLE_BYTES))

    def console(self, server_id: str, last_bytes: int) -> bytes:
        last_bytes = max(0, min(last_bytes, CONSOLE_BYTES))
        try:
            with self._file(server_id).with_name("console.log").open("rb") as opened:
                opened.seek(max(0, opened.seek(0, os.SEEK_END) - last_bytes))
                return opened.read(last_bytes)
        except FileNotFoundError:
            return b""

    def _files(self) -> Iterator[Path]:
        with os.scandir(self._guests) as entries:
            for entry in entries:
                yield Path(entry.path, "guest.json")

    def _file(self, server_id: str) -> Path:
        return self._guests / server_id / "guest.json"

    def _read(self, file: Path) -> Record | None:
        try:
            encoded = file.read_bytes()
        except FileNotFoundError:
            return None
        try:
            record = msgspec.json.decode(encoded, type=Record)
        except msgspec.MsgspecError as error:
            raise DriverError(f"{file} cannot be read: {error}", "Delete its folder; the guest is simulated") from None
        if record.format != FORMAT:
            raise DriverError(f"{file} is of format {record.format}, and this code reads {FORMAT}", "Run newer code")
        return record


def foreign(folder: Path, name: str, power: Power = Power.RUNNING, folder_name: str = "") -> None:
    """Put a guest of others onto the host below ``folder``; for tests."""
    Records(folder).keep(folder_name or str(uuid4()), Record(name=name, power=power))


def crash(folder: Path, server_id: str, cause: str = "QEMU has ended without being asked to (simulated)") -> None:
    """Let a guest of the host below ``folder`` die by itself, as seen by all who look at it; for tests."""
    records = Records(folder)
    record = records.need(server_id)
    record.power, record.cause = Power.CRASHED, cause
    records.keep(server_id, record)
