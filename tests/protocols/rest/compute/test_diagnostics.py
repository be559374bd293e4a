"""Diagnostics of servers."""

from __future__ import annotations

from cloudd.compute import Doing, Interface, State, add_interface
from cloudd.interfaces.servers import Power
from cloudd.network import Port, create_port

from .server_cloud import ADMIN, ALICE, BOB, ServerCase


class DiagnosticTests(ServerCase):
    async def test_fits(self) -> None:
        """What the records say, in the form of each version."""
        network, access = self.net(), self.client_access(ALICE)
        server_id = self.add(power=Power.RUNNING)
        wanted = Port(id="", project_id="p1", network_id=network.id, mac_address="")
        with self.database.engine.begin() as connection:
            port = create_port(connection, access, wanted, None, frozenset())
            add_interface(connection, server_id, Interface(port_id=port.id, position=0))
            add_interface(connection, server_id, Interface(port_id="gone", position=1))
        path, size = f"/servers/{server_id}/diagnostics", self.flavor()
        for version in ("2.1", "2.47", "2.48", "2.79"):
            shown = await self.fits("servers", "show_server_diagnostics", ADMIN, "GET", path, version)
            self.assertEqual((shown["state"], shown["hypervisor"]), ("running", "simulated"))
            self.assertGreater(shown["uptime"], 0)
        self.assertEqual((shown["num_cpus"], shown["num_disks"], shown["num_nics"]), (size.vcpus, 1, 1))
        self.assertEqual(shown["memory_details"]["maximum"], size.ram_mib)
        self.assertEqual([each["mac_address"] for each in shown["nic_details"]], [port.mac_address])

    async def test_states(self) -> None:
        """Each that a guest can be in."""
        for power in Power:
            path = f"/servers/{self.add(power=power)}/diagnostics"
            await self.fits("servers", "show_server_diagnostics", ADMIN, "GET", path, "2.48")

    async def test_refused(self) -> None:
        """For administrators; of a server that is on a host."""
        path = f"/servers/{self.add()}/diagnostics"
        await self.refused(403, "forbidden", ALICE, "GET", path)
        await self.refused(404, "itemNotFound", BOB, "GET", path)
        waiting = self.add(State.BUILDING, node_id="", host="", launched_us=None, doing=Doing.SCHEDULING)
        await self.refused(409, "conflictingRequest", ADMIN, "GET", f"/servers/{waiting}/diagnostics")
