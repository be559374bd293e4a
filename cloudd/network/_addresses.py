# -*- test-case-name: tests.network.test_addresses -*-
"""
Addresses as numbers and as text: pools, gateways, MACs.  Pure.

In the database an address is 32 hex digits, so that the order of texts is the order of addresses for both versions.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator, Sequence

from ._errors import BadNetworkValue
from ._facts import Pool

IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network
IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

MAC_PREFIX = "fa:16:3e"


def key_of(address: str) -> str:
    """As the database has it."""
    return f"{int(ipaddress.ip_address(address)):032x}"


def text_of(key: str, version: int) -> str:
    """As people write it."""
    number = int(key, 16)
    return str(ipaddress.IPv4Address(number) if version == 4 else ipaddress.IPv6Address(number))


def network_of(cidr: str, name: str = "cidr") -> IPNetwork:
    """
    :raises BadNetworkValue: it is none, or has bits behind its prefix
    """
    try:
        return ipaddress.ip_network(cidr)
    except ValueError as error:
        raise BadNetworkValue(
            f"Invalid input for {name}. Reason: '{cidr[:60]}' is not a valid IP subnet: {error}."
        ) from None


def is_within(inner: IPNetwork, outer: Iterable[IPNetwork]) -> bool:
    """Whether all addresses of ``inner`` are of one network of ``outer``."""
    return any(
        int(each.network_address) <= int(inner.network_address)
        and int(inner.broadcast_address) <= int(each.broadcast_address)
        for each in outer
        if each.version == inner.version
    )


def address_of(text: str, name: str) -> IPAddress:
    """
    :raises BadNetworkValue: it is none
    """
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        raise BadNetworkValue(f"Invalid input for {name}. Reason: '{text[:60]}' is not a valid IP address.") from None


def usable(network: IPNetwork) -> tuple[int, int]:
    """The first and the last address that a host may have."""
    first, last = int(network.network_address), int(network.broadcast_address)
    if network.version == 4 and network.prefixlen < 31:
        return first + 1, last - 1
    if network.version == 6 and network.prefixlen < 127:
        return first + 1, last  # the first is the routers' anycast address
    return first, last


def first_gateway(network: IPNetwork) -> str:
    """What a subnet gets when it names none."""
    return str(network[1] if network.num_addresses > 2 else network[0])


def default_pools(network: IPNetwork, gateway: str | None) -> tuple[Pool, ...]:
    """All that hosts may have, without the gateway."""
    first, last = usable(network)
    spans = [(first, last)]
    if gateway is not None and first <= (place := int(ipaddress.ip_address(gateway))) <= last:
        spans = [span for span in ((first, place - 1), (place + 1, last)) if span[0] <= span[1]]
    kind = type(network.network_address)
    return tuple(Pool(str(kind(begin)), str(kind(end))) for begin, end in spans)


def check_pools(pools: Sequence[Pool], network: IPNetwork, gateway: str | None) -> None:
    """
    :raises BadNetworkValue: a pool is outside of the subnet, overlaps with another one, or has the gateway in it
    """
    first, last = usable(network)
    spans: list[tuple[int, int]] = []
    for pool in pools:
        begin, end = address_of(pool.first, "allocation_pools"), address_of(pool.last, "allocation_pools")
        if begin.version != network.version or end.version != network.version or int(begin) > int(end):
            raise BadNetworkValue(
                f"The allocation pool {pool.first}-{pool.last} is not valid.", "InvalidAllocationPool"
            )
        if int(begin) < first or int(end) > last:
            raise BadNetworkValue(
                f"The allocation pool {pool.first}-{pool.last} spans beyond the subnet cidr {network}.",
                "OutOfBoundsAllocationPool",
            )
        if gateway is not None and int(begin) <= int(ipaddress.ip_address(gateway)) <= int(end):
            raise BadNetworkValue(
                f"Gateway ip {gateway} conflicts with allocation pool {pool.first}-{pool.last}.",
                "GatewayConflictWithAllocationPools",
            )
        if any(int(begin) <= other_end and other_begin <= int(end) for other_begin, other_end in spans):
            raise BadNetworkValue(
                f"Found overlapping allocation pools for subnet {network}.", "OverlappingAllocationPools"
            )
        spans.append((int(begin), int(end)))


def free_in(pool: Pool, taken: Iterable[str]) -> str | None:
    """
    The key of the first address of a pool that is not taken.

    :param taken: keys within the pool, in order
    """
    wanted, last = int(ipaddress.ip_address(pool.first)), int(ipaddress.ip_address(pool.last))
    for key in taken:
        if int(key, 16) != wanted:
            break
        wanted += 1
    return f"{wanted:032x}" if wanted <= last else None


def eui64(network: IPNetwork, mac: str) -> str:
    """The address that a host with that MAC gives itself on a /64."""
    octets = [int(each, 16) for each in mac.split(":")]
    octets[0] ^= 2
    tail = bytes([*octets[:3], 0xFF, 0xFE, *octets[3:]])
    return str(ipaddress.IPv6Address(int(network.network_address) | int.from_bytes(tail, "big")))


def mac_of(number: int) -> str:
    """One of ours, by 24 bits."""
    tail = [number >> shift & 0xFF for shift in (16, 8, 0)]
    return ":".join([MAC_PREFIX, *(f"{each:02x}" for each in tail)])


def spans_of(pools: Iterable[Pool]) -> Iterator[tuple[str, str]]:
    """Keys of the first and last address of each."""
    for pool in pools:
        yield key_of(pool.first), key_of(pool.last)
