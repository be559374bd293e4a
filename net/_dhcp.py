# -*- test-case-name: tests.net.test_dhcp -*-
"""
What dnsmasq is told: a configuration, the hosts that it serves, and their options.  Pure.

A change of hosts and options is read again at SIGHUP; a change of the configuration (another subnet) needs a new
process.  Only ports of the plan are served: each range is ``static``, and a host is known on its own tap alone.

Options are those of the most ports, and for each other port its own, by the tag that dnsmasq makes of the name of the
link.  A tag that a host's line sets would do for all, but dnsmasq 2.90 changes the list of such a tag while it answers,
and frees what is not its own when it reads the hosts again: it ends at the first SIGHUP after the first lease.

Of IPv6 guests are told of their router (RA), and either of their address by DHCPv6 or, where they make it themselves,
of the prefix.  The prefix is announced as not on the link: neighbours are reached by the router, as they are behind
other taps.  Source: dnsmasq(8), RFC 2132, RFC 3442, RFC 4861, RFC 8415.
"""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from attrs import frozen

from ._firewall import METADATA_ADDRESS
from ._taps import tap_name
from ._values import IPV4, FixedIP, Plan, Port

LEASE: Final = "1h"


@frozen
class Served:
    """Texts of the three files; ``configuration`` is empty where there is nobody to serve."""

    configuration: str = ""
    hosts: str = ""
    options: str = ""


@frozen
class Part:
    """
    What one port adds.

    :ivar ranges: lines of the configuration
    :ivar hosts: lines
    :ivar tap: the tag of its options
    :ivar options: lines, by version of IP
    """

    ranges: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    tap: str = ""
    options: tuple[tuple[int, str], ...] = ()


def part_of(port: Port, prefix: str) -> Part:
    """:param prefix: what names of our taps begin with"""
    served = [fixed for fixed in port.fixed_ips if _is_served(fixed)]
    # A client asks for one address of IPv4 on a link.
    first = next((fixed for fixed in served if fixed.version == IPV4), None)
    served = [fixed for fixed in served if fixed.version != IPV4 or fixed is first]
    texts = {fixed.version: _options(port, fixed) for fixed in served}
    return Part(
        tuple(map(_range, served)),
        tuple(_host(port, fixed, prefix) for fixed in served),
        tap_name(prefix, port.id),
        tuple(texts.items()),
    )


def joined(parts: Iterable[Part], folder: Path, prefix: str) -> Served:
    """
    :param folder: where the files will be
    :param prefix: what names of our taps begin with
    """
    ranges: set[str] = set()
    hosts: list[str] = []
    options: list[tuple[str, int, str]] = []
    for part in parts:
        ranges.update(part.ranges)
        hosts.extend(part.hosts)
        options.extend((part.tap, version, text) for version, text in part.options)
    if not hosts:
        return Served()
    return Served(_configuration(ranges, folder, prefix), _text(sorted(hosts)), _text(_option_lines(options)))


def _option_lines(options: list[tuple[str, int, str]]) -> Iterator[str]:
    counts = Counter((version, text) for _, version, text in options)
    # Of equally many the same each time.
    usual = {version: max((n, text) for (of, text), n in counts.items() if of == version)[1] for version, _ in counts}
    for _, text in sorted(usual.items()):
        yield from text.splitlines()
    for tap, _, text in sorted(each for each in options if each[2] != usual[each[1]]):
        yield from (f"tag:{tap},{line}" for line in text.splitlines())


def plan_dhcp(plan: Plan, folder: Path, prefix: str) -> Served:
    return joined((part_of(port, prefix) for port in plan.ports), folder, prefix)


def _is_served(fixed: FixedIP) -> bool:
    """Without an address on the tap dnsmasq would have none to answer from."""
    return fixed.dhcp and fixed.on_tap is not None


def _configuration(ranges: set[str], folder: Path, prefix: str) -> str:
    lines = (
        "port=0",
        "no-ping",
        "no-resolv",
        "no-hosts",
        "bind-dynamic",
        f"interface={prefix}*",
        "except-interface=lo",
        "dhcp-authoritative",
        *(["enable-ra"] if any(":" in line for line in ranges) else []),
        f"dhcp-hostsfile={folder / 'hosts'}",
        f"dhcp-optsfile={folder / 'options'}",
        f"dhcp-leasefile={folder / 'leases'}",
        f"pid-file={folder / 'pid'}",
        f"dhcp-lease-max={1 << 20}",
        *sorted(ranges),
    )
    return _text(lines)


def _text(lines: Iterable[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


def _range(fixed: FixedIP) -> str:
    if fixed.version == IPV4:
        network = ipaddress.IPv4Network(fixed.subnet)
        return f"dhcp-range={network.network_address},static,{network.netmask},{LEASE}"
    start, _, length = fixed.subnet.partition("/")
    return f"dhcp-range={start},{'ra-stateless' if fixed.slaac else 'static'},off-link,{length},{LEASE}"


def _host(port: Port, fixed: FixedIP, prefix: str) -> str:
    """dnsmasq sets a tag of the name of the link on which a request came."""
    name = f",{port.host_name}" if port.host_name else ""
    address = fixed.address if fixed.version == IPV4 else f"[{fixed.address}]"
    where = f"tag:{tap_name(prefix, port.id)}"
    # Who makes the address itself asks for nothing but options.
    given = "" if fixed.slaac else f",{address}"
    return f"{port.mac},{where}{given}{name},{LEASE}"


def _options(port: Port, fixed: FixedIP) -> str:
    """The same options for all ports of a version, so that each of a port's own takes the place of a usual one."""
    dns = [address for address in fixed.dns if ipaddress.ip_address(address).version == fixed.version]
    return "\n".join(_options_4(port, fixed, dns) if fixed.version == IPV4 else _options_6(port, dns))


def _options_4(port: Port, fixed: FixedIP, dns: list[str]) -> Iterator[str]:
    # A client that takes option 121 ignores option 3, so the default route is in both.
    routes = [(METADATA_ADDRESS + "/32", fixed.on_tap), *((r.destination, r.next_hop) for r in fixed.routes)]
    if fixed.gateway:
        routes.append(("0.0.0.0/0", fixed.gateway))
    yield _option("option:router", *([fixed.gateway] if fixed.gateway else []))
    yield f"option:classless-static-route,{','.join(f'{destination},{hop}' for destination, hop in routes)}"
    yield f"option:mtu,{port.mtu}"
    yield _option("option:dns-server", *dns)
    yield _option("option:domain-name", *([port.domain] if port.domain else []))


def _options_6(port: Port, dns: list[str]) -> Iterator[str]:
    yield _option("option6:dns-server", *(f"[{address}]" for address in dns))
    yield _option("option6:domain-search", *([port.domain] if port.domain else []))


def _option(name: str, *values: str) -> str:
    """Without a value it is not sent: else dnsmasq would name itself."""
    return ",".join((name, *values))
