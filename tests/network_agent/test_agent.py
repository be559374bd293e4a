"""A host that follows the cloud's records: real taps, pings and dnsmasq in namespaces, as root."""

from __future__ import annotations

from cloudd.network_agent import PlugRefused

from .house import AgentCase, later


class PlugTests(AgentCase):
    async def test_two_guests(self) -> None:
        """Ports of one group reach each other once they are plugged, and records say so; at last nothing is left."""
        before = self.host.run("ip -o link; ip route; nft list ruleset")
        network = await self.records.network()
        ports = [await self.records.port(network) for _ in range(2)]
        agent = self.agent()
        taps = await agent.plug(ports)
        self.assertEqual(taps, {port: f"{self.prefix}{port}"[:15] for port in ports})
        self.assertEqual([await self.records.status(port) for port in ports], ["ACTIVE"] * 2)
        first, second = (self.guest(agent, port) for port in ports)
        self.assertTrue(first.pings(second.fixed.address))
        state = self.state()
        self.assertEqual(await agent.plug(ports), taps)
        self.assertEqual(self.state(), state)
        await agent.unplug(ports)
        self.assertEqual(self.host.run("ip -o link; ip route; nft list ruleset"), before)
        self.assertEqual([await self.records.status(port) for port in ports], ["DOWN"] * 2)
        self.assertEqual(list(self.folder.iterdir()), [])
        await agent.unplug(ports)

    async def test_held_out_until_it_is_plugged_again(self) -> None:
        """What was unplugged stays out although it is bound; what is not bound here is refused by name."""
        network = await self.records.network()
        port = await self.records.port(network)
        other = await self.records.port(network, host="host-2")
        agent = self.agent()
        await agent.unplug([port])
        agent.lead()
        await agent.plug([])
        self.assertNotIn(port[:8], self.host.run("ip link"))
        await agent.plug([port])
        self.assertIn(port[:8], self.host.run("ip link"))
        refused = await self.assertFailure(later(agent.plug([port, other])), PlugRefused)
        self.assertEqual(refused.port_id, other)
        self.assertIn("not bound to this host", refused.cause)
