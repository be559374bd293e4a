"""Servers by libvirt: real guests, emulated, on a libvirtd of the test's own."""

from __future__ import annotations

import gc
import json
import os
import signal
import subprocess
import sys
import weakref
from pathlib import Path
from uuid import uuid4

from attrs import evolve
from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from zope.interface.verify import verifyObject

from cloudd.drivers import libvirt_driver
from cloudd.drivers._libvirt import LibvirtDriver
from cloudd.hypervisor import HypervisorAway
from cloudd.interfaces.servers import DriverError, Guest, GuestInterface, IServerDriver, NoSuchGuest, Power
from tests.drivers.libvirt_case import MIB, UP, LibvirtCase

FOREIGN = """
<domain type='qemu'>
  <name>somebody-elses</name><uuid>{uuid}</uuid><memory unit='MiB'>64</memory>
  <os><type arch='x86_64' machine='q35'>hvm</type></os>
</domain>
"""


class BootTests(LibvirtCase):
    """What a guest finds, and what is found of it."""

    def test_provides_the_interface(self) -> None:
        verifyObject(IServerDriver, self.driver)
        made = libvirt_driver(None, self.hypervisor, self.folder, self.threads)
        self.assertEqual(made.name, self.driver.name)

    async def test_facts(self) -> None:
        facts = await self.driver.facts()
        self.assertEqual((facts.kind, facts.real, facts.architecture), ("QEMU", True, "x86_64"))
        self.assertEqual(facts.vcpus, os.cpu_count())
        self.assertGreaterEqual(facts.version, 7_000_000)
        self.assertIn("No KVM", facts.notes[0])

    async def test_kernel(self) -> None:
        """It boots by the kernel given to it, and that it runs is told and listed."""
        guest = await self.up()
        self.assertIn(b"boot 1 of this disk", await self.driver.console(guest.id, 1 << 20))
        self.assertEqual((await self.comes_to(guest, Power.RUNNING)).name, f"cloudd-{guest.id}")
        self.assertEqual(await self.power(guest), Power.RUNNING)
        self.assertEqual(await self.driver.console(guest.id, 0), b"")
        self.assertEqual(len(await self.driver.console(guest.id, 10)), 10)

    async def test_own_loader(self) -> None:
        """It boots from its disk where no kernel is given."""
        await self.up(kernel=None, initrd=None, kernel_arguments="")

    async def test_config_drive(self) -> None:
        """What the drive says arrives in the guest."""
        tree = self.folder / "drive"
        metadata = {"uuid": "u-1", "hostname": "first.example", "public_keys": {"mine": "ssh-ed25519 AAAA me@here\n"}}
        (tree / "openstack/latest").mkdir(parents=True)
        (tree / "openstack/latest/meta_data.json").write_text(json.dumps(metadata))
        (tree / "openstack/latest/user_data").write_text("#!first line\nsecond\n")
        drive = self.folder / "drive.iso"
        subprocess.run(["genisoimage", "-quiet", "-R", "-V", "config-2", "-o", drive, tree], check=True)
        guest = await self.up(config_drive=drive)
        console = await self.says(guest, b"user data")
        for line in (b"hostname first.example", b"key ssh-ed25519 AAAA me@here", b"user data #!first line"):
            self.assertIn(b"cloudd guest: " + line, console)

    async def test_no_link(self) -> None:
        """A card without a tap is there, and nothing can be reached by it."""
        interface = GuestInterface(port_id=str(uuid4()), mac_address="fa:16:3e:00:00:01")
        guest = await self.up(interfaces=(interface,))
        await self.says(guest, b"eth0 has no link")


