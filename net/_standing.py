# -*- test-case-name: tests.net.test_standing -*-
"""
The plan that a host stands by, kept so that a small change of it costs what it changes.  Pure.

A ``Plan`` is checked and planned whole, which grows with the ports; ``Standing`` knows who has which address, tap and
group, and gives for an ``Update`` the part of the firewall before and after.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Self

from attrs import define, evolve, field, frozen

from ._errors import BadPlan
from ._firewall import Shared, plan_part
from ._narrowing import Judge, Narrowed, narrowed_groups, narrowed_ports
from ._ruleset import Ruleset
from ._taps import Tap, plan_tap, plan_taps, tap_name
from ._values import Group, Metadata, Plan, Port, Update


@frozen
class Step:
    """
    What an update means.

    :ivar taps: names of those that may be another than before
    :ivar before: that part of the firewall which may change, as it was
    :ivar after: the same part, as it is to be
    :ivar whole: the tables themselves come or go: parts do not tell
    :ivar narrowed: what is allowed no more
    """

    taps: frozenset[str]
    before: Ruleset
    after: Ruleset
    whole: bool
    narrowed: Narrowed


@define
class Standing:
    """
    :ivar taps: wanted, by name
    :ivar _owners: ids of ports by address
    :ivar _uses: how many ports and rules name each group
    :ivar _together: how many ports have exactly these groups
    :ivar _networks: how many ports are of each network
    """

    _prefix: str
    _metadata: Metadata | None
    _forwards: bool = False
    _closed: frozenset[str] = frozenset()
    taps: dict[str, Tap] = field(factory=dict)
    _ports: dict[str, Port] = field(factory=dict)
    _groups: dict[str, Group] = field(factory=dict)
    _owners: dict[str, str] = field(factory=dict)
    _uses: Counter[str] = field(factory=Counter)
    _together: Counter[tuple[str, ...]] = field(factory=Counter)
    _networks: Counter[str] = field(factory=Counter)

    @classmethod
    def of(cls, plan: Plan, prefix: str) -> Self:
        """:raises BadPlan: two ports would have the same name of tap"""
        made = cls(prefix, plan.metadata, plan.forwards, plan.closed, plan_taps(plan, prefix))
        for group in plan.groups:
            made._put_group(group)
        for port in plan.ports:
            made._put_port(port)
        return made

    def plan(self) -> Plan:
        return Plan(
            ports=tuple(self._ports.values()),
            groups=tuple(self._groups.values()),
            metadata=self._metadata,
            forwards=self._forwards,
            closed=self._closed,
        )

    @property
    def own_address(self) -> str | None:
        """That the host is to have on a link of its own for metadata."""
        wants = self._metadata is not None and self._metadata.own_link and bool(self._ports)
        return self._metadata.address if self._metadata is not None and wants else None

    @property
    def forwards(self) -> bool:
        """The host is to forward IPv6."""
        return self._forwards and any(":" in address for address in self._owners)

    def change(self, update: Update) -> Step:
        """
        Stand by what ``update`` asks for.

        :raises BadPlan: it does not fit to the rest; nothing was changed
        """
        self._check(update)
        port_ids = {port.id for port in update.ports} | update.gone_ports
        group_ids = {group.id for group in update.groups} | update.gone_groups
        old_ports = [self._ports[port_id] for port_id in sorted(port_ids & self._ports.keys())]
        old_groups = [self._groups[group_id] for group_id in sorted(group_ids & self._groups.keys())]
        shared = Shared.by((*old_ports, *update.ports))
        before_ports, before = bool(self._ports), self._there(shared)
        for port in old_ports:
            self._take_port(port)
        for group in old_groups:
            self._take_group(group)
        for group in update.groups:
            self._put_group(group)
        for port in update.ports:
            self._put_port(port)
        old_parts, new_parts = _without_common_members(old_groups, update.groups)
        return Step(
            frozenset(tap_name(self._prefix, port_id) for port_id in port_ids),
            plan_part(old_ports, old_parts, before, self._prefix),
            plan_part(update.ports, new_parts, self._there(shared), self._prefix),
            whole=not (before_ports and self._ports),
            narrowed=narrowed_ports(old_ports, update.ports, self._ports.values())
            | narrowed_groups(old_groups, update.groups, self._ports.values()),
        )

    def judge(self) -> Judge:
        return Judge.of(self._ports.values(), self._groups.values(), self._metadata, self._closed)

    def _there(self, shared: Shared) -> Shared:
        return Shared(
            frozenset(group_ids for group_ids in shared.together if self._together[group_ids]),
            frozenset(network_id for network_id in shared.network_ids if self._networks[network_id]),
        )

    def _check(self, update: Update) -> None:
        touched = {port.id for port in update.ports} | update.gone_ports
        named: dict[str, str] = {}
        for port in update.ports:
            for fixed in port.fixed_ips:
                owner = self._owners.get(fixed.address)
                if owner is not None and owner not in touched:
                    raise BadPlan(
                        f"ports[{port.id}].fixed_ips.address",
                        f"{fixed.address} is that of port {owner}",
                        "Give each address to one port: one host has one table of routes",
                    )
            name = tap_name(self._prefix, port.id)
            there = self.taps.get(name)
            other = named.get(name) or (there.alias if there and there.alias not in touched else None)
            if other and other != port.id:
                raise BadPlan(f"ports[{port.id}]", f"its tap {name} is that of {other} too", "Make one of them again")
            named[name] = port.id
        self._check_groups(update)

    def _check_groups(self, update: Update) -> None:
        known = (self._groups.keys() | {group.id for group in update.groups}) - update.gone_groups
        needed = {group_id for port in update.ports for group_id in port.group_ids}
        needed |= {name for group in update.groups for name in _remotes(group)}
        if missing := sorted(needed - known):
            raise BadPlan("groups", f"{missing[0]} is named and not there", "Give each group that ports and rules name")
        if not update.gone_groups:
            return
        left = Counter(self._uses)
        for port_id in (*(port.id for port in update.ports), *update.gone_ports):
            if port_id in self._ports:
                left.subtract(self._ports[port_id].group_ids)
        for group_id in (*(group.id for group in update.groups), *update.gone_groups):
            if group_id in self._groups:
                left.subtract(_remotes(self._groups[group_id]))
        if used := sorted(group_id for group_id in update.gone_groups if left[group_id] > 0):
            raise BadPlan("gone_groups", f"{used[0]} is still named", "Change the ports and rules that name it, too")

    def _put_port(self, port: Port) -> None:
        self._ports[port.id] = port
        tap = plan_tap(port, self._prefix)
        self.taps[tap.name] = tap
        self._owners.update((fixed.address, port.id) for fixed in port.fixed_ips)
        self._uses.update(port.group_ids)
        self._networks[port.network_id] += 1
        if port.port_security:
            self._together[port.group_ids] += 1

    def _take_port(self, port: Port) -> None:
        del self._ports[port.id]
        del self.taps[tap_name(self._prefix, port.id)]
        for fixed in port.fixed_ips:
            del self._owners[fixed.address]
        self._uses.subtract(port.group_ids)
        # What nobody has any more is forgotten: a daemon lives long.
        self._networks[port.network_id] -= 1
        self._networks += Counter()
        if port.port_security:
            self._together[port.group_ids] -= 1
            self._together += Counter()

    def _put_group(self, group: Group) -> None:
        self._groups[group.id] = group
        self._uses.update(_remotes(group))

    def _take_group(self, group: Group) -> None:
        del self._groups[group.id]
        self._uses.subtract(_remotes(group))
        self._uses += Counter()


def _remotes(group: Group) -> Iterator[str]:
    return (rule.remote_group_id for rule in group.rules if rule.remote_group_id)


def _without_common_members(before: Iterable[Group], after: Iterable[Group]) -> tuple[list[Group], list[Group]]:
    """A group of thousands of which one member comes or goes costs that one."""
    olds, news = {group.id: group for group in before}, {group.id: group for group in after}
    for group_id in olds.keys() & news.keys():
        common = olds[group_id].members & news[group_id].members
        olds[group_id] = evolve(olds[group_id], members=olds[group_id].members - common)
        news[group_id] = evolve(news[group_id], members=news[group_id].members - common)
    return list(olds.values()), list(news.values())
