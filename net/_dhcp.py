# -*- test-case-name: tests.net.test_dhcp -*-
"""
What dnsmasq is told: a configuration, the hosts that it serves, and their options.  Pure.

A change of hosts and options is read again at SIGHUP; a change of the configuration (another subnet) needs a new
process.  Only ports of the plan are served: each range is ``static``.  Options hang on tags: one tag for each set of
options, not for each port.  Source: dnsmasq(8), RFC 2132, RFC 3442.
"""

from __future__ import annotations

import hashlib
import ipaddress
from pathlib import Path
from typing import Final

from attrs import frozen

from ._firewall import METADATA_ADDRESS
from ._values import IPV4, FixedIP, Plan, Port

LEASE: Final = "1h"


@frozen
class Served:
    """Texts of the three files; ``configuration`` is empty where there is nobody to serve."""

    configuration: str = ""
    hosts: str = ""
    options: str = ""


def plan_dhcp(plan: Plan, folder: Path, prefix: str) -> Served:
    """
    :param folder: where the files will be
    :param prefix: what names of our taps begin with
    """
    served = [(port, fixed) for port in plan.ports for fixed in port.fixed_ips if _is_served(fixed)]
    if not served:
        return Served()
    options = {_tag(text): text for text in (_options(port, fixed) for port, fixed in served)}
    lines = [f"tag:{tag},{line}" for tag, text in sorted(options.items()) for line in text.splitlines()]
    return Served(
        _configuration(sorted({fixed.subnet for _, fixed in served}), folder, prefix),
        "".join(sorted(_host(port, fixed) for port, fixed in served)),
        "".join(f"{line}\n" for line in lines),
    )


def _is_served(fixed: FixedIP) -> bool:
    """Without a gateway on the tap dnsmasq would have no address there to answer from."""
    return fixed.dhcp and fixed.version == IPV4 and fixed.gateway is not None


def _configuration(subnets: list[str], folder: Path, prefix: str) -> str:
    networks = [ipaddress.IPv4Network(subnet) for subnet in subnets]
    ranges = (f"dhcp-range={network.network_address},static,{network.netmask},{LEASE}" for network in networks)
    lines = (
        "port=0",
        "no-ping",
        "no-resolv",
        "no-hosts",
        "bind-dynamic",
        f"interface={prefix}*",
        "except-interface=lo",
        "dhcp-authoritative",
        f"dhcp-hostsfile={folder / 'hosts'}",
        f"dhcp-optsfile={folder / 'options'}",
        f"dhcp-leasefile={folder / 'leases'}",
        f"pid-file={folder / 'pid'}",
        f"dhcp-lease-max={1 << 20}",
        *ranges,
    )
    return "".join(f"{line}\n" for line in lines)


def _tag(options: str) -> str:
    return f"o{hashlib.sha256(options.encode()).hexdigest()[:16]}"


def _host(port: Port, fixed: FixedIP) -> str:
    name = f",{port.host_name}" if port.host_name else ""
    return f"{port.mac},set:{_tag(_options(port, fixed))},{fixed.address}{name},{LEASE}\n"


def _options(port: Port, fixed: FixedIP) -> str:
    # A client that takes option 121 ignores option 3, so the default route is in both.
    routes = [(METADATA_ADDRESS + "/32", fixed.gateway), *((r.destination, r.next_hop) for r in fixed.routes)]
    routes.append(("0.0.0.0/0", fixed.gateway))
    pairs = ",".join(f"{destination},{hop}" for destination, hop in routes)
    dns = ",".join(address for address in fixed.dns if ipaddress.ip_address(address).version == IPV4)
    lines = [f"option:router,{fixed.gateway}", f"option:classless-static-route,{pairs}", f"option:mtu,{port.mtu}"]
    # An option without a value is not sent: else dnsmasq would name itself.
    lines.append(f"option:dns-server,{dns}" if dns else "option:dns-server")
    return "\n".join(lines)
