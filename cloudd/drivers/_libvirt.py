# -*- test-case-name: tests.drivers.test_libvirt -*-
"""
Servers as QEMU guests, by libvirt.

libvirt keeps the definitions and runs the guests; here are only their files, ``FOLDER/<server id>/``: ``disk.qcow2`` or
``disk-2.qcow2``, the layer above the image, ``console.log``, which virtlogd bounds, and ``copying``, while the disk is
copied.  What is known of guests in memory is only what was told last, so that another object, generation or process
finds everything again.

The definition says which file is the disk, and from which image it was made.  A new disk is a new file, which the
definition names when it is complete: whenever that is cut off, disk and definition belong together.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, Concatenate, Final, ParamSpec, TypeVar

import libvirt
from defusedxml.ElementTree import fromstring
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import deferLater
from twisted.logger import Logger
from zope.interface import implementer

from cloudd.hypervisor import DomainChange, Hypervisor, Watch, at_most
from cloudd.interfaces.application import Threads
from cloudd.interfaces.servers import (
    DriverError,
    Guest,
    GuestInterface,
    HostFacts,
    IServerDriver,
    NoSuchGuest,
    Seen,
)

from . import _libvirt_calls as calls
from . import _libvirt_copies as copies
from ._libvirt_disks import flatten, keep, make_layer
from ._libvirt_files import DISKS, forget, forget_logs, has_disk, of_files, other_disk, prepare_disk
from ._libvirt_looks import Looks
from ._libvirt_probe import runs_guests
from ._libvirt_xml import Files, domain_xml, interface_xml, server_uuid
from ._power import after
from ._turns import Turn, Turns

Result = TypeVar("Result")
Arguments = ParamSpec("Arguments")

PRESS_AGAIN_S: Final = 10.0  # a guest that still boots does not hear the power button
LOOK_AGAIN_S: Final = 0.2
UNPLUG_S: Final = 20.0  # Linux lets go of a PCIe device five seconds after it was asked to
STOP_S: Final = 20.0  # a libvirtd that hangs is taken for dead before
STRAY_S: Final = 30.0  # a copy that nobody has looked after for so long is of a process that is no more
CONSOLE_BYTES: Final = 2 << 20  # at most, whatever is asked for


@implementer(IServerDriver)
class LibvirtDriver:
    """
    :param hypervisor: the process's connection, which stays when this goes
    :param folder: of the guests' files, for root alone
    :param threads: for qemu-img, which may take minutes: not the pool that answers requests
    :param accelerator: ``kvm`` or ``tcg``; empty: KVM where a guest that is tried at the start runs with it
    :param stray_s: see ``STRAY_S``
    """

    name = "libvirt"
    _log = Logger()

    def __init__(
        self,
        reactor: Any,
        hypervisor: Hypervisor,
        folder: Path,
        threads: Threads,
        accelerator: str = "",
        stray_s: float = STRAY_S,
    ) -> None:
        self._reactor = reactor
        self._hypervisor = hypervisor
        self._folder = folder
        self._threads = threads
        self._accelerator = accelerator
        self._stray_s = stray_s
        self._why_not_kvm = ""
        self._watch: Watch | None = None
        self._strays: Any = None  # when copies are looked at next
        self._looks = Looks(reactor, self._seen, self._all_seen)
        # Each state is told, however soon the next call comes, and libvirt does not tell of all of them.
        self._turns = Turns(server_uuid, self._looks.look_at)

    # IServerDriver

    def start(self, observe: Callable[[Seen], None]) -> Deferred[None]:
        return Deferred.fromCoroutine(self._start(observe))

    def stop(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self._stop())

    def facts(self) -> Deferred[HostFacts]:
        return Deferred.fromCoroutine(self._facts())

    def guests(self) -> Deferred[list[Seen]]:
        return Deferred.fromCoroutine(self._all_seen())

    def define(self, guest: Guest) -> Deferred[None]:
        return self._turns.take(guest.id, lambda turn: self._define(turn, guest))

    def remove(self, server_id: str) -> Deferred[None]:
        return self._turns.take(server_id, self._remove)

    def power_on(self, server_id: str) -> Deferred[None]:
        return self._turns.take(server_id, self._power_on)

    def power_off(self, server_id: str, patience_s: float) -> Deferred[None]:
        return self._turns.take(server_id, lambda turn: self._power_off(turn, patience_s))

    def reboot(self, server_id: str, soft: bool, patience_s: float) -> Deferred[None]:
        return self._turns.take(server_id, lambda turn: self._reboot(turn, soft, patience_s))

    def pause(self, server_id: str) -> Deferred[None]:
        return self._turns.take(server_id, lambda turn: self._changed_to(turn, "pause", calls.pause))

    def unpause(self, server_id: str) -> Deferred[None]:
        return self._turns.take(server_id, lambda turn: self._changed_to(turn, "unpause", calls.unpause))

    def suspend(self, server_id: str) -> Deferred[None]:
        return self._turns.take(server_id, lambda turn: self._changed_to(turn, "suspend", calls.suspend))

    def console(self, server_id: str, last_bytes: int) -> Deferred[bytes]:
        return Deferred.fromCoroutine(self._console(server_id, last_bytes))

    def attach_interface(self, server_id: str, interface: GuestInterface) -> Deferred[None]:
        return self._turns.take(server_id, lambda turn: self._attach(turn, interface))

    def detach_interface(self, server_id: str, port_id: str) -> Deferred[None]:
        return self._turns.take(server_id, lambda turn: self._detach(turn, port_id))

    def snapshot(self, server_id: str, file: Path) -> Deferred[None]:
        return self._turns.take(server_id, lambda turn: self._snapshot(turn, file))

    def rebuild_disk(self, guest: Guest) -> Deferred[None]:
        return self._turns.take(guest.id, lambda turn: self._rebuild(turn, guest))

    # The driver itself

    async def _start(self, observe: Callable[[Seen], None]) -> None:
        await self._file_work(self._folder.mkdir, mode=0o700, parents=True, exist_ok=True)
        if not self._accelerator:
            self._why_not_kvm = await self._threads.run(runs_guests, "kvm")
            self._accelerator = "tcg" if self._why_not_kvm else "kvm"
        self._looks.observe = observe
        self._turns.open()
        await self._hypervisor.start()
        if self._watch is None:
            self._watch = self._hypervisor.observe(self._changed, self._connected)

    async def _stop(self) -> None:
        if self._watch is not None:
            self._watch.end()
            self._watch = None
        if self._strays is not None:
            self._strays.cancel()
            self._strays = None
        self._looks.observe = None
        over = gatherResults([self._turns.close(), Deferred.fromCoroutine(self._looks.end())])
        await at_most(self._reactor, STOP_S, over)

    async def _facts(self) -> HostFacts:
        machine = await self._ask(calls.machine)
        disk = await self._file_work(shutil.disk_usage, self._folder)
        notes = []
        if self._accelerator != "kvm":
            why = f" ({self._why_not_kvm})" if self._why_not_kvm else ""
            notes.append(f"No KVM: guests are emulated, which takes some ten times the time{why}.")
        return HostFacts(
            kind="QEMU",
            version=machine.version,
            vcpus=machine.vcpus,
            memory_mib=machine.memory_mib,
            disk_gib=disk.total >> 30,
            architecture=machine.architecture,
            cpu_model=fromstring(machine.capabilities).findtext("./host/cpu/model") or "unknown",
            real=True,
            notes=tuple(notes),
        )

    # Guests

    async def _define(self, turn: Turn, guest: Guest) -> None:
        present = await self._do(turn, calls.disk)
        files = self._files(turn.server_id, present)
        xml = self._xml(guest, files)
        kept = present is not None or await self._file_step(turn, has_disk, files)
        try:
            await self._file_step(turn, prepare_disk, guest, files)
            await self._do(turn, calls.define, xml)
        except DriverError:
            if not kept:
                await self._file_work(forget, files)
            raise

    async def _remove(self, turn: Turn) -> None:
        """The definition goes last: as long as there is one, whoever asks for the guests knows that files are left."""
        await self._do(turn, calls.end_if_there)
        await self._file_step(turn, forget, self._files(turn.server_id))
        await self._do(turn, calls.undefine)
        logs = self._hypervisor.guest_logs
        if logs is not None:
            await self._file_step(turn, forget_logs, logs, turn.server_id)
        self._looks.forget(turn.server_id)

    async def _power_on(self, turn: Turn) -> None:
        await self._do(turn, calls.start)

    async def _power_off(self, turn: Turn, patience_s: float) -> None:
        until = self._reactor.seconds() + patience_s
        while (left := until - self._reactor.seconds()) > 0:
            rest = self._looks.at_rest(turn.server_id, min(left, PRESS_AGAIN_S))
            try:
                if not await self._do(turn, calls.press_power_button) or await turn.wait(rest):
                    break
            finally:
                rest.cancel()
        await self._do(turn, calls.end)

    async def _changed_to(self, turn: Turn, call: str, function: Callable[[Any, str], None]) -> None:
        await self._allowed(turn, call)
        await self._do(turn, function)

    async def _reboot(self, turn: Turn, soft: bool, patience_s: float) -> None:
        await self._allowed(turn, "soft_reboot" if soft else "reboot")
        await self._power_off(turn, patience_s if soft else 0)
        await self._power_on(turn)

    async def _console(self, server_id: str, last_bytes: int) -> bytes:
        uuid = server_uuid(server_id)
        files = self._files(uuid)
        if not await self._file_work(has_disk, files):  # also told while libvirtd is away
            raise NoSuchGuest(f"this host has no guest {uuid}", "Build the server again")
        return await self._file_work(calls.console_tail, files, max(0, min(last_bytes, CONSOLE_BYTES)))

    async def _attach(self, turn: Turn, interface: GuestInterface) -> None:
        await self._do(turn, calls.plug, interface.port_id, interface_xml(interface))

    async def _detach(self, turn: Turn, port_id: str) -> None:
        if await self._do(turn, calls.unplug, port_id):
            return
        until = self._reactor.seconds() + UNPLUG_S
        while await self._do(turn, calls.is_plugged, port_id):
            if self._reactor.seconds() > until:
                raise DriverError(f"the guest has not let go of port {port_id}", "Stop the server, or try again later")
            await turn.wait(deferLater(self._reactor, LOOK_AGAIN_S))

    async def _snapshot(self, turn: Turn, file: Path) -> None:
        await self._allowed(turn, "snapshot")
        partial = file.with_name(f"{file.name}.part")
        mark = self._files(turn.server_id).disk.with_name(copies.MARK)
        try:
            if not await self._do(turn, copies.begin_copy, mark, partial):
                disk = await self._do(turn, calls.disk)
                assert disk is not None
                await self._file_step(turn, flatten, disk, file)
                return
            try:
                while not await self._do(turn, copies.copy_is_ready, mark):
                    await turn.wait(deferLater(self._reactor, LOOK_AGAIN_S))
            finally:
                await self._ask(copies.end_copy, turn.server_id, mark)  # also of a call that was cut off
            await self._file_step(turn, keep, partial, file)
        except DriverError:
            await self._file_work(partial.unlink, missing_ok=True)
            raise

    async def _rebuild(self, turn: Turn, guest: Guest) -> None:
        await self._allowed(turn, "rebuild_disk")
        present = await self._do(turn, calls.disk)
        assert present is not None
        files = self._files(turn.server_id, other_disk(present))
        xml = self._xml(guest, files)
        await self._do(turn, calls.end)  # memory that was saved belongs to the old disk
        await self._file_step(turn, make_layer, guest, files.disk)
        await self._do(turn, calls.define, xml)
        await self._file_step(turn, present.unlink, missing_ok=True)

    # What libvirt tells

    def _connected(self) -> None:
        self._looks.look_at_all()
        if self._strays is None:
            self._strays = self._reactor.callLater(self._stray_s, self._end_strays)

    def _changed(self, change: DomainChange) -> None:
        self._looks.look_at(change.uuid)

    def _end_strays(self) -> None:
        """Of a driver of a process that was killed, whose call nobody makes again."""
        self._strays = None

        def later(others: int) -> None:
            if others and self._watch is not None and self._strays is None:
                self._strays = self._reactor.callLater(self._stray_s, self._end_strays)

        def failed(failure: Any) -> None:
            self._log.warn("copies of disks could not be looked at: {cause}", cause=failure.getErrorMessage())

        done = Deferred.fromCoroutine(self._ask(copies.end_stray_copies, self._folder, self._stray_s))
        done.addCallbacks(later, failed)

    async def _all_seen(self) -> list[Seen]:
        return await self._ask(calls.all_seen)

    async def _seen(self, uuid: str) -> Seen | None:
        return await self._ask(calls.one_seen, uuid)

    # Small parts

    async def _allowed(self, turn: Turn, call: str) -> None:
        """
        :raises DriverError: a guest in its state refuses
        """
        after(call, await self._do(turn, calls.power))

    async def _do(
        self,
        turn: Turn,
        function: Callable[Concatenate[Any, str, Arguments], Result],
        /,
        *args: Arguments.args,
        **kwargs: Arguments.kwargs,
    ) -> Result:
        """One step of a call: ask libvirt something of its guest."""
        turn.check()
        return await self._ask(function, turn.server_id, *args, **kwargs)

    async def _ask(
        self,
        function: Callable[Concatenate[Any, Arguments], Result],
        /,
        *args: Arguments.args,
        **kwargs: Arguments.kwargs,
    ) -> Result:
        try:
            return await self._hypervisor.call(function, *args, **kwargs)
        except libvirt.libvirtError as error:
            raise DriverError(f"libvirt refused: {error}", "The logs of libvirtd and of QEMU may say more") from error
        except OSError as error:
            raise of_files(error) from error

    async def _file_step(
        self, turn: Turn, function: Callable[Arguments, Result], /, *args: Arguments.args, **kwargs: Arguments.kwargs
    ) -> Result:
        turn.check()
        return await self._file_work(function, *args, **kwargs)

    async def _file_work(
        self, function: Callable[Arguments, Result], /, *args: Arguments.args, **kwargs: Arguments.kwargs
    ) -> Result:
        try:
            return await self._threads.run(function, *args, **kwargs)
        except OSError as error:
            raise of_files(error) from error

    def _files(self, uuid: str, disk: Path | None = None) -> Files:
        folder = self._folder / uuid
        return Files(folder / (DISKS[0] if disk is None else disk.name), folder / "console.log")

    def _xml(self, guest: Guest, files: Files) -> str:
        return domain_xml(guest, files, "kvm" if self._accelerator == "kvm" else "qemu")
