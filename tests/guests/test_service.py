"""Guests as a part of a generation: what a host says of itself, what it notices, and what it leaves alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from attrs import evolve
from sqlalchemy import Connection, select
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from cloudd.compute import (
    DELETE,
    POWER,
    REVERT_RESIZE,
    Doing,
    State,
    Wanted,
    change_server,
    gone,
    read_server,
    servers_on,
)
from cloudd.daemon._hypervisor import LentHypervisor
from cloudd.daemon._metrics import WorkerMetrics
from cloudd.database import tables
from cloudd.drivers import Failure, Play, crash, foreign, write_play
from cloudd.guests import Guests, _lookout, _service
from cloudd.image import Images
from cloudd.interfaces.application import Host, PartHealth, Resources
from cloudd.interfaces.servers import Guest, Power
from cloudd.interfaces.settings import ComputeSettings, Settings
from cloudd.nodes import NodeError
from storage import MemoryStore
from tests.tasks.house import House
from tests.tasks.world import Threads

from .host import HOST, NODE, furnish, place

SERVER = "0a9b7d0e-6a3f-4d21-9a7c-000000000001"
OTHER = "0a9b7d0e-6a3f-4d21-9a7c-000000000002"


class GuestsCase(TestCase):
    async def setUp(self) -> None:  # type: ignore[override]
        self.house = House.built(self)
        self.state = Path(self.mktemp()).absolute()
        self.simulated = self.state / "guests" / "simulated"
        self.threads = Threads(reactor)
        self.threads.pool.start()
        self.addCleanup(self.threads.pool.stop)
        self.poked = 0
        self.unknown: Deferred[str] | None = None
        self.patch(_service, "AGAIN_S", 0.1)
        self.patch(_service, "LOOK_S", 0.2)
        await self.house.database.write(furnish)

    async def own_node(self) -> str:
        return NODE if self.unknown is None else await self.unknown

    async def own_name(self) -> str:
        return HOST

    def poke(self) -> None:
        self.poked += 1

    def guests(self, role: str = "agent", lent: Any = None, unlinked: str = "", **settings: Any) -> Guests:
        resources = Resources(
            reactor=reactor,
            settings=Settings(state=self.state, compute=ComputeSettings(**{"driver": "simulated", **settings})),
            threads=self.threads,
            database=self.house.database,
            object_index=self.house.database,
            metrics=WorkerMetrics(),
            host=cast(Host, None),
            role=role,
            generation=3,
            urls={},
            secrets=Path("/nowhere"),
            extra={} if lent is None else {"guests": lent},
        )
        store = MemoryStore()
        asked = self.own_node, self.own_name, self.poke
        found = Guests(resources, Images(resources, store), store, *asked, unlinked=unlinked)
        self.addCleanup(found.rest)
        return found

    async def running(self, guests: Guests, server_id: str = SERVER, **facts: Any) -> None:
        """A server that is active, with its guest."""
        states = {"state": State.ACTIVE, "doing": None, "power": Power.RUNNING}
        await self.house.database.write(place, server_id, **{**states, **facts})
        driver = await guests.driver.ready()
        await driver.define(Guest(id=server_id, name="s", vcpus=1, memory_mib=64, disk_bytes=1, image=None))
        await driver.power_on(server_id)

    async def until(self, condition: Any) -> Any:
        """Wait until what is read is so, and give it."""
        while not (found := await self.house.database.read(condition)):
            await _soon()
        return found

    async def until_state(self, state: State, server_id: str = SERVER) -> Any:
        def is_so(connection: Connection) -> Any:
            server = read_server(connection, server_id)
            return server if server.state is state else None

        return await self.until(is_so)

    async def until_healthy(self, guests: Guests, words: str, *, ok: bool = True) -> PartHealth:
        while True:
            for part in guests.health():
                if part.ok is ok and words in part.cause:
                    return part
            await _soon()


def _soon() -> Deferred[None]:
    done: Deferred[None] = Deferred()
    cast(Any, reactor).callLater(0.02, done.callback, None)
    return done


def host_row(connection: Connection) -> Any:
    return connection.execute(select(tables.compute_host)).first()


def open_tasks(connection: Connection) -> list[tuple[str, str | None]]:
    return [(row.kind, row.node_id) for row in connection.execute(select(tables.task)).all()]


class ReportTests(GuestsCase):
    async def test_reports(self) -> None:
        """A host says what it has, that its servers are simulated, and nothing more often than it changes."""
        guests = self.guests(zone="z1", vcpu_ratio=2.0)
        guests.lead()
        row = await self.until(host_row)
        self.assertEqual((row.name, row.driver, row.real, row.zone), (HOST, "simulated", False, "z1"))
        self.assertEqual((row.vcpu_ratio, row.is_enabled, row.trouble), (2.0, True, ""))
        await self.until_healthy(guests, "servers are simulated here")
        for _ in range(20):
            await _soon()
        self.assertEqual((await self.house.database.read(host_row)).updated_us, row.updated_us)

    async def test_all_hear_of_a_failure(self) -> None:
        """Whoever waits for the driver while it cannot be chosen is told, and the next one finds it chosen."""
        self.unknown = Deferred()
        guests = self.guests(driver="auto")
        waiting = [Deferred.fromCoroutine(guests.driver.ready()) for _ in range(3)]
        self.unknown, unknown = None, self.unknown
        assert unknown is not None
        unknown.errback(NodeError("it is not known yet"))
        for each in waiting:
            await self.assertFailure(each, NodeError)
        self.assertEqual((await guests.driver.ready()).name, "simulated")

    async def test_stopped_while_its_start_fails(self) -> None:
        """Who asked for it is told; whoever waits for its end does not hear of it."""
        self.simulated.parent.mkdir(parents=True)
        self.simulated.write_text("no folder")
        guests = self.guests()
        starting = Deferred.fromCoroutine(guests.driver.ready())
        ended = guests.driver.stop()
        self.assertFalse(ended.called)
        await self.assertFailure(starting, OSError)
        await ended

    async def test_not_of_others(self) -> None:
        """A front worker looks at nothing."""
        guests = self.guests("front")
        guests.lead()
        for _ in range(5):
            await _soon()
        self.assertEqual((guests.health(), await self.house.database.read(host_row)), ([], None))

    async def test_no_node_yet(self) -> None:
        """A machine that is no node yet says it later."""
        answers: list[Any] = [NodeError("there is no such node"), NodeError("there is no such node")]
        own_name = self.own_name

        async def name() -> str:
            if answers:
                raise answers.pop()
            return await own_name()

        self.patch(_service, "SOON_S", 0.01)
        self.own_name = name  # type: ignore[method-assign]
        self.guests().lead()
        self.assertEqual((await self.until(host_row)).name, HOST)

    async def test_trouble(self) -> None:
        """A driver that fails is told to the scheduler and in health, and so is that it does again."""
        guests = self.guests()
        guests.lead()
        await self.until(host_row)
        write_play(self.simulated, Play(failures=[Failure(call="facts", cause="it burns", next_step="Look", times=99)]))
        await self.until_healthy(guests, "it burns", ok=False)
        row = await self.until(lambda c: (row := host_row(c)).trouble and row)
        self.assertIn("it burns", row.trouble)
        write_play(self.simulated, Play())
        await self.until_healthy(guests, "")
        await self.until(lambda c: not host_row(c).trouble)

    async def test_none(self) -> None:
        """A host that runs no servers says nothing of itself; one that did is told as having none."""
        first = self.guests()
        first.lead()
        await self.until(host_row)
        await first.rest()
        guests = self.guests(driver="none")
        guests.lead()
        await self.until_healthy(guests, "runs no servers")
        await self.until(lambda c: "driver is none" in host_row(c).trouble)


class ChoiceTests(GuestsCase):
    async def test_auto_without_libvirt(self) -> None:
        """Where nobody answers servers are simulated, and it says why."""
        lent = LentHypervisor(reactor, f"qemu+unix:///system?socket={self.state}/none")
        chosen = await self.guests(driver="auto", lent=lent).driver.chosen()
        assert chosen.driver is not None
        self.assertEqual(chosen.driver.name, "simulated")
        self.assertIn("no libvirt answers at qemu+unix", chosen.words)

    async def test_auto_stays(self) -> None:
        """A host with simulated servers goes on with them, whatever answers by now."""
        first = self.guests()
        first.lead()
        await self.until(host_row)
        await self.running(first)
        lent = LentHypervisor(reactor, "test:///default")
        chosen = await self.guests(driver="auto", lent=lent).driver.chosen()
        assert chosen.driver is not None
        self.assertEqual((chosen.driver.name, "some are left" in chosen.words), ("simulated", True))

    async def test_auto_with_a_libvirt_that_came_late(self) -> None:
        """It was away when it was decided that guests here get no links, so it gets none."""
        lent = LentHypervisor(reactor, "test:///default")
        unlinked = "no libvirt answers, so servers are simulated here"
        chosen = await self.guests(driver="auto", lent=lent, unlinked=unlinked).driver.chosen()
        assert chosen.driver is not None
        self.assertEqual(chosen.driver.name, "simulated")
        self.assertIn("no libvirt answered at test:///default when cloudd started", chosen.words)

    async def test_libvirt_without_a_way(self) -> None:
        """It is no other driver then."""
        chosen = await self.guests(driver="libvirt").driver.chosen()
        self.assertEqual((chosen.driver, chosen.words), (None, "this process has no way to libvirt: restart cloudd"))


class SightTests(GuestsCase):
    async def test_crash(self) -> None:
        """A guest that dies by itself is shown at once: its server is stopped, and is not started again."""
        guests = self.guests()
        guests.lead()
        await self.running(guests)
        crash(self.simulated, SERVER)
        server = await self.until_state(State.STOPPED)
        self.assertEqual((server.power, server.wanted), (Power.CRASHED, Wanted.RUNNING))

    async def test_at_the_start(self) -> None:
        """What has happened while nobody looked is seen at the start."""
        before = self.guests()
        await self.running(before)
        await before.rest()
        crash(self.simulated, SERVER)
        self.guests().lead()
        await self.until_state(State.STOPPED)

    async def test_resumes(self) -> None:
        """With the setting, a guest that is off though nobody has stopped its server is started."""
        guests = self.guests(resume_guests=True)
        await self.running(guests)
        await (await guests.driver.ready()).power_off(SERVER, 0)
        guests.lead()
        self.assertEqual(await self.until(open_tasks), [(POWER.name, NODE)])
        server = await self.house.database.read(read_server, SERVER)
        self.assertEqual((server.state, server.doing), (State.ACTIVE, Doing.POWERING_ON))
        await self.until(lambda _: self.poked)

    async def test_runs_though_stopped(self) -> None:
        """Somebody has stopped it, so it is stopped again."""
        guests = self.guests()
        await self.running(guests, state=State.STOPPED, wanted=Wanted.STOPPED, power=Power.OFF)
        guests.lead()
        self.assertEqual(await self.until(open_tasks), [(POWER.name, NODE)])

    async def test_strangers(self) -> None:
        """Guests that nobody owns are told and left alone, and so are servers without a guest."""
        guests = self.guests()
        await self.running(guests)
        await self.house.database.write(place, OTHER, state=State.ACTIVE, doing=None)
        foreign(self.simulated, "somebody-elses")
        guests.lead()
        told = await self.until_healthy(guests, "somebody-elses")
        self.assertIn(OTHER, told.cause)
        self.assertEqual(len(await (await guests.driver.ready()).guests()), 2)

    async def test_left_over(self) -> None:
        """What is left of a server that is deleted goes."""
        guests = self.guests()
        await self.running(guests)
        await self.house.database.write(gone, SERVER)
        guests.lead()
        self.assertEqual(await self.until(open_tasks), [(DELETE.name, NODE)])

    async def test_lost(self) -> None:
        """What nobody is at any more is settled: it is what it is, and one that was to be deleted is."""
        self.patch(_lookout, "LOST_US", -1)
        guests = self.guests()
        await self.running(guests, doing=Doing.REBOOTING)
        await self.house.database.write(place, OTHER)
        third = OTHER[:-1] + "3"
        await self.house.database.write(place, third, state=State.ACTIVE, doing=Doing.DELETING, wanted=Wanted.DELETED)
        guests.lead()
        self.assertEqual(await self.until(open_tasks), [(DELETE.name, NODE)])
        failed = await self.until_state(State.ERROR, OTHER)
        self.assertIn("ended without being finished", failed.fault.message)
        server = await self.until_state(State.ACTIVE)
        self.assertEqual((server.doing, server.fault is None), (None, False))

    async def test_lost_resize(self) -> None:
        """The size that it had is what it gets: two are claimed, and nobody knows which one its guest has."""
        self.patch(_lookout, "LOST_US", -1)
        guests = self.guests()
        await self.running(guests, doing=Doing.RESIZE_PREP, flavor="big", flavor_before="small")
        guests.lead()
        self.assertEqual(await self.until(open_tasks), [(REVERT_RESIZE.name, NODE)])
        server = await self.house.database.read(read_server, SERVER)
        self.assertEqual((server.doing, server.fault), (Doing.RESIZE_REVERTING, None))

    async def test_lost_confirmation(self) -> None:
        """It can be confirmed again, or reverted."""
        self.patch(_lookout, "LOST_US", -1)
        guests = self.guests()
        facts = {"state": State.RESIZED, "doing": Doing.RESIZE_CONFIRMING, "flavor": "big", "flavor_before": "small"}
        await self.running(guests, **facts)
        guests.lead()

        def is_settled(connection: Connection) -> Any:
            server = read_server(connection, SERVER)
            return None if server.doing else server

        server = await self.until(is_settled)
        self.assertEqual((server.state, server.flavor_before), (State.RESIZED, "small"))

    async def test_somebody_is_at_it(self) -> None:
        """A task that is open is waited for."""
        self.patch(_lookout, "LOST_US", -1)
        guests = self.guests()
        await self.running(guests, doing=Doing.REBOOTING)
        await self.house.submit(form=POWER, payload={"server_id": SERVER, "verb": "reboot"})
        guests.lead()
        await self.until(host_row)
        for _ in range(10):
            await _soon()
        self.assertEqual((await self.house.database.read(read_server, SERVER)).doing, Doing.REBOOTING)

    async def test_changed_meanwhile(self) -> None:
        """A row that was changed since the look began is left for the next one."""
        guests = self.guests()
        await self.running(guests)
        servers = await self.house.database.read(servers_on, NODE)
        await self.house.database.write(lambda c: change_server(c, SERVER, power=1))
        seen = {SERVER: evolve((await (await guests.driver.ready()).guests())[0], power=Power.OFF)}
        changed = _lookout.wanted_changes(servers, seen, resumes=False)
        self.assertEqual(list(changed), [SERVER])
        await self.house.database.write(_lookout.bring_in, NODE, changed, seen, False)
        self.assertEqual((await self.house.database.read(read_server, SERVER)).state, State.ACTIVE)
