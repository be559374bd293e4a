"""Networks by the Compute API, up to 2.35."""

from __future__ import annotations

from .cloud import ADMIN, ALICE, BOB, READER
from .servers import ServerCase

NONE = "55555555-5555-4555-8555-555555555555"


class NetworkTests(ServerCase):
    async def test_networks(self) -> None:
        """Id and name of one's own and of shared ones; administrators see all, with more members."""
        shared = self.add_network("common", BOB, "10.1.0.0/24", shared=True)
        self.add_network("theirs", BOB, "10.2.0.0/24")
        found = (await self.good(200, READER, "GET", "/os-networks"))["networks"]
        self.assertEqual([each["label"] for each in found], ["lan", "common"])
        self.assertEqual(found[0]["id"], self.network_id)
        self.assertEqual({value for name, value in found[0].items() if name not in ("id", "label")}, {None})
        one = await self.good(200, READER, "GET", f"/os-networks/{shared}", version="2.35")
        self.assertEqual(one, {"network": found[1]})
        everything = (await self.good(200, ADMIN, "GET", "/os-networks"))["networks"]
        self.assertEqual([each["label"] for each in everything], ["lan", "common", "theirs"])
        self.assertGreater(set(everything[0]), set(found[0]))

    async def test_tenant_networks(self) -> None:
        """The same ones, in other members."""
        found = await self.fits("tenant_networks", "list_tenant_networks", READER, "GET", "/os-tenant-networks", "2.1")
        self.assertEqual(found, {"networks": [{"id": self.network_id, "cidr": "None", "label": "lan"}]})
        path = f"/os-tenant-networks/{self.network_id}"
        one = await self.fits("tenant_networks", "get_tenant_network", READER, "GET", path, "2.35")
        self.assertEqual(one["network"], found["networks"][0])

    async def test_not_there(self) -> None:
        """404, and for others too."""
        for kind in ("os-networks", "os-tenant-networks"):
            await self.refused(404, "itemNotFound", ALICE, "GET", f"/{kind}/{NONE}")
            await self.refused(404, "itemNotFound", BOB, "GET", f"/{kind}/{self.network_id}")

    async def test_changes(self) -> None:
        """They are made and deleted by the Network API alone."""
        for method, path in (("POST", ""), ("POST", "/add"), ("DELETE", f"/{NONE}"), ("POST", f"/{NONE}/action")):
            message = await self.refused(501, "notImplemented", ADMIN, method, f"/os-networks{path}", {})
            self.assertIn("Network API", message)
        await self.refused(503, "serviceUnavailable", ALICE, "POST", "/os-tenant-networks", {"network": {}})
        await self.refused(501, "notImplemented", ALICE, "DELETE", f"/os-tenant-networks/{self.network_id}")

    async def test_ends(self) -> None:
        """From 2.36 on there are none."""
        for kind in ("os-networks", "os-tenant-networks"):
            for path in ("", f"/{self.network_id}"):
                await self.refused(404, "itemNotFound", ALICE, "GET", f"/{kind}{path}", version="2.36")
            await self.refused(404, "itemNotFound", ALICE, "POST", f"/{kind}", {}, version="2.36")
