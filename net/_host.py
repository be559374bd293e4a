# -*- test-case-name: tests.net.test_host -*-
"""One host's network, brought to a plan: look, compare, apply."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Mapping
from contextlib import closing
from functools import partial
from typing import Final

from attrs import define, field, frozen

from ._changes import Change
from ._errors import BadPlan, NetError
from ._libnftables import read_tables
from ._narrowing import Narrowed
from ._netlink import Taps
from ._own_host import ALIAS
from ._reading import Reader
from ._ruleset import Ruleset, table_name
from ._standing import Standing, Step
from ._taps import DEFAULT_PREFIX, Tap
from ._values import Plan, Update
from ._work import Believed, Work

_SLICE: Final = 100
"""Taps of which the sysctls are read at once: about 10 ms."""

_PREFIX: Final = re.compile(r"[a-z][a-z0-9]{0,5}")


def _checked_prefix(value: str) -> str:
    if not _PREFIX.fullmatch(value):
        raise BadPlan(
            "prefix", f"{value[:40]!r} cannot begin names of taps", "Give one to six small letters and digits"
        )
    return value


@frozen
class Observed:
    """
    What of ours is on the host.

    :ivar taps: by name, without sysctls
    """

    taps: dict[str, Tap]
    firewall: Ruleset


@frozen
class Applied:
    """
    What was changed, in order; empty: all was as planned, and nothing was written.

    :ivar refused: ids of ports whose tap the host refuses -> why; all the rest was applied, and the next call tries
        these again
    """

    changes: tuple[Change, ...]
    refused: Mapping[str, NetError] = field(factory=dict)


@define
class HostNetwork:
    """
    The network of the namespace in which the calling threads are.  Blocks: call it in a thread.

    Calls from several threads wait for each other.  Another process with the same prefix would undo what this one
    does.  Whoever made it calls ``close`` at the end; the network stays.

    :ivar _prefix: what names of our taps begin with
    :ivar _on_change: called after each change, for logs; what it raises ends the call
    :ivar _standing: what is to be; ``None`` until the first ``apply``
    :ivar _believed: what is; ``None`` where it has to be read whole
    :ivar _narrowed: what was allowed and is so no more, and of which the connections are not ended yet
    """

    _prefix: str = field(default=DEFAULT_PREFIX, converter=_checked_prefix)
    _on_change: Callable[[Change], None] = lambda change: None
    _lock: threading.Lock = field(init=False, factory=threading.Lock)
    _standing: Standing | None = field(init=False, default=None)
    _believed: Believed | None = field(init=False, default=None)
    _narrowed: Narrowed = field(init=False, factory=Narrowed)

    def observe(self) -> Observed:
        """
        :raises NetError: netlink or nftables do not answer
        """
        with closing(Reader.open()) as reader, Taps(self._prefix, reader, {}) as kernel:
            return Observed(kernel.read(), read_tables(table_name(self._prefix)))

    def neighbourhood(self) -> frozenset[str]:
        """
        Addresses of the host's other links, each with the length of its prefix: what the host has itself or reaches
        directly.  Taps of other prefixes and links for metadata do not count.

        :raises NetError: netlink does not answer
        """
        with closing(Reader.open()) as reader:
            made = {link.index for link in reader.links() if link.alias and (link.kind == "tun" or link.alias == ALIAS)}
            return frozenset(each.text for each in reader.addresses() if each.ours and each.index not in made)

    def close(self) -> None:
        """Stop listening.  The next ``apply`` begins anew."""
        with self._lock:
            self._forget()
            self._standing = None

    def apply(self, plan: Plan) -> Applied:
        """
        Read everything and bring the host to ``plan``; safe to call again, also after a call that failed or was killed
        half-way.

        Afterwards each port has its tap, and each tap and rule of ours has its place in the plan.  Links, routes and
        tables that are not ours are never touched.  Established connections go on where the plan allows them.

        :raises BadPlan: the plan cannot be made; nothing was changed
        :raises NetError: the host refuses the firewall, or to tell what is there; what was changed before stays.  What
            it refuses of one tap is told in the result instead
        """
        standing = Standing.of(plan, self._prefix)
        with self._lock:
            self._standing = standing
            return self._carried_out(standing, _whole)

    def change(self, update: Update) -> Applied:
        """
        Bring about a small difference to what was asked for last; safe to call again.

        What it reads and writes grows with the update, not with the host: what is there is known from before, and the
        kernel tells of what others changed since.  That is put right as well.

        :raises BadPlan: it does not fit to the rest; nothing was changed
        :raises NetError: nothing was applied yet; or the host refuses a change: what was asked for stays asked for,
            and the next call reads everything
        """
        with self._lock:
            standing = self._applied()
            step = standing.change(update)
            self._narrowed |= step.narrowed
            believed = self._believed
            if believed is not None:
                believed.notice(standing.taps)
            if step.whole or believed is None or believed.lost:
                return self._carried_out(standing, _whole)
            return self._carried_out(standing, partial(_quick, step=step))

    def repair(self) -> Applied:
        """
        Look at everything and put right what somebody changed, as ``apply`` does; in slices, between which quick
        changes go on.

        :raises NetError: nothing was applied yet; or the host refuses a change
        """
        done = [self._slice(look) for look in (_look_at_firewall, _look_at_taps)]
        with self._lock:
            names = sorted(self._applied().taps)
        for start in range(0, len(names), _SLICE):
            done.append(self._slice(partial(_look_at_sysctls, names=names[start : start + _SLICE])))
        refused = {port_id: error for each in done for port_id, error in each.refused.items()}
        return Applied(tuple(change for each in done for change in each.changes), refused)

    def _slice(self, look: Callable[[Work, Standing], None]) -> Applied:
        with self._lock:
            standing = self._applied()
            return self._carried_out(standing, look if self._believed else _whole)

    def _applied(self) -> Standing:
        if self._standing is None:
            raise NetError("no plan was applied yet", "Apply the whole plan first")
        return self._standing

    def _carried_out(self, standing: Standing, do: Callable[[Work, Standing], None]) -> Applied:
        if self._believed is None:
            self._believed = Believed.open(table_name(self._prefix))
        try:
            with Taps(self._prefix, self._believed.reader, self._believed.indexes) as kernel:
                work = Work(kernel, self._believed, standing, self._on_change, self._narrowed)
                try:
                    do(work, standing)
                finally:
                    self._narrowed = work.narrowed
                return Applied(tuple(work.changes), work.refused)
        except BaseException:
            # Nobody knows how far it came.
            self._forget()
            raise

    def _forget(self) -> None:
        if self._believed:
            self._believed.close()
        self._believed = None


def _whole(work: Work, standing: Standing) -> None:
    work.read_all(sysctls=True)
    work.delete_strange()
    work.firewall()
    work.end_connections()
    work.own_host()
    work.make(standing.taps)


def _quick(work: Work, standing: Standing, step: Step) -> None:
    names = work.read_dirty() | step.taps
    work.delete(names)
    work.firewall_part(step)
    work.end_connections()
    work.own_host()
    work.make(names)


def _look_at_firewall(work: Work, standing: Standing) -> None:
    work.firewall()
    work.end_connections()


def _look_at_taps(work: Work, standing: Standing) -> None:
    work.read_all(sysctls=False)
    work.delete_strange()
    work.end_connections()
    work.own_host()
    work.make(standing.taps)


def _look_at_sysctls(work: Work, standing: Standing, names: list[str]) -> None:
    work.read_sysctls(names)
    work.make(names)
