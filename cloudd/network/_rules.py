# -*- test-case-name: tests.protocols.rest.network.test_groups -*-
"""Security group rules: what one may say, and when two say the same.  Pure."""

from __future__ import annotations

import ipaddress
from typing import Any, Final

from ._errors import BadNetworkValue
from ._facts import EGRESS, INGRESS, IPV4, IPV6, Rule

#: Names and their numbers; both are taken, and kept as they were given.
PROTOCOLS: Final = {
    "ah": 51, "dccp": 33, "egp": 8, "esp": 50, "gre": 47, "hopopt": 0, "icmp": 1, "igmp": 2, "ip": 0, "ipip": 4,
    "ipv6-encap": 41, "ipv6-frag": 44, "ipv6-icmp": 58, "icmpv6": 58, "ipv6-nonxt": 59, "ipv6-opts": 60,
    "ipv6-route": 43, "ospf": 89, "pgm": 113, "rsvp": 46, "sctp": 132, "tcp": 6, "udp": 17, "udplite": 136, "vrrp": 112,
}  # fmt: skip
WITH_PORTS: Final = frozenset({6, 17, 33, 132, 136})
ICMP: Final = frozenset({1, 58})
MAX_PORT: Final = 65_535
MAX_ICMP: Final = 255


def number_of(protocol: str | None) -> int | None:
    """
    :raises BadNetworkValue: it is no protocol
    """
    if protocol is None or protocol == "any":
        return None
    if protocol.lower() in PROTOCOLS:
        return PROTOCOLS[protocol.lower()]
    if protocol.isascii() and protocol.isdigit() and int(protocol) <= 255:
        return int(protocol)
    raise BadNetworkValue(
        f"Security group rule protocol {protocol[:40]} not supported. Only protocol values {sorted(PROTOCOLS)} and "
        "integer representations [0 to 255] are supported.",
        "SecurityGroupRuleInvalidProtocol",
    )


def checked(rule: Rule) -> Rule:
    """
    What belongs together does.

    :raises BadNetworkValue:
    """
    if rule.direction not in (INGRESS, EGRESS):
        raise BadNetworkValue(f"Invalid input for direction. Reason: '{rule.direction[:40]}' is not ingress or egress.")
    if rule.ethertype not in (IPV4, IPV6):
        raise BadNetworkValue(f"Invalid input for ethertype. Reason: '{rule.ethertype[:40]}' is not IPv4 or IPv6.")
    if rule.remote_ip_prefix is not None and rule.remote_group_id is not None:
        raise BadNetworkValue(
            "Only remote_ip_prefix or remote_group_id may be provided.", "SecurityGroupMultipleRemoteSourcesProvided"
        )
    _check_prefix(rule)
    _check_ports(rule, number_of(rule.protocol))
    return rule


def _check_prefix(rule: Rule) -> None:
    if rule.remote_ip_prefix is None:
        return
    try:
        version = ipaddress.ip_network(rule.remote_ip_prefix, strict=False).version
    except ValueError:
        raise BadNetworkValue(
            f"Invalid input for remote_ip_prefix. Reason: '{rule.remote_ip_prefix[:60]}' is not a valid IP subnet."
        ) from None
    if (rule.ethertype == IPV4) != (version == 4):
        raise BadNetworkValue(
            f"Conflicting value ethertype {rule.ethertype} for CIDR {rule.remote_ip_prefix}",
            "SecurityGroupRuleParameterConflict",
        )


def _check_ports(rule: Rule, number: int | None) -> None:
    low, high = rule.port_range_min, rule.port_range_max
    if low is None and high is None:
        return
    if number is None or number not in WITH_PORTS | ICMP:
        raise BadNetworkValue(
            "Must also specify protocol if port range is given.", "SecurityGroupProtocolRequiredWithPorts"
        )
    if number in ICMP:
        for name, value in (("port_range_min", low), ("port_range_max", high)):
            if value is not None and not 0 <= value <= MAX_ICMP:
                raise BadNetworkValue(
                    f"Invalid value for ICMP {name}: {value}. It must be 0 to {MAX_ICMP}.",
                    "SecurityGroupInvalidIcmpValue",
                )
        if low is None:
            raise BadNetworkValue(
                f"ICMP code (port-range-max) {high} is provided but ICMP type (port-range-min) is missing.",
                "SecurityGroupMissingIcmpType",
            )
        return
    if low is None or high is None or not 1 <= low <= high <= MAX_PORT:
        raise BadNetworkValue(
            "For TCP/UDP protocols, port_range_min must be <= port_range_max, and both 1 to 65535.",
            "SecurityGroupInvalidPortRange",
        )


def meaning(rule: Rule) -> tuple[Any, ...]:
    """Two rules of one group with the same meaning are one too many."""
    prefix = rule.remote_ip_prefix
    network = None if prefix is None else str(ipaddress.ip_network(prefix, strict=False))
    if network in ("0.0.0.0/0", "::/0"):
        network = None
    return (
        rule.direction, rule.ethertype, number_of(rule.protocol), rule.port_range_min, rule.port_range_max, network,
        rule.remote_group_id,
    )  # fmt: skip