class PowerTests(LibvirtCase):
    """States, and the ways between them."""

    async def test_asked_to_shut_down(self) -> None:
        """The guest's own shutdown runs, and its disk is what it wrote."""
        guest = await self.up()
        await self.driver.power_off(guest.id, 60)
        self.assertEqual(await self.power(guest), Power.OFF)
        await self.comes_to(guest, Power.OFF)
        self.assertIn(b"The system is going down", await self.driver.console(guest.id, 1 << 20))
        await self.driver.power_off(guest.id, 60)
        await self.driver.power_on(guest.id)
        await self.says(guest, b"boot 2 of this disk")
        await self.driver.power_on(guest.id)

    async def test_paused(self) -> None:
        guest = await self.up()
        for _ in range(2):
            await self.driver.pause(guest.id)
            self.assertEqual(await self.power(guest), Power.PAUSED)
        await self.comes_to(guest, Power.PAUSED)
        for _ in range(2):
            await self.driver.unpause(guest.id)
            self.assertEqual(await self.power(guest), Power.RUNNING)
        await self.driver.pause(guest.id)
        await self.driver.power_on(guest.id)
        self.assertEqual(await self.power(guest), Power.RUNNING)
        await self.driver.power_off(guest.id, 0)
        await self.fails(self.driver.pause(guest.id), DriverError)
        await self.fails(self.driver.unpause(guest.id), DriverError)

    async def test_suspended(self) -> None:
        """Its memory is kept: it does not boot again."""
        guest = await self.up()
        for _ in range(2):
            await self.driver.suspend(guest.id)
            self.assertEqual(await self.power(guest), Power.SUSPENDED)
        await self.comes_to(guest, Power.SUSPENDED)
        await self.driver.power_on(guest.id)
        self.assertEqual(await self.power(guest), Power.RUNNING)
        self.assertEqual((await self.driver.console(guest.id, 1 << 20)).count(UP), 1)
        await self.driver.suspend(guest.id)
        await self.driver.power_off(guest.id, 10)
        self.assertEqual(await self.power(guest), Power.OFF)
        await self.fails(self.driver.suspend(guest.id), DriverError)

    async def test_reboots(self) -> None:
        """As it is defined now, whether asked or not."""
        guest = await self.up()
        await self.driver.define(evolve(guest, memory_mib=192, disk_bytes=96 * MIB))
        await self.driver.reboot(guest.id, soft=False, patience_s=0)
        await self.says(guest, UP, 2)
        size = await self.hypervisor.call(lambda link: link.lookupByUUIDString(guest.id).blockInfo("vda")[0])
        memory = await self.hypervisor.call(lambda link: link.lookupByUUIDString(guest.id).maxMemory())
        self.assertEqual((size, memory), (96 * MIB, 192 << 10))
        await self.driver.reboot(guest.id, soft=True, patience_s=60)
        console = await self.says(guest, UP, 3)
        self.assertEqual(console.count(b"The system is going down"), 1)

    async def test_qemu_killed(self) -> None:
        """A guest that died shows it, with a cause, and can be started again."""
        guest = await self.up()
        os.kill(self.own.guest_pid(f"cloudd-{guest.id}"), signal.SIGKILL)
        seen = await self.comes_to(guest, Power.CRASHED)
        self.assertIn("QEMU", seen.cause)
        self.assertEqual(await self.power(guest), Power.CRASHED)
        await self.driver.power_on(guest.id)
        await self.comes_to(guest, Power.RUNNING)

    async def test_stopped_behind_our_back(self) -> None:
        guest = await self.up()
        await self.hypervisor.call(lambda link: link.lookupByUUIDString(guest.id).destroy())
        await self.comes_to(guest, Power.OFF)


class DiskTests(LibvirtCase):
    async def test_snapshots(self) -> None:
        """One file without anything below it, of a guest that goes on or is off; a guest boots from it."""
        guest = await self.up()
        process = self.own.guest_pid(f"cloudd-{guest.id}")
        running, off = self.folder / "running.qcow2", self.folder / "off.qcow2"
        await self.driver.snapshot(guest.id, running)
        self.assertEqual(self.own.guest_pid(f"cloudd-{guest.id}"), process)
        self.assertEqual(await self.power(guest), Power.RUNNING)
        await self.driver.power_off(guest.id, 0)
        await self.driver.snapshot(guest.id, off)
        for file in (running, off):
            told = subprocess.run(["qemu-img", "info", "--output=json", file], capture_output=True, check=True).stdout
            self.assertEqual(json.loads(told)["format"], "qcow2")
            self.assertNotIn("backing-filename", json.loads(told))
        self.assertEqual(sorted(path.name for path in self.folder.glob("*.part")), [])
        second = await self.up(image=running)
        await self.says(second, b"boot 2 of this disk")

    async def test_snapshot_of_a_suspended_guest(self) -> None:
        """It goes on where it was, and another guest boots from its disk."""
        guest, file = await self.up(), self.folder / "suspended.qcow2"
        await self.driver.suspend(guest.id)
        await self.driver.snapshot(guest.id, file)
        self.assertEqual(await self.power(guest), Power.SUSPENDED)
        second = await self.up(image=file)
        await self.says(second, b"boot 2 of this disk")
        await self.driver.power_on(guest.id)
        self.assertEqual((await self.driver.console(guest.id, 1 << 20)).count(UP), 1)

    async def test_made_anew(self) -> None:
        """Nothing of the old disk is left; a running guest keeps its own."""
        guest = await self.up()
        await self.fails(self.driver.rebuild_disk(guest), DriverError)
        await self.driver.power_off(guest.id, 0)
        await self.driver.rebuild_disk(guest)
        await self.driver.power_on(guest.id)
        await self.says(guest, b"boot 1 of this disk", 2)

    async def test_never_smaller(self) -> None:
        guest = self.guest()
        await self.driver.define(guest)
        await self.fails(self.driver.define(evolve(guest, disk_bytes=48 * MIB)), DriverError)
        self.assertEqual(await self.power(guest), Power.OFF)

    async def test_what_cannot_be_made_leaves_nothing(self) -> None:
        for facts in ({"image": Path("/nowhere")}, {"disk_bytes": MIB}, {"image_format": "vmdk"}, {"vcpus": 0}):
            guest = self.guest(**facts)
            await self.fails(self.driver.define(guest), DriverError)
            self.assertFalse((self.folder / "guests" / guest.id).exists())
            self.assertNotIn(guest.id, [seen.id for seen in await self.driver.guests()])


