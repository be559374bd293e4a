# -*- test-case-name: tests.net.test_host -*-
"""
Taps of this thread's network namespace: read, and changed by netlink.  Blocking.

A link is ours when it is a tap, its name has our prefix, and its alias is the id that gives the name.  Of the addresses
and routes on our taps all are ours but link-local ones, and routes of another protocol than ``ROUTE_PROTOCOL``.
"""

from __future__ import annotations

import errno
import fcntl
import ipaddress
import os
import socket
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from attrs import define, evolve, field
from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from ._changes import (
    ADD_ADDRESS,
    ADD_ROUTE,
    DELETE_ADDRESS,
    DELETE_ROUTE,
    DELETE_TAP,
    MAKE_TAP,
    SET_LINK,
    SET_SYSCTL,
    Change,
)
from ._errors import NetError
from ._messages import ROUTE_PROTOCOL, Link
from ._own_host import OwnHost, link_name
from ._reading import Reader
from ._taps import HOST_BITS, Tap, tap_name

_SYSCTLS: Final = Path("/proc/sys/net")
_TUN: Final = "/dev/net/tun"
_TUNSETIFF: Final = 0x400454CA
_TUNSETPERSIST: Final = 0x400454CB
_NEW_TAP_WITHOUT_HEADER: Final = 0x0002 | 0x1000 | 0x8000
"""``IFF_TAP | IFF_NO_PI | IFF_TUN_EXCL``: a link that is there already is left alone."""

_GONE: Final = frozenset({errno.ENODEV, errno.ESRCH, errno.EADDRNOTAVAIL})
"""What is to go has gone already: of links, of routes, of addresses."""

_DOOMED: Final = 0x636C6400
"""The group of links in which taps are that go together: the kernel waits once for all of a group, not for each."""

_SCOPE_LINK: Final = 253
_NO_PREFIX_ROUTE: Final = 0x200
_NO_DAD: Final = 0x02


def _open_netlink() -> Any:
    return IPRoute()


