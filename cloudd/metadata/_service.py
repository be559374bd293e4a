# -*- test-case-name: tests.metadata.test_service -*-
"""
Who asks, and what he is told: the metadata service of one host.

The source address of a connection tells the port, since a host has each address once and no guest can send from
another's; nothing that a request says is believed.  What was read is used again for as long as nobody has written to
the database, so that a boot with its dozens of requests reads once; where that cannot be told, nothing is kept.
"""

from __future__ import annotations

import ipaddress
import math
import os
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from attrs import define, field, frozen
from twisted.internet.defer import Deferred

from cloudd.interfaces.application import PartHealth, Resources, SelfCheckFailed

from ._facts import GuestFacts
from ._openstack import Entropy
from ._rate import Rate
from ._reading import NoSuchGuest, NotReady, facts_at
from ._tree import Document, find

KEPT: Final = 1_024  # guests whose facts are kept
AT_ONCE: Final = 8  # reads for one guest
_SELF_CHECK: Final = "192.0.2.1"  # RFC 5737: nobody's


class TooManyRequests(Exception):
    """
    A guest asks more often than it may (429).

    :ivar wait_s: whole seconds
    """

    def __init__(self, wait_s: float) -> None:
        super().__init__(f"Too many requests: ask again in {wait_s:.1f} s")
        self.wait_s = max(1, math.ceil(wait_s))


@frozen
class OwnNode:
    """This node: its id, and the name that ports have as their host."""

    id: str
    name: str


@frozen
class _Kept:
    version: int
    found: GuestFacts | None  # None: there is none


@define(eq=False)
class Metadata:
    """
    A part of an application, in every worker that serves guests.

    :param own_node: this node; None: it is not known yet
    """

    _resources: Resources
    _own_node: Callable[[], Awaitable[OwnNode | None]]
    _entropy: Entropy = os.urandom
    _rate: Rate = field(factory=Rate)
    _own: OwnNode | None = field(init=False, default=None)
    _kept: dict[str, _Kept] = field(init=False, factory=dict)
    _reading: Counter[str] = field(init=False, factory=Counter)

    async def find(self, address: str, path: str) -> Document:
        """
        What the guest at an address gets for a path.

        :param address: from which the connection comes
        :param path: percent-decoded
        :raises NoSuchGuest: nobody here has the address
        :raises NotReady: ask again
        :raises NoSuchDocument: the guest has nothing there
        :raises TooManyRequests:
        """
        return find(path, await self.facts(address), self._entropy)

    async def facts(self, address: str) -> GuestFacts:
        """
        What there is to tell to the guest at an address; counts as a request.

        :raises NoSuchGuest: as ``find``; ``NotReady`` and ``TooManyRequests`` too
        """
        if not _is_of_network(address):
            raise NoSuchGuest
        if wait_s := self._rate.wait_s(address, self._resources.reactor.seconds()):
            raise TooManyRequests(wait_s)
        version = self._resources.database.version()
        kept = self._kept.get(address)
        if kept is None or kept.version != version:
            found = await self._read(address)
            if version is not None:
                self._keep(address, _Kept(version, found))
        else:
            found = kept.found
        if found is None:
            raise NoSuchGuest
        return found

    async def _read(self, address: str) -> GuestFacts | None:
        if self._reading[address] >= AT_ONCE:
            raise TooManyRequests(1.0)
        self._reading[address] += 1
        try:
            own = await self._node()
            found: GuestFacts = await self._resources.database.read(facts_at, own.id, own.name, address)
            return found
        except NoSuchGuest:
            return None
        finally:
            self._reading[address] -= 1
            if not self._reading[address]:
                del self._reading[address]

    async def _node(self) -> OwnNode:
        if self._own is None:
            self._own = await self._own_node()
        if self._own is None:
            raise NotReady
        return self._own

    def _keep(self, address: str, kept: _Kept) -> None:
        self._kept.pop(address, None)
        if len(self._kept) >= KEPT:
            del self._kept[next(iter(self._kept))]
        self._kept[address] = kept

    # ---- as a part

    def start(self, state: Mapping[str, Any]) -> None:
        """Nothing runs by itself."""

    def lead(self) -> None:
        """Nothing runs by itself."""

    def snapshot(self) -> dict[str, Any]:
        """What is kept is read again."""
        return {}

    def retire(self) -> None:
        """Requests in flight go on."""

    def health(self) -> list[PartHealth]:
        """It reads records, which tell of themselves."""
        return [PartHealth("metadata", ok=True)]

    def self_check(self) -> Deferred[None]:
        """
        Look for a guest that there is not.

        :raises SelfCheckFailed:
        """
        return Deferred.fromCoroutine(self._self_check())

    async def _self_check(self) -> None:
        try:
            await self._resources.database.read(facts_at, "", "", _SELF_CHECK)
        except NoSuchGuest:
            return
        except Exception as error:
            raise SelfCheckFailed("cloudd.metadata", str(error) or type(error).__name__) from error
        raise SelfCheckFailed("cloudd.metadata", f"{_SELF_CHECK} is nobody's, and somebody was found there")


def _is_of_network(address: str) -> bool:
    """Whether a port may have it: neither a local socket's name nor an address of one link."""
    try:
        ipaddress.ip_address(address)
    except ValueError:
        return False
    return "%" not in address
