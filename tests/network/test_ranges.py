"""Ranges that tenants' subnets may be of: how they are read, and what is refused with which words."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from cloudd.interfaces.tenant_ranges import MOST_RANGES, BadRange, read_ranges
from cloudd.network import BadNetworkValue, Subnet
from cloudd.network._ranges import PRIVATE_RANGES, check_gateway, check_ranges
from tests.protocols.swift.face import an_access

ALICE, ROOT = an_access("alice", "p1", "member"), an_access("root", "p0", "admin")


def subnet(cidr: str, gateway: str | None = None) -> Subnet:
    version = 6 if ":" in cidr else 4
    return Subnet(id="s", project_id="p1", network_id="n", ip_version=version, cidr=cidr, gateway_ip=gateway)


class RangesTests(SynchronousTestCase):
    def test_reading(self) -> None:
        self.assertEqual([str(each) for each in read_ranges(["10.0.0.0/8", "fd00::/8"])], ["10.0.0.0/8", "fd00::/8"])
        self.assertEqual(read_ranges([]), ())
        for wrong in (["x"], ["10.0.0.1/8"], ["10.0.0.0/33"], ["10.0.0.0/8"] * (MOST_RANGES + 1)):
            self.assertRaises(BadRange, read_ranges, wrong)

    def test_within(self) -> None:
        for cidr, gateway in (
            ("10.0.0.0/8", "10.0.0.1"), ("172.31.255.0/24", None), ("192.168.1.0/30", "10.9.9.9"),
            ("100.127.0.0/16", "100.64.0.1"), ("fd00::/64", "fd00::1"), ("fdff::/64", None),
        ):  # fmt: skip
            check_ranges(ALICE, subnet(cidr, gateway), PRIVATE_RANGES)

    def test_outside(self) -> None:
        """Also in part, and of another version: the field and the ranges are named; an administrator may."""
        for cidr in ("8.8.8.0/24", "10.0.0.0/7", "0.0.0.0/0", "172.32.0.0/16", "192.0.2.0/24", "2001:db8::/64", "::/0"):
            error = self.assertRaises(BadNetworkValue, check_ranges, ALICE, subnet(cidr), PRIVATE_RANGES)
            self.assertEqual((error.status, error.type), (400, "InvalidInput"))
            for part in ("for cidr", cidr, "10.0.0.0/8, 172.16.0.0/12", "fc00::/7", "administrator"):
                self.assertIn(part, error.cause)
            check_ranges(ROOT, subnet(cidr), PRIVATE_RANGES)
        error = self.assertRaises(BadNetworkValue, check_ranges, ALICE, subnet("10.0.0.0/24"), ())
        self.assertIn("(none)", error.cause)

    def test_gateway(self) -> None:
        """The host gets it: it is refused outside, but for one of a subnet that an administrator has made."""
        for cidr, gateway in (("10.0.0.0/24", "8.8.8.8"), ("fd00::/64", "2001:db8::1"), ("192.0.2.0/24", "192.0.3.1")):
            error = self.assertRaises(BadNetworkValue, check_gateway, ALICE, subnet(cidr, gateway), PRIVATE_RANGES)
            self.assertIn(f"for gateway_ip. Reason: {gateway} is outside", error.cause)
            check_gateway(ROOT, subnet(cidr, gateway), PRIVATE_RANGES)
        check_gateway(ALICE, subnet("192.0.2.0/24", "192.0.2.9"), PRIVATE_RANGES)
        check_gateway(ALICE, subnet("192.0.2.0/24"), PRIVATE_RANGES)