@define
class Taps:
    """
    The taps of a host; a context manager, to be used in one thread.

    :ivar _reader: belongs to the caller
    :ivar _indexes: of our taps by name, as read last and as made since; belongs to the caller
    """

    prefix: str
    _reader: Reader
    _indexes: dict[str, int]
    _netlink: Any = field(init=False, factory=_open_netlink)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._netlink.close()

    def own_host(self, address: str | None, forwards: bool) -> Iterator[Change]:
        """See ``OwnHost.bring``."""
        return OwnHost(link_name(self.prefix), self._reader, self._netlink).bring(address, forwards)

    def read(self) -> dict[str, Tap]:
        """Our taps by name, without sysctls."""
        found: dict[int, Tap] = {}
        self._indexes.clear()
        for link in self._reader.links():
            if self._is_ours(link):
                self._indexes[link.name] = link.index
                found[link.index] = _tap(link)
        self._read_addresses(found, 0)
        return {tap.name: tap for tap in found.values()}

    def read_one(self, name: str) -> Tap | None:
        """One of our taps by name, without sysctls; ``None``: it is not there, or what has its name is not ours."""
        self._indexes.pop(name, None)
        try:
            index = socket.if_nametoindex(name)
        except OSError:
            return None
        link = self._reader.link(index)
        if link is None or link.name != name or not self._is_ours(link):
            return None
        self._indexes[name] = index
        found = {index: _tap(link)}
        self._read_addresses(found, index)
        return found[index]

    def delete(self, names: Iterable[str]) -> None:
        """
        Delete taps, all at once: the kernel waits 20 ms for each link that goes alone.  Killed between, those left are
        still ours, and known as doomed.

        :raises NetError: the kernel refuses it
        """
        indexes = {name: self._indexes.pop(name) for name in names}
        try:
            if len(indexes) == 1 or self._has_strangers(set(indexes.values())):
                for index in indexes.values():
                    self._drop("link", "del", index=index)
            elif indexes:
                for index in indexes.values():
                    self._drop("link", "set", index=index, group=_DOOMED)
                self._drop("link", "del", index=0, group=_DOOMED)
        except NetlinkError as error:
            raise _refused(Change(DELETE_TAP, ", ".join(indexes)[:80]), error.code, str(error)) from error

    def _call(self, kind: str, verb: str, **which: Any) -> None:
        getattr(self._netlink, kind)(verb, **which)

    def _drop(self, kind: str, verb: str, **which: Any) -> None:
        """What somebody else has removed meanwhile is gone all the same."""
        try:
            self._call(kind, verb, **which)
        except NetlinkError as error:
            if error.code not in _GONE:
                raise

    def _has_strangers(self, indexes: set[int]) -> bool:
        """Whether a link that is not to go is in the group of those that go."""
        return any(link.group == _DOOMED and link.index not in indexes for link in self._reader.links())

    def do(self, change: Change, wanted: Mapping[str, Tap]) -> None:
        """
        Make one change.

        :raises NetError: the kernel refuses it; the same change may be asked for again
        """
        try:
            self._doing()[change.what](change, wanted)
        except NetlinkError as error:
            raise _refused(change, error.code, str(error)) from error
        except OSError as error:
            raise _refused(change, error.errno or 0, str(error)) from error

    def _doing(self) -> dict[str, Callable[[Change, Mapping[str, Tap]], None]]:
        return {
            MAKE_TAP: lambda change, wanted: self._make(wanted[change.tap]),
            SET_LINK: lambda change, wanted: self._set_link(wanted[change.tap]),
            SET_SYSCTL: lambda change, _: _write_sysctl(change.value),
            ADD_ADDRESS: lambda change, _: self._address("replace", change),
            DELETE_ADDRESS: lambda change, _: self._address("del", change),
            ADD_ROUTE: lambda change, _: self._route("replace", change),
            DELETE_ROUTE: lambda change, _: self._route("del", change),
        }

    def _is_ours(self, link: Link) -> bool:
        is_named = link.name.startswith(self.prefix) and bool(link.alias)
        return is_named and link.kind == "tun" and tap_name(self.prefix, link.alias) == link.name

    def _read_addresses(self, found: dict[int, Tap], index: int) -> None:
        """And routes; of one link, or of all where ``index`` is 0."""
        addresses: dict[int, set[str]] = {}
        routes: dict[int, set[str]] = {}
        for address in self._reader.addresses(index):
            if address.ours:
                addresses.setdefault(address.index, set()).add(address.text)
        for route in self._reader.routes(index):
            routes.setdefault(route.index, set()).add(route.destination)
        for number, tap in found.items():
            found[number] = evolve(
                tap,
                addresses=frozenset(addresses.get(number, ())),
                routes=frozenset(routes.get(number, ())),
            )

    def _make(self, tap: Tap) -> None:
        """It lives on only once it has its alias: what a killed process leaves is ours for all to see, or gone."""
        descriptor = os.open(_TUN, os.O_RDWR | os.O_CLOEXEC)
        try:
            request = struct.pack("16sH22x", tap.name.encode(), _NEW_TAP_WITHOUT_HEADER)
            fcntl.ioctl(descriptor, _TUNSETIFF, request)
            index = socket.if_nametoindex(tap.name)
            self._indexes[tap.name] = index
            self._netlink.link("set", index=index, ifalias=tap.alias, address=tap.mac, mtu=tap.mtu)
            fcntl.ioctl(descriptor, _TUNSETPERSIST, 1)
        finally:
            os.close(descriptor)

    def _set_link(self, tap: Tap) -> None:
        index = self._indexes[tap.name]
        state = "up" if tap.up else "down"
        self._netlink.link("set", index=index, address=tap.mac, mtu=tap.mtu, state=state, group=0)

    def _address(self, verb: str, change: Change) -> None:
        address, _, length = change.value.partition("/")
        more = {"flags": _NO_PREFIX_ROUTE | (_NO_DAD if ":" in address else 0)} if verb == "replace" else {}
        index = self._indexes[change.tap]
        do = self._drop if verb == "del" else self._call
        do("addr", verb, index=index, address=address, prefixlen=int(length), **more)

    def _route(self, verb: str, change: Change) -> None:
        version = ipaddress.ip_address(change.value).version
        more = {"scope": _SCOPE_LINK, "family": 2} if version == 4 else {"family": 10}
        destination = f"{change.value}/{HOST_BITS[version]}"
        do = self._drop if verb == "del" else self._call
        do("route", verb, dst=destination, oif=self._indexes[change.tap], proto=ROUTE_PROTOCOL, **more)


def _tap(link: Link) -> Tap:
    return Tap(name=link.name, alias=link.alias, mac=link.mac, mtu=link.mtu, up=link.up, doomed=link.group == _DOOMED)


def with_sysctls(found: Tap, wanted: Tap | None) -> Tap:
    """``found`` with those sysctls read that ``wanted`` has."""
    paths = [path for path, _ in wanted.sysctls] if wanted else []
    return evolve(found, sysctls=frozenset((path, _read_sysctl(path)) for path in paths))


def _read_sysctl(path: str) -> str:
    try:
        # Thousands are read: this is a third of the time of Path.read_text.
        with open(f"{_SYSCTLS}/{path}", "rb", buffering=0) as sysctl:
            return sysctl.read().decode().strip()
    except FileNotFoundError:
        return ""


def _write_sysctl(assignment: str) -> None:
    path, _, value = assignment.partition("=")
    (_SYSCTLS / path).write_text(value)


def _refused(change: Change, code: int, reason: str) -> NetError:
    next_step = {
        errno.EPERM: "Run as root, with CAP_NET_ADMIN in this network namespace",
        errno.EBUSY: "A link of that name is there and not ours: see `ip -d link`, rename it or delete it",
        errno.ENOENT: f"See whether {_TUN} and the sysctl are there",
    }.get(code, "Apply the plan again: it goes on from here")
    return NetError(f"the kernel refuses to {change.what} {change.value} on {change.tap}: {reason}", next_step)
