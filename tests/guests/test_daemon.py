"""Servers in a whole daemon: what was ordered is built, also over kills and swaps, and health says what runs them."""

from __future__ import annotations

import json
import signal
import urllib.request
from collections.abc import Callable, Sequence
from typing import Any

import libvirt
from sqlalchemy import Connection, select
from twisted.internet import reactor
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from cloudd.compute import BUILD, DELETE, Doing, State, change_server, read_server
from cloudd.database import open_control_database, tables
from cloudd.drivers import Play, crash, write_play
from cloudd.interfaces.servers import Power
from cloudd.tasks import submit
from tests.hypervisor.own_libvirt import own_libvirt
from tests.running_cloud import RunningCloud

from .host import PROJECT, REQUEST, furnish, one_interface, place

SETTINGS = '[compute]\ndriver = "simulated"\n[tasks]\nlease_s = 2\n'
SERVERS = [f"0a9b7d0e-6a3f-4d21-9a7c-{number:012d}" for number in range(1, 9)]


class DaemonCase(TestCase):
    timeout = 240
    servers: Sequence[str] = SERVERS

    def settings(self) -> str:
        """Of the daemon."""
        return SETTINGS

    def setUp(self) -> None:
        self.cloud = RunningCloud(self.settings())
        self.addCleanup(self.cloud.remove)
        self.cloud.start()
        place_of_records = self.cloud.database.url or self.cloud.state / "cloud.sqlite"
        self.database = open_control_database(place_of_records, reactor=reactor, threads=1)
        self.addCleanup(self.database.close)
        self.simulated = self.cloud.state / "guests" / "simulated"

    def part(self) -> dict[str, Any]:
        """The part ``servers`` of its health."""
        with urllib.request.urlopen(self.cloud.url("api") + "/health", timeout=10) as answer:
            found: dict[str, Any] = json.load(answer)["parts"].get("servers", {})
        return found

    async def until(self, condition: Callable[[], Any]) -> Any:
        while not (found := condition()):
            await deferLater(reactor, 0.1)
        return found

    async def host(self) -> Any:
        """The row of the daemon's node."""
        while (row := await self.database.read(lambda c: c.execute(select(tables.compute_host)).first())) is None:
            await deferLater(reactor, 0.1)
        return row

    async def ordered(self) -> None:
        """Servers, placed on the daemon's node, as its API and scheduler would have left them."""
        host = await self.host()

        def order(connection: Connection) -> None:
            networks = one_interface(furnish(connection))
            for server_id in self.servers:
                place(connection, server_id, networks=networks, node_id=host.node_id, host=host.name)
                facts: dict[str, Any] = {"project_id": PROJECT, "resource": server_id, "request_id": REQUEST}
                submit(connection, BUILD, {"server_id": server_id}, node_id=host.node_id, **facts)

        await self.database.write(order)

    async def until_all(self, state: State) -> None:
        def states(connection: Connection) -> set[State]:
            return {read_server(connection, each).state for each in self.servers}

        while (await self.database.read(states)) != {state}:
            await deferLater(reactor, 0.1)

    async def until_state(self, server_id: str, state: State) -> None:
        while (await self.database.read(read_server, server_id)).state is not state:
            await deferLater(reactor, 0.1)

    async def deleted(self) -> None:
        """All of them, until they are gone."""
        host = await self.host()

        def delete(connection: Connection) -> None:
            for server_id in self.servers:
                change_server(connection, server_id, wanted="deleted", task_state=Doing.DELETING.value)
                submit(connection, DELETE, {"server_id": server_id}, node_id=host.node_id, resource=server_id)

        await self.database.write(delete)
        await self.until_all(State.DELETED)


class SimulatedTests(DaemonCase):
    async def test_life(self) -> None:
        """Built by whichever process is there, seen when they die, and deleted without a trace."""
        await self.until(lambda: "servers are simulated here" in self.part().get("cause", ""))
        write_play(self.simulated, Play(latency_s={"define": 1.0}))
        await self.ordered()
        await self.until(lambda: any(self.simulated.glob("guests/*/guest.json")))
        self.cloud.stop(signal.SIGKILL)  # in the middle of it
        self.cloud.start()
        await self.until_all(State.ACTIVE)
        write_play(self.simulated, Play())
        crash(self.simulated, SERVERS[0])
        await self.until_state(SERVERS[0], State.STOPPED)
        await self.deleted()
        self.assertEqual(list(self.simulated.glob("guests/*")), [])


class LibvirtTests(DaemonCase):
    """The same on QEMU, by a libvirt of the tests' own."""

    servers = SERVERS[:2]

    def settings(self) -> str:
        self.own = own_libvirt()
        return f'[compute]\nlibvirt_uri = "{self.own.uri}"\naccelerator = "tcg"\n'

    def destroyed(self, server_id: str) -> None:
        """By hand, behind the daemon's back.  Blocks."""
        connection = libvirt.open(self.own.uri)
        connection.lookupByUUIDString(server_id).destroy()
        connection.close()

    def left(self) -> list[str]:
        """Which of the servers libvirt knows.  Blocks."""
        connection = libvirt.open(self.own.uri)
        found = {domain.UUIDString() for domain in connection.listAllDomains()}
        connection.close()
        return sorted(found & set(self.servers))

    async def test_life(self) -> None:
        """libvirt is found, runs what is built, tells what happens to it, and has nothing of it in the end."""
        self.assertEqual((await self.host()).driver, "libvirt")
        await self.ordered()
        await self.until_all(State.ACTIVE)
        self.cloud.stop(signal.SIGKILL)
        self.cloud.start()
        await deferToThread(self.destroyed, self.servers[0])
        await self.until_state(self.servers[0], State.STOPPED)
        self.assertEqual(await self.database.read(lambda c: read_server(c, self.servers[1]).power), Power.RUNNING)
        await self.deleted()
        self.assertEqual(await deferToThread(self.left), [])
        self.assertEqual(list((self.cloud.state / "guests" / "libvirt").iterdir()), [])
