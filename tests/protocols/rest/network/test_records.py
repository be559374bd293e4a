"""Networks, subnets and ports."""

from __future__ import annotations

from typing import Any

from cloudd.interfaces.settings import NetworkSettings

from .cloud import ADMIN, ALICE, BOB, READER, NetworkCase


class NetworkTests(NetworkCase):
    async def test_life(self) -> None:
        """Made, shown, changed and deleted, with Neutron's members."""
        network = await self.made("network", name="Blue ☁", description="d", mtu=1400)
        id_ = network["id"]
        expected = {
            "id": id_, "name": "Blue ☁", "description": "d", "tenant_id": "p1", "project_id": "p1", "status": "ACTIVE",
            "admin_state_up": True, "shared": False, "router:external": False, "mtu": 1400, "subnets": [], "tags": [],
            "port_security_enabled": True, "dns_domain": "", "availability_zone_hints": [],
            "availability_zones": ["nova"], "ipv4_address_scope": None, "ipv6_address_scope": None, "is_default": False,
            "revision_number": 0, "created_at": network["created_at"], "updated_at": network["updated_at"],
        }  # fmt: skip
        self.assertEqual(network, expected)
        path = f"/networks/{id_}"
        self.assertEqual((await self.good(200, READER, "GET", path))["network"], expected)
        changed = await self.good(200, ALICE, "PUT", path, {"network": {"name": "Green", "admin_state_up": False}})
        self.assertEqual((changed["network"]["name"], changed["network"]["revision_number"]), ("Green", 1))
        self.assertFalse(changed["network"]["admin_state_up"])
        shown = (await self.good(200, ADMIN, "GET", path))["network"]
        self.assertEqual((shown["provider:network_type"], shown["provider:segmentation_id"]), ("vxlan", 1))
        self.assertIsNone(await self.good(204, ALICE, "DELETE", path))
        message = await self.refused(404, "NetworkNotFound", ALICE, "GET", path)
        self.assertEqual(message, f"Network {id_} could not be found.")

    async def test_rights(self) -> None:
        """What is shared is seen by all, and made so by administrators alone."""
        own = await self.made("network", name="own")
        for members in ({"shared": True}, {"router:external": True}):
            await self.refused(403, "PolicyNotAuthorized", ALICE, "POST", "/networks", {"network": members})
            await self.refused(403, "", ALICE, "PUT", f"/networks/{own['id']}", {"network": members})
        common = await self.made("network", ADMIN, shared=True)
        await self.good(200, BOB, "GET", f"/networks/{common['id']}")
        await self.refused(403, "", BOB, "PUT", f"/networks/{common['id']}", {"network": {"name": "x"}})
        await self.refused(403, "", BOB, "DELETE", f"/networks/{common['id']}")
        for method in ("GET", "DELETE"):
            await self.refused(404, "NetworkNotFound", BOB, method, f"/networks/{own['id']}")
        await self.refused(403, "", READER, "POST", "/networks", {"network": {}})
        await self.refused(403, "", READER, "DELETE", f"/networks/{own['id']}")
        other = await self.made("network", ADMIN, tenant_id="p2", project_id="p2")
        self.assertEqual(other["project_id"], "p2")
        await self.refused(400, "", ALICE, "POST", "/networks", {"network": {"project_id": "p2"}})

    async def test_no_longer_shared(self) -> None:
        """Not while others have ports on it."""
        network, _ = await self.net(who=ADMIN, shared=True)
        port = await self.made("port", BOB, network_id=network["id"])
        body = {"network": {"shared": False}}
        await self.refused(409, "InvalidSharedSetting", ADMIN, "PUT", f"/networks/{network['id']}", body)
        await self.good(204, BOB, "DELETE", f"/ports/{port['id']}")
        await self.good(200, ADMIN, "PUT", f"/networks/{network['id']}", body)

    async def test_in_use(self) -> None:
        """A network with ports stays; without, its subnets go with it."""
        network, subnet = await self.net()
        port = await self.made("port", network_id=network["id"])
        message = await self.refused(409, "NetworkInUse", ALICE, "DELETE", f"/networks/{network['id']}")
        self.assertIn(port["id"], message)
        await self.refused(409, "SubnetInUse", ALICE, "DELETE", f"/subnets/{subnet['id']}")
        await self.good(204, ALICE, "DELETE", f"/ports/{port['id']}")
        await self.good(204, ALICE, "DELETE", f"/networks/{network['id']}")
        await self.refused(404, "SubnetNotFound", ALICE, "GET", f"/subnets/{subnet['id']}")

    async def test_bad_bodies(self) -> None:
        bad: list[dict[str, Any]] = [
            {}, {"network": []}, {"net": {}}, {"network": {"nam": "x"}}, {"network": {"mtu": "x"}}, {"networks": []},
            {"network": {"name": "x" * 256}}, {"network": {"router_external": True}}, {"network": {"shared": "yes"}},
            {"network": {"availability_zone_hints": ["x"]}}, {"network": {"tenant_id": "a", "project_id": "b"}},
        ]  # fmt: skip
        for body in bad:
            await self.refused(400, "", ALICE, "POST", "/networks", body)

    async def test_several(self) -> None:
        """All or none."""
        body: dict[str, Any] = {"networks": [{"name": "a"}, {"name": "b"}]}
        found = await self.good(201, ALICE, "POST", "/networks", body)
        self.assertEqual([each["name"] for each in found["networks"]], ["a", "b"])
        body["networks"].append({"shared": True})
        await self.refused(403, "", ALICE, "POST", "/networks", body)
        self.assertEqual(len((await self.good(200, ALICE, "GET", "/networks"))["networks"]), 2)

    async def test_lists(self) -> None:
        """Filters, several values, tags, fields, order and pages."""
        for name in ("a", "b", "c"):
            network = await self.made("network", name=name, description="x" if name == "a" else "")
            await self.good(200, ALICE, "PUT", f"/networks/{network['id']}/tags", {"tags": ["all", name]})
        await self.made("network", BOB, name="his")
        for query, names in {
            "sort_key=name": ["a", "b", "c"],
            "sort_key=name&sort_dir=desc": ["c", "b", "a"],
            "name=a&name=c&sort_key=name": ["a", "c"],
            "description=x": ["a"],
            "shared=true": [],
            "admin_state_up=True&name=b": ["b"],
            "tags=all,a": ["a"],
            "tags-any=a,b&sort_key=name": ["a", "b"],
            "not-tags=all,a&sort_key=name": ["b", "c"],
            "not-tags-any=a,b": ["c"],
            "project_id=p2": [],
            "unknown=1&name=a": ["a"],
        }.items():
            found = (await self.good(200, ALICE, "GET", f"/networks?{query}"))["networks"]
            self.assertEqual([each["name"] for each in found], names, query)
        found = await self.good(200, ALICE, "GET", "/networks?fields=id&fields=name&name=a")
        self.assertEqual(set(found["networks"][0]), {"id", "name"})
        for bad in ("limit=x", "sort_key=x", "sort_key=name&sort_dir=up", "shared=7", "marker=none", "mtu=x"):
            await self.refused(400, "", ALICE, "GET", f"/networks?{bad}")

    async def test_pages(self) -> None:
        """There and back by the links."""
        for number in range(5):
            await self.made("network", name=f"n{number}")
        found = await self.good(200, ALICE, "GET", "/networks?limit=2&sort_key=name")
        names = [[each["name"] for each in found["networks"]]]
        while links := {link["rel"]: link["href"] for link in found.get("networks_links", ())}:
            if "next" not in links:
                break
            found = await self.good(200, ALICE, "GET", links["next"].partition("/v2.0")[2])
            names.append([each["name"] for each in found["networks"]])
        self.assertEqual(names, [["n0", "n1"], ["n2", "n3"], ["n4"]])
        back = await self.good(200, ALICE, "GET", links["previous"].partition("/v2.0")[2])
        self.assertEqual([each["name"] for each in back["networks"]], ["n2", "n3"])


