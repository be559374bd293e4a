"""Addresses and security groups of servers."""

from __future__ import annotations

from cloudd import network as networks

from .cloud import ALICE, READER
from .servers import ServerCase


class ServerNetworkTests(ServerCase):
    async def test_addresses(self) -> None:
        """By network, in the order of its interfaces; without MAC and kind."""
        server_id = await self.boot()
        second = self.add_network("second", cidr="10.1.0.0/24")
        ports = [self.plug(server_id, second, 1), self.plug(server_id, self.network_id, 0)]
        found = await self.fits("servers", "list_addresses", READER, "GET", f"/servers/{server_id}/ips", "2.1")
        self.assertEqual(list(found["addresses"]), ["lan", "second"])
        one = await self.fits(
            "servers", "list_addresses_by_network", READER, "GET", f"/servers/{server_id}/ips/second", "2.1"
        )
        self.assertEqual(one, {"second": [{"version": 4, "addr": ports[0].fixed_ips[0].ip_address}]})
        await self.refused(404, "itemNotFound", ALICE, "GET", f"/servers/{server_id}/ips/none")

    async def test_security_groups(self) -> None:
        """With what they let in."""
        server_id = await self.boot()
        self.assertEqual(
            await self.good(200, ALICE, "GET", f"/servers/{server_id}/os-security-groups"), {"security_groups": []}
        )
        self.plug(server_id, self.network_id)
        group_id = self.write(networks.default_of, "p1")
        found = await self.good(200, READER, "GET", f"/servers/{server_id}/os-security-groups")
        (group,) = found["security_groups"]
        self.assertEqual((group["id"], group["name"], group["tenant_id"]), (group_id, "default", "p1"))
        self.assertEqual(len(group["rules"]), 2)
        for rule in group["rules"]:
            self.assertEqual((rule["parent_group_id"], rule["group"]["name"]), (group_id, "default"))
