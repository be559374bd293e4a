"""Servers are built while their host's network is broken by hand: it is put right, and they are active and reached."""

from __future__ import annotations

import os
import signal
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from attrs import define, field
from twisted.internet import reactor
from twisted.internet.defer import Deferred

from cloudd.compute import BUILD, State, read_server
from cloudd.guests import guest_kinds
from cloudd.network_agent import NetworkAgent
from cloudd.tasks import Runner, by_name
from tests.guests.host import TestHost, furnish, one_interface, order, place
from tests.tasks.world import Threads

from .house import NAME, NODE, AgentCase, later, own_node

FIRST, SECOND = (f"0a9b7d0e-6a3f-4d21-9a7c-00000000000{number}" for number in (1, 2))


@define(eq=False)
class BrokenPlugging:
    """
    The agent, while it plugs.

    :ivar breaks: called when it has begun; None: nothing is broken
    """

    agent: NetworkAgent
    breaks: Callable[[], Awaitable[None]] | None = None

    async def plug(self, port_ids: Sequence[str]) -> Mapping[str, str]:
        plugged = later(self.agent.plug(port_ids))
        if self.breaks is not None:
            await self.breaks()
        return await plugged

    async def unplug(self, port_ids: Sequence[str]) -> None:
        await self.agent.unplug(port_ids)


@define(eq=False)
class Broken:
    """
    The driver of a host on which something is done by hand as one of its calls begins.

    :ivar call: of the next build; empty: nothing is broken
    """

    driver: Any
    breaks: Any
    call: str = ""
    broken: list[str] = field(init=False, factory=list)

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.driver, name)
        if name != self.call:
            return found
        return lambda *given: Deferred.fromCoroutine(self._broken(name, found, given))

    async def _broken(self, name: str, found: Any, given: tuple[Any, ...]) -> Any:
        self.call = ""
        self.breaks()
        self.broken.append(name)
        return await found(*given)


class BuildTests(AgentCase):
    async def setUp(self) -> None:  # type: ignore[override]
        await super().setUp()
        threads = Threads(reactor)
        threads.pool.start()
        self.addCleanup(threads.pool.stop)
        folder = Path(self.mktemp()).absolute()
        folder.mkdir()
        host = TestHost(reactor, folder, self.database, threads)
        self.addCleanup(host.driver.stop)
        self.driver = Broken(await host.ready_driver(), self.breaks)
        self.network_id = await self.database.write(furnish)
        self.the_agent = self.agent()
        self.the_agent.lead()
        means = host.means()
        self.plugging = BrokenPlugging(self.the_agent)
        means.driver, means.plugging, means.node_id = self.ready, self.plugging, own_node
        kinds = by_name(guest_kinds(means))
        self.runner = Runner(reactor, self.database, kinds, "tester", 4, 30.0, lambda *_: None, lambda _: None)
        self.runner.start()
        self.addCleanup(self.runner.rest)

    async def ready(self) -> Any:
        return self.driver

    def breaks(self) -> None:
        """All rules of the host go, and its DHCP server is killed."""
        self.host.run("nft flush ruleset")
        pid = self.dnsmasq()
        if pid is not None:
            os.kill(pid, signal.SIGKILL)

    async def build(self, server_id: str) -> str:
        """Until it is active; the id of its port."""
        facts = {"networks": one_interface(self.network_id), "node_id": NODE, "host": NAME}
        await self.database.write(lambda c: place(c, server_id, **facts))
        await self.database.write(order, BUILD, server_id)
        self.runner.poke()
        await self.until(lambda: self.is_active(server_id))
        return (await self.database.read(read_server, server_id)).interfaces[0].port_id

    async def is_active(self, server_id: str) -> bool:
        server = await self.database.read(read_server, server_id)
        self.assertIn(server.state, (State.BUILDING, State.ACTIVE), server.fault)
        return server.state is State.ACTIVE

    async def check(self, agent: NetworkAgent, ports: list[str], killed: int | None) -> None:
        """Every port has its rules, leases are given, and both reach each other."""
        await self.until(lambda: all(port[:8] in self.host.run("nft list ruleset") for port in ports))
        await self.until(lambda: self.dnsmasq() not in (None, killed))
        first, second = (self.guest(agent, port) for port in ports)
        await self.until(lambda: first.pings(second.fixed.address))

    async def test_before_it_is_defined(self) -> None:
        """It was plugged a moment ago."""
        await self._built("define")

    async def test_before_it_is_started(self) -> None:
        await self._built("power_on")

    async def test_while_it_is_plugged(self) -> None:
        """Its tap is there, and the rest may be or not."""
        ports, killed = [await self.build(FIRST)], self.dnsmasq()
        taps = self.taps()

        async def breaks() -> None:
            self.plugging.breaks = None
            await self.until(lambda: self.taps() > taps)
            self.breaks()
            self.driver.broken.append("plug")

        self.plugging.breaks = breaks
        ports.append(await self.build(SECOND))
        self.assertEqual(self.driver.broken, ["plug"])
        await self.check(self.the_agent, ports, killed)

    def taps(self) -> int:
        return self.host.run("ip -o link").count(f": {self.prefix}")

    async def _built(self, call: str) -> None:
        ports, killed = [await self.build(FIRST)], self.dnsmasq()
        self.assertIsNotNone(killed)
        self.driver.call = call
        ports.append(await self.build(SECOND))
        self.assertEqual(self.driver.broken, [call])
        await self.check(self.the_agent, ports, killed)
