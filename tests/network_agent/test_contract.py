"""Both ways of plugging ports keep to one contract."""

from __future__ import annotations

from attrs import evolve

from cloudd.interfaces.settings import NetworkSettings
from cloudd.network_agent import NetworkAgent, NoDataPlane, network_agent
from tests.contracts.plugging import PluggingContract

from .house import AgentCase, own_node


class AgentTests(PluggingContract, AgentCase):
    def make(self) -> NetworkAgent:
        return self.agent()


class NoDataPlaneTests(PluggingContract, AgentCase):
    def make(self) -> NoDataPlane:
        resources = self.resources()
        settings = evolve(resources.settings, network=NetworkSettings(data_plane="off"))
        made = network_agent(evolve(resources, settings=settings), own_node)
        assert isinstance(made, NoDataPlane)
        return made

    async def test_no_tap(self) -> None:
        """There is no name, nothing on the host, and health says why."""
        before = self.host.run("ip link; nft list ruleset")
        port = await self.records.port(await self.records.network())
        made = self.make()
        self.assertEqual(await made.plug([port]), {port: ""})
        self.assertEqual(self.host.run("ip link; nft list ruleset"), before)
        self.assertIn("data_plane is off", made.health()[0].cause)
