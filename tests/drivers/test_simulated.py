"""What the simulated driver plays, and what its folder keeps."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from attrs import evolve
from twisted.internet.defer import CancelledError, Deferred

from cloudd.drivers import Failure, Play, crash, foreign, write_play
from cloudd.drivers._simulated_records import CONSOLE_BYTES, Records
from cloudd.interfaces.servers import DriverError, Guest, GuestInterface, Power, Seen, Unsupported
from tests.drivers.simulated_case import SimulatedCase

ROOT = Path(__file__).resolve().parent.parent.parent
DIE_WHILE_REMOVING = """
import os, shutil, sys
from pathlib import Path
from cloudd.drivers._simulated_records import Records
shutil.rmtree = lambda folder: os._exit(9)
Records(Path(sys.argv[1])).forget(sys.argv[2])
"""


class SimulatedTests(SimulatedCase):
    def observe(self, seen: Seen) -> None:
        self.told = [*getattr(self, "told", []), (seen.id, seen.power)]
        if seen.power == Power.CRASHED:
            self.heard_crash.callback(None)

    async def defined(self) -> Guest:
        guest = self.a_guest()
        await self.driver.define(guest)
        return guest

    async def failure_of(self, call: Deferred[Any]) -> DriverError:
        try:
            await call
        except DriverError as error:
            return error
        raise AssertionError("it did not fail")

    async def power(self, guest: Guest) -> Power | None:
        return {seen.id: seen.power for seen in await self.driver.guests()}.get(guest.id)

    async def test_not_real(self) -> None:
        """It says so, whatever host it is told to play."""
        facts = await self.driver.facts()
        self.assertFalse(facts.real)
        self.assertIn("simulated", " ".join(facts.notes))

    async def test_latency(self) -> None:
        """A call takes its time; those of other guests do not wait for it, and one that is cancelled does nothing."""
        slow, quick = await self.defined(), await self.defined()
        write_play(self.host, Play(latency_s={"power_on": 3_600}))
        waits = self.driver.power_on(slow.id)
        behind = self.driver.pause(slow.id)
        await self.driver.power_off(quick.id, 0)
        self.assertFalse(waits.called or behind.called)
        waits.cancel()
        await self.assertFailure(waits, CancelledError)
        await self.assertFailure(behind, DriverError)  # its turn comes, and the guest is off
        self.assertEqual(await self.power(slow), Power.OFF)

    async def test_short_latency(self) -> None:
        guest = await self.defined()
        write_play(self.host, Play(latency_s={"*": 0.001, "guests": 0}))
        await self.driver.power_on(guest.id)
        self.assertEqual(await self.power(guest), Power.RUNNING)

    async def test_failures(self) -> None:
        """So many calls fail, those of one server or of all, and then the next works."""
        guest, other = await self.defined(), await self.defined()
        write_play(self.host, Play(failures=[Failure(call="power_on", server=guest.id, cause="no memory", times=2)]))
        await self.driver.power_on(other.id)
        for _ in range(2):
            error = await self.failure_of(self.driver.power_on(guest.id))
            self.assertEqual((error.cause, error.next_step), ("no memory", "Try again"))
            self.assertEqual(await self.power(guest), Power.OFF)
        await self.driver.power_on(guest.id)
        self.assertEqual(await self.power(guest), Power.RUNNING)

    async def test_lost_answer(self) -> None:
        """The call has done its work, and fails; made again it finds that."""
        guest = await self.defined()
        write_play(self.host, Play(failures=[Failure(call="*", late=True)]))
        await self.assertFailure(self.driver.power_on(guest.id), DriverError)
        self.assertEqual(await self.power(guest), Power.RUNNING)
        await self.driver.power_on(guest.id)
        boots = Records(self.host).need(guest.id).boots
        self.assertEqual(boots, 1)

    async def test_unsupported(self) -> None:
        guest = await self.defined()
        write_play(self.host, Play(failures=[Failure(call="suspend", unsupported=True)]))
        await self.assertFailure(self.driver.suspend(guest.id), Unsupported)

    async def test_bad_play(self) -> None:
        """What is wrong in the file is named, and calls fail instead of playing something else."""
        self.assertRaises(ValueError, write_play, self.host, Play(latency_s={"define": -1}))
        (self.host / "play.json").write_text('{"latency_s": 5}')
        error = await self.failure_of(self.driver.guests())
        self.assertIn("latency_s", error.cause)

    async def test_told_of_others(self) -> None:
        """What another object or process changes is told; guests that are not ours are not."""
        guest = await self.defined()
        await self.driver.power_on(guest.id)
        self.heard_crash: Deferred[None] = Deferred()
        foreign(self.host, "somebody-elses")
        crash(self.host, guest.id)
        await self.heard_crash
        self.assertEqual(self.told, [(guest.id, Power.OFF), (guest.id, Power.RUNNING), (guest.id, Power.CRASHED)])

    async def test_disk(self) -> None:
        """It knows how often it was booted, also when it grows, until it is made anew."""
        guest = await self.defined()
        await self.driver.power_on(guest.id)
        await self.driver.define(evolve(guest, disk_bytes=guest.disk_bytes * 2))
        await self.driver.reboot(guest.id, False, 0)
        self.assertIn(b"boot 2 from this disk", await self.driver.console(guest.id, 200))
        await self.driver.power_off(guest.id, 0)
        await self.driver.rebuild_disk(guest)
        await self.driver.power_on(guest.id)
        self.assertIn(b"boot 1 from this disk", await self.driver.console(guest.id, 200))

    async def test_console_bounded(self) -> None:
        """The newest is kept."""
        guest = await self.defined()
        for _ in range(40):
            Records(self.host).write_console(guest.id, b"x" * 8_000)
        await self.driver.power_on(guest.id)
        file = self.host / "guests" / guest.id / "console.log"
        self.assertLess(file.stat().st_size, 2 * CONSOLE_BYTES + 8_000)
        self.assertTrue((await self.driver.console(guest.id, 100)).endswith(b"web-1 login: "))

    async def test_interfaces_kept(self) -> None:
        """They are there for another object, once each."""
        guest = await self.defined()
        port = GuestInterface(port_id="p-1", mac_address="fa:16:3e:00:00:01", tap="tap1")
        for _ in range(2):
            await self.driver.attach_interface(guest.id, port)
        self.assertEqual(Records(self.host).need(guest.id).interfaces, {"p-1": (port.mac_address, "tap1", 1500)})
        await self.driver.power_on(guest.id)
        self.assertIn(b"eth0: fa:16:3e:00:00:01", await self.driver.console(guest.id, 500))
        await self.driver.detach_interface(guest.id, "p-1")
        self.assertEqual(Records(self.host).need(guest.id).interfaces, {})

    async def test_cut_off_removal(self) -> None:
        """A process that dies in the middle leaves a folder that is no guest; removed or defined again it is whole."""
        for call in (self.driver.remove, None):
            guest = await self.defined()
            await self.driver.power_on(guest.id)
            died = subprocess.run(
                [sys.executable, "-c", DIE_WHILE_REMOVING, self.host.resolve(), guest.id], cwd=ROOT, check=False
            )
            self.assertEqual(died.returncode, 9)
            self.assertIsNone(await self.power(guest))
            await (call(guest.id) if call else self.driver.define(guest))
            self.assertEqual(await self.power(guest), None if call else Power.OFF)
            self.assertEqual((self.host / "guests" / guest.id).exists(), call is None)

    async def test_missing_image(self) -> None:
        """It is missed when the guest is started."""
        guest = await self.defined()
        self.image.unlink()
        error = await self.failure_of(self.driver.power_on(guest.id))
        self.assertIn(str(self.image), error.cause)

    async def test_spoiled_record(self) -> None:
        """It is named, with what to do."""
        guest = await self.defined()
        file = self.host / "guests" / guest.id / "guest.json"
        file.write_text(json.dumps({"power": "on"}))
        error = await self.failure_of(self.driver.power_on(guest.id))
        self.assertIn(str(file), error.cause)
        file.write_text(json.dumps({"format": 2}))
        error = await self.failure_of(self.driver.guests())
        self.assertIn("format 2", error.cause)

    async def test_no_room(self) -> None:
        """Errors of the host's file system are errors of the driver."""
        guest = await self.defined()
        error = await self.failure_of(self.driver.snapshot(guest.id, self.folder / "no" / "file"))
        self.assertIn("No such file", error.cause)
