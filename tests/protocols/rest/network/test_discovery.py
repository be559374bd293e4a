"""Versions, extensions, tags, and what is not there."""

from __future__ import annotations

from cloudd.protocols.rest.network import ABSENT

from .cloud import ALICE, BOB, NetworkCase


class DiscoveryTests(NetworkCase):
    async def test_versions(self) -> None:
        for path in ("/network", "/network/"):
            answer = await self.client.json("GET", path, None)
            self.assertEqual((answer.status, answer.json()["versions"][0]["id"]), (200, "v2.0"))
        found = await self.good(200, ALICE, "GET", "/")
        self.assertIn("security-groups", [each["collection"] for each in found["resources"]])

    async def test_extensions(self) -> None:
        """What is listed can be asked for one by one, and nothing else."""
        listed = (await self.good(200, ALICE, "GET", "/extensions"))["extensions"]
        for each in listed:
            self.assertEqual((await self.good(200, ALICE, "GET", f"/extensions/{each['alias']}"))["extension"], each)
        await self.refused(404, "HTTPNotFound", ALICE, "GET", "/extensions/router")
        self.assertEqual(len((await self.good(200, ALICE, "GET", "/availability_zones"))["availability_zones"]), 1)

    async def test_absent(self) -> None:
        for template in ABSENT:
            await self.refused(501, "HTTPNotImplemented", ALICE, "GET", template.removeprefix("/v2.0"))
        await self.refused(404, "HTTPNotFound", ALICE, "GET", "/nothing")
        answer = await self.client.json("GET", "/network/v2.0/networks", None)
        self.assertEqual((answer.status, answer.json()["NeutronError"]["type"]), (401, "HTTPUnauthorized"))


class TagTests(NetworkCase):
    async def test_each_kind(self) -> None:
        """Set, added, asked for, taken away and cleared."""
        network, subnet = await self.net()
        port, group = await self.made("port", network_id=network["id"]), await self.made("security_group", name="g")
        for kind, record in {"networks": network, "subnets": subnet, "ports": port, "security-groups": group}.items():
            path = f"/{kind}/{record['id']}/tags"
            self.assertEqual(await self.good(200, ALICE, "PUT", path, {"tags": ["b", "a", "b"]}), {"tags": ["a", "b"]})
            await self.good(201, ALICE, "PUT", f"{path}/c")
            await self.good(204, ALICE, "GET", f"{path}/c")
            await self.good(204, ALICE, "DELETE", f"{path}/a")
            await self.refused(404, "", ALICE, "DELETE", f"{path}/a")
            await self.refused(404, "", ALICE, "GET", f"{path}/a")
            self.assertEqual(await self.good(200, ALICE, "GET", path), {"tags": ["b", "c"]})
            await self.refused(404, "", BOB, "PUT", f"{path}/d")
            await self.refused(400, "", ALICE, "PUT", path, {"tags": [""]})
            await self.good(204, ALICE, "DELETE", path)
            self.assertEqual(await self.good(200, ALICE, "GET", path), {"tags": []})
        await self.refused(404, "", ALICE, "GET", "/things/x/tags")
