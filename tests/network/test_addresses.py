"""Addresses as numbers: pools, gaps, and the order of keys."""

from __future__ import annotations

import ipaddress

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from cloudd.network import BadNetworkValue, Pool
from cloudd.network._addresses import (
    check_pools,
    default_pools,
    eui64,
    first_gateway,
    free_in,
    key_of,
    mac_of,
    network_of,
    text_of,
    usable,
)

ADDRESSES = st.ip_addresses(v=4) | st.ip_addresses(v=6)
BLOCKS = st.builds(
    lambda number, prefix: ipaddress.ip_network((number, prefix), strict=False),
    st.integers(0, 2**32 - 1),
    st.integers(8, 32),
)


class KeyTests(SynchronousTestCase):
    @given(ADDRESSES, ADDRESSES)
    def test_order(self, one: ipaddress.IPv4Address, other: ipaddress.IPv4Address) -> None:
        """Texts are in the order of addresses, and lead back to them."""
        self.assertEqual(text_of(key_of(str(one)), one.version), str(one))
        if one.version == other.version:
            self.assertEqual(key_of(str(one)) < key_of(str(other)), one < other)

    @given(BLOCKS)
    def test_default_pools(self, block: ipaddress.IPv4Network) -> None:
        """All that hosts may have, without the gateway; and they fit."""
        gateway = first_gateway(block)
        pools = default_pools(block, gateway)
        check_pools(pools, block, gateway)
        first, last = usable(block)
        count = sum(int(key_of(pool.last), 16) - int(key_of(pool.first), 16) + 1 for pool in pools)
        self.assertEqual(count, max(0, last - first + 1 - (first <= int(key_of(gateway), 16) <= last)))

    @given(st.sets(st.integers(0, 20)))
    def test_gaps(self, taken: set[int]) -> None:
        """The first that is free, or none."""
        pool = Pool("10.0.0.0", "10.0.0.20")
        keys = sorted(key_of(f"10.0.0.{number}") for number in taken)
        free = [number for number in range(21) if number not in taken]
        self.assertEqual(free_in(pool, keys), key_of(f"10.0.0.{free[0]}") if free else None)

    def test_given_by_macs(self) -> None:
        """As RFC 4291 has it."""
        self.assertEqual(eui64(network_of("fd00::/64"), "00:16:3e:12:34:56"), "fd00::216:3eff:fe12:3456")
        self.assertEqual(mac_of(0x010203), "fa:16:3e:01:02:03")

    def test_bits_behind_the_prefix(self) -> None:
        for bad in ("10.0.0.1/24", "x", "10.0.0.0/33", ""):
            self.assertRaises(BadNetworkValue, network_of, bad)
