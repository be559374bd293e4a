"""
What every ``IServerDriver`` keeps to.

A provider's ``TestCase`` mixes this in and says how guests of its kind are made, crash and belong to others.  Which
tests are the least that a driver must pass stands in ``MINIMUM``; ``docs/drivers.md`` shows who passes what.
"""

from __future__ import annotations

import struct
from typing import Any
from uuid import uuid4

from attrs import evolve
from twisted.internet.defer import CancelledError, Deferred
from zope.interface.verify import verifyObject

from cloudd.interfaces.servers import DriverStopped, GuestInterface, IServerDriver, NoSuchGuest, Power, Seen
from tests.contracts.server_driver_case import ServerDriverCase

PORT = GuestInterface(port_id=str(uuid4()), mac_address="fa:16:3e:00:00:01")
MINIMUM = {
    "test_interface",
    "test_facts",
    "test_life",
    "test_off",
    "test_remove",
    "test_remove_running",
    "test_define_again",
    "test_define_refuses",
    "test_reboot",
    "test_reboot_off",
    "test_no_such_guest",
    "test_bad_id",
    "test_console",
    "test_crash_is_told",
    "test_power_on_after_crash",
    "test_restart",
    "test_stop_cuts_off",
    "test_foreign",
    "test_foreign_with_our_id",
    "test_cut_off",
    "test_in_order",
    "test_rebuild_disk",
}
"""Without these nothing above a driver works.  The others are told to tenants as not supported."""


