"""Which of the two a host gets."""

from __future__ import annotations

import os
from pathlib import Path

from attrs import evolve
from twisted.internet import reactor
from twisted.trial.unittest import TestCase

from cloudd.interfaces.settings import NetworkSettings
from cloudd.network_agent import NetworkAgent, NoDataPlane, network_agent, prefix_of
from net import HostNetwork
from tests.identity.house import House

from .house import own_node


class MakingTests(TestCase):
    async def setUp(self) -> None:  # type: ignore[override]
        self.house = await House.built(self)

    def made(self, data_plane: str, without: str = "") -> NetworkAgent | NoDataPlane:
        found = self.house.resources(self.house.database())
        settings = evolve(found.settings, network=NetworkSettings(data_plane=data_plane))
        return network_agent(evolve(found, reactor=reactor, settings=settings), own_node, without)

    def test_settings(self) -> None:
        """On and off are as said; of itself a host has one where servers are real and it has what that needs."""
        self.assertIsInstance(self.made("on", "servers are simulated"), NetworkAgent)
        self.assertIsInstance(self.made("off"), NoDataPlane)
        simulated = self.made("auto", "servers are simulated")
        self.assertIn("simulated", simulated.health()[0].cause)
        self.assertIsInstance(self.made("auto"), NetworkAgent)

    def test_without_root(self) -> None:
        """Who is not root has none, and health says so."""
        os.seteuid(65534)
        try:
            made = self.made("auto")
        finally:
            os.seteuid(0)
        self.assertIn("root", made.health()[0].cause)

    def test_without_a_program(self) -> None:
        """A machine that lacks something has none, and health says what to install."""
        found = Path("/usr/sbin/dnsmasq")
        self.assertTrue(found.exists())
        self.patch(os, "environ", {"PATH": ""})
        self.patch(Path, "exists", lambda path: path.name != "tun")
        self.assertIn("/dev/net/tun is not there", self.made("auto").health()[0].cause)

    def test_prefix(self) -> None:
        """Each node has a prefix of its own, which a network of a host takes."""
        prefixes = {prefix_of(f"node-{number}") for number in range(50)}
        self.assertEqual(len(prefixes), 50)
        for prefix in prefixes:
            HostNetwork(prefix)