def pools(first: str, last: str, count: int = 1) -> dict[str, Any]:
    """Members of a subnet with the same pool so many times."""
    return {"cidr": "10.1.0.0/24", "allocation_pools": [{"start": first, "end": last}] * count}


class SubnetTests(NetworkCase):
    async def test_life(self) -> None:
        network, subnet = await self.net("10.0.0.0/24")
        self.assertEqual((subnet["gateway_ip"], subnet["enable_dhcp"]), ("10.0.0.1", True))
        self.assertEqual(subnet["allocation_pools"], [{"start": "10.0.0.2", "end": "10.0.0.254"}])
        self.assertEqual(
            (await self.good(200, ALICE, "GET", f"/networks/{network['id']}"))["network"]["subnets"], [subnet["id"]]
        )
        body = {
            "subnet": {
                "name": "s", "dns_nameservers": ["9.9.9.9"], "enable_dhcp": False, "gateway_ip": None,
                "host_routes": [{"destination": "10.1.0.0/16", "nexthop": "10.0.0.9"}],
                "allocation_pools": [{"start": "10.0.0.10", "end": "10.0.0.19"}],
            }
        }  # fmt: skip
        changed = (await self.good(200, ALICE, "PUT", f"/subnets/{subnet['id']}", body))["subnet"]
        self.assertEqual({name: changed[name] for name in body["subnet"]}, body["subnet"])
        await self.good(204, ALICE, "DELETE", f"/subnets/{subnet['id']}")
        self.assertEqual((await self.good(200, ALICE, "GET", "/subnets"))["subnets"], [])

    async def test_gateways(self) -> None:
        """Named, none, or by itself; the pools leave it out."""
        network = await self.made("network")
        middle = await self.made(
            "subnet", network_id=network["id"], ip_version=4, cidr="10.0.0.0/24", gateway_ip="10.0.0.100"
        )
        self.assertEqual([pool["end"] for pool in middle["allocation_pools"]], ["10.0.0.99", "10.0.0.254"])
        none = await self.made("subnet", network_id=network["id"], ip_version=4, cidr="10.0.1.0/24", gateway_ip=None)
        self.assertEqual((none["gateway_ip"], none["allocation_pools"][0]["start"]), (None, "10.0.1.1"))
        six = await self.made("subnet", network_id=network["id"], ip_version=6, cidr="fd00::/64")
        self.assertEqual((six["gateway_ip"], six["allocation_pools"][0]["start"]), ("fd00::1", "fd00::2"))

    async def test_refused(self) -> None:
        network, _ = await self.net("10.0.0.0/24")
        for kind, members in (
            ("InvalidInput", {"cidr": "10.0.0.128/25"}), ("InvalidInput", {"cidr": "10.1.0.1/24"}),
            ("InvalidInput", {"cidr": "fd00::/64"}), ("InvalidInput", {"cidr": "x"}),
            ("InvalidInput", {"cidr": "10.1.0.0/24", "gateway_ip": "fd00::1"}),
            ("InvalidInput", {"cidr": "10.1.0.0/24", "gateway_ip": "x"}),
            ("InvalidInput", {"cidr": "10.1.0.0/24", "dns_nameservers": ["x"]}),
            ("InvalidInput", {"cidr": "10.1.0.0/24", "ipv6_ra_mode": "slaac"}),
            ("OutOfBoundsAllocationPool", pools("10.2.0.1", "10.2.0.2")),
            ("InvalidAllocationPool", pools("10.1.0.9", "10.1.0.2")),
            ("GatewayConflictWithAllocationPools", pools("10.1.0.1", "10.1.0.2")),
            ("OverlappingAllocationPools", pools("10.1.0.2", "10.1.0.9", 2)),
        ):  # fmt: skip
            body = {"subnet": {"network_id": network["id"], "ip_version": 4, **members}}
            await self.refused(400, kind, ALICE, "POST", "/subnets", body)
        await self.refused(400, "", ALICE, "POST", "/subnets", {"subnet": {"network_id": network["id"]}})
        await self.refused(404, "NetworkNotFound", BOB, "POST", "/subnets", {
            "subnet": {"network_id": network["id"], "ip_version": 4, "cidr": "10.9.0.0/24"}
        })  # fmt: skip
        subnet_id = (await self.good(200, ALICE, "GET", "/subnets"))["subnets"][0]["id"]
        await self.refused(400, "", ALICE, "PUT", f"/subnets/{subnet_id}", {"subnet": {"cidr": "10.9.0.0/24"}})

    async def test_ranges(self) -> None:
        """Outside of those that projects may use administrators alone make subnets, also on a project's network."""
        network, subnet = await self.net()
        outside = {"network_id": network["id"], "ip_version": 4, "cidr": "192.0.2.0/24"}
        message = await self.refused(400, "InvalidInput", ALICE, "POST", "/subnets", {"subnet": outside})
        self.assertIn("Invalid input for cidr. Reason: 192.0.2.0/24 is outside of the ranges", message)
        gateway = {"network_id": network["id"], "ip_version": 4, "cidr": "10.1.0.0/24", "gateway_ip": "192.0.2.1"}
        await self.refused(400, "InvalidInput", ALICE, "POST", "/subnets", {"subnet": gateway})
        await self.refused(
            400, "InvalidInput", ALICE, "POST", "/subnets", {"subnets": [{**gateway, "gateway_ip": None}, outside]}
        )
        path, moved = f"/subnets/{subnet['id']}", {"subnet": {"gateway_ip": "192.0.2.1"}}
        await self.refused(400, "InvalidInput", ALICE, "PUT", path, moved)
        await self.made("subnet", ADMIN, **outside)
        await self.good(200, ADMIN, "PUT", path, moved)
        # What an administrator has made stays as it is when its owner changes something else.
        await self.good(200, ALICE, "PUT", path, {"subnet": {"name": "x"}})
        self.assertEqual(len((await self.good(200, ADMIN, "GET", "/subnets"))["subnets"]), 2)


