# -*- test-case-name: tests.net.test_firewall -*-
"""Rules of security groups, and the words that they are made of, as expressions of libnftables' JSON.  Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import Any, Final

from ._values import INGRESS, IPV4, Rule, printed

Expression = list[dict[str, Any]]

ACCEPT: Final[dict[str, Any]] = {"accept": None}
DROP: Final[dict[str, Any]] = {"drop": None}
RETURN: Final[dict[str, Any]] = {"return": None}
IIFNAME: Final = {"meta": {"key": "iifname"}}
OIFNAME: Final = {"meta": {"key": "oifname"}}
KNOWN: Final = {"match": {"op": "in", "left": {"ct": {"key": "state"}}, "right": ["established", "related"]}}
UNKNOWN: Final = {"match": {"op": "in", "left": {"ct": {"key": "state"}}, "right": ["invalid", "new", "untracked"]}}
_PORTS_OF: Final = {6: "tcp", 17: "udp", 33: "dccp", 132: "sctp", 136: "udplite"}
_ICMP_OF: Final = {1: "icmp", 58: "icmpv6"}


def match(left: dict[str, Any], right: Any) -> dict[str, Any]:
    return {"match": {"op": "==", "left": left, "right": right}}


def header(protocol: str, name: str) -> dict[str, Any]:
    return {"payload": {"protocol": protocol, "field": name}}


def joined(*parts: dict[str, Any]) -> dict[str, Any]:
    return {"concat": list(parts)}


def jump(chain: str) -> dict[str, Any]:
    return {"jump": {"target": chain}}


def prefix_value(prefix: str) -> Any:
    """As nftables prints it: an address alone where the prefix is one address."""
    network = ipaddress.ip_network(prefix)
    address = prefix.partition("/")[0]
    if network.prefixlen == network.max_prefixlen:
        return address
    return {"prefix": {"addr": address, "len": network.prefixlen}}


def joined_prefixes(prefixes: Iterable[str]) -> list[str]:
    """The same addresses in order, where no prefix lies in another: an interval set takes no two that overlap."""
    networks = [ipaddress.ip_network(prefix) for prefix in prefixes]
    of_4 = [network for network in networks if isinstance(network, ipaddress.IPv4Network)]
    of_6 = [network for network in networks if isinstance(network, ipaddress.IPv6Network)]
    found: list[ipaddress.IPv4Network | ipaddress.IPv6Network] = [
        *ipaddress.collapse_addresses(of_4),
        *ipaddress.collapse_addresses(of_6),
    ]
    return [f"{printed(network.network_address)}/{network.prefixlen}" for network in found]


def members_set(group_id: str, version: int) -> str:
    return f"members{version}-{group_id}"


def rule_expression(rule: Rule) -> Expression:
    """What lets through that which ``rule`` allows; replies are let through before."""
    address = header("ip" if rule.version == IPV4 else "ip6", "saddr" if rule.direction == INGRESS else "daddr")
    made: Expression = [match({"meta": {"key": "nfproto"}}, "ipv4" if rule.version == IPV4 else "ipv6")]
    # The whole of the address space is no condition.
    if rule.remote_prefix and not rule.remote_prefix.endswith("/0"):
        made.append(match(address, prefix_value(rule.remote_prefix)))
    if rule.remote_group_id:
        made.append(match(address, f"@{members_set(rule.remote_group_id, rule.version)}"))
    return [*made, *_protocol(rule), ACCEPT]


def _protocol(rule: Rule) -> Expression:
    # ``icmp`` in a rule of IPv6 means its own ICMP: the Network API takes both names.
    protocol = 58 if rule.protocol == 1 and rule.version != IPV4 else rule.protocol
    if protocol is None:
        return []
    made: Expression = [match({"meta": {"key": "l4proto"}}, protocol)]
    if rule.first is None:
        return made
    if protocol in _ICMP_OF:
        made.append(match(header(_ICMP_OF[protocol], "type"), rule.first))
        if rule.last is not None:
            made.append(match(header(_ICMP_OF[protocol], "code"), rule.last))
        return made
    ports = rule.first if rule.first == rule.last else {"range": [rule.first, rule.last]}
    return [*made, match(header(_PORTS_OF[protocol], "dport"), ports)]
