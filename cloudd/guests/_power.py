# -*- test-case-name: tests.guests.test_kinds -*-
"""POWER: start, stop, reboot, pause, unpause, suspend and resume a server."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from attrs import define, frozen

from cloudd.compute import POWER, State, Wanted
from cloudd.interfaces.servers import DriverError, HostAway, IServerDriver, NoSuchGuest, Power
from cloudd.tasks import Fields, Kind, Task, TaskFailed

from ._means import Means
from ._work import Work, silence_s


@frozen
class Outcome:
    """What a server is afterwards, and what it is wanted to be."""

    state: State
    power: Power
    wanted: Wanted


_RUNS: Final = Outcome(State.ACTIVE, Power.RUNNING, Wanted.RUNNING)

OUTCOMES: Final[Mapping[str, Outcome]] = {
    "start": _RUNS,
    "stop": Outcome(State.STOPPED, Power.OFF, Wanted.STOPPED),
    "reboot": _RUNS,
    "pause": Outcome(State.PAUSED, Power.PAUSED, Wanted.PAUSED),
    "unpause": _RUNS,
    "suspend": Outcome(State.SUSPENDED, Power.SUSPENDED, Wanted.SUSPENDED),
    "resume": _RUNS,
}
STARTING: Final = frozenset({"start", "reboot", "resume"})


@define(eq=False)
class PowerWork(Work):
    """One for each verb, since a history calls them by name."""

    async def power(self, task: Task) -> Fields | None:
        """Have it do that, and say what it is then."""
        verb = self._verb(task)
        if task.state.get("settled"):
            return None
        await self._named(verb).begin(task)
        told = await self.desired(task)
        if verb in STARTING:
            await self.means.plugging.plug(told.port_ids)  # after a restart of the host they may not be there
        driver = await self.means.driver()
        if verb in STARTING:
            for port_id in told.gone_ports:  # its tap is gone too, or goes, and no guest starts without
                await driver.detach_interface(told.server.id, port_id)
        await self._do(driver, task, verb)
        outcome = OUTCOMES[verb]
        await self._named(verb).settle(task, outcome.state, outcome.power, wanted=outcome.wanted.value)
        return None

    async def _do(self, driver: IServerDriver, task: Task, verb: str) -> None:
        server_id = self.server_id(task)
        if verb == "stop":
            await driver.power_off(server_id, self.patience_s(task))
        elif verb == "reboot":
            await self._reboot(driver, task, server_id)
        elif verb in STARTING:
            await driver.power_on(server_id)
        elif verb == "pause":
            await driver.pause(server_id)
        elif verb == "unpause":
            await driver.unpause(server_id)
        else:
            await driver.suspend(server_id)

    async def _reboot(self, driver: IServerDriver, task: Task, server_id: str) -> None:
        if task.payload.get("soft"):
            try:
                await driver.reboot(server_id, True, self.patience_s(task))
                return
            except (HostAway, NoSuchGuest):
                raise
            except DriverError:  # as Nova: one that cannot be asked is rebooted all the same
                pass
        seen = await self.seen(server_id)
        if seen is not None and seen.power is Power.SUSPENDED:  # as Nova: its saved memory is given up
            await driver.power_off(server_id, 0)
        await driver.reboot(server_id, False, 0)

    def _verb(self, task: Task) -> str:
        verb: str = task.payload["verb"]
        if verb not in OUTCOMES:
            raise TaskFailed(f"verb: {verb[:40]!r} is none of {', '.join(OUTCOMES)}")
        return verb

    def _named(self, verb: str) -> Work:
        return Work(self.means, event_of(verb))

    async def undo(self, task: Task) -> Fields | None:
        """It is what it is."""
        return await self._named(str(task.payload.get("verb", ""))).undo(task)


def event_of(verb: str) -> str:
    """As Nova calls it."""
    return f"compute_{verb}_instance"


def power_kind(means: Means) -> Kind:
    """On that host."""
    work = PowerWork(means, "")
    return work.kind(POWER, work.step("power", work.power), silence_s=silence_s(means))
