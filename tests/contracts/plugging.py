"""What whatever plugs ports on a host keeps to; run on the agent with a real data plane and on the one without."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cloudd.database import tables
from cloudd.network_agent import NetworkAgent, NoDataPlane, PlugRefused
from tests.network_agent.house import AgentCase, later

if TYPE_CHECKING:
    Base = AgentCase
else:
    Base = object


class PluggingContract(Base):
    """Mix into an ``AgentCase`` whose ``make`` gives one."""

    def make(self) -> NetworkAgent | NoDataPlane:
        """Another generation, on this host."""
        raise NotImplementedError

    async def statuses(self, *port_ids: str) -> list[str]:
        return [await self.records.status(port_id) for port_id in port_ids]

    async def test_plug_and_unplug(self) -> None:
        """Each port has a name of its tap, and its record says that it is plugged; both can be asked for again."""
        network = await self.records.network()
        ports = [await self.records.port(network) for _ in range(3)]
        plugging = self.make()
        taps = await plugging.plug(ports)
        self.assertEqual(list(taps), ports)
        self.assertEqual(await plugging.plug(ports), taps)
        self.assertEqual(await self.statuses(*ports), ["ACTIVE"] * 3)
        for _ in range(2):
            await plugging.unplug(ports[:2])
            self.assertEqual(await self.statuses(*ports), ["DOWN", "DOWN", "ACTIVE"])
        self.assertEqual(await plugging.plug(ports[:1]), {ports[0]: taps[ports[0]]})
        self.assertEqual(await self.statuses(*ports), ["ACTIVE", "DOWN", "ACTIVE"])

    async def test_nothing(self) -> None:
        """Nothing can be asked for, and what is not there be unplugged."""
        plugging = self.make()
        self.assertEqual(await plugging.plug([]), {})
        await plugging.unplug([])
        await plugging.unplug(["22222222-0000-4000-8000-000000000000"])

    async def test_not_here(self) -> None:
        """A port that there is not, that no device has, or that another host has is refused by name."""
        network = await self.records.network()
        there, free = await self.records.port(network, host="host-2"), await self.records.port(network)
        await self.records.set(tables.port, free, device_id="")
        plugging = self.make()
        for port_id in (there, free, "22222222-0000-4000-8000-000000000000"):
            refused: Any = await self.assertFailure(later(plugging.plug([port_id])), PlugRefused)
            self.assertEqual(refused.port_id, port_id)
            self.assertIn("not bound to this host", refused.cause)
        self.assertEqual(await self.statuses(there, free), ["DOWN"] * 2)

    async def test_turned_off(self) -> None:
        """A port that is turned off has its tap, and is down."""
        port = await self.records.port(await self.records.network(), admin_state_up=False)
        plugging = self.make()
        self.assertEqual(list(await plugging.plug([port])), [port])
        self.assertEqual(await self.statuses(port), ["DOWN"])

    async def test_life(self) -> None:
        """It can begin and end at any time and more than once, and says in words how it is."""
        plugging = self.make()
        await plugging.self_check()
        plugging.start(plugging.snapshot())
        for _ in range(2):
            plugging.lead()
        (health,) = plugging.health()
        self.assertTrue(health.ok)
        for _ in range(2):
            plugging.retire()
            await plugging.rest()
        port = await self.records.port(await self.records.network())
        self.assertEqual(list(await plugging.plug([port])), [port])
