"""``network_data.json``, as cloud-init reads it."""

from __future__ import annotations

import json

from twisted.trial.unittest import SynchronousTestCase

from cloudd.metadata import GuestFacts, find
from cloudd.network import HostRoute
from tests.metadata.guest import SERVER, attachment, seeded, subnet

PORT = "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee"
DNS = [{"type": "dns", "address": "10.0.0.2"}]


def told(*attachments: object) -> dict[str, list[dict[str, object]]]:
    facts = GuestFacts(server=SERVER, attachments=attachments)  # type: ignore[arg-type]
    found: dict[str, list[dict[str, object]]] = json.loads(
        find("/openstack/latest/network_data.json", facts, seeded).body
    )
    return found


class NetworkDataTests(SynchronousTestCase):
    def test_static(self) -> None:
        """Without DHCP everything is told: MTU, address, mask, routes, name servers."""
        plain = subnet(
            "10.0.0.0/24",
            enable_dhcp=False,
            gateway_ip="10.0.0.1",
            dns_nameservers=("10.0.0.2",),
            host_routes=(HostRoute("10.9.0.0/16", "10.0.0.3"),),
        )
        found = told(attachment(PORT, {"10.0.0.5": plain}))
        self.assertEqual(
            found["links"],
            [
                {
                    "id": "tapaaaaaaaa-bb",
                    "vif_id": PORT,
                    "type": "tap",
                    "mtu": 1450,
                    "ethernet_mac_address": "fa:16:3e:00:00:01",
                }
            ],
        )
        self.assertEqual(
            found["networks"],
            [
                {
                    "id": "network0",
                    "type": "ipv4",
                    "link": "tapaaaaaaaa-bb",
                    "network_id": "net-1",
                    "ip_address": "10.0.0.5",
                    "netmask": "255.255.255.0",
                    "routes": [
                        {"network": "0.0.0.0", "netmask": "0.0.0.0", "gateway": "10.0.0.1"},
                        {"network": "10.9.0.0", "netmask": "255.255.0.0", "gateway": "10.0.0.3"},
                    ],
                    "services": DNS,
                }
            ],
        )
        self.assertEqual(found["services"], DNS)

    def test_dhcp(self) -> None:
        """With DHCP that alone is told, and its server tells the MTU."""
        found = told(attachment(PORT, {"10.0.0.5": subnet("10.0.0.0/24", dns_nameservers=("10.0.0.2",))}))
        self.assertEqual(
            found["networks"],
            [{"id": "network0", "type": "ipv4_dhcp", "link": "tapaaaaaaaa-bb", "network_id": "net-1"}],
        )
        self.assertEqual((found["links"][0]["mtu"], found["services"]), (None, DNS))

    def test_two_versions(self) -> None:
        """One network for each IP version, IPv4 first; of IPv6 the way to an address."""
        slaac = subnet("fd00::/64", ipv6_address_mode="slaac", ipv6_ra_mode="slaac", gateway_ip="fd00::1")
        found = told(attachment(PORT, {"fd00::5": slaac, "10.0.0.5": subnet("10.0.0.0/24")}))
        self.assertEqual([each["type"] for each in found["networks"]], ["ipv4_dhcp", "ipv6_slaac"])
        six = found["networks"][1]
        self.assertEqual((six["ip_address"], six["netmask"]), ("fd00::5", "ffff:ffff:ffff:ffff::"))
        self.assertEqual(six["routes"], [{"network": "::", "netmask": "::", "gateway": "fd00::1"}])

    def test_first_of_a_version(self) -> None:
        """A port with two addresses of one version is told of by the first, as in Nova."""
        found = told(attachment(PORT, {"10.0.0.5": subnet("10.0.0.0/24"), "10.1.0.5": subnet("10.1.0.0/24")}))
        self.assertEqual(len(found["networks"]), 1)

    def test_several(self) -> None:
        """Networks are counted over all ports, a name server is told once, and a port without address not at all."""
        plain = subnet("10.0.0.0/24", dns_nameservers=("10.0.0.2",))
        found = told(
            attachment("1" * 36, {"10.0.0.5": plain}),
            attachment("2" * 36, {}),
            attachment("3" * 36, {"10.0.0.6": plain}),
        )
        self.assertEqual([each["id"] for each in found["networks"]], ["network0", "network1"])
        self.assertEqual([each["id"] for each in found["links"]], ["tap11111111111", "tap33333333333"])
        self.assertEqual(found["services"], DNS)

    def test_none(self) -> None:
        """A server without ports has three empty lists."""
        self.assertEqual(told(), {"links": [], "networks": [], "services": []})
