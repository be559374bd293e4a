# -*- test-case-name: tests.net.test_quick -*-
"""What is believed of a host between two calls, and the work of one call that makes the difference to what is to be."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from functools import partial
from typing import Self

from attrs import define, evolve, field

from ._changes import END_CONNECTIONS, FIREWALL, Change, additions, removals
from ._errors import NetError
from ._firewall import plan_firewall
from ._libnftables import carry_out, read_tables
from ._narrowing import Narrowed, lost_routes
from ._netlink import Taps, with_sysctls
from ._reading import Noticed, Reader, Watch
from ._ruleset import Command, Ruleset, difference, table_name
from ._standing import Standing, Step
from ._taps import Tap
from ._tracking import end_connections


@define
class Believed:
    """
    What is on the host as it was read and written last, and what others have touched since.

    While we write a tap, what is heard of it is taken to be our own doing: a hand in the same millisecond is found by
    the next whole look.

    :ivar indexes: of our taps, by name
    :ivar taps: by name, with their sysctls
    :ivar dirty: names of taps to be read again
    :ivar firewall: the tables are as the plan has them
    :ivar asked: open connections are none but those that the plan allows: not so where who was here before was killed
        between, or where the tables were not as planned
    :ivar lost: the kernel had more to tell than it could keep: all has to be read again
    """

    reader: Reader
    _watch: Watch
    indexes: dict[str, int] = field(factory=dict)
    taps: dict[str, Tap] = field(factory=dict)
    dirty: set[str] = field(factory=set)
    firewall: bool = False
    asked: bool = False
    lost: bool = False

    @classmethod
    def open(cls, table: str) -> Self:
        """
        :param table: the name of our tables
        :raises NetError: the kernel does not tell
        """
        return cls(Reader.open(), Watch.open(table))

    def close(self) -> None:
        self.reader.close()
        self._watch.close()

    def notice(self, wanted: Collection[str], written: Collection[str] = (), transactions: int = 0) -> None:
        """
        Hear what changed.

        :param wanted: names that matter although no tap of ours has them
        :param written: names of taps that we have just written
        :param transactions: how many with our tables we have just made
        """
        noticed = self._watch.noticed()
        self.dirty |= self._names(noticed, wanted) - set(written)
        self.lost |= noticed.links_lost
        if noticed.tables_lost or noticed.transactions != transactions:
            self.firewall = False

    def _names(self, noticed: Noticed, wanted: Collection[str]) -> set[str]:
        if not noticed.indexes:
            return set()
        ours = {index: name for name, index in self.indexes.items()}
        known = {ours[index] for index in noticed.indexes & ours.keys()}
        return known | {name for name in noticed.names.values() if name in wanted}


@define
class Work:
    """
    One call's reading and writing; after an error what is believed is to be forgotten.

    :ivar narrowed: what is allowed no more, and of which the connections are not ended yet
    :ivar refused: ids of ports whose tap cannot be made as it is wanted -> why
    """

    _kernel: Taps
    _believed: Believed
    _standing: Standing
    _on_change: Callable[[Change], None]
    narrowed: Narrowed
    changes: list[Change] = field(factory=list)
    refused: dict[str, NetError] = field(factory=dict)

    def read_all(self, sysctls: bool) -> None:
        """:param sysctls: read them, too; else they are believed to be as before"""
        wanted, before = self._standing.taps, self._believed.taps
        self._believed.notice(())
        self._believed.dirty.clear()
        self._believed.lost = False
        self._believed.taps = {
            name: with_sysctls(tap, wanted.get(name))
            if sysctls or name not in before
            else evolve(tap, sysctls=before[name].sysctls)
            for name, tap in self._kernel.read().items()
        }

    def read_dirty(self) -> set[str]:
        """Read again what others touched; the names of it."""
        names = set(self._believed.dirty)
        self._believed.dirty.clear()
        for name in sorted(names):
            tap = self._kernel.read_one(name)
            if tap is None:
                self._believed.taps.pop(name, None)
            else:
                self._believed.taps[name] = with_sysctls(tap, self._standing.taps.get(name))
        return names

    def read_sysctls(self, names: Iterable[str]) -> None:
        """Of those taps that are there."""
        for name in names:
            if tap := self._believed.taps.get(name):
                self._believed.taps[name] = with_sysctls(tap, self._standing.taps.get(name))

    def own_host(self) -> None:
        """What the plan asks of the host itself; a few questions where it is there."""
        for change in self._kernel.own_host(self._standing.own_address, self._standing.forwards):
            self._note(change)

    def delete(self, names: Iterable[str]) -> None:
        """Those that are there and not wanted."""
        there = {name: self._believed.taps[name] for name in names if name in self._believed.taps}
        self.narrowed |= lost_routes(there.values(), self._standing.taps)
        planned = removals(there, self._standing.taps)
        if not planned:
            return
        gone = [change.tap for change in planned]
        self._kernel.delete(gone)
        for change in planned:
            del self._believed.taps[change.tap]
            self._note(change)
        self._believed.notice(self._standing.taps, gone)

    def delete_strange(self) -> None:
        self.delete(self._believed.taps)

    def make(self, names: Iterable[str]) -> None:
        """Those that are wanted, each as it is wanted; one that cannot be made does not stop the others."""
        for name in sorted(names):
            if wanted := self._standing.taps.get(name):
                try:
                    self._make_one(name, wanted)
                except NetError as error:
                    self.refused[wanted.alias] = error
                    # Nobody knows how far it came: the next call reads it.
                    self._believed.taps.pop(name, None)
                    self._believed.notice(self._standing.taps, {name})
                    self._believed.dirty.add(name)

    def firewall(self) -> None:
        """Read the tables and make the difference; who made it necessary may have let in anything."""
        self._believed.notice(self._standing.taps)
        found, wanted = read_tables(self._table), plan_firewall(self._standing.plan(), self._kernel.prefix)
        self._believed.asked &= not self._carry_out(found, wanted)

    def firewall_part(self, step: Step) -> None:
        """Make the difference that the update makes, where the rest is known to be there."""
        if self._believed.firewall:
            self._carry_out(step.before, step.after)
        else:
            self.firewall()

    def end_connections(self) -> None:
        """
        Of what is allowed no more.  The firewall has to be as it is to be, and taps that go to have gone: else new ones
        come up behind.
        """
        if self._believed.asked and not self.narrowed:
            return
        judge = self._standing.judge()
        if not self._believed.asked:
            self.narrowed |= Narrowed(asked=judge.addresses)
        if count := end_connections(self.narrowed.addresses, partial(judge.ends, narrowed=self.narrowed)):
            self._note(Change(END_CONNECTIONS, "", str(count)))
        self.narrowed = Narrowed()
        self._believed.asked = True

    def _make_one(self, name: str, wanted: Tap) -> None:
        found = self._believed.taps.get(name)
        planned = additions({name: found} if found else {}, {name: wanted})
        one: Mapping[str, Tap] = {name: wanted}
        for change in planned:
            self._kernel.do(change, one)
            self._note(change)
        if planned:
            self._believed.taps[name] = wanted
            self._believed.notice(self._standing.taps, {name})

    @property
    def _table(self) -> str:
        return table_name(self._kernel.prefix)

    def _carry_out(self, found: Ruleset, wanted: Ruleset) -> bool:
        """Whether there was something to do."""
        commands: list[Command] = difference(found, wanted, self._table)
        self._believed.firewall = True
        if commands:
            carry_out(commands)
            self._note(Change(FIREWALL, "", f"{len(commands)} commands"))
            self._believed.notice(self._standing.taps, transactions=1)
        return bool(commands)

    def _note(self, change: Change) -> None:
        self.changes.append(change)
        self._on_change(change)
