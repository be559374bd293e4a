# -*- test-case-name: tests.net.test_taps -*-
"""
Which tap each port has, with its addresses, routes and sysctls.  Pure.

A tap's gateway addresses are the subnets' own, with the subnet's prefix and without its route (``noprefixroute``), so
that a guest with nothing but DHCP finds its router and dnsmasq finds the subnet.  Only the /32 and /128 routes lead to
guests; proxy ARP answers for neighbours on the subnet, which are behind other taps.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from attrs import frozen

from ._errors import BadPlan
from ._values import IPV4, IPV6_MTU, TAP_NAME_LENGTH, Plan, Port

DEFAULT_PREFIX: Final = "cld"
HOST_BITS: Final = {4: 32, 6: 128}


@frozen(kw_only=True)
class Tap:
    """
    A tap as it is to be, or as it was found.

    :ivar alias: the full id of the port: with the prefix of the name it tells that the tap is ours
    :ivar mac: of the host's side, the same again when the tap is made again, so that guests' ARP entries stay true
    :ivar addresses: ``address/length``
    :ivar routes: addresses that lead here, without the length
    :ivar doomed: it was found among those that were to go together
    :ivar sysctls: (path below ``/proc/sys/net``, value)
    """

    name: str
    alias: str
    mac: str
    mtu: int
    up: bool = True
    addresses: frozenset[str] = frozenset()
    routes: frozenset[str] = frozenset()
    doomed: bool = False
    sysctls: frozenset[tuple[str, str]] = frozenset()


def tap_name(prefix: str, port_id: str) -> str:
    return (prefix + port_id)[:TAP_NAME_LENGTH]


def plan_taps(plan: Plan, prefix: str = DEFAULT_PREFIX) -> dict[str, Tap]:
    """
    The taps by name.

    :raises BadPlan: two ports would have the same name of tap
    """
    taps: dict[str, Tap] = {}
    for port in plan.ports:
        tap = plan_tap(port, prefix)
        if tap.name in taps:
            other = taps[tap.name].alias
            raise BadPlan(f"ports[{port.id}]", f"its tap {tap.name} is that of {other} too", "Make one of them again")
        taps[tap.name] = tap
    return taps


def plan_tap(port: Port, prefix: str) -> Tap:
    name = tap_name(prefix, port.id)
    own = {f"{ip.on_tap}/{ip.prefix_length}" for ip in port.fixed_ips if ip.on_tap}
    return Tap(
        name=name,
        alias=port.id,
        mac=_host_mac(port.mac),
        mtu=port.mtu,
        addresses=frozenset(own),
        routes=frozenset(ip.address for ip in port.fixed_ips),
        sysctls=frozenset(_sysctls(name, port)),
    )


def _host_mac(guest_mac: str) -> str:
    first = "f2" if guest_mac.startswith("fe") else "fe"
    return first + guest_mac[2:]


def _sysctls(name: str, port: Port) -> Iterable[tuple[str, str]]:
    # Address pairs have no route, and without port security anything may be sent from: nftables judges sources there.
    strict = port.port_security and not port.address_pairs
    yield f"ipv4/conf/{name}/rp_filter", "1" if strict else "0"
    yield f"ipv4/conf/{name}/forwarding", "1"
    yield f"ipv4/conf/{name}/proxy_arp", "1"
    # The kernel waits up to this long (1/100 s) before it answers for others: 0.8 s, if nothing is said.
    yield f"ipv4/neigh/{name}/proxy_delay", "0"
    # The kernel takes IPv6 from a link with a smaller MTU, and its settings with it.
    if port.mtu < IPV6_MTU:
        return
    yield f"ipv6/conf/{name}/accept_ra", "0"
    if any(ip.version != IPV4 for ip in port.fixed_ips):
        yield f"ipv6/conf/{name}/forwarding", "1"
