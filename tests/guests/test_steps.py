"""What walks do not meet of each kind of work: causes that are the tenant's, hosts that fail, lost guests."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from attrs import define, evolve, field
from sqlalchemy import Connection, update
from twisted.internet import reactor
from twisted.internet.defer import fail
from twisted.trial.unittest import TestCase

from cloudd.compute import (
    ATTACH,
    BUILD,
    CONFIRM_RESIZE,
    CONSOLE,
    DELETE,
    DETACH,
    PLACE,
    POWER,
    REBUILD,
    RESIZE,
    REVERT_RESIZE,
    SNAPSHOT,
    Doing,
    Interface,
    Server,
    State,
    Wanted,
    WantedNetwork,
    add_interface,
    change_server,
    read_server,
)
from cloudd.database import tables
from cloudd.drivers import Failure, Play, crash, write_play
from cloudd.guests import Means, PlugFailed, guest_kinds
from cloudd.guests._stored import StoredFile
from cloudd.identity import Access
from cloudd.image import Image, NoSuchImage
from cloudd.image._policy import sees
from cloudd.interfaces.servers import DriverError, DriverStopped, HostAway, Power
from cloudd.network import Network as NetworkRecord
from cloudd.network import Port, Subnet, bind_port, create_network, create_port, create_subnet, drop_port, port_record
from cloudd.tasks import submit
from tests.tasks.house import House
from tests.tasks.world import Threads

from .host import NODE, PROJECT, TestHost, furnish, grown, member, one_interface, order, place, told

SERVER = "0a9b7d0e-6a3f-4d21-9a7c-000000000001"


@define(eq=False)
class AwayAtFirst:
    """The driver, behind a libvirtd that is started again."""

    driver: Any
    left: int

    def __getattr__(self, name: str) -> Any:
        if name != "define" or not self.left:
            return getattr(self.driver, name)
        self.left -= 1
        return lambda *_: fail(HostAway("it is started again", "Wait"))


@define
class Refusing:
    """A data plane that takes no port."""

    async def plug(self, port_ids: Sequence[str]) -> Mapping[str, str]:
        raise PlugFailed("10.0.0.2 is that of port 7", "Give the port another address.")

    async def unplug(self, port_ids: Sequence[str]) -> None:
        """There is none."""


@define(eq=False)
class DeafAtFirst:
    """
    The driver, with a guest that does not hear, and a process that ends meanwhile.

    :ivar patiences: with which it was asked
    """

    driver: Any
    patiences: list[float] = field(init=False, factory=list)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.driver, name)

    def power_off(self, server_id: str, patience_s: float) -> Any:
        self.patiences.append(patience_s)
        if len(self.patiences) < 3:
            return fail(DriverStopped("it was stopped", "Make the call again"))
        return self.driver.power_off(server_id, patience_s)


@define(eq=False)
class Booting:
    """
    Images with a kernel, as files.

    :ivar others: those that are another project's, and private
    """

    folder: Path
    others: tuple[str, ...] = ()
    gone: set[str] = field(init=False, factory=set)
    holds: dict[str, list[Any]] = field(init=False, factory=dict)

    async def get(self, access_or_image: Any, image_id: str = "") -> Any:
        if isinstance(access_or_image, Access):
            if image_id in self.gone:
                raise NoSuchImage(image_id)
            image = evolve(self.record(image_id), project_id="other" if image_id in self.others else PROJECT)
            if not sees(access_or_image, image, is_member=False):
                raise NoSuchImage(image_id)
            return image
        file = self.folder / access_or_image.id
        file.write_bytes(b"\0" * 512)
        return StoredFile(file, "raw")

    async def hold(self, server_id: str, files: Collection[Any]) -> None:
        self.holds[server_id] = list(files)

    async def held(self, server_id: str) -> list[Any]:
        return self.holds.get(server_id, [])

    async def release(self, server_id: str) -> None:
        self.holds.pop(server_id, None)

    def record(self, image_id: str) -> Image:
        parts = {"kernel_id": "kernel", "ramdisk_id": "initrd", "os_command_line": "quiet"}
        return Image(id=image_id, project_id=PROJECT, size=512, properties=parts if image_id == "image" else {})


class StepsCase(TestCase):
    async def setUp(self) -> None:  # type: ignore[override]
        self.house = House.built(self)
        self.threads = Threads(reactor)
        self.threads.pool.start()
        self.addCleanup(self.threads.pool.stop)
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()
        self.simulated = self.folder / "guests"
        self.host = TestHost(reactor, self.folder, self.house.database, self.threads)
        self.addCleanup(self.host.driver.stop)
        self.network_id: str = await self.write(furnish)

    async def write(self, function: Callable[..., Any], *args: Any, **facts: Any) -> Any:
        return await self.house.database.write(lambda c: function(c, *args, **facts))

    def work(self, means: Means | None = None, **facts: Any) -> None:
        """Run tasks from now on."""
        self.runner = self.house.runner(*guest_kinds(means or self.host.means()), parallel=4, **facts)

    async def order(self, form: Any, doing: Doing | None = None, **payload: Any) -> dict[str, Any]:
        """Have it done; the task's row at its end."""
        task_id = await self.write(order, form, SERVER, doing, **payload)
        self.runner.poke()

        def ended() -> dict[str, Any] | None:
            row = self.house.row(task_id)
            return row if row["state"] in ("done", "failed") else None

        found: dict[str, Any] = await self.house.until(ended)
        return found

    async def built(self, **facts: Any) -> None:
        await self.write(place, SERVER, **{"networks": one_interface(self.network_id), **facts})
        self.assertEqual((await self.order(BUILD))["state"], "done")

    async def server(self) -> Server:
        found: Server = await self.house.database.read(read_server, SERVER)
        return found

    async def told(self) -> dict[str, Any]:
        found: dict[str, Any] = await self.house.database.read(told, SERVER)
        return found

    def fails(self, call: str, times: int = 99) -> None:
        write_play(self.simulated, Play(failures=[Failure(call=call, cause="it burns", next_step="Wait", times=times)]))

    def record(self) -> dict[str, Any]:
        """The guest as the simulated host has it."""
        found: dict[str, Any] = json.loads((self.simulated / "guests" / SERVER / "guest.json").read_text())
        return found

    async def a_port(self) -> str:
        port = Port(id="", project_id=PROJECT, network_id=self.network_id, mac_address="")
        made: Port = await self.write(create_port, member(), port, None, frozenset())
        return made.id


