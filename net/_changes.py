# -*- test-case-name: tests.net.test_changes -*-
"""
What makes the taps that are to be of those that were found, as values in the order in which to do it.  Pure.

Taps that go are first and taps that come last: the firewall changes between, so no tap is there without its rules.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from attrs import evolve, frozen

from ._taps import Tap

DELETE_TAP: Final = "delete tap"
MAKE_TAP: Final = "make tap"
MAKE_LINK: Final = "make link"
DELETE_LINK: Final = "delete link"
SET_LINK: Final = "set link"
SET_SYSCTL: Final = "set sysctl"
ADD_ADDRESS: Final = "add address"
DELETE_ADDRESS: Final = "delete address"
ADD_ROUTE: Final = "add route"
DELETE_ROUTE: Final = "delete route"
FIREWALL: Final = "change firewall"
END_CONNECTIONS: Final = "end connections"


@frozen
class Change:
    """
    One write to the kernel.

    :ivar what: one of the constants here
    :ivar tap: its name, or that of another link; empty for the firewall and the host
    :ivar value: an address, a route, ``path=value`` of a sysctl, how many commands, or how many connections
    """

    what: str
    tap: str = ""
    value: str = ""

    def __str__(self) -> str:
        return " ".join(filter(None, (self.what, self.tap, self.value)))


def removals(found: Mapping[str, Tap], wanted: Mapping[str, Tap]) -> list[Change]:
    return [Change(DELETE_TAP, name) for name in sorted(found.keys() - wanted.keys())]


def additions(found: Mapping[str, Tap], wanted: Mapping[str, Tap]) -> list[Change]:
    return [change for name in sorted(wanted) for change in _one(found.get(name), wanted[name])]


def _one(found: Tap | None, wanted: Tap) -> Iterator[Change]:
    name = wanted.name
    if found is None:
        yield Change(MAKE_TAP, name)
        found = Tap(name=name, alias=wanted.alias, mac=wanted.mac, mtu=wanted.mtu, up=False)
    # IPv6 is gone from a link whose MTU is too small for it, and its sysctls with it: the link is first.
    if (found.mac, found.mtu, found.up, found.doomed) != (wanted.mac, wanted.mtu, wanted.up, wanted.doomed):
        yield Change(SET_LINK, name)
    for path, value in sorted(wanted.sysctls - found.sysctls):
        yield Change(SET_SYSCTL, name, f"{path}={value}")
    yield from (Change(DELETE_ROUTE, name, value) for value in sorted(found.routes - wanted.routes))
    if strange := sorted(found.addresses - wanted.addresses):
        yield from (Change(DELETE_ADDRESS, name, value) for value in strange)
        # The kernel takes routes and secondary addresses along with an address: all of them are written again.
        found = evolve(found, addresses=frozenset(), routes=found.routes - wanted.routes)
    yield from (Change(ADD_ADDRESS, name, value) for value in sorted(wanted.addresses - found.addresses))
    yield from (Change(ADD_ROUTE, name, value) for value in sorted(wanted.routes - found.routes))
