# -*- test-case-name: tests.image.test_source -*-
"""
From where an image may be downloaded: decisions alone, so that each is a plain call.

Who names a URL has the cloud ask on its behalf, from within (server-side request forgery).  So a host needs an entry
in ``[images] web_download_hosts``, and what its name resolves to is looked at, too: an address that is not public
(loopback, link-local with the metadata service, private, multicast, also within IPv6) needs an entry as an address.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Final
from urllib.parse import urlsplit

from attrs import frozen

from cloudd.interfaces.download_hosts import DownloadHost, is_host_name, read_download_hosts

from ._errors import SourceRefused

PORTS: Final = {"http": 80, "https": 443}
MAX_URL: Final = 2_048

_Address = IPv4Address | IPv6Address
_TRANSLATED = (ip_network("64:ff9b::/96"), ip_network("64:ff9b:1::/48"))


@frozen
class Place:
    """
    Whom to ask.

    :ivar host: a name in lower case, or an address without brackets
    """

    scheme: str
    host: str
    port: int


@frozen
class Sources:
    """What the settings allow."""

    _entries: tuple[DownloadHost, ...]

    def __bool__(self) -> bool:
        """Whether anything may be downloaded."""
        return bool(self._entries)

    def place(self, url: str) -> Place:
        """
        Whom a URL means.

        :raises SourceRefused: it is none, or nothing may be downloaded from there
        """
        if not self._entries:
            raise SourceRefused("web-download is off in this cloud: [images] web_download_hosts names no host.")
        place = _read_url(url)
        literal = _address_in(place.host)
        fits = [entry for entry in self._entries if _has_port(entry, place.port)]
        if literal is not None and not any(_within(literal, entry) for entry in fits):
            raise _not_allowed(place)
        if literal is None and not any(_names(entry, place.host) for entry in fits):
            raise _not_allowed(place)
        return place

    def checked(self, place: Place, addresses: Iterable[str]) -> Sequence[str]:
        """
        To which addresses of a place one may connect: all of them, or none.

        :param addresses: that its name means just now
        :raises SourceRefused: one of them is not public, and no entry has it as an address
        """
        found = list(dict.fromkeys(addresses))
        for text in found:
            address = _address_in(text)
            if address is None or not (_is_public(address) or self._has(address, place.port)):
                raise SourceRefused(
                    f"{place.host} is at an address from where this cloud downloads nothing: an operator can name it "
                    "in [images] web_download_hosts."
                )
        return found

    def _has(self, address: _Address, port: int) -> bool:
        return any(_within(address, entry) and _has_port(entry, port) for entry in self._entries)


def read_sources(texts: Iterable[str]) -> Sources:
    """
    :param texts: as in ``[images] web_download_hosts``
    :raises BadDownloadHost: one is no such entry
    """
    return Sources(read_download_hosts(texts))


def _read_url(url: str) -> Place:
    if len(url) > MAX_URL or not url.isascii() or not url.isprintable() or " " in url or "\\" in url:
        raise SourceRefused(f"uri: expected a URL of at most {MAX_URL} printable ASCII characters.")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise SourceRefused(f"uri: it is no URL: {error}.") from None
    if parts.scheme not in PORTS:
        raise SourceRefused(f"uri: expected http or https, got {parts.scheme[:20] or 'no scheme'}.")
    if parts.username is not None or parts.password is not None:
        raise SourceRefused("uri: a user or password in a URL is not sent; leave them out.")
    host = (parts.hostname or "").removesuffix(".")
    if _address_in(host) is None and (not is_host_name(host) or _is_number(host)):
        raise SourceRefused(f"uri: {host[:80]!r} is no name or address of a host.")
    return Place(parts.scheme, host, PORTS[parts.scheme] if port is None else port)


def _is_number(host: str) -> bool:
    """Whether a resolver may take it for an address in another form: ``2130706433``, ``0x7f.1``, ``127.1``."""
    return re.fullmatch(r"[0-9]+|0x[0-9a-f]*", host.rpartition(".")[2]) is not None


def _address_in(text: str) -> _Address | None:
    try:
        return ip_address(text)
    except ValueError:
        return None


def _has_port(entry: DownloadHost, port: int) -> bool:
    return port == entry.port if entry.port is not None else port in PORTS.values()


def _names(entry: DownloadHost, host: str) -> bool:
    return host.endswith(entry.name) if entry.name.startswith(".") else bool(entry.name) and host == entry.name


def _within(address: _Address, entry: DownloadHost) -> bool:
    return entry.network is not None and address.version == entry.network.version and address in entry.network


def _is_public(address: _Address) -> bool:
    if isinstance(address, IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if inner is None and any(address in network for network in _TRANSLATED):
            inner = IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return _is_public(inner)
        if address.teredo is not None or address.scope_id is not None or int(address) >> 32 == 0:
            return False
    return address.is_global and not address.is_multicast and not address.is_reserved


def _not_allowed(place: Place) -> SourceRefused:
    return SourceRefused(
        f"uri: this cloud downloads nothing from {place.host[:253]} port {place.port}: an operator can name it in "
        "[images] web_download_hosts."
    )
