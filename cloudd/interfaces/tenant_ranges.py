# -*- test-case-name: tests.network.test_ranges -*-
"""
Ranges of addresses that tenants' subnets may be of, as settings name them; without a service, so that these can be
checked.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Final

Ranges = tuple[IPv4Network | IPv6Network, ...]

MOST_RANGES: Final = 64

#: RFC 1918, 6598 and 4193: what no router of the Internet leads to.
PRIVATE: Final = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7")


class BadRange(ValueError):
    """Not what ``read_ranges`` can read."""


def read_ranges(texts: Iterable[str]) -> Ranges:
    """
    :param texts: each ``NETWORK/BITS`` of IPv4 or IPv6; none: tenants have no ranges
    :raises BadRange: one is nothing of that, or there are more than ``MOST_RANGES``
    """
    found = tuple(_read(text) for text in texts)
    if len(found) > MOST_RANGES:
        raise BadRange(f"{len(found)} ranges are more than {MOST_RANGES}")
    return found


def _read(text: str) -> IPv4Network | IPv6Network:
    try:
        return ip_network(text)
    except ValueError as error:
        raise BadRange(f"{text!r:.80} is no range: {error!s:.120}") from None
