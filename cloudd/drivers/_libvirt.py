# -*- test-case-name: tests.drivers.test_libvirt -*-
"""
Servers as QEMU guests, by libvirt.

libvirt keeps the definitions and runs the guests; here are only their files, ``FOLDER/<server id>/``: ``disk.qcow2``,
the layer above the image, and ``console.log``, which virtlogd bounds.  What is known of guests in memory is only what
was told last, so that another object, generation or process finds everything again.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Concatenate, Final, ParamSpec, TypeVar

import libvirt
from defusedxml.ElementTree import fromstring
from twisted.internet.defer import Deferred, DeferredLock
from twisted.logger import Logger
from zope.interface import implementer

from cloudd.hypervisor import DomainChange, Hypervisor, HypervisorAway, Watch
from cloudd.interfaces.application import Threads
from cloudd.interfaces.servers import (
    DriverError,
    Guest,
    GuestInterface,
    HostFacts,
    IServerDriver,
    NoSuchGuest,
    Power,
    Seen,
)

from . import _libvirt_calls as calls
from ._libvirt_disks import flatten, keep, make_layer, virtual_bytes
from ._libvirt_probe import runs_guests
from ._libvirt_xml import Files, copy_target_xml, domain_xml, interface_xml, server_uuid
from ._power import after

Result = TypeVar("Result")
Arguments = ParamSpec("Arguments")

PRESS_AGAIN_S: Final = 10.0  # a guest that still boots does not hear the power button
LOOK_AGAIN_S: Final = 0.2
UNPLUG_S: Final = 20.0  # Linux lets go of a PCIe device five seconds after it was asked to
CONSOLE_BYTES: Final = 2 << 20  # at most, whatever is asked for
_AT_REST: Final = {Power.OFF, Power.CRASHED, Power.SUSPENDED}


@implementer(IServerDriver)
class LibvirtDriver:
    """
    :param hypervisor: the process's connection, which stays when this goes
    :param folder: of the guests' files, for root alone
    :param threads: for qemu-img, which may take minutes: not the pool that answers requests
    :param accelerator: ``kvm`` or ``tcg``; empty: KVM where a guest that is tried at the start runs with it
    """

    name = "libvirt"
    _log = Logger()

    def __init__(
        self, reactor: Any, hypervisor: Hypervisor, folder: Path, threads: Threads, accelerator: str = ""
    ) -> None:
        self._reactor = reactor
        self._hypervisor = hypervisor
        self._folder = folder
        self._threads = threads
        self._accelerator = accelerator
        self._why_not_kvm = ""
        self._observe: Callable[[Seen], None] | None = None
        self._watch: Watch | None = None
        self._told: dict[str, Seen] = {}  # by id of the server
        self._looking: dict[str, list[Deferred[None]]] = {}  # by id, who waits for the look after this one
        self._resting: dict[str, list[Deferred[None]]] = {}  # who waits for a guest to end
        self._turns: dict[str, DeferredLock] = {}
        self._background: set[Deferred[None]] = set()  # looks that nobody asked for

    # IServerDriver

    def start(self, observe: Callable[[Seen], None]) -> Deferred[None]:
        return Deferred.fromCoroutine(self._start(observe))

    def stop(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self._stop())

    def facts(self) -> Deferred[HostFacts]:
        return Deferred.fromCoroutine(self._facts())

    def guests(self) -> Deferred[list[Seen]]:
        return Deferred.fromCoroutine(self._ask(calls.all_seen))

    def define(self, guest: Guest) -> Deferred[None]:
        return self._in_turn(guest.id, lambda _: self._define(guest))

    def remove(self, server_id: str) -> Deferred[None]:
        return self._in_turn(server_id, self._remove)

    def power_on(self, server_id: str) -> Deferred[None]:
        return self._in_turn(server_id, self._power_on)

    def power_off(self, server_id: str, patience_s: float) -> Deferred[None]:
        return self._in_turn(server_id, lambda uuid: self._power_off(uuid, patience_s))

    def reboot(self, server_id: str, soft: bool, patience_s: float) -> Deferred[None]:
        return self._in_turn(server_id, lambda uuid: self._reboot(uuid, soft, patience_s))

    def pause(self, server_id: str) -> Deferred[None]:
        return self._in_turn(server_id, lambda uuid: self._changed_to("pause", calls.pause, uuid))

    def unpause(self, server_id: str) -> Deferred[None]:
        return self._in_turn(server_id, lambda uuid: self._changed_to("unpause", calls.unpause, uuid))

    def suspend(self, server_id: str) -> Deferred[None]:
        return self._in_turn(server_id, lambda uuid: self._changed_to("suspend", calls.suspend, uuid))

    def console(self, server_id: str, last_bytes: int) -> Deferred[bytes]:
        return Deferred.fromCoroutine(self._console(server_id, last_bytes))

    def attach_interface(self, server_id: str, interface: GuestInterface) -> Deferred[None]:
        return self._in_turn(server_id, lambda uuid: self._attach(uuid, interface))

    def detach_interface(self, server_id: str, port_id: str) -> Deferred[None]:
        return self._in_turn(server_id, lambda uuid: self._detach(uuid, port_id))

    def snapshot(self, server_id: str, file: Path) -> Deferred[None]:
        return self._in_turn(server_id, lambda uuid: self._snapshot(uuid, file))

    def rebuild_disk(self, guest: Guest) -> Deferred[None]:
        return self._in_turn(guest.id, lambda uuid: self._rebuild(uuid, guest))

    # The driver itself

    async def _start(self, observe: Callable[[Seen], None]) -> None:
        await self._threads.run(self._folder.mkdir, mode=0o700, parents=True, exist_ok=True)
        if not self._accelerator:
            self._why_not_kvm = await self._threads.run(runs_guests, "kvm")
            self._accelerator = "tcg" if self._why_not_kvm else "kvm"
        self._observe = observe
        await self._hypervisor.start()
        if self._watch is None:
            self._watch = self._hypervisor.observe(self._changed, self._connected)

    async def _stop(self) -> None:
        if self._watch is not None:
            self._watch.end()
            self._watch = None
        self._observe = None
        while self._background:
            await self._background.pop()

    async def _facts(self) -> HostFacts:
        machine = await self._ask(calls.machine)
        disk = await self._threads.run(shutil.disk_usage, self._folder)
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

    async def _define(self, guest: Guest) -> None:
        uuid = server_uuid(guest.id)
        files = self._files(uuid)
        xml = domain_xml(guest, files, "kvm" if self._accelerator == "kvm" else "qemu")
        defined = await self._ask(calls.exists, uuid)
        try:
            await self._threads.run(_prepare_disk, guest, files)
            await self._ask(calls.define, uuid, xml)
        except DriverError:
            if not defined:
                await self._threads.run(_forget, files)
            raise

    async def _remove(self, uuid: str) -> None:
        await self._ask(calls.undefine, uuid)
        await self._threads.run(_forget, self._files(uuid))
        self._told.pop(uuid, None)

    async def _power_on(self, uuid: str) -> None:
        await self._ask(calls.start, uuid, self._files(uuid))

    async def _power_off(self, uuid: str, patience_s: float) -> None:
        until = self._reactor.seconds() + patience_s
        while (left := until - self._reactor.seconds()) > 0:
            rest = self._at_rest(uuid, min(left, PRESS_AGAIN_S))
            if not await self._ask(calls.press_power_button, uuid):
                rest.cancel()
                break
            if await rest:
                break
        await self._ask(calls.end, uuid)

    async def _changed_to(self, call: str, function: Callable[[Any, str], None], uuid: str) -> None:
        await self._allowed(call, uuid)
        await self._ask(function, uuid)

    async def _reboot(self, uuid: str, soft: bool, patience_s: float) -> None:
        await self._allowed("soft_reboot" if soft else "reboot", uuid)
        await self._power_off(uuid, patience_s if soft else 0)
        await self._power_on(uuid)

    async def _console(self, server_id: str, last_bytes: int) -> bytes:
        uuid = server_uuid(server_id)
        files = self._files(uuid)
        if not await self._threads.run(files.disk.exists):  # also told while libvirtd is away
            raise NoSuchGuest(f"this host has no guest {uuid}", "Build the server again")
        return await self._threads.run(calls.console_tail, files, max(0, min(last_bytes, CONSOLE_BYTES)))

    async def _attach(self, uuid: str, interface: GuestInterface) -> None:
        await self._ask(calls.plug, uuid, interface.port_id, interface_xml(interface))

    async def _detach(self, uuid: str, port_id: str) -> None:
        if await self._ask(calls.unplug, uuid, port_id):
            return
        until = self._reactor.seconds() + UNPLUG_S
        while await self._ask(calls.is_plugged, uuid, port_id):
            if self._reactor.seconds() > until:
                raise DriverError(f"the guest has not let go of port {port_id}", "Stop the server, or try again later")
            await self._pause_for(LOOK_AGAIN_S)

    async def _snapshot(self, uuid: str, file: Path) -> None:
        await self._allowed("snapshot", uuid)
        partial = file.with_name(f"{file.name}.part")
        await self._threads.run(partial.unlink, missing_ok=True)  # of a call that was cut off
        try:
            if not await self._ask(calls.begin_copy, uuid, copy_target_xml(partial)):
                await self._threads.run(flatten, self._files(uuid).disk, file)
                return
            try:
                while not await self._ask(calls.copy_is_ready, uuid):
                    await self._pause_for(LOOK_AGAIN_S)
            finally:
                await self._ask(calls.end_copy, uuid)
            await self._threads.run(keep, partial, file)
        except DriverError:
            await self._threads.run(partial.unlink, missing_ok=True)
            raise

    async def _rebuild(self, uuid: str, guest: Guest) -> None:
        await self._allowed("rebuild_disk", uuid)
        files = self._files(uuid)
        xml = domain_xml(guest, files, "kvm" if self._accelerator == "kvm" else "qemu")
        await self._ask(calls.end, uuid)  # memory that was saved belongs to the old disk
        await self._threads.run(make_layer, guest, files.disk)
        await self._ask(calls.define, uuid, xml)

    # What libvirt tells

    def _connected(self) -> None:
        """Anything may have happened meanwhile."""
        self._by_itself(self._look_at_all())

    def _changed(self, change: DomainChange) -> None:
        self._look_at(change.uuid)

    def _look_at(self, uuid: str) -> Deferred[None]:
        """Fires when a state that was read from now on has been told."""
        told: Deferred[None] = Deferred()
        if uuid in self._looking:
            self._looking[uuid].append(told)
        else:
            self._looking[uuid] = [told]
            self._by_itself(self._look(uuid))
        return told

    async def _look_at_all(self) -> None:
        for seen in await self._ask(calls.all_seen):
            if seen.id:
                self._tell(seen.id, seen)

    async def _look(self, uuid: str) -> None:
        """Tell the state as it is now; one look at a time, so that an older answer is never told last."""
        try:
            while waiting := self._looking[uuid]:
                self._looking[uuid] = []
                try:
                    self._tell(uuid, await self._ask(calls.one_seen, uuid))
                finally:
                    for told in waiting:
                        told.callback(None)
        finally:
            for told in self._looking.pop(uuid):
                told.callback(None)

    def _tell(self, uuid: str, seen: Seen | None) -> None:
        if seen is None or seen.power in _AT_REST:
            for waiting in self._resting.pop(uuid, []):
                waiting.callback(None)
        if seen is None:
            self._told.pop(uuid, None)
        elif seen.id and self._told.get(uuid) != seen:
            self._told[uuid] = seen
            if self._observe is not None:
                self._observe(seen)

    def _by_itself(self, work: Coroutine[Any, Any, None]) -> None:
        def failed(failure: Any) -> None:
            if not failure.check(HypervisorAway):  # the next connection brings a look at everything
                self._log.failure("guests of libvirt could not be looked at", failure)

        done = Deferred.fromCoroutine(work)
        self._background.add(done)

        def over(result: Any) -> Any:
            self._background.discard(done)
            return result

        done.addErrback(failed).addBoth(over)

    # Small parts

    async def _allowed(self, call: str, uuid: str) -> None:
        """
        :raises DriverError: a guest in its state refuses
        """
        after(call, await self._ask(calls.power, uuid))

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

    def _files(self, uuid: str) -> Files:
        return Files(self._folder / uuid / "disk.qcow2", self._folder / uuid / "console.log")

    def _in_turn(self, server_id: str, work: Callable[[str], Coroutine[Any, Any, None]]) -> Deferred[None]:
        """
        Calls for one server are made one after the other.  One that is cancelled ends by itself before the next: what
        a thread does cannot be stopped.
        """
        answer: Deferred[None] = Deferred()
        Deferred.fromCoroutine(self._take_turn(server_id, work)).chainDeferred(answer)
        return answer

    async def _take_turn(self, server_id: str, work: Callable[[str], Coroutine[Any, Any, None]]) -> None:
        uuid = server_uuid(server_id)
        turn = self._turns.setdefault(uuid, DeferredLock())
        await turn.acquire()
        try:
            await work(uuid)
        finally:
            # Each state is told, however soon the next call comes, and libvirt does not tell of all of them.
            await self._look_at(uuid)
            turn.release()
            if not turn.locked and not turn.waiting:
                self._turns.pop(uuid, None)

    def _at_rest(self, uuid: str, patience_s: float) -> Deferred[bool]:
        """Whether it ended within that time.  It may be cancelled."""
        rest: Deferred[None] = Deferred(lambda _: None)
        self._resting.setdefault(uuid, []).append(rest)
        answer: Deferred[bool] = Deferred(lambda _: over(False))

        def over(ended: bool) -> None:
            if late.active():
                late.cancel()
            if rest in self._resting.get(uuid, []):
                self._resting[uuid].remove(rest)
            if not answer.called:
                answer.callback(ended)

        late = self._reactor.callLater(patience_s, over, False)
        rest.addCallback(lambda _: over(True))
        return answer

    def _pause_for(self, seconds: float) -> Deferred[None]:
        pause: Deferred[None] = Deferred()
        self._reactor.callLater(seconds, pause.callback, None)
        return pause


def _prepare_disk(guest: Guest, files: Files) -> None:
    files.disk.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not files.disk.exists():
        make_layer(guest, files.disk)
        return
    present = virtual_bytes(files.disk)
    if guest.disk_bytes < present:
        raise DriverError(f"disk_bytes is {guest.disk_bytes}", f"The disk has {present} and cannot be made smaller")


def _forget(files: Files) -> None:
    try:
        shutil.rmtree(files.disk.parent)
    except FileNotFoundError:
        return
    descriptor = os.open(files.disk.parent.parent, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