class InterfaceTests(LibvirtCase):
    async def test_plugged_and_unplugged(self) -> None:
        """Into a running guest and out of it; both twice."""
        guest = await self.up()
        interface = GuestInterface(port_id=str(uuid4()), mac_address="fa:16:3e:00:00:02")
        for _ in range(2):
            await self.driver.attach_interface(guest.id, interface)
            self.assertEqual(await self.cards(guest), 1)
        for _ in range(2):
            await self.driver.detach_interface(guest.id, interface.port_id)
            self.assertEqual(await self.cards(guest), 0)

    async def cards(self, guest: Guest) -> int:
        xml = await self.hypervisor.call(lambda link: link.lookupByUUIDString(guest.id).XMLDesc(0))
        return int(xml.count("<interface "))


class LifeTests(LibvirtCase):
    """What outlives what."""

    async def test_removed(self) -> None:
        """Nothing is left, and a second time is no error."""
        guest = await self.up()
        process = self.own.guest_pid(f"cloudd-{guest.id}")
        for _ in range(2):
            await self.driver.remove(guest.id)
            self.assertFalse((self.folder / "guests" / guest.id).exists())
            self.assertNotIn(guest.id, [seen.id for seen in await self.driver.guests()])
        self.assertFalse(Path(f"/proc/{process}/cmdline").exists() and Path(f"/proc/{process}/cmdline").read_bytes())
        for call in (self.driver.power_on(guest.id), self.driver.power_off(guest.id, 0), self.driver.pause(guest.id)):
            await self.fails(call, NoSuchGuest)
        await self.fails(self.driver.console(guest.id, 10), NoSuchGuest)

    async def test_another_driver(self) -> None:
        """Guests go on without one, and the next one finds them."""
        guest = await self.up()
        process = self.own.guest_pid(f"cloudd-{guest.id}")
        await self.driver.stop()
        await self.hypervisor.stop()
        self.seen.clear()
        self.driver = await self.make_driver()
        await self.comes_to(guest, Power.RUNNING)
        self.assertEqual(self.own.guest_pid(f"cloudd-{guest.id}"), process)
        self.assertIn(UP, await self.driver.console(guest.id, 1 << 20))

    async def test_process_killed(self) -> None:
        """A guest goes on without the process that started it, and the next one finds it."""
        guest = self.guest()
        facts = [guest.id, *map(str, (guest.image, guest.kernel, guest.initrd)), guest.kernel_arguments]
        command = [
            sys.executable,
            "-m",
            "tests.drivers.killed_driver",
            self.own.uri,
            str(self.folder / "guests"),
            *facts,
        ]
        done = await self.threads.run(subprocess.run, command, capture_output=True, text=True)
        self.assertEqual((done.returncode, done.stdout), (-signal.SIGKILL, "started\n"), done.stderr)
        await self.says(guest, UP)
        await self.comes_to(guest, Power.RUNNING)

    async def test_nothing_holds_a_driver_that_goes(self) -> None:
        driver = LibvirtDriver(reactor, self.hypervisor, self.folder / "guests", self.threads, "tcg")
        await driver.start(lambda seen: None)
        await driver.guests()
        await driver.stop()
        gone = weakref.ref(driver)
        del driver
        gc.collect()
        self.assertIsNone(gone())

    async def test_libvirtd_restarted(self) -> None:
        """Calls fail with a cause meanwhile; guests go on, and what has happened to them is told afterwards."""
        lives, dies = await gatherResults([Deferred.fromCoroutine(self.up()) for _ in range(2)])
        process = self.own.guest_pid(f"cloudd-{lives.id}")
        await self.threads.run(self.own.stop)
        await self.fails(self.driver.power_on(lives.id), HypervisorAway)
        self.assertIn(UP, await self.driver.console(lives.id, 1 << 20))
        os.kill(self.own.guest_pid(f"cloudd-{dies.id}"), signal.SIGKILL)
        await self.threads.run(self.own.start)
        await self.comes_to(dies, Power.CRASHED)
        self.assertEqual(await self.power(lives), Power.RUNNING)
        self.assertEqual(self.own.guest_pid(f"cloudd-{lives.id}"), process)

    async def test_of_somebody_else(self) -> None:
        """It is reported without an id, and never touched."""
        uuid = str(uuid4())
        await self.hypervisor.call(lambda link: link.defineXML(FOREIGN.format(uuid=uuid)))
        self.addCleanup(self.hypervisor.call, lambda link: link.lookupByUUIDString(uuid).undefine())
        found = [(seen.id, seen.power) for seen in await self.driver.guests() if seen.name == "somebody-elses"]
        self.assertEqual(found, [("", Power.OFF)])
        await self.fails(self.driver.remove(uuid), DriverError)
        await self.fails(self.driver.power_on(uuid), DriverError)
        await self.fails(self.driver.define(evolve(self.guest(), id=uuid)), DriverError)
        self.assertIn("somebody-elses", [seen.name for seen in await self.driver.guests()])
        await self.fails(self.driver.power_on("../../etc"), DriverError)