class ServerDriverContract(ServerDriverCase):
    """Mix into a ``TestCase`` that says what ``ServerDriverCase`` asks for."""

    # What it is

    def test_interface(self) -> None:
        """It has the calls that an `IServerDriver` has."""
        verifyObject(IServerDriver, self.driver)

    async def test_facts(self) -> None:
        """There is a host, and what is missing is said in sentences."""
        facts = await self.driver.facts()
        self.assertTrue(min(facts.vcpus, facts.memory_mib, facts.version) > 0)
        self.assertTrue(facts.kind and facts.architecture and facts.cpu_model)
        self.assertTrue(facts.real or facts.notes)
        for note in facts.notes:
            self.assertTrue(note.endswith("."), note)

    # The states

    async def test_life(self) -> None:
        """Defined it is off, started it runs, and each is so when asked for again."""
        guest = self.a_guest()
        await self.twice(lambda: self.driver.define(guest), guest.id, Power.OFF)
        heard = self.hear(guest.id, Power.RUNNING)
        await self.twice(lambda: self.driver.power_on(guest.id), guest.id, Power.RUNNING)
        await heard
        await self.driver.define(guest)
        self.assertEqual((await self.powers())[guest.id], Power.RUNNING)

    async def test_off(self) -> None:
        """Ended at once it is off, and so again."""
        guest = await self.running()
        heard = self.hear(guest.id, Power.OFF)
        await self.twice(lambda: self.driver.power_off(guest.id, 0), guest.id, Power.OFF)
        await heard

    async def test_off_softly(self) -> None:
        """One that was asked is off in the end."""
        guest = await self.running()
        await self.booted(guest.id)
        await self.twice(lambda: self.driver.power_off(guest.id, self.patience_s), guest.id, Power.OFF)

    async def test_pause(self) -> None:
        """It stands still, and goes on by `unpause` or `power_on`."""
        guest = await self.running()
        heard = self.hear(guest.id, Power.PAUSED)
        await self.twice(lambda: self.driver.pause(guest.id), guest.id, Power.PAUSED)
        await heard
        await self.twice(lambda: self.driver.unpause(guest.id), guest.id, Power.RUNNING)
        await self.driver.pause(guest.id)
        await self.twice(lambda: self.driver.power_on(guest.id), guest.id, Power.RUNNING)

    async def test_pause_and_off(self) -> None:
        """A paused guest cannot hear and is not waited for."""
        guest = await self.running()
        await self.driver.pause(guest.id)
        await self.twice(lambda: self.driver.power_off(guest.id, 3600), guest.id, Power.OFF)

    async def test_suspend(self) -> None:
        """Its memory is written down, and it runs again from there."""
        guest = await self.running()
        heard = self.hear(guest.id, Power.SUSPENDED)
        await self.twice(lambda: self.driver.suspend(guest.id), guest.id, Power.SUSPENDED)
        await heard
        await self.twice(lambda: self.driver.power_on(guest.id), guest.id, Power.RUNNING)

    async def test_suspend_paused(self) -> None:
        """It runs when it is restored."""
        guest = await self.running()
        await self.driver.pause(guest.id)
        await self.driver.suspend(guest.id)
        await self.twice(lambda: self.driver.power_on(guest.id), guest.id, Power.RUNNING)

    async def test_suspended_and_off(self) -> None:
        """The memory that was written down is thrown away."""
        guest = await self.running()
        await self.driver.suspend(guest.id)
        await self.twice(lambda: self.driver.power_off(guest.id, 0), guest.id, Power.OFF)

    async def test_suspended_refuses(self) -> None:
        """What would lose its memory is refused."""
        guest = await self.running()
        await self.driver.suspend(guest.id)
        for soft in (True, False):
            await self.refused(lambda soft=soft: self.driver.reboot(guest.id, soft, 0), guest.id, "SUSPENDED")  # type: ignore[misc]
        await self.refused(lambda: self.driver.pause(guest.id), guest.id, "SUSPENDED")

    async def test_off_refuses(self) -> None:
        """What is off cannot be paused or suspended."""
        guest = await self.defined()
        for call in (self.driver.pause, self.driver.unpause, self.driver.suspend):
            await self.refused(lambda call=call: call(guest.id), guest.id, "OFF")  # type: ignore[misc]

    async def test_reboot(self) -> None:
        """It runs anew, and so again."""
        guest = await self.running()
        await self.twice(lambda: self.driver.reboot(guest.id, False, 0), guest.id, Power.RUNNING)

    async def test_reboot_softly(self) -> None:
        """It was asked, has ended and runs again."""
        guest = await self.running()
        await self.booted(guest.id)
        await self.driver.reboot(guest.id, True, self.patience_s)
        self.assertEqual((await self.powers())[guest.id], Power.RUNNING)

    async def test_reboot_off(self) -> None:
        """Hard, it is started; softly it is refused, since nobody is there to be asked."""
        guest = await self.defined()
        await self.refused(lambda: self.driver.reboot(guest.id, True, 0), guest.id, "OFF")
        await self.twice(lambda: self.driver.reboot(guest.id, False, 0), guest.id, Power.RUNNING)

    async def test_reboot_paused(self) -> None:
        """Hard, it is started anew; softly it is refused."""
        guest = await self.running()
        await self.driver.pause(guest.id)
        await self.refused(lambda: self.driver.reboot(guest.id, True, 0), guest.id, "PAUSED")
        await self.driver.reboot(guest.id, False, 0)
        self.assertEqual((await self.powers())[guest.id], Power.RUNNING)

    # What there is

    async def test_remove(self) -> None:
        """Nothing there is no error, and the id can be used again."""
        guest = await self.defined()
        for _ in range(2):
            await self.driver.remove(guest.id)
            self.assertNotIn(guest.id, await self.powers())
        await self.twice(lambda: self.driver.define(guest), guest.id, Power.OFF)

    async def test_remove_running(self) -> None:
        """It is ended and gone, its console too."""
        guest = await self.running()
        await self.driver.remove(guest.id)
        self.assertNotIn(guest.id, await self.powers())
        await self.assertFailure(self.driver.console(guest.id, 1), NoSuchGuest)

    async def test_remove_suspended(self) -> None:
        """Its memory goes too: defined again it is off."""
        guest = await self.running()
        await self.driver.suspend(guest.id)
        await self.driver.remove(guest.id)
        await self.twice(lambda: self.driver.define(guest), guest.id, Power.OFF)

    async def test_define_again(self) -> None:
        """It may grow, also while it runs."""
        guest = await self.running()
        bigger = evolve(guest, vcpus=guest.vcpus + 1, memory_mib=guest.memory_mib * 2, disk_bytes=guest.disk_bytes * 2)
        await self.twice(lambda: self.driver.define(bigger), guest.id, Power.RUNNING)
        await self.driver.reboot(guest.id, False, 0)
        self.assertEqual((await self.powers())[guest.id], Power.RUNNING)

    async def test_define_refuses(self) -> None:
        """What cannot be had is named, and nothing is left."""
        wrong: tuple[tuple[str, Any], ...] = (
            ("vcpus", 0),
            ("memory_mib", 0),
            ("disk_bytes", 1 << 10),
            ("image", self.folder / "none"),
            ("image_format", "vmdk"),
            ("kernel_arguments", "quiet"),
            ("interfaces", [evolve(PORT, mac_address="fa:16")]),
        )
        for field, value in wrong:
            facts: dict[str, Any] = {"kernel": None, "initrd": None, "kernel_arguments": "", field: value}
            guest = evolve(self.a_guest(), **facts)
            named = "mac_address" if field == "interfaces" else field
            await self.refused(lambda guest=guest: self.driver.define(guest), guest.id, named)  # type: ignore[misc]
            await self.assertFailure(self.driver.power_on(guest.id), NoSuchGuest)

    async def test_kernel_arguments(self) -> None:
        """They are one line."""
        guest = evolve(self.a_guest(), kernel=self.folder.resolve() / "kernel", kernel_arguments="quiet\npanic=-1")
        await self.refused(lambda: self.driver.define(guest), guest.id, "kernel_arguments")

    async def test_disk_keeps_its_size(self) -> None:
        """It never becomes smaller."""
        guest = await self.defined()
        smaller = evolve(guest, disk_bytes=guest.disk_bytes - (1 << 20))
        await self.refused(lambda: self.driver.define(smaller), guest.id, "disk_bytes")

    async def test_disk_keeps_its_image(self) -> None:
        """What the guest wrote is never read above another image: that takes a new disk, from which it starts."""
        guest = await self.defined()
        await self.driver.snapshot(guest.id, self.folder / "image")
        other = evolve(guest, image=self.folder / "image", image_format="qcow2")
        await self.refused(lambda: self.driver.define(other), guest.id, "image")
        await self.refused(lambda: self.driver.define(evolve(guest, image=None)), guest.id, "image")
        await self.driver.define(guest)
        await self.driver.rebuild_disk(other)
        await self.twice(lambda: self.driver.define(other), guest.id, Power.OFF)
        await self.refused(lambda: self.driver.define(guest), guest.id, "image")
        await self.driver.power_on(guest.id)

    async def test_no_such_guest(self) -> None:
        """Each call for a server that is not here says so."""
        nobody = str(uuid4())
        calls: list[Deferred[None]] = [
            self.driver.power_on(nobody),
            self.driver.power_off(nobody, 0),
            self.driver.reboot(nobody, False, 0),
            self.driver.pause(nobody),
            self.driver.unpause(nobody),
            self.driver.suspend(nobody),
            self.driver.attach_interface(nobody, PORT),
            self.driver.detach_interface(nobody, PORT.port_id),
            self.driver.snapshot(nobody, self.folder / "none"),
            self.driver.rebuild_disk(evolve(self.a_guest(), id=nobody)),
        ]
        for call in calls:
            error = await self.failure_of(call)
            self.assertIsInstance(error, NoSuchGuest)
            self.assertIn(nobody, error.cause)

    async def test_bad_id(self) -> None:
        """What is no UUID never becomes a path or a name."""
        for bad in ("", "..", "../../x", "1", "a/b"):
            await self.refused(lambda bad=bad: self.driver.remove(bad), bad, "id")  # type: ignore[misc]
            await self.refused(lambda bad=bad: self.driver.define(evolve(self.a_guest(), id=bad)), bad, "id")  # type: ignore[misc]

    # What it says and keeps

    async def test_console(self) -> None:
        """No more than asked for, its end, and also when it is off."""
        guest = await self.running()
        await self.booted(guest.id)
        await self.driver.power_off(guest.id, 0)
        all_of_it = await self.driver.console(guest.id, 1 << 40)
        self.assertTrue(0 < len(all_of_it) <= 2 << 20)
        self.assertEqual(await self.driver.console(guest.id, 10), all_of_it[-10:])
        self.assertEqual(await self.driver.console(guest.id, 0), b"")
        self.assertEqual(await self.driver.console((await self.defined()).id, 10), b"")

    async def test_interfaces(self) -> None:
        """Plugged and unplugged, each also again and while it is off."""
        guest = await self.defined()
        for call in (
            lambda: self.driver.attach_interface(guest.id, PORT),
            lambda: self.driver.detach_interface(guest.id, PORT.port_id),
        ):
            await self.twice(call, guest.id, Power.OFF)
        await self.driver.attach_interface(guest.id, PORT)
        await self.driver.power_on(guest.id)
        await self.booted(guest.id)
        await self.twice(lambda: self.driver.detach_interface(guest.id, PORT.port_id), guest.id, Power.RUNNING)
        await self.twice(lambda: self.driver.attach_interface(guest.id, PORT), guest.id, Power.RUNNING)

    async def test_snapshot(self) -> None:
        """One qcow2 file of the disk's size which refers to no other, whatever the guest does."""
        guest = await self.running()
        for power, call in (
            (Power.RUNNING, self.driver.power_on),
            (Power.PAUSED, self.driver.pause),
            (Power.SUSPENDED, self.driver.suspend),
            (Power.OFF, lambda server_id: self.driver.power_off(server_id, 0)),
        ):
            await call(guest.id)
            file = self.folder / f"{power.name}.qcow2"
            await self.twice(lambda file=file: self.driver.snapshot(guest.id, file), guest.id, power)  # type: ignore[misc]
            magic, version, backing = struct.unpack(">4sIQ", file.read_bytes()[:16])
            self.assertEqual((magic, version in {2, 3}, backing), (b"QFI\xfb", True, 0))
            self.assertEqual(struct.unpack(">Q", file.read_bytes()[24:32])[0], guest.disk_bytes)
        names = sorted(file.name for file in self.folder.glob("*.qcow2*"))
        self.assertEqual(names, ["OFF.qcow2", "PAUSED.qcow2", "RUNNING.qcow2", "SUSPENDED.qcow2"])

    async def test_snapshot_without_a_place(self) -> None:
        """That is an error of the driver, which says why, whatever the guest does."""
        guest = await self.running()
        (self.folder / "file").write_bytes(b"")
        for _ in range(2):
            await self.refused(lambda: self.driver.snapshot(guest.id, self.folder / "file/image"), guest.id)
            await self.driver.power_off(guest.id, 0)

    async def test_boot_from_snapshot(self) -> None:
        """A snapshot is an image for another guest."""
        guest = await self.defined()
        await self.driver.snapshot(guest.id, self.folder / "image")
        another = evolve(self.a_guest(), image=self.folder / "image", image_format="qcow2", disk_bytes=guest.disk_bytes)
        await self.driver.define(another)
        await self.driver.power_on(another.id)
        self.assertEqual((await self.powers())[another.id], Power.RUNNING)

    async def test_rebuild_disk(self) -> None:
        """Refused while it runs; then it has a new disk, which may be smaller than the old one."""
        guest = await self.running()
        bigger = evolve(guest, disk_bytes=guest.disk_bytes * 2)
        await self.driver.define(bigger)
        await self.refused(lambda: self.driver.rebuild_disk(guest), guest.id, "RUNNING")
        await self.driver.power_off(guest.id, 0)
        await self.twice(lambda: self.driver.rebuild_disk(guest), guest.id, Power.OFF)
        await self.driver.power_on(guest.id)
        self.assertEqual((await self.powers())[guest.id], Power.RUNNING)

    # Behind its back

    async def test_crash_is_told(self) -> None:
        """A guest that ends by itself has crashed, with a cause, and that is told at once."""
        guest = await self.running()
        heard = self.hear(guest.id, Power.CRASHED)
        await self.crash(guest.id)
        self.assertTrue((await heard).cause)
        seen = [seen for seen in await self.driver.guests() if seen.id == guest.id]
        self.assertEqual([one.power for one in seen], [Power.CRASHED])
        self.assertTrue(seen[0].cause)

    async def test_power_on_after_crash(self) -> None:
        """It is started, and the cause of the crash is of the past; a stop does not hide it."""
        guest = await self.running()
        heard = self.hear(guest.id, Power.CRASHED)
        await self.crash(guest.id)
        await heard
        await self.refused(lambda: self.driver.reboot(guest.id, True, 0), guest.id, "CRASHED")
        await self.twice(lambda: self.driver.power_off(guest.id, 0), guest.id, Power.CRASHED)
        await self.twice(lambda: self.driver.power_on(guest.id), guest.id, Power.RUNNING)
        self.assertEqual([seen.cause for seen in await self.driver.guests() if seen.id == guest.id], [""])

    async def test_restart(self) -> None:
        """Guests go on without the driver, and another object finds them as they are."""
        states = {(await self.running()).id: Power.RUNNING, (await self.defined()).id: Power.OFF}
        await self.driver.stop()
        later = self.another()
        await later.start(self.observe)
        self.addCleanup(later.stop)
        found = await self.powers(later)
        self.assertEqual({server_id: found[server_id] for server_id in states}, states)
        for server_id in states:
            await later.power_on(server_id)
            self.assertEqual((await self.powers(later))[server_id], Power.RUNNING)

    async def test_stop_twice(self) -> None:
        """What is stopped tells nothing more."""
        guest = await self.running()
        await self.driver.stop()
        await self.driver.stop()
        told = len(self.told)
        await self.crash(guest.id)
        later = self.another()
        heard: list[Seen] = []
        await later.start(heard.append)
        self.addCleanup(later.stop)
        self.assertEqual((await self.powers(later))[guest.id], Power.CRASHED)
        self.assertEqual(len(self.told), told)

    async def test_stop_cuts_off(self) -> None:
        """A call under way ends with the driver, and does nothing more to what its successor starts."""
        guest = await self.running()
        self.let_power_off_take_an_hour()
        calls = [self.driver.power_off(guest.id, 3600), self.driver.remove(guest.id)]
        await self.driver.stop()
        for call in [*calls, self.driver.power_off(guest.id, 0)]:
            self.assertIsInstance(await self.failure_of(call), DriverStopped)
        later = self.another()
        await later.start(self.observe)
        self.addCleanup(later.stop)
        await later.power_on(guest.id)
        self.assertEqual((await self.powers(later))[guest.id], Power.RUNNING)

    async def test_foreign(self) -> None:
        """It is reported without an id, and whatever is done to ours leaves it alone."""
        name = await self.foreign_guest(str(uuid4()))
        guest = await self.running()
        await self.driver.remove(guest.id)
        found = [seen for seen in await self.driver.guests() if seen.name == name]
        self.assertEqual([(seen.id, seen.power) for seen in found], [("", Power.RUNNING)])
        self.assertEqual(await self.foreign_power(name), Power.RUNNING)

    async def test_foreign_with_our_id(self) -> None:
        """A guest of others is never touched, even where it has the id of a server of ours."""
        guest = self.a_guest()
        name = await self.foreign_guest(guest.id)
        for call in (
            lambda: self.driver.define(guest),
            lambda: self.driver.remove(guest.id),
            lambda: self.driver.power_off(guest.id, 0),
        ):
            await self.refused(call, guest.id, name)
        self.assertEqual(await self.foreign_power(name), Power.RUNNING)

    # Halves

    async def test_cut_off(self) -> None:
        """Whatever a call has done when it is cut off, made again it does the rest."""
        guest = self.a_guest()
        for call, power in (
            (lambda: self.driver.define(guest), Power.OFF),
            (lambda: self.driver.power_on(guest.id), Power.RUNNING),
            (lambda: self.driver.reboot(guest.id, False, 0), Power.RUNNING),
            (lambda: self.driver.power_off(guest.id, 0), Power.OFF),
            (lambda: self.driver.rebuild_disk(guest), Power.OFF),
            (lambda: self.driver.remove(guest.id), None),
        ):
            half = call()
            half.addErrback(lambda _: None)
            half.cancel()
            await call()
            self.assertEqual((await self.powers()).get(guest.id), power)

    async def test_cancelled(self) -> None:
        """Patience ends with it: the next call does not wait for an hour."""
        guest = await self.running()
        self.let_power_off_take_an_hour()
        call = self.driver.power_off(guest.id, 3600)
        call.cancel()
        await self.assertFailure(call, CancelledError)
        await self.driver.power_on(guest.id)
        self.assertEqual((await self.powers())[guest.id], Power.RUNNING)

    async def test_in_order(self) -> None:
        """Calls for one server take effect in the order made, without waiting for each."""
        guest = self.a_guest()
        calls = [
            self.driver.define(guest),
            self.driver.power_on(guest.id),
            self.driver.power_off(guest.id, 0),
            self.driver.remove(guest.id),
            self.driver.define(guest),
            self.driver.power_on(guest.id),
        ]
        for call in calls:
            await call
        self.assertEqual((await self.powers())[guest.id], Power.RUNNING)
