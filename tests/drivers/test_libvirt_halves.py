"""What the libvirt driver leaves when it is cut off or refused in the middle: real guests, emulated."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import libvirt
from attrs import evolve
from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred

from cloudd.daemon._threads import WorkerThreads
from cloudd.drivers import _libvirt_copies as copies
from cloudd.drivers._libvirt import LibvirtDriver
from cloudd.drivers._libvirt_xml import root_disk
from cloudd.hypervisor import Hypervisor
from cloudd.interfaces.servers import DriverError, DriverStopped, Guest, GuestInterface, Power
from tests.drivers.libvirt_case import LibvirtCase


class CountedThreads:
    """Threads that call something when so many steps have been done."""

    def __init__(self, threads: WorkerThreads) -> None:
        self._threads = threads
        self._left = 0

    def after(self, steps: int, then: Callable[[], object]) -> None:
        self._left, self._then = steps, then

    def run(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Deferred[Any]:
        return self._threads.run(function, *args, **kwargs).addBoth(self._done)

    def _done(self, result: Any) -> Any:
        self._left -= 1
        if self._left == 0:
            self._then()
        return result


class HalvesTests(LibvirtCase):
    async def test_rebuild(self) -> None:
        """After each step, disk and definition belong together: it is the old disk or the new one."""
        guest = self.guest()
        await self.driver.define(guest)
        await self.driver.snapshot(guest.id, self.folder / "image")
        images = [str(guest.image), str(self.folder / "image")]
        found = []
        for steps in range(1, 8):
            present = await self.image_of(guest)
            wished = next(image for image in images if image != present)
            await self.cut_off_rebuild(evolve(guest, image=Path(wished)), steps)
            present = await self.image_of(guest)
            found.append(present == wished)
            await self.driver.define(evolve(guest, image=Path(present)))
            self.assertEqual(len(list((self.folder / "guests" / guest.id).glob("disk*"))), 1)
        self.assertEqual((found, set(found)), (sorted(found), {False, True}))
        await self.driver.power_on(guest.id)

    async def cut_off_rebuild(self, guest: Guest, steps: int) -> None:
        threads = CountedThreads(self.threads)
        hypervisor = Hypervisor(reactor, self.own.uri, threads)
        driver = LibvirtDriver(reactor, hypervisor, self.folder / "guests", threads, "tcg")
        await driver.start(lambda seen: None)
        await driver.guests()
        call = driver.rebuild_disk(guest)
        threads.after(steps, call.cancel)
        with contextlib.suppress(CancelledError):
            await call
        await driver.stop()
        await hypervisor.stop()

    async def image_of(self, guest: Guest) -> str:
        """What its definition says, which is what its disk says."""
        flags = libvirt.VIR_DOMAIN_XML_INACTIVE
        xml = await self.hypervisor.call(lambda link: link.lookupByUUIDString(guest.id).XMLDesc(flags))
        told = subprocess.run(["qemu-img", "info", "--output=json", root_disk(xml)], capture_output=True, check=True)
        image = str(json.loads(told.stdout)["backing-filename"])
        self.assertIn(f"<source file='{image}'/>", xml)
        return image

    async def test_refused_plug(self) -> None:
        """A card that the running guest cannot have is not in its definition: it would not start any more."""
        guest = self.guest()
        await self.driver.define(guest)
        await self.driver.power_on(guest.id)
        card = GuestInterface(port_id=str(uuid4()), mac_address="fa:16:3e:00:00:03", tap="nosuchtap0")
        await self.fails(self.driver.attach_interface(guest.id, card), DriverError)
        await self.driver.reboot(guest.id, soft=False, patience_s=0)
        self.assertEqual(await self.power(guest), Power.RUNNING)

    async def test_stopped_copy(self) -> None:
        """A copy ends with the driver that makes it, and nothing is left of it."""
        guest = await self.up()
        copy = self.driver.snapshot(guest.id, self.folder / "copy")
        while not (self.folder / "copy.part").exists():
            await self.hypervisor.call(lambda link: link.getVersion())
        await self.driver.stop()
        await self.fails(copy, DriverStopped)
        self.assertFalse(await self.is_copied(guest))
        self.assertEqual(list(self.folder.glob("copy*")), [])

    async def test_copy_of_a_killed_process(self) -> None:
        """One that nobody looks after is ended some time after the start; one that somebody does goes on."""
        guest, other = await self.up(), await self.up()
        for each in (guest, other):
            await self.hypervisor.call(copies.begin_copy, each.id, self.mark(each), self.folder / each.id)
        os.utime(self.mark(guest), (0, 0))
        later = LibvirtDriver(reactor, self.hypervisor, self.folder / "guests", self.threads, "tcg", stray_s=5)
        await later.start(lambda seen: None)
        self.addCleanup(later.stop)
        while self.mark(guest).exists():
            await self.hypervisor.call(copies.copy_is_ready, other.id, self.mark(other))
        self.assertEqual((await self.is_copied(guest), await self.is_copied(other)), (False, True))
        self.assertEqual(((self.folder / guest.id).exists(), (self.folder / other.id).exists()), (False, True))

    def mark(self, guest: Guest) -> Path:
        return self.folder / "guests" / guest.id / copies.MARK

    async def is_copied(self, guest: Guest) -> bool:
        return bool(await self.hypervisor.call(lambda link: link.lookupByUUIDString(guest.id).blockJobInfo("vda", 0)))

    async def test_no_logs_are_left(self) -> None:
        """QEMU's are not the driver's own, and go with the guest all the same."""
        guest = self.guest()
        await self.driver.define(guest)
        await self.driver.power_on(guest.id)
        self.assertNotEqual(list(self.own.folder.rglob(f"*{guest.id}*")), [])
        await self.driver.remove(guest.id)
        self.assertEqual(list(self.own.folder.rglob(f"*{guest.id}*")), [])

    async def test_files_that_cannot_be_used(self) -> None:
        """That is an error of the driver, with the cause."""
        guest = self.guest()
        place = self.folder / "guests" / guest.id
        place.write_bytes(b"")
        error = await self.fails(self.driver.define(guest), DriverError)
        self.assertIn("file", error.cause)
        place.unlink()
        self.assertNotIn(guest.id, [seen.id for seen in await self.driver.guests()])
