# -*- test-case-name: tests.guests.test_service -*-
"""Which driver runs the servers of this host, chosen once for a generation and started when it is needed first."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from attrs import define, field, frozen
from twisted.internet.defer import Deferred, succeed

from cloudd.compute import driver_of
from cloudd.drivers import SimulatedDriver, libvirt_driver
from cloudd.interfaces.application import Resources
from cloudd.interfaces.servers import HostAway, IServerDriver, Seen

LENT = "guests"
REAL = "libvirt"  # folder of real guests
NONE = "this host runs no servers: [compute] driver is none"


def without_links(resources: Resources) -> str:
    """
    Why guests of this host need no links, as far as that is known before a driver is chosen; empty: they may need some.

    Blocks for as long as it takes to see whether libvirt listens.
    """
    wanted = resources.settings.compute.driver
    if wanted in ("none", "simulated"):
        return NONE if wanted == "none" else "servers are simulated here"
    if wanted == "libvirt" or (guests_folder(resources) / REAL).is_dir():
        return ""
    lent = resources.extra.get(LENT)
    return "" if lent is not None and lent.listens() else "no libvirt answers, so servers are simulated here"


def guests_folder(resources: Resources) -> Path:
    """Where guests' files are."""
    named = resources.settings.compute.folder
    return Path(named) if named else resources.settings.state / "guests"


class NoDriver(HostAway):
    """Nothing runs servers here now."""


@frozen
class Chosen:
    """
    :ivar driver: None: servers cannot be run here
    :ivar words: why it is this one, for operators
    """

    driver: IServerDriver | None
    words: str = ""


@define(eq=False)
class HostDriver:
    """
    :param observe: told what guests do by themselves
    :param unlinked: why guests here get no links, as it was when these were decided upon; empty: they may get some.  A
        libvirt that has come since is not taken: its guests would have none
    """

    _resources: Resources
    _own_node: Callable[[], Awaitable[str]]
    _observe: Callable[[Seen], None]
    _unlinked: str = ""
    _choosing: Deferred[_Outcome] | None = field(init=False, default=None)
    _starting: Deferred[_Outcome] | None = field(init=False, default=None)

    @property
    def folder(self) -> Path:
        """Of guests' files."""
        return guests_folder(self._resources)

    async def chosen(self) -> Chosen:
        """The same each time."""
        if self._choosing is None:
            self._choosing = _kept(Deferred.fromCoroutine(self._choose()))
        try:
            chosen: Chosen = await _follow(self._choosing)
        except BaseException:
            self._choosing = None
            raise
        return chosen

    async def ready(self) -> IServerDriver:
        """
        Started.

        :raises HostAway: there is none
        """
        chosen = await self.chosen()
        if chosen.driver is None:
            raise NoDriver(chosen.words, "See [compute] in the settings")
        if self._starting is None:
            self._starting = _kept(chosen.driver.start(self._observe))
        try:
            await _follow(self._starting)
        except BaseException:
            self._starting = None
            raise
        return chosen.driver

    def stop(self) -> Deferred[None]:
        """Let go of it; guests go on."""
        starting, self._starting = self._starting, None
        if starting is None or self._choosing is None:
            return succeed(None)
        return Deferred.fromCoroutine(self._stop(starting))

    async def _stop(self, starting: Deferred[_Outcome]) -> None:
        with suppress(Exception):  # whoever asked for it was told; what had come of it is let go of all the same
            await _follow(starting)
        chosen = await self.chosen()
        if chosen.driver is not None:
            await chosen.driver.stop()

    async def _choose(self) -> Chosen:
        wanted = self._resources.settings.compute.driver
        if wanted == "none":
            return Chosen(None, NONE)
        if wanted == "auto":
            return await self._found()
        return self._libvirt() if wanted == "libvirt" else self._simulated("")

    async def _found(self) -> Chosen:
        """By what is here; servers that are here already decide."""
        before = await self._resources.database.read(driver_of, await self._own_node())
        if before == "libvirt":
            return self._libvirt()  # whether it answers now or not
        if before == "simulated":
            return self._simulated("so far they were, and some are left")
        lent = self._resources.extra.get(LENT)
        if lent is None or not lent.listens():
            return self._simulated("no libvirt answers" + (f" at {lent.uri}" if lent is not None else ""))
        if self._unlinked:
            return self._simulated(f"no libvirt answered at {lent.uri} when cloudd started: start it again")
        chosen = self._libvirt()
        return chosen if chosen.driver is not None else self._simulated(chosen.words)

    def _simulated(self, why: str) -> Chosen:
        resources = self._resources
        driver = SimulatedDriver(resources.reactor, self.folder / "simulated", resources.threads)
        return Chosen(driver, f"servers are simulated here{f': {why}' if why else ''}")

    def _libvirt(self) -> Chosen:
        lent: Any = self._resources.extra.get(LENT)
        if lent is None:
            return Chosen(None, "this process has no way to libvirt: restart cloudd")
        hypervisor = lent.hypervisor()
        if hypervisor is None:
            return Chosen(None, lent.missing)
        accelerator = self._resources.settings.compute.accelerator
        driver = libvirt_driver(
            self._resources.reactor,
            hypervisor,
            self.folder / REAL,
            lent.slow(),
            "" if accelerator == "auto" else accelerator,
        )
        return Chosen(driver)


@frozen
class _Outcome:
    """What has come of a piece of work: a value, or a ``Failure``, which nobody has heard yet."""

    result: Any


def _kept(work: Deferred[Any]) -> Deferred[_Outcome]:
    """``work``, for several to follow: a failure is not used up by the first of them."""
    return work.addBoth(_Outcome)


def _follow(kept: Deferred[_Outcome]) -> Deferred[Any]:
    """Fires as that work does, whoever else waits for it."""
    followed: Deferred[Any] = Deferred()

    def give(outcome: _Outcome) -> _Outcome:
        followed.callback(outcome.result)  # a failure is one here
        return outcome

    kept.addCallback(give)
    return followed
