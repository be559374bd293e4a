# -*- test-case-name: tests.network_agent.test_agent -*-
"""The records of a host's ports and the plan made of them, kept together as both change."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Mapping

from attrs import define, evolve, field

from net import Metadata, NetError, Plan, Update

from ._errors import PlugRefused, not_here
from ._plan import Planner
from ._records import Part, Records


@define(eq=False)
class View:
    """
    :ivar _closes: guests do not reach the networks that the host is on
    :ivar records: as they were read last
    :ivar planner: what was made of them
    :ivar held: ports that are to be out until they are plugged again, whatever their records say
    :ivar refused: ports whose tap the host refuses -> why
    :ivar _news: ports of which the status may be wrong
    """

    _prefix: str
    _metadata: Metadata | None = None
    _closes: bool = True
    records: Records = field(init=False, factory=Records)
    planner: Planner = field(init=False)
    held: set[str] = field(init=False, factory=set)
    refused: Mapping[str, NetError] = field(init=False, factory=dict)
    _news: set[str] = field(init=False, factory=set)
    _left: set[str] = field(init=False, factory=set)

    def __attrs_post_init__(self) -> None:
        self.planner = Planner(self._prefix, self._metadata, self._closes)

    def keep_off(self, neighbourhood: Collection[str]) -> bool:
        """
        The host itself is there, so no port may be; what is taken from then on heeds it.

        :param neighbourhood: addresses with the lengths of their prefixes
        :return: whether it is another than before: then the whole plan is to be applied
        """
        before = self.planner.hosts_own
        self.planner.hosts_own = tuple(ipaddress.ip_network(each, strict=False) for each in sorted(neighbourhood))
        return self.planner.hosts_own != before

    def take(self, part: Part, whole: bool) -> Update:
        """
        What is to be different now that this was read.

        :param whole: it is all that there is, not what has changed
        """
        before = self.records.ports
        ports: set[str] = set()
        if whole:
            ports |= before.keys()
            self.records = Records()
        else:
            before = {port_id: before[port_id] for port_id in part.ports if port_id in before}
        changed, groups = self.records.take(part)
        ports |= changed
        self.held &= self.records.ports.keys()
        self._left |= {port_id for port_id in before if port_id not in self.records.ports}
        self._news |= ports
        return self.planner.change(self.records, ports, groups, self.held)

    def plan(self) -> Plan:
        return self.planner.plan()

    def note_refused(self, refused: Mapping[str, NetError]) -> None:
        """What the host refused in the last call, of all that was asked for so far."""
        self._news |= refused.keys() ^ self.refused.keys()
        self.refused = refused

    def statuses(self) -> tuple[set[str], set[str]]:
        """Ids of ports whose records are to say that they are plugged, and those that they are not."""
        active: set[str] = set()
        down = set(self._left)
        for port_id in self._news & self.records.ports.keys():
            record = self.records.ports[port_id]
            is_active = port_id in self.planner.ports and port_id not in self.refused and record.is_up
            if is_active != record.is_active:
                (active if is_active else down).add(port_id)
        return active, down

    def statuses_written(self, active: set[str], down: set[str]) -> None:
        """The records say so now."""
        self._news.clear()
        self._left.clear()
        for port_id in (active | down) & self.records.ports.keys():
            self.records.ports[port_id] = evolve(self.records.ports[port_id], is_active=port_id in active)

    def tap(self, port_id: str) -> str:
        """
        Of a port that is plugged.

        :raises PlugRefused: it is not, and why
        """
        if error := self.refused.get(port_id):
            raise PlugRefused(port_id, error.cause, error.next_step)
        if left := self.planner.left_out.get(port_id):
            raise PlugRefused(port_id, left.cause, left.next_step)
        if port_id not in self.planner.ports:
            raise not_here(port_id)
        return self.planner.tap(port_id)

    def what_is_missing(self) -> list[str]:
        """For operators: what the host refuses, then what cannot be."""
        told = [f"port {port_id} has no tap: {error}" for port_id, error in sorted(self.refused.items())]
        told += [f"port {port_id} is left out: {left}" for port_id, left in sorted(self.planner.left_out.items())]
        return told + [f"{each}: {left}" for each, left in sorted(self.planner.less.items())]
