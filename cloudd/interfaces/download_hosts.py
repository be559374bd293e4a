# -*- test-case-name: tests.image.test_source -*-
"""From which hosts images may be downloaded, as settings name them; without a service, so that these can be checked."""

from __future__ import annotations

import re
from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network, ip_network

from attrs import frozen

_NAME = re.compile(r"(?=.{1,253}$)([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
_ENTRY = re.compile(
    r"(?:\[(?P<bracketed>[^\]]+)\]|(?P<plain>[^:\[\]]+|[0-9a-fA-F:.]*:[0-9a-fA-F:./]*?))(?::(?P<port>\d{1,5}))?"
)


class BadDownloadHost(ValueError):
    """Not what ``read_download_host`` can read."""


@frozen
class DownloadHost:
    """
    Hosts of one entry.

    :ivar network: their addresses; None: they are named
    :ivar name: in lower case; begins with a dot: all below it
    :ivar port: None: those of http and https
    """

    network: IPv4Network | IPv6Network | None
    name: str
    port: int | None


def read_download_hosts(texts: Iterable[str]) -> tuple[DownloadHost, ...]:
    """
    :param texts: each ``NAME``, ``*.DOMAIN``, ``ADDRESS`` or ``NETWORK/BITS``, with ``:PORT`` or without
    :raises BadDownloadHost: one is nothing of that
    """
    return tuple(map(_read, texts))


def is_host_name(text: str) -> bool:
    """Whether it is a name in lower case, of labels that DNS and hosts files know."""
    return _NAME.fullmatch(text) is not None


def _read(text: str) -> DownloadHost:
    found = _ENTRY.fullmatch(text.strip())
    if found is None or not 0 < int(found["port"] or 1) < 65_536:
        raise BadDownloadHost(f"{text!r:.80} is no host or address, with :PORT or without")
    port = int(found["port"]) if found["port"] else None
    host = (found["bracketed"] or found["plain"]).lower()
    try:
        return DownloadHost(ip_network(host), "", port)
    except ValueError:
        name = host[1:] if host.startswith("*.") else host
    if found["bracketed"] or not is_host_name(name.removeprefix(".")) or name.startswith(".") != host.startswith("*."):
        raise BadDownloadHost(f"{text!r:.80} is no host or address, with :PORT or without")
    return DownloadHost(None, name, port)
