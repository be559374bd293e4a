# -*- test-case-name: tests.net.test_leases -*-
"""
Leases of ports that are gone, whose addresses others may get within the hour.  Pure.

dnsmasq gives an address to nobody while somebody else's lease of it lasts, also where its configuration says whose it
is.  It reads its leases at its start alone, so those of a former port are taken out of the file then.  A file says
which addresses were whose: it is written before the hosts are, so that who is killed between loses none.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Final

from attrs import frozen

_ADDRESS: Final = 2
"""The field of a line of dnsmasq's leases: time, MAC or IAID, address, name, client."""


@frozen
class Former:
    """
    :ivar owners: addresses with a lease of somebody who has them no more -> who
    :ivar disputed: those of them that are another's now: their leases have to go
    """

    owners: Mapping[str, str]
    disputed: frozenset[str]

    def text(self) -> str:
        return "".join(f"{address} {owner}\n" for address, owner in sorted(self.owners.items()))

    def settled(self) -> Former:
        """Once these leases are gone."""
        return Former({each: who for each, who in self.owners.items() if each not in self.disputed}, frozenset())


def former_of(noted: str, before: str, after: str, leases: str) -> Former:
    """
    :param noted: text of the file that was kept last
    :param before: the hosts that were served, as lines for dnsmasq
    :param after: those that are to be
    :param leases: dnsmasq's file
    """
    known = dict(line.split(" ", 1) for line in noted.splitlines() if " " in line)
    # Of thousands of lines a few differ; who was killed after it had noted somebody finds him in one that does not.
    was, will = set(before.splitlines()), set(after.splitlines())
    come = will if noted else will - was
    known.update(owners(was - will))
    return _left(known, owners(come), leases) if known else Former({}, frozenset())


def _left(known: Mapping[str, str], will: Mapping[str, str], leases: str) -> Former:
    leased = addresses_in(leases)
    left = {each: who for each, who in known.items() if each in leased and will.get(each) != who}
    return Former(left, frozenset(left.keys() & will.keys()))


def owners(hosts: Iterable[str]) -> dict[str, str]:
    """Address -> MAC and tap."""
    found = {}
    for line in hosts:
        fields = line.split(",")
        if len(fields) > 2 and ("." in fields[2] or fields[2].startswith("[")):
            found[fields[2].strip("[]")] = ",".join(fields[:2])
    return found


def addresses_in(leases: str) -> set[str]:
    return {fields[_ADDRESS] for line in leases.splitlines() if len(fields := line.split()) > _ADDRESS}


def without(leases: str, addresses: Collection[str]) -> str:
    """The same file without the leases of these."""
    kept = []
    for line in leases.splitlines(keepends=True):
        fields = line.split()
        if len(fields) <= _ADDRESS or fields[_ADDRESS] not in addresses:
            kept.append(line)
    return "".join(kept)