class OtherRangesTests(NetworkCase):
    network_settings = NetworkSettings(tenant_ranges=("192.0.2.0/24",))

    async def test_settings(self) -> None:
        """The settings say which: then the private ones are for administrators."""
        network, subnet = await self.net("192.0.2.128/25")
        self.assertEqual(subnet["gateway_ip"], "192.0.2.129")
        body = {"subnet": {"network_id": network["id"], "ip_version": 4, "cidr": "10.0.0.0/24"}}
        self.assertIn("(192.0.2.0/24)", await self.refused(400, "InvalidInput", ALICE, "POST", "/subnets", body))


class PortTests(NetworkCase):
    async def test_life(self) -> None:
        """It gets an address, a MAC and the default group; and gives the address back."""
        network, subnet = await self.net()
        port = await self.made("port", network_id=network["id"], name="p", device_id="d", device_owner="compute:nova")
        self.assertEqual(port["fixed_ips"], [{"subnet_id": subnet["id"], "ip_address": "10.0.0.2"}])
        self.assertRegex(port["mac_address"], "^fa:16:3e(:[0-9a-f]{2}){3}$")
        group = (await self.good(200, ALICE, "GET", "/security-groups?name=default"))["security_groups"][0]
        self.assertEqual(port["security_groups"], [group["id"]])
        self.assertNotIn("binding:host_id", port)
        self.assertEqual(
            (await self.good(200, ADMIN, "GET", f"/ports/{port['id']}"))["port"]["binding:vif_type"], "unbound"
        )
        changed = await self.good(
            200, ALICE, "PUT", f"/ports/{port['id']}", {"port": {"name": "q", "security_groups": []}}
        )
        self.assertEqual((changed["port"]["name"], changed["port"]["security_groups"]), ("q", []))
        await self.good(204, ALICE, "DELETE", f"/ports/{port['id']}")
        await self.refused(404, "PortNotFound", ALICE, "GET", f"/ports/{port['id']}")

    async def test_addresses(self) -> None:
        """Certain ones, of a certain subnet, of both IP versions; each once."""
        network, four = await self.net("10.0.0.0/29")
        modes = {"ipv6_address_mode": "slaac", "ipv6_ra_mode": "slaac"}
        six = await self.made("subnet", network_id=network["id"], ip_version=6, cidr="fd00::/64", **modes)
        both = await self.made("port", network_id=network["id"], mac_address="FA:16:3E:00:00:01")
        self.assertEqual(await self.addresses(both), ["10.0.0.2", "fd00::f816:3eff:fe00:1"])
        wanted = [{"ip_address": "10.0.0.5"}, {"subnet_id": four["id"]}]
        port = await self.made("port", network_id=network["id"], fixed_ips=wanted)
        self.assertEqual(await self.addresses(port), ["10.0.0.5", "10.0.0.6"])
        for kind, fixed in (
            ("IpAddressAlreadyAllocated", {"ip_address": "10.0.0.5"}),
            ("InvalidIpForNetwork", {"ip_address": "10.9.0.5"}),
            ("InvalidIpForSubnet", {"ip_address": "10.0.0.4", "subnet_id": six["id"]}), ("InvalidInput", {}),
            ("InvalidInput", {"subnet_id": "x"}), ("InvalidInput", {"ip_address": "x"}),
        ):  # fmt: skip
            status = 409 if kind == "IpAddressAlreadyAllocated" else 400
            body = {"port": {"network_id": network["id"], "fixed_ips": [fixed]}}
            await self.refused(status, kind, ALICE, "POST", "/ports", body)
        none = await self.made("port", network_id=network["id"], fixed_ips=[])
        self.assertEqual(none["fixed_ips"], [])
        moved = await self.good(
            200, ALICE, "PUT", f"/ports/{none['id']}", {"port": {"fixed_ips": [{"subnet_id": four["id"]}]}}
        )
        self.assertEqual(await self.addresses(moved["port"]), ["10.0.0.3"])

    async def test_exhausted(self) -> None:
        """When all are given: 409; what is given back can be had again."""
        network, _ = await self.net("10.0.0.0/29")
        ports = [await self.made("port", network_id=network["id"]) for _ in range(5)]
        given = [(await self.addresses(port))[0] for port in ports]
        self.assertEqual(given, [f"10.0.0.{number}" for number in range(2, 7)])
        body = {"port": {"network_id": network["id"]}}
        await self.refused(409, "IpAddressGenerationFailure", ALICE, "POST", "/ports", body)
        await self.good(204, ALICE, "DELETE", f"/ports/{ports[1]['id']}")
        self.assertEqual(await self.addresses(await self.made("port", network_id=network["id"])), ["10.0.0.3"])

    async def test_macs(self) -> None:
        network, _ = await self.net()
        await self.made("port", network_id=network["id"], mac_address="fa:16:3e:00:00:09")
        for status, kind, mac in (
            (409, "MacAddressInUse", "FA:16:3e:00:00:09"),
            (400, "", "x"),
            (400, "", "01:00:5e:00:00:01"),
        ):
            body = {"port": {"network_id": network["id"], "mac_address": mac}}
            await self.refused(status, kind, ALICE, "POST", "/ports", body)

    async def test_port_security(self) -> None:
        """Without it there are no groups and no further addresses."""
        network, _ = await self.net()
        group = await self.made("security_group", name="g")
        open_port = await self.made(
            "port", ADMIN, network_id=network["id"], project_id="p1", port_security_enabled=False
        )
        self.assertEqual((open_port["port_security_enabled"], open_port["security_groups"]), (False, []))
        for more in ({"security_groups": [group["id"]]}, {"allowed_address_pairs": [{"ip_address": "10.0.0.9"}]}):
            await self.refused(409, "", ALICE, "PUT", f"/ports/{open_port['id']}", {"port": more})
        pairs = [{"ip_address": "10.1.0.0/24"}, {"ip_address": "10.0.0.9", "mac_address": "fa:16:3e:00:00:09"}]
        port = await self.made("port", ADMIN, network_id=network["id"], project_id="p1", allowed_address_pairs=pairs)
        self.assertEqual([pair["ip_address"] for pair in port["allowed_address_pairs"]], ["10.1.0.0/24", "10.0.0.9"])
        self.assertEqual(port["allowed_address_pairs"][0]["mac_address"], port["mac_address"])
        await self.refused(
            400, "", ALICE, "PUT", f"/ports/{port['id']}", {"port": {"allowed_address_pairs": [{"ip_address": "x"}]}}
        )

    async def test_sending_from_others(self) -> None:
        """Pairs outside of the network and the end of port security are for administrators, on one's own, too."""
        network, _ = await self.net()
        path, pair = f"/networks/{network['id']}", {"ip_address": "10.99.0.9"}
        body: dict[str, Any] = {"network": {"port_security_enabled": False}}
        for method, at in (("POST", "/networks"), ("PUT", path)):
            message = await self.refused(403, "PolicyNotAuthorized", ALICE, method, at, body)
            self.assertIn("_network:port_security_enabled", message)
        port = await self.made("port", network_id=network["id"])
        for name, value in (("allowed_address_pairs", [pair]), ("port_security_enabled", False)):
            body = {"port": {name: value, "security_groups": []}}
            message = await self.refused(403, "PolicyNotAuthorized", ALICE, "PUT", f"/ports/{port['id']}", body)
            self.assertIn(f"update_port:{name}", message)
            body["port"]["network_id"] = network["id"]
            message = await self.refused(403, "PolicyNotAuthorized", ALICE, "POST", "/ports", body)
            self.assertIn(f"create_port:{name}", message)
        found = (await self.good(200, ADMIN, "GET", "/ports"))["ports"]
        self.assertEqual([each["id"] for each in found], [port["id"]])

    async def test_an_address_that_servers_share(self) -> None:
        """The owner of a network allows what lies in its subnets, for the port's own MAC; nobody else does."""
        network, _ = await self.net()
        port = await self.made("port", network_id=network["id"], allowed_address_pairs=[{"ip_address": "10.0.0.9"}])
        path = f"/ports/{port['id']}"
        for bad in ("somewhere", "10.0.0.5/24", "10.0.0.0/99"):
            members = {"network_id": network["id"], "allowed_address_pairs": [{"ip_address": bad}]}
            for method, at in (("POST", "/ports"), ("PUT", path)):
                asked = {"port": members if method == "POST" else {"allowed_address_pairs": [{"ip_address": bad}]}}
                message = await self.refused(400, "", ALICE, method, at, asked)
                self.assertIn("allowed_address_pairs", message)
        for pair, status in (
            ({"ip_address": "10.0.0.99"}, 200),
            ({"ip_address": "10.0.0.64/28", "mac_address": port["mac_address"]}, 200),
            ({"ip_address": "10.0.0.99", "mac_address": "fa:16:3e:00:00:99"}, 403),
            ({"ip_address": "10.0.0.0/8"}, 403),
            ({"ip_address": "fd00::9"}, 403),
        ):
            await self.good(200, ALICE, "PUT", path, {"port": {"allowed_address_pairs": []}})
            body = {"port": {"allowed_address_pairs": [pair]}}
            if status == 200:
                await self.good(200, ALICE, "PUT", path, body)
            else:
                await self.refused(403, "PolicyNotAuthorized", ALICE, "PUT", path, body)

    async def test_what_is_so_anyway(self) -> None:
        """Clients name what is so anyway, take pairs away, and turn port security on."""
        network, _ = await self.net(port_security_enabled=True)
        port = await self.made(
            "port", network_id=network["id"], port_security_enabled=True, allowed_address_pairs=[],
        )  # fmt: skip
        path, pairs = f"/ports/{port['id']}", [{"ip_address": "10.99.0.8"}, {"ip_address": "10.99.0.9"}]
        body: dict[str, Any] = {"port": {"allowed_address_pairs": pairs}}
        shown = (await self.good(200, ADMIN, "PUT", path, body))["port"]["allowed_address_pairs"]
        await self.good(200, ALICE, "PUT", path, {"port": {"mac_address": "fa:16:3e:00:00:77", **body["port"]}})
        await self.good(200, ADMIN, "PUT", path, {"port": {"mac_address": port["mac_address"]}})
        for count in (2, 1, 0):
            left = shown[2 - count :]
            await self.good(200, ALICE, "PUT", path, {"port": {"allowed_address_pairs": left}})
        await self.refused(403, "", ALICE, "PUT", path, body)
        await self.good(200, ADMIN, "PUT", path, {"port": {"port_security_enabled": False, "security_groups": []}})
        for on in (False, True):
            await self.good(200, ALICE, "PUT", path, {"port": {"port_security_enabled": on}})
        await self.refused(403, "", ALICE, "PUT", path, {"port": {"port_security_enabled": False}})
        at = f"/networks/{network['id']}"
        await self.good(200, ADMIN, "PUT", at, {"network": {"port_security_enabled": False}})
        others: list[dict[str, Any]] = [{}, {"port_security_enabled": False}]
        for members in others:
            made = await self.made("port", network_id=network["id"], **members)
            self.assertEqual((made["port_security_enabled"], made["security_groups"]), (False, []))
        await self.good(200, ALICE, "PUT", at, {"network": {"name": "n", "port_security_enabled": False}})
        await self.good(200, ALICE, "PUT", at, {"network": {"port_security_enabled": True}})

    async def test_rights(self) -> None:
        """On a shared network ports are their makers', without what its owner alone decides."""
        network, subnet = await self.net(who=ADMIN, shared=True)
        port = await self.made("port", BOB, network_id=network["id"], fixed_ips=[{"subnet_id": subnet["id"]}])
        await self.refused(404, "PortNotFound", ALICE, "GET", f"/ports/{port['id']}")
        for members in (
            {"mac_address": "fa:16:3e:00:00:01"}, {"fixed_ips": [{"ip_address": "10.0.0.9"}]},
            {"port_security_enabled": False}, {"binding:host_id": "x"}, {"device_owner": "network:dhcp"},
        ):  # fmt: skip
            await self.refused(403, "", BOB, "POST", "/ports", {"port": {"network_id": network["id"], **members}})
            await self.refused(403, "", BOB, "PUT", f"/ports/{port['id']}", {"port": members})
        group = await self.made("security_group", ALICE, name="hers")
        body = {"port": {"network_id": network["id"], "security_groups": [group["id"]]}}
        await self.refused(404, "SecurityGroupNotFound", BOB, "POST", "/ports", body)
        own, _ = await self.net()
        await self.refused(404, "NetworkNotFound", BOB, "POST", "/ports", {"port": {"network_id": own["id"]}})
        bound = await self.made(
            "port", ADMIN, network_id=own["id"], **{"binding:host_id": "h", "binding:profile": {"a": 1}}
        )
        self.assertEqual((bound["binding:host_id"], bound["binding:profile"]), ("h", {"a": 1}))

    async def test_filters(self) -> None:
        network, subnet = await self.net()
        first = await self.made("port", network_id=network["id"], device_id="one")
        second = await self.made("port", network_id=network["id"], device_id="two")
        for query, found in {
            "device_id=one": [first],
            "device_id=one&device_id=two": [first, second],
            "status=DOWN&device_id=two": [second],
            "fixed_ips=ip_address=10.0.0.2": [first],
            f"fixed_ips=subnet_id={subnet['id']}": [first, second],
            f"mac_address={first['mac_address'].upper()}": [first],
            f"security_groups={first['security_groups'][0]}": [first, second],
            "network_id=x": [],
        }.items():
            listed = (await self.good(200, ALICE, "GET", f"/ports?{query}"))["ports"]
            self.assertEqual({each["id"] for each in listed}, {each["id"] for each in found}, query)
        await self.refused(400, "", ALICE, "GET", "/ports?fixed_ips=x")
