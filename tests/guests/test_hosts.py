"""Several hosts over one database: a build that fails on one is made on another, and the history tells of both."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from sqlalchemy import Connection
from twisted.internet import reactor
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from cloudd.compute import PLACE, Server, State, claims_of, one_action, read_server
from cloudd.drivers import Failure, Play, write_play
from cloudd.guests import guest_kinds
from cloudd.network import port_record
from cloudd.scheduling import Picture, find_plugins, place_kind
from cloudd.tasks import submit
from cloudd.tasks._rows import Here
from tests.scheduling.records import add_host, add_servers
from tests.tasks.house import House
from tests.tasks.world import Threads

from .host import PROJECT, REQUEST, SMALL, USER, TestHost, act, furnish, member, one_interface

RULES = find_plugins().rules((), {})
EVENT = "compute__do_build_and_run_instance"


class OneOf(TestHost):
    """Of several hosts."""

    async def node_id(self) -> str:
        return f"node-{self.folder.name}"


class HostsTests(TestCase):
    """c1 has the most room, and c4 the least."""

    async def setUp(self) -> None:  # type: ignore[override]
        self.house = House.built(self)
        threads = Threads(reactor)
        threads.pool.start()
        self.addCleanup(threads.pool.stop)
        self.hosts: dict[str, OneOf] = {}
        for number in range(1, 5):
            await self.add_host(f"c{number}", 64 >> number, threads)
        self.network_id = await self.house.database.write(furnish)
        placing = place_kind(Picture(self.house.database, time.monotonic), RULES)
        self.house.runner(placing, starts=False).start()

    async def add_host(self, name: str, vcpus: int, threads: Any) -> None:
        """One that does what is ordered of it alone."""
        folder = Path(self.mktemp()).absolute() / name
        folder.mkdir(parents=True)
        await self.house.database.write(lambda c: add_host(c, name, vcpus=vcpus))
        self.hosts[name] = host = OneOf(reactor, folder, self.house.database, threads)
        self.addCleanup(host.driver.stop)
        await host.ready_driver()
        runner = self.house.runner(*guest_kinds(host.means()), starts=False)
        runner.here = Here(f"node-{name}", shared=False)
        runner.start()

    def fails(self, name: str, call: str) -> None:
        failure = Failure(call=call, cause=f"{name} burns", next_step="Wait", times=99)
        write_play(self.hosts[name].folder / "guests", Play(failures=[failure]))

    async def made(self) -> Server:
        """A server, as soon as it is active or in error."""

        def fill(connection: Connection) -> str:
            facts = {"project_id": PROJECT, "user_id": USER, "networks": one_interface(self.network_id)}
            (server_id,) = add_servers(connection, SMALL, 1, **facts)
            act(connection, server_id, "create")
            payload = {"servers": [server_id], "avoid": [], "tries": 0}
            submit(connection, PLACE, payload, request_id=REQUEST, resource=server_id)
            return server_id

        server_id = await self.house.database.write(fill)
        while True:
            server: Server = await self.house.database.read(read_server, server_id)
            if server.state is not State.BUILDING:
                return server
            await deferLater(reactor, 0.02)

    async def events(self, server: Server) -> list[tuple[str, str | None, str]]:
        """Host, result and details of each build, oldest first."""
        action = await self.house.database.read(one_action, member(), server.id, REQUEST)
        return [(each.host, each.result, each.details or "") for each in action.events if each.name == EVENT]

    async def guests(self) -> dict[str, int]:
        """How many each host has, and what is plugged there."""
        found = {name: len(await host.driver.guests()) + host.plugs.plugged for name, host in self.hosts.items()}
        return {name: count for name, count in found.items() if count}

    async def test_next_host(self) -> None:
        """Two hosts in turn cannot start it, and the third does; nothing is left with the first two."""
        self.fails("c1", "power_on")
        self.fails("c2", "define")
        server = await self.made()
        self.assertEqual(
            (server.state, server.host, server.node_id, server.fault), (State.ACTIVE, "c3", "node-c3", None)
        )
        events = await self.events(server)
        self.assertEqual([each[:2] for each in events], [("c1", "Error"), ("c2", "Error"), ("c3", "Success")])
        self.assertIn("c1 burns", events[0][2])
        self.assertIn("c2 burns", events[1][2])
        self.assertEqual(await self.guests(), {"c3": 2})
        (claim,) = await self.house.database.read(claims_of, [server.id])
        self.assertEqual(claim.node_id, "node-c3")
        port = await self.house.database.read(port_record, server.interfaces[0].port_id)
        self.assertEqual((port.host, port.status), ("c3", "ACTIVE"))

    async def test_no_host(self) -> None:
        """After three it is given up though a fourth is there; the last one's cause is told to administrators."""
        for name in self.hosts:
            self.fails(name, "power_on")
        server = await self.made()
        assert server.fault is not None
        self.assertEqual((server.state, server.host, server.interfaces), (State.ERROR, "", ()))
        self.assertIn("3 have failed", server.fault.message)
        self.assertIn("c3 burns", server.fault.details)
        self.assertEqual([each[0] for each in await self.events(server)], ["c1", "c2", "c3"])
        self.assertEqual(await self.guests(), {})
        self.assertEqual(await self.house.database.read(claims_of, [server.id]), [])
