# -*- test-case-name: tests.net.test_own_host -*-
"""
What a plan asks of the host itself beside taps and tables: the metadata service's address, and that it forwards IPv6.
Blocking.

The address is on a bridge without ports, as not every kernel has dummy links; it is ours by its name and alias.

IPv6 is forwarded by the whole host or not at all, and a host that forwards takes no more routers' advertisements on
links that ask for them in the usual way (``accept_ra`` 1): these are told to go on (2) before.  Nobody takes it back,
as others may need it by then.  Source: ``Documentation/networking/ip-sysctl.rst``.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from attrs import frozen
from pyroute2.netlink.exceptions import NetlinkError

from ._changes import ADD_ADDRESS, DELETE_ADDRESS, DELETE_LINK, MAKE_LINK, SET_LINK, SET_SYSCTL, Change
from ._errors import NetError
from ._reading import Reader

ALIAS: Final = "cloudd metadata"
_KIND: Final = "bridge"
_CONF: Final = Path("/proc/sys/net/ipv6/conf")


def link_name(prefix: str) -> str:
    return f"md-{prefix}"


@frozen
class OwnHost:
    """
    The host of this thread's network namespace.

    :ivar _name: of the link for metadata
    :ivar _netlink: pyroute2's
    """

    _name: str
    _reader: Reader
    _netlink: Any

    def bring(self, address: str | None, forwards: bool) -> Iterator[Change]:
        """
        Make what is missing and remove what is too much; each change is given when it is made.

        :param address: of the metadata service; ``None``: no link for it
        :param forwards: IPv6 is to be forwarded; if not, it is left as it is
        :raises NetError: the kernel refuses it, or a link of this name is somebody else's
        """
        try:
            yield from self._link(address)
            if forwards:
                yield from _forward()
        except (NetlinkError, OSError) as error:
            raise NetError(
                f"the kernel refuses what guests need of the host itself: {error}",
                f"See `ip -d addr show {self._name}`",
            ) from error

    def _link(self, address: str | None) -> Iterator[Change]:
        index, is_ours = self._found()
        if address is None:
            if is_ours:
                self._netlink.link("del", index=index)
                yield Change(DELETE_LINK, self._name)
            return
        if index and not is_ours:
            raise NetError(f"the link {self._name} is there and not ours", "Rename or delete it")
        if not index:
            self._netlink.link("add", ifname=self._name, kind=_KIND)
            index = socket.if_nametoindex(self._name)
            yield Change(MAKE_LINK, self._name)
        link = self._reader.link(index)
        if link is None or not link.up or link.alias != ALIAS:
            self._netlink.link("set", index=index, ifalias=ALIAS, state="up")
            yield Change(SET_LINK, self._name)
        yield from self._addresses(index, f"{address}/32")

    def _addresses(self, index: int, wanted: str) -> Iterator[Change]:
        found = {each.text for each in self._reader.addresses(index) if ":" not in each.text}
        for verb, what, texts in (("del", DELETE_ADDRESS, found - {wanted}), ("add", ADD_ADDRESS, {wanted} - found)):
            for text in sorted(texts):
                address, _, length = text.partition("/")
                self._netlink.addr(verb, index=index, address=address, prefixlen=int(length))
                yield Change(what, self._name, text)

    def _found(self) -> tuple[int, bool]:
        """(the link's index or 0, whether it is ours)"""
        try:
            index = socket.if_nametoindex(self._name)
        except OSError:
            return 0, False
        link = self._reader.link(index)
        if link is None:
            return 0, False
        # Who was killed between has made one without an alias.
        return index, link.kind == _KIND and link.alias in {ALIAS, ""}


def _forward() -> Iterator[Change]:
    everywhere = _CONF / "all" / "forwarding"
    if everywhere.read_text().strip() != "0":
        return
    for setting in sorted(_CONF.glob("*/accept_ra")):
        if setting.parent.name != "all" and setting.read_text().strip() == "1":
            setting.write_text("2")
            yield Change(SET_SYSCTL, setting.parent.name, f"ipv6/conf/{setting.parent.name}/accept_ra=2")
    everywhere.write_text("1")
    yield Change(SET_SYSCTL, "", "ipv6/conf/all/forwarding=1")
