# -*- test-case-name: tests.net.test_host -*-
"""
Taps of this thread's network namespace: read by netlink, and changed.  Blocking.

A link is ours when it is a tap, its name has our prefix, and its alias is the id that gives the name.  Of the addresses
and routes on our taps all are ours but link-local ones, and routes of another protocol than ``ROUTE_PROTOCOL``.
"""

from __future__ import annotations

import errno
import fcntl
import ipaddress
import os
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from attrs import define, field
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
from ._taps import HOST_BITS, Tap, tap_name

ROUTE_PROTOCOL: Final = 199
"""``rtm_protocol`` of our routes: free in ``/etc/iproute2/rt_protos``."""

_SYSCTLS: Final = Path("/proc/sys/net")
_TUN: Final = "/dev/net/tun"
_TUNSETIFF: Final = 0x400454CA
_TUNSETPERSIST: Final = 0x400454CB
_TAP_WITHOUT_HEADER: Final = 0x0002 | 0x1000
"""``IFF_TAP | IFF_NO_PI``."""

_UP: Final = 1
_MAIN_TABLE: Final = 254
_SCOPE_LINK: Final = 253
_NO_PREFIX_ROUTE: Final = 0x200
_NO_DAD: Final = 0x02


def _open_netlink() -> Any:
    return IPRoute()


@define
class Taps:
    """
    A connection to the kernel; a context manager, to be used in one thread.

    :ivar _indexes: of all links, by name, as read last and as made since
    """

    prefix: str
    _netlink: Any = field(init=False, factory=_open_netlink)
    _indexes: dict[str, int] = field(init=False, factory=dict)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._netlink.close()

    def read(self, wanted: Mapping[str, Tap]) -> dict[str, Tap]:
        """
        Our taps by name; of sysctls only those that ``wanted`` has.

        :raises NetError: a link that is not ours has the name of one that is wanted
        """
        found: dict[int, dict[str, Any]] = {}
        self._indexes.clear()
        for message in self._netlink.get_links():
            name, alias = message.get_attr("IFLA_IFNAME"), message.get_attr("IFLA_IFALIAS") or ""
            self._indexes[name] = message["index"]
            if self._is_ours(message, name, alias):
                found[message["index"]] = _link(message, name, alias)
            elif name in wanted:
                raise NetError(f"the link {name} is there and not ours", "Rename or delete it, or use another prefix")
        self._read_addresses(found)
        self._read_routes(found)
        taps = {facts["name"]: facts for facts in found.values()}
        return {name: Tap(**facts, sysctls=_sysctls(wanted.get(name))) for name, facts in taps.items()}

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
            DELETE_TAP: lambda change, _: self._netlink.link("del", index=self._indexes[change.tap]),
            MAKE_TAP: lambda change, wanted: self._make(wanted[change.tap]),
            SET_LINK: lambda change, wanted: self._set_link(wanted[change.tap]),
            SET_SYSCTL: lambda change, _: _write_sysctl(change.value),
            ADD_ADDRESS: lambda change, _: self._address("replace", change),
            DELETE_ADDRESS: lambda change, _: self._address("del", change),
            ADD_ROUTE: lambda change, _: self._route("replace", change),
            DELETE_ROUTE: lambda change, _: self._route("del", change),
        }

    def _is_ours(self, message: Any, name: str, alias: str) -> bool:
        info = message.get_attr("IFLA_LINKINFO")
        is_tap = info is not None and info.get_attr("IFLA_INFO_KIND") == "tun"
        return is_tap and name.startswith(self.prefix) and bool(alias) and tap_name(self.prefix, alias) == name

    def _read_addresses(self, found: dict[int, dict[str, Any]]) -> None:
        for message in self._netlink.get_addr():
            if (facts := found.get(message["index"])) is None:
                continue
            address = message.get_attr("IFA_ADDRESS")
            flags = message.get_attr("IFA_FLAGS") or 0
            if not ipaddress.ip_address(address).is_link_local or flags & _NO_PREFIX_ROUTE:
                facts["addresses"] |= {f"{address}/{message['prefixlen']}"}

    def _read_routes(self, found: dict[int, dict[str, Any]]) -> None:
        for version, family in ((4, 2), (6, 10)):
            for message in self._netlink.get_routes(family=family, table=_MAIN_TABLE, proto=ROUTE_PROTOCOL):
                facts = found.get(message.get_attr("RTA_OIF"))
                if (
                    facts is not None
                    and message["proto"] == ROUTE_PROTOCOL
                    and message["dst_len"] == HOST_BITS[version]
                ):
                    facts["routes"] |= {message.get_attr("RTA_DST")}

    def _make(self, tap: Tap) -> None:
        """It lives on only once it has its alias: what a killed process leaves is ours for all to see, or gone."""
        descriptor = os.open(_TUN, os.O_RDWR | os.O_CLOEXEC)
        try:
            request = struct.pack("16sH22x", tap.name.encode(), _TAP_WITHOUT_HEADER)
            fcntl.ioctl(descriptor, _TUNSETIFF, request)
            (index,) = self._netlink.link_lookup(ifname=tap.name)
            self._indexes[tap.name] = index
            self._netlink.link("set", index=index, ifalias=tap.alias, address=tap.mac, mtu=tap.mtu)
            fcntl.ioctl(descriptor, _TUNSETPERSIST, 1)
        finally:
            os.close(descriptor)

    def _set_link(self, tap: Tap) -> None:
        index = self._indexes[tap.name]
        self._netlink.link("set", index=index, address=tap.mac, mtu=tap.mtu, state="up" if tap.up else "down")

    def _address(self, verb: str, change: Change) -> None:
        address, _, length = change.value.partition("/")
        more = {"flags": _NO_PREFIX_ROUTE | (_NO_DAD if ":" in address else 0)} if verb == "replace" else {}
        index = self._indexes[change.tap]
        self._netlink.addr(verb, index=index, address=address, prefixlen=int(length), **more)

    def _route(self, verb: str, change: Change) -> None:
        version = ipaddress.ip_address(change.value).version
        more = {"scope": _SCOPE_LINK, "family": 2} if version == 4 else {"family": 10}
        destination = f"{change.value}/{HOST_BITS[version]}"
        self._netlink.route(verb, dst=destination, oif=self._indexes[change.tap], proto=ROUTE_PROTOCOL, **more)


