# -*- test-case-name: tests.guests.test_kinds -*-
"""REBUILD: a server gets a new disk, of the image that its row names now; its ports and addresses stay."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from attrs import define

from cloudd.compute import REBUILD, Server, State, Wanted, settle
from cloudd.interfaces.servers import Guest, IServerDriver, NoSuchGuest, Power
from cloudd.network import set_port_status
from cloudd.tasks import Fields, Kind, Task

from ._build import SILENCE_S
from ._means import Means
from ._work import Work, observed

EVENT: Final = "compute_rebuild_instance"


@define(eq=False)
class Rebuild(Work):
    """What was on the old disk is lost once the new one is there; a server that fails then is in ``ERROR``."""

    async def disk(self, task: Task) -> Fields | None:
        """End it, and give it the disk."""
        if task.state.get("settled"):
            return None
        await self.begin(task)
        told = await self.desired(task)
        guest = await self.guest(told, anew=True)
        driver = await self.means.driver()
        try:
            await driver.power_off(guest.id, 0)
            await driver.rebuild_disk(guest)
        except NoSuchGuest:  # its build had failed
            await driver.define(guest)
        await self._start(driver, guest, self._after(task))
        return None

    async def _start(self, driver: IServerDriver, guest: Guest, state: State) -> None:
        if state is State.ACTIVE:
            await driver.power_on(guest.id)

    async def settled(self, task: Task) -> Fields | None:
        """Say so."""
        state = self._after(task)
        power = Power.RUNNING if state is State.ACTIVE else Power.OFF
        wanted = Wanted.RUNNING if state is State.ACTIVE else Wanted.STOPPED
        told = await self.desired(task)
        server_id, values = told.server.id, {"image_before": None, "wanted": wanted.value, "progress": 100}
        await self.last_write(
            task,
            lambda c: settle(c, server_id, state, power, **values),
            lambda c: set_port_status(c, told.port_ids, "ACTIVE"),
        )
        return None

    @staticmethod
    def _after(task: Task) -> State:
        """What it is to be: it was stopped, or it runs."""
        return State.STOPPED if task.payload.get("state") == State.STOPPED else State.ACTIVE

    async def back(self, task: Task, server: Server) -> Mapping[str, Any]:
        """Nobody knows what is on its disk."""
        seen = observed(server, await self.seen(server.id))
        return {"state": State.ERROR, "power": seen["power"], "image_before": None}


def rebuild_kind(means: Means) -> Kind:
    """On that host."""
    work = Rebuild(means, EVENT)
    return work.kind(REBUILD, work.step("disk", work.disk), work.step("settle", work.settled), silence_s=SILENCE_S)