class BuildTests(StepsCase):
    async def test_no_address(self) -> None:
        """What no host could do better ends it, with the cause for the tenant, and nothing is left."""

        def full(connection: Connection) -> str:
            network = create_network(connection, member(), NetworkRecord(id="", project_id=PROJECT))
            subnet = Subnet(id="", project_id=PROJECT, network_id=network.id, ip_version=4, cidr="10.9.0.0/30")
            create_subnet(connection, member(), subnet, frozenset())
            return network.id

        network_id = await self.write(full)
        self.work()
        await self.write(place, SERVER, networks=one_interface(network_id) * 2)
        self.assertEqual((await self.order(BUILD))["state"], "failed")
        found = await self.told()
        self.assertEqual((found["state"], found["host"], found["ports"], found["server_claims"]), ("error", "", 0, 0))
        self.assertIn(f"No more IP addresses available on network {network_id}", found["fault"])
        self.assertEqual(len(self.house.database_ids()), 1)

    async def test_no_image(self) -> None:
        """An image that is gone by now."""
        self.work()
        await self.write(place, SERVER, image_id="another")
        await self.order(BUILD)
        self.assertIn("aborted: No image found", (await self.told())["fault"])

    async def test_last_host(self) -> None:
        """After the third host it is given up; what the host said is for administrators."""
        self.work()
        await self.host.ready_driver()
        self.fails("power_on")
        await self.write(place, SERVER)
        await self.order(BUILD, tries=2, avoid=["a", "b"])
        server = await self.server()
        assert server.fault is not None
        self.assertEqual((server.state, server.node_id, server.fault.code), (State.ERROR, "", 500))
        self.assertIn("3 have failed", server.fault.message)
        self.assertIn("it burns", server.fault.details)
        self.assertEqual(len(self.house.database_ids()), 1)

    async def test_address_that_a_host_cannot_have(self) -> None:
        """Its tenant is told what can be done, and administrators what was in the way."""
        self.work(evolve(self.host.means(), plugging=Refusing()))
        await self.write(place, SERVER, networks=one_interface(self.network_id))
        await self.order(BUILD, tries=2, avoid=["a", "b"])
        fault = (await self.server()).fault
        assert fault is not None
        self.assertEqual(fault.message.partition("3 have failed. ")[2], "Give the port another address.")
        self.assertEqual(fault.details, "10.0.0.2 is that of port 7")

    async def test_address_that_the_next_host_may_have(self) -> None:
        """Who places it once more knows what to tell if there is no other."""
        self.work(evolve(self.host.means(), plugging=Refusing()))
        await self.write(place, SERVER, networks=one_interface(self.network_id))
        await self.order(BUILD, tries=1, avoid=["a"])
        (placing,) = [row for each in self.house.database_ids() if (row := self.house.row(each))["kind"] == PLACE.name]
        payload = json.loads(placing["payload"])
        self.assertEqual(payload["cause"], "10.0.0.2 is that of port 7")
        self.assertEqual(payload["told"], "Give the port another address.")

    async def test_next_host(self) -> None:
        """Before that it is placed once more, with what has failed."""
        self.work()
        await self.host.ready_driver()
        self.fails("define")
        await self.write(place, SERVER)
        await self.order(BUILD, tries=1, avoid=["a"])
        (placing,) = [row for each in self.house.database_ids() if (row := self.house.row(each))["kind"] == PLACE.name]
        payload = json.loads(placing["payload"])
        self.assertEqual((payload["servers"], payload["avoid"], payload["tries"]), ([SERVER], ["a", NODE], 2))

    async def test_host_comes_back(self) -> None:
        """A libvirtd that is started again is waited for, and the build goes on."""
        driver = AwayAtFirst(await self.host.ready_driver(), 2)

        async def ready() -> Any:
            return driver

        means = self.host.means()
        means.driver = ready
        self.work(means)
        await self.built()
        self.assertEqual(((await self.server()).state, driver.left), (State.ACTIVE, 0))

    async def test_patience_is_one(self) -> None:
        """A stop that is begun again, as by each upgrade, goes on waiting; it does not wait from the beginning."""
        driver = DeafAtFirst(await self.host.ready_driver())

        async def ready() -> Any:
            return driver

        means = self.host.means()
        means.driver, means.patience_s = ready, 3600.0
        self.work(means)
        await self.built()
        self.assertEqual((await self.order(POWER, Doing.POWERING_OFF, verb="stop"))["state"], "done")
        first, second, third = driver.patiences
        self.assertTrue(3600.0 >= first > second > third > 3000.0, driver.patiences)
        kinds = {kind.form: kind for kind in guest_kinds(means)}
        self.assertEqual([kinds[each].silence_s for each in (POWER, RESIZE, REVERT_RESIZE)], [4200.0] * 3)

    async def test_placed_elsewhere(self) -> None:
        """A build that comes too late touches nothing of what the other host has made."""
        self.work()
        await self.write(place, SERVER, networks=one_interface(self.network_id), node_id="other")
        self.assertEqual((await self.order(BUILD))["result"], '{"gone": true}')
        found = await self.told()
        self.assertEqual((found["state"], found["doing"], found["server_claims"]), ("building", "spawning", 1))

    async def test_kernel(self) -> None:
        """An image with a kernel of its own is booted by that."""
        booting = Booting(self.folder)
        means = self.host.means()
        means.images, means.image_files = booting, booting
        self.work(means)
        await self.built(image_id="image")
        record = self.record()
        self.assertEqual(record["kernel_arguments"], "quiet")
        self.assertEqual([Path(each).name for each in record["needs"]], ["image", "kernel", "initrd"])

    async def test_kernel_stays(self) -> None:
        """No disk names it, so the host is told that it is needed for as long as the server is there."""
        booting = Booting(self.folder)
        means = self.host.means()
        means.images, means.image_files = booting, booting
        self.work(means)
        await self.built(image_id="image")
        self.assertEqual([each.path.name for each in booting.holds[SERVER]], ["image", "kernel", "initrd"])
        await self.order(DELETE, Doing.DELETING)
        self.assertEqual(booting.holds, {})

    async def test_resized_when_its_image_is_deleted(self) -> None:
        """Its disk lies above the file still; only a new disk needs the image."""
        booting = Booting(self.folder)
        means = self.host.means()
        means.images, means.image_files = booting, booting
        self.work(means)
        await self.built(image_id="plain")
        booting.gone.add("plain")
        await self.write(grown, SERVER)
        self.assertEqual((await self.order(RESIZE, Doing.RESIZE_PREP, state="active"))["state"], "done")
        self.assertEqual((await self.order(CONFIRM_RESIZE, Doing.RESIZE_CONFIRMING))["state"], "done")
        record = self.record()
        self.assertEqual((record["memory_mib"], [Path(each).name for each in record["needs"]]), (128, ["plain"]))
        self.assertEqual((await self.order(REBUILD, Doing.REBUILDING, state="active"))["state"], "failed")

    async def test_kernel_of_others(self) -> None:
        """
        An image may name any id as its kernel or ramdisk: another project's private image comes into no guest by that.
        """
        booting = Booting(self.folder, others=("initrd",))
        means = self.host.means()
        means.images, means.image_files = booting, booting
        self.work(means)
        await self.write(place, SERVER, image_id="image")
        self.assertEqual((await self.order(BUILD))["state"], "failed")
        self.assertIn("aborted: No image found with ID initrd", (await self.told())["fault"])

    async def test_kernel_of_the_images_owner(self) -> None:
        """What a public image names need be for its own project only."""
        booting = Booting(self.folder, others=("image", "kernel", "initrd"))
        means = self.host.means()
        means.images, means.image_files = booting, booting
        self.work(means)
        await self.built(image_id="image")
        self.assertEqual([Path(each).name for each in self.record()["needs"]], ["image", "kernel", "initrd"])

    async def test_guest(self) -> None:
        """It has the flavor's size, and its port's address and tap."""
        self.work()
        await self.built()
        record, (interface,) = self.record(), (await self.server()).interfaces
        port = await self.house.database.read(port_record, interface.port_id)
        self.assertEqual((record["vcpus"], record["memory_mib"], record["disk_bytes"]), (1, 64, 1 << 30))
        self.assertEqual(record["interfaces"], {port.id: [port.mac_address, f"tap{port.id[:8]}", 1500]})
        self.assertEqual(
            (port.status, port.device_id, port.host, port.device_owner), ("ACTIVE", SERVER, "host-1", "compute:nova")
        )
        self.assertEqual(record["owner"], {"name": "s", "project": "project", "user": "user"})

    async def test_tenants_port(self) -> None:
        """It is bound, and free again when the server is deleted; one that is in use cannot be had."""
        port_id = await self.a_port()
        self.work()
        await self.built(networks=(WantedNetwork(port_id=port_id),))
        self.assertEqual((await self.house.database.read(port_record, port_id)).device_id, SERVER)
        await self.order(DELETE, Doing.DELETING)
        port = await self.house.database.read(port_record, port_id)
        self.assertEqual((port.device_id, port.host, port.status), ("", "", "DOWN"))

    async def test_port_in_use(self) -> None:
        port_id = await self.a_port()
        self.work()
        await self.write(_take, port_id)
        await self.write(place, SERVER, networks=(WantedNetwork(port_id=port_id),))
        await self.order(BUILD)
        self.assertIn(f"Port {port_id} is still in use", (await self.told())["fault"])
        self.assertEqual((await self.house.database.read(port_record, port_id)).device_id, "another")


