# -*- test-case-name: tests.network.test_ranges -*-
"""
Which addresses a tenant's subnet may be of.  Pure.

A host has one table of routes, and those of ports are more exact than others: a subnet of 8.8.8.0/24 would get what the
host and all its guests send there.  So tenants have certain ranges, by default the private ones; what else is theirs,
an administrator knows.
"""

from __future__ import annotations

import ipaddress
from typing import Final

from cloudd.identity import Access
from cloudd.interfaces.tenant_ranges import PRIVATE, Ranges, read_ranges

from ._addresses import address_of, is_within, network_of
from ._errors import BadNetworkValue
from ._facts import Subnet

PRIVATE_RANGES: Final[Ranges] = read_ranges(PRIVATE)


def check_ranges(access: Access, subnet: Subnet, ranges: Ranges) -> None:
    """
    :param subnet: as it is to be made
    :param ranges: of tenants
    :raises BadNetworkValue: its addresses or its gateway are outside, and who asks is no administrator
    """
    if not access.is_admin and not is_within(network_of(subnet.cidr), ranges):
        raise _outside("cidr", subnet.cidr, ranges)
    check_gateway(access, subnet, ranges)


def check_gateway(access: Access, subnet: Subnet, ranges: Ranges) -> None:
    """
    The host gets it as an address of its own.

    :param subnet: an administrator may have made it outside; then its own addresses are good
    :raises BadNetworkValue: it is outside, and who asks is no administrator
    """
    if access.is_admin or subnet.gateway_ip is None:
        return
    gateway = ipaddress.ip_network(address_of(subnet.gateway_ip, "gateway_ip"))
    if not is_within(gateway, (network_of(subnet.cidr), *ranges)):
        raise _outside("gateway_ip", subnet.gateway_ip, ranges)


def _outside(name: str, value: str, ranges: Ranges) -> BadNetworkValue:
    may = ", ".join(map(str, ranges)) or "none"
    return BadNetworkValue(
        f"Invalid input for {name}. Reason: {value} is outside of the ranges that projects may use ({may}). Give one "
        "of these, or ask an administrator to make it."
    )
