# -*- test-case-name: tests.network_agent.test_agent -*-
"""
The network of one host, kept as the cloud's records say, in the agent's worker.

One round at a time: take the turn, read what has changed, plan, apply, let go, and say in the records which ports are
plugged.  Whoever wants something waits for a round that begins after it was asked; many that ask meanwhile share one.
Rounds begin when somebody plugs or unplugs, when something was committed and events tell of networks, and by the clock:
each ``LOOK_S`` what the kernel told of and a dnsmasq that has ended are put right, each ``REPAIR_S`` everything is read
and looked at.  After an error the next round applies the whole plan.

What is there stays as it is when this ends, whichever way; the next one finds nothing to do.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any, Final

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from cloudd.database import DatabaseAway, DatabaseBusy, DatabaseClosed
from cloudd.interfaces.application import PartHealth, Resources, SelfCheckFailed
from net import NetError, Update

from . import _gather
from ._dhcp_ports import keep_addresses
from ._gather import UnknownNode
from ._plane import Outcome, Plane
from ._records import Part
from ._statuses import write_statuses
from ._thread import OneThread
from ._view import View

FOLLOW_S: Final = 0.05
"""Whether something was committed; on a server, which does not tell, a question each ``ASK_TICKS`` of it."""

ASK_TICKS: Final = 5
LOOK_S: Final = 2.0
REPAIR_S: Final = 300.0
FIRST_RETRY_S, MOST_RETRY_S = 1.0, 60.0
PART: Final = "network of the host"

log = Logger()


@define
class _Wishes:
    """
    What the next round is to do besides what has changed.

    :ivar ports: to be read again
    :ivar hold: those of them that are to be out
    """

    ports: set[str] = field(factory=set)
    hold: dict[str, bool] = field(factory=dict)
    waiters: list[Deferred[None]] = field(factory=list)
    whole: bool = False
    look: bool = False
    repair: bool = False


@define(eq=False)
class NetworkAgent:
    """
    ``Plugging`` by taps of this host.  See the package for an overview.

    :ivar _own_node: gives the id of this node
    :ivar _build: from that id: the view to begin with, and the plane
    :ivar _thread: in which the plane is called
    :ivar _is_applied: the plane stands by the view's plan; else all of it is applied next
    """

    _resources: Resources
    _own_node: Callable[[], Awaitable[str]]
    _build: Callable[[str], tuple[View, Plane]]
    _thread: OneThread
    _node_id: str = field(init=False, default="")
    _view: View | None = field(init=False, default=None)
    _plane: Plane | None = field(init=False, default=None)
    _is_read: bool = field(init=False, default=False)
    _is_applied: bool = field(init=False, default=False)
    _wishes: _Wishes = field(init=False, factory=_Wishes)
    _woken: bool = field(init=False, default=False)
    _rounds: Deferred[None] | None = field(init=False, default=None)  # while some are made
    _without_dhcp: set[str] = field(init=False, factory=set)  # subnets that have no address left for it
    _timers: list[LoopingCall] = field(init=False, factory=list)
    _retry: Any = field(init=False, default=None)
    _retry_s: float = field(init=False, default=FIRST_RETRY_S)
    _seen: int | None = field(init=False, default=None)  # version of the database
    _ticks: int = field(init=False, default=0)
    _trouble: str = field(init=False, default="")

    # ---- for who runs servers

    async def plug(self, port_ids: Collection[str]) -> dict[str, str]:
        """
        Have ports of this host plugged; safe to call again.  Then their taps, routes, firewall and DHCP are there.

        :param port_ids: bound to this host, in records that are committed
        :return: the name of each one's tap, which the guest is to have open
        :raises PlugRefused: one cannot be; the others are plugged
        :raises net.NetError: the host refuses; it is tried again until it does not
        """
        view = await self._after_round(port_ids, held=False)
        return {port_id: view.tap(port_id) for port_id in port_ids}

    async def unplug(self, port_ids: Collection[str]) -> None:
        """
        Have ports taken from this host, whatever their records say, until they are plugged again; safe to call again,
        also for ports that are not there.

        Unbind or delete them next: the next process does not know of it, nor does another generation that leads.

        :raises net.NetError: the host refuses; it is tried again until it does not
        """
        await self._after_round(port_ids, held=True)

    async def _after_round(self, port_ids: Collection[str], held: bool) -> View:
        fires: Deferred[None] = Deferred()
        self._wishes.ports.update(port_ids)
        self._wishes.hold.update(dict.fromkeys(port_ids, held))
        self._wishes.waiters.append(fires)
        self._wake()
        await fires
        assert self._view is not None
        return self._view

    # ---- life

    async def self_check(self) -> None:
        """
        :raises SelfCheckFailed: the records cannot be read
        """
        try:
            await self._resources.database.read(_gather.position)
        except Exception as error:
            raise SelfCheckFailed("cloudd.network_agent", str(error) or type(error).__name__) from error

    def start(self, state: Mapping[str, Any]) -> None:
        """Nothing runs before ``lead``, or before a port is plugged."""

    def lead(self) -> None:
        """In the agent's worker, when this code was decided for: bring the host to the records.  Safe to call again."""
        if self._resources.role not in ("agent", "all") or self._timers:
            return
        self._wishes.whole = True
        self._wake()
        for every_s, call in ((FOLLOW_S, self._follow), (LOOK_S, self._look), (REPAIR_S, self._repair)):
            timer = LoopingCall(call)
            timer.clock = self._resources.reactor
            self._timers.append(timer)
            ended = timer.start(every_s, now=False)
            ended.addErrback(lambda failure: log.failure("a timer of the network ended", failure))

    def snapshot(self) -> dict[str, Any]:
        """Nothing is worth keeping: the records and the host tell."""
        return {}

    def retire(self) -> None:
        """Follow no longer; ports of tasks that still run here are plugged all the same."""
        for timer in self._timers:
            if timer.running:
                timer.stop()
        self._timers.clear()
        self._stop_waiting()

    def rest(self) -> Deferred[None]:
        """Fires when no round runs and nothing is open any more; the network stays as it is."""
        return Deferred.fromCoroutine(self._rest())

    async def _rest(self) -> None:
        while self._rounds is not None:
            ended: Deferred[None] = Deferred()
            self._rounds.chainDeferred(ended)
            await ended
        plane, self._plane, self._view = self._plane, None, None
        self._is_read = self._is_applied = False
        if plane is not None:
            await self._thread.run(plane.close)
        self._thread.end()

    def health(self) -> list[PartHealth]:
        if self._resources.role not in ("agent", "all"):
            return []
        if self._trouble:
            return [PartHealth(PART, False, self._trouble)]
        if self._view is None:
            return [PartHealth(PART, True)]
        missing = self._view.what_is_missing()
        more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
        return [PartHealth(PART, not self._view.refused, missing[0] + more if missing else "")]

    # ---- when

    def _wake(self) -> None:
        self._woken = True
        if self._rounds is None:
            self._rounds = Deferred()
            running = Deferred.fromCoroutine(self._make_rounds())
            running.addErrback(lambda failure: log.failure("rounds of the network ended", failure))

    def _stop_waiting(self) -> None:
        retry, self._retry = self._retry, None
        if retry is not None and retry.active():
            retry.cancel()

    @property
    def _waits(self) -> bool:
        """After an error, until it is tried again: every commit would try it else."""
        return self._retry is not None and bool(self._retry.active())

    def _follow(self) -> None:
        if self._waits:
            return
        self._ticks += 1
        version = self._resources.database.version()
        if version is None:
            if self._ticks % ASK_TICKS:
                return
        elif version == self._seen:
            return
        # Before it is read: what is committed meanwhile shows at the next tick.
        self._seen = version
        self._wake()

    def _look(self) -> None:
        self._wishes.look = True
        if not self._waits:
            self._wake()

    def _repair(self) -> None:
        self._wishes.whole = self._wishes.repair = True
        if not self._waits:
            self._wake()

    async def _make_rounds(self) -> None:
        while self._woken:
            self._woken = False
            wishes, self._wishes = self._wishes, _Wishes()
            try:
                await self._round(wishes)
            except Exception:
                self._failed(Failure(), wishes)
            else:
                self._succeeded(wishes)
        rounds, self._rounds = self._rounds, None
        if rounds is not None:
            rounds.callback(None)

    def _succeeded(self, wishes: _Wishes) -> None:
        self._trouble, self._retry_s = "", FIRST_RETRY_S
        self._stop_waiting()
        for waiter in wishes.waiters:
            waiter.callback(None)

    def _failed(self, failure: Failure, wishes: _Wishes) -> None:
        self._is_applied = False
        self._wishes.ports |= wishes.ports
        self._wishes.hold = wishes.hold | self._wishes.hold
        self._wishes.whole |= wishes.whole
        self._wishes.repair |= wishes.repair
        self._trouble = _trouble_of(failure)
        for waiter in wishes.waiters:
            waiter.errback(failure)
        if self._timers and not self._waits:
            self._retry = self._resources.reactor.callLater(self._retry_s, self._wake)
            self._retry_s = min(self._retry_s * 2, MOST_RETRY_S)

    # ---- one round

    async def _begin(self) -> None:
        if self._view is None or self._plane is None:
            self._node_id = await self._own_node()
            self._view, self._plane = self._build(self._node_id)

    async def _round(self, wishes: _Wishes) -> None:
        await self._begin()
        assert self._view is not None and self._plane is not None
        view, plane = self._view, self._plane
        for port_id, held in wishes.hold.items():
            (view.held.add if held else view.held.discard)(port_id)
        is_asked = wishes.ports or wishes.whole or wishes.look or not self._is_applied
        if not is_asked and not await self._has_news(view):
            return
        await self._thread.run(plane.take_turn)
        try:
            update = await self._read(view, plane, wishes)
            await self._bring(view, plane, update, wishes)
        finally:
            await self._thread.run(plane.give_turn)
        await self._say(view)

    async def _has_news(self, view: View) -> bool:
        newest, touched = await self._resources.database.read(_gather.changes, view.records.position)
        if touched is None or view.records.concerns(touched):
            return True
        view.records.position = newest
        return False

    async def _read(self, view: View, plane: Plane, wishes: _Wishes) -> Update | None:
        """What is to be different; ``None``: all of it."""
        part, whole = await self._read_part(view, wishes)
        if whole:
            self._without_dhcp.clear()
            if view.keep_off(await self._thread.run(plane.neighbourhood)):
                self._is_applied = False
        update = view.take(part, whole)
        self._is_read = True
        if lacking := view.records.without_server() - self._without_dhcp:
            self._without_dhcp |= set(await self._resources.database.write(keep_addresses, lacking))
            update = _joined(update, view.take(*await self._read_part(view, _Wishes())))
        return update if self._is_applied else None

    async def _read_part(self, view: View, wishes: _Wishes) -> tuple[Part, bool]:
        read = self._resources.database.read
        if self._is_read and not wishes.whole:
            part = await read(_gather.since, self._node_id, view.records, frozenset(wishes.ports))
            if part is not None:
                return part, False
        return await read(_gather.whole, self._node_id), True

    async def _bring(self, view: View, plane: Plane, update: Update | None, wishes: _Wishes) -> None:
        if update is None:
            self._note(view, await self._thread.run(plane.apply, view.plan()))
            self._is_applied = True
        elif update != Update():
            # If it fails, what was asked for is not what stands.
            self._is_applied = False
            self._note(view, await self._thread.run(plane.change, update))
            self._is_applied = True
        if wishes.repair:
            self._mended(view, await self._thread.run(plane.repair))
        elif wishes.look:
            self._mended(view, await self._thread.run(plane.look))

    def _note(self, view: View, outcome: Outcome) -> None:
        view.note_refused(outcome.refused)

    def _mended(self, view: View, outcome: Outcome) -> None:
        self._note(view, outcome)
        if outcome.changes:
            log.warn(
                "somebody has changed the network of this host: {count} things are put right: {changes}",
                count=len(outcome.changes),
                changes=", ".join(outcome.changes[:10]),
            )

    async def _say(self, view: View) -> None:
        active, down = view.statuses()
        if active or down:
            await self._resources.database.write(write_statuses, self._node_id, active, down)
        view.statuses_written(active, down)


def _trouble_of(failure: Failure) -> str:
    """What health says of it, and the log."""
    error = failure.value
    if isinstance(error, UnknownNode):
        return ""  # the first moments of a new node
    if isinstance(error, NetError | DatabaseAway | DatabaseBusy | DatabaseClosed):
        log.warn("the network of this host is not as planned: {cause}", cause=str(error))
    else:
        log.failure("a round of the network failed", failure)
    return str(error) or type(error).__name__


def _joined(first: Update, second: Update) -> Update:
    """Both differences as one."""
    ports = {port.id: port for port in (*first.ports, *second.ports) if port.id not in second.gone_ports}
    groups = {group.id: group for group in (*first.groups, *second.groups) if group.id not in second.gone_groups}
    return Update(
        ports=tuple(ports.values()),
        groups=tuple(groups.values()),
        gone_ports=(first.gone_ports - ports.keys()) | second.gone_ports,
        gone_groups=(first.gone_groups - groups.keys()) | second.gone_groups,
    )