def _take(connection: Connection, port_id: str) -> None:
    bind_port(connection, port_id, "another", "compute:nova", "host")


class ActionTests(StepsCase):
    async def setUp(self) -> None:  # type: ignore[override]
        await super().setUp()
        self.work()
        await self.built()

    async def test_hard_reboot_of_a_suspended_one(self) -> None:
        """It boots anew, without what was in its memory."""
        await self.order(POWER, Doing.SUSPENDING, verb="suspend")
        self.assertEqual((await self.server()).state, State.SUSPENDED)
        self.assertEqual((await self.order(POWER, Doing.REBOOTING_HARD, verb="reboot"))["state"], "done")
        server = await self.server()
        self.assertEqual((server.state, server.wanted, server.fault), (State.ACTIVE, Wanted.RUNNING, None))
        records = json.loads((self.simulated / "guests" / SERVER / "guest.json").read_text())
        self.assertEqual(records["boots"], 2)

    async def test_soft_reboot_of_a_crashed_one(self) -> None:
        """One that cannot be asked is rebooted all the same."""
        crash(self.simulated, SERVER)
        await self.order(POWER, Doing.REBOOTING, verb="reboot", soft=True)
        self.assertEqual(((await self.server()).state, self.record()["power"]), (State.ACTIVE, Power.RUNNING))

    async def test_lost_guest(self) -> None:
        """A server whose guest is gone is in error, and can be rebuilt."""
        await (await self.host.ready_driver()).remove(SERVER)
        self.assertEqual((await self.order(POWER, Doing.POWERING_ON, verb="start"))["state"], "failed")
        self.assertEqual((await self.server()).state, State.ERROR)
        await self.order(REBUILD, Doing.REBUILDING, state="active")
        server = await self.server()
        self.assertEqual((server.state, server.fault, self.record()["power"]), (State.ACTIVE, None, Power.RUNNING))

    async def test_rebuild_stopped(self) -> None:
        """One that was stopped is stopped afterwards, with another disk."""
        disk = self.record()["disk"]
        await self.order(REBUILD, Doing.REBUILDING, state="stopped")
        server = await self.server()
        self.assertEqual((server.state, self.record()["power"]), (State.STOPPED, Power.OFF))
        self.assertNotEqual(self.record()["disk"], disk)

    async def test_cannot_go_back(self) -> None:
        """A resize that fails, and whose undoing does: the records are of the old size, and the server is in error."""
        await self.write(grown, SERVER)
        self.fails("define")
        self.assertEqual((await self.order(RESIZE, Doing.RESIZE_PREP, state="active"))["state"], "failed")
        found = await self.told()
        self.assertEqual((found["state"], found["flavors"], found["server_claims"]), ("error", ["small", None], 1))
        self.flushLoggedErrors(DriverError)

    async def test_no_such_verb(self) -> None:
        row = await self.order(POWER, Doing.POWERING_ON, verb="fly")
        self.assertIn("verb: 'fly' is none of start, stop", row["cause"])
        self.assertEqual((await self.server()).doing, None)

    async def test_console(self) -> None:
        """Its end, as text."""
        output = json.loads((await self.order(CONSOLE, last_bytes=None))["result"])["output"]
        self.assertIn("login", output)
        some = json.loads((await self.order(CONSOLE, last_bytes=5))["result"])["output"]
        self.assertEqual(some, output[-5:])

    async def test_failed_deletion(self) -> None:
        """It is in error, and is deleted again by deleting it again."""
        self.fails("remove")
        await self.order(DELETE, Doing.DELETING)
        server = await self.server()
        assert server.fault is not None
        self.assertEqual((server.state, server.deleted_us, len(server.interfaces)), (State.ERROR, None, 1))
        self.assertIn("delete it again", server.fault.message)
        write_play(self.simulated, Play())
        await self.order(DELETE, Doing.DELETING)
        self.assertEqual((await self.server()).state, State.DELETED)

    async def test_failed_snapshot(self) -> None:
        """No image comes of it, and the server goes on."""
        await self.host.kept.keep("image", self.simulated / "guests" / SERVER / "guest.json")
        self.fails("snapshot")
        await self.order(SNAPSHOT, Doing.IMAGE_SNAPSHOT, image_id="image")
        server = await self.server()
        self.assertEqual((server.state, server.doing, list((self.folder / "kept").iterdir())), (State.ACTIVE, None, []))

    async def test_snapshot_of_a_suspended_one(self) -> None:
        """It stays suspended."""
        await self.order(POWER, Doing.SUSPENDING, verb="suspend")
        await self.order(SNAPSHOT, Doing.IMAGE_SNAPSHOT, image_id="image")
        server = await self.server()
        self.assertEqual((server.state, server.doing, server.fault), (State.SUSPENDED, None, None))
        self.assertEqual([file.name for file in (self.folder / "kept").iterdir()], ["image"])

    async def test_snapshot_of_one_that_goes(self) -> None:
        """The image that waits for its data goes with the server."""
        await self.host.kept.keep("image", self.simulated / "guests" / SERVER / "guest.json")
        await self.write(change_server, SERVER, wanted="deleted")
        await self.order(SNAPSHOT, image_id="image")
        self.assertEqual(list((self.folder / "kept").iterdir()), [])

    async def test_deleted_while_a_snapshot_is_kept(self) -> None:
        """The file of the copy, as large as the disk, does not stay on the host."""

        async def delete() -> None:
            await self.write(change_server, SERVER, wanted="deleted")

        self.host.kept.then = delete
        self.assertEqual((await self.order(SNAPSHOT, Doing.IMAGE_SNAPSHOT, image_id="image"))["state"], "done")
        self.assertEqual(list((self.folder / "snapshots").iterdir()), [])

    async def test_port_deleted_by_its_project(self) -> None:
        """The server can be stopped, and started without it."""
        (interface,) = (await self.server()).interfaces
        await self.write(drop_port, member(), interface.port_id)
        for verb, doing in (("stop", Doing.POWERING_OFF), ("start", Doing.POWERING_ON), ("reboot", Doing.REBOOTING)):
            self.assertEqual((await self.order(POWER, doing, verb=verb))["state"], "done")
        self.assertEqual(((await self.server()).state, self.record()["interfaces"]), (State.ACTIVE, {}))
        self.assertEqual((await self.order(REBUILD, Doing.REBUILDING, state="active"))["state"], "done")
        await self.order(DETACH, port_id=interface.port_id)
        self.assertEqual((await self.server()).interfaces, ())

    async def test_port_that_is_being_detached(self) -> None:
        """Whatever has the guest defined or started meanwhile does it without, and plugs nothing that goes."""
        (interface,) = (await self.server()).interfaces
        payload = {"server_id": SERVER, "port_id": interface.port_id}
        for form, doing, facts in (
            (POWER, Doing.REBOOTING, {"verb": "reboot"}), (REBUILD, Doing.REBUILDING, {"state": "active"}),
        ):  # fmt: skip
            await self.host.plugs.unplug([interface.port_id])
            # Of a node that is away, so that it stays open.
            task_id = await self.write(submit, DETACH, payload, project_id=PROJECT, node_id="away", once=True)
            self.assertEqual((await self.order(form, doing, **facts))["state"], "done")
            self.assertEqual((self.record()["interfaces"], self.host.plugs.plugged), ({}, 0))
        self.assertEqual(self.house.row(task_id)["state"], "queued")
        await self.write(lambda connection: connection.execute(update(tables.task).values(state="done")))
        self.assertEqual((await self.order(REBUILD, Doing.REBUILDING, state="active"))["state"], "done")
        self.assertEqual((list(self.record()["interfaces"]), self.host.plugs.plugged), ([interface.port_id], 1))

    async def test_port_that_was_given_away(self) -> None:
        """What another server has by now stays plugged when this one lets go of it, and when it is deleted."""
        (interface,) = (await self.server()).interfaces
        port_id = await self.a_port()
        await self.write(add_interface, SERVER, Interface(port_id=port_id, position=1))
        await self.order(ATTACH, port_id=port_id)
        await self.write(place, "another")
        for each in (interface.port_id, port_id):
            await self.write(add_interface, "another", Interface(port_id=each, position=0, is_ours=False))
        await self.order(DETACH, port_id=port_id)
        self.assertEqual((list(self.record()["interfaces"]), self.host.plugs.plugged), ([interface.port_id], 2))
        await self.order(DELETE, Doing.DELETING)
        self.assertEqual(((await self.server()).state, self.host.plugs.plugged), (State.DELETED, 2))
        for each in (interface.port_id, port_id):
            await self.house.database.read(port_record, each)

    async def test_failed_attachment(self) -> None:
        """The server has no such interface, and a port that was made for it goes."""
        port_id = await self.a_port()
        await self.write(add_interface, SERVER, Interface(port_id=port_id, position=1))
        self.fails("attach_interface")
        await self.order(ATTACH, port_id=port_id)
        found = await self.told()
        self.assertEqual((found["interfaces"], found["ports"], found["state"]), (1, 1, "active"))
        self.assertEqual(self.host.plugs.plugged, 1)

    async def test_failed_detachment(self) -> None:
        """It has it still, and can be detached again."""
        (interface,) = (await self.server()).interfaces
        self.fails("detach_interface")
        await self.order(DETACH, port_id=interface.port_id)
        self.assertEqual((await self.told())["interfaces"], 1)
        write_play(self.simulated, Play())
        await self.order(DETACH, port_id=interface.port_id)
        self.assertEqual(((await self.told())["interfaces"], self.record()["interfaces"]), (0, {}))

    async def test_going(self) -> None:
        """What comes to a server that is to be deleted does nothing but remove what is there."""
        await self.write(change_server, SERVER, wanted="deleted")
        self.assertEqual((await self.order(POWER, verb="start"))["result"], '{"gone": true}')
        self.assertEqual(await (await self.host.ready_driver()).guests(), [])