def _link(message: Any, name: str, alias: str) -> dict[str, Any]:
    return {
        "name": name,
        "alias": alias,
        "mac": message.get_attr("IFLA_ADDRESS"),
        "mtu": message.get_attr("IFLA_MTU"),
        "up": bool(message["flags"] & _UP),
        "addresses": frozenset(),
        "routes": frozenset(),
    }


def _sysctls(wanted: Tap | None) -> frozenset[tuple[str, str]]:
    paths = [path for path, _ in wanted.sysctls] if wanted else []
    return frozenset((path, _read_sysctl(path)) for path in paths)


def _read_sysctl(path: str) -> str:
    try:
        return (_SYSCTLS / path).read_text().strip()
    except FileNotFoundError:
        return ""


def _write_sysctl(assignment: str) -> None:
    path, _, value = assignment.partition("=")
    (_SYSCTLS / path).write_text(value)


def _refused(change: Change, code: int, reason: str) -> NetError:
    next_step = {
        errno.EPERM: "Run as root, with CAP_NET_ADMIN in this network namespace",
        errno.EBUSY: "Another process holds the tap, or a link of that name is there: see `ip -d link`",
        errno.ENOENT: f"See whether {_TUN} and the sysctl are there",
    }.get(code, "Apply the plan again: it goes on from here")
    return NetError(f"the kernel refuses to {change.what} {change.value} on {change.tap}: {reason}", next_step)
