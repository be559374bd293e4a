# -*- test-case-name: tests.guests.test_kinds -*-
"""
RESIZE, CONFIRM_RESIZE and REVERT_RESIZE: another flavor on the same host.

Processors and memory are the new flavor's from the restart that is a part of ``RESIZE``.  The disk, which can grow and
never shrink, gets its size when the resize is confirmed, so that one that is reverted has lost nothing; the guest sees
that from its next start on.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from attrs import define, evolve
from sqlalchemy import Connection

from cloudd.compute import (
    CONFIRM_RESIZE,
    RESIZE,
    REVERT_RESIZE,
    Flavor,
    Server,
    State,
    Wanted,
    flavor_record,
    keep_resize,
    revert_records,
    settle,
)
from cloudd.interfaces.servers import DriverError, Power
from cloudd.tasks import Fields, Kind, Task

from ._desired import Desired
from ._means import Means
from ._work import Work, observed, silence_s

RESIZE_EVENT: Final = "compute_resize_instance"
CONFIRM_EVENT: Final = "compute_confirm_resize"
REVERT_EVENT: Final = "compute_revert_resize"


@define(eq=False)
class Sizing(Work):
    """What the three have in common."""

    async def before(self, server: Server) -> Flavor | None:
        """The flavor that it had; None: it was resized by nobody, or that is over."""
        if server.flavor_before is None:
            return None
        found: Flavor = await self.means.database.read(flavor_record, server.flavor_before)
        return found

    def ran(self, task: Task) -> bool | None:
        """Whether the guest ran when this began; None: nothing was done to it yet."""
        return None

    async def as_recorded(self, task: Task, server: Server) -> None:
        """The flavor that it has by now."""
        runs = self.ran(task)
        if runs is not None and await self.seen(server.id) is not None:
            told = await self.desired(task)
            await self.put(task, told, told.flavor, told.flavor.disk_gib, runs=runs)

    async def put(self, task: Task, told: Desired, flavor: Flavor, disk_gib: int, *, runs: bool) -> None:
        """Define it anew with that flavor, and start it where it is to run."""
        guest = await self.guest(evolve(told, flavor=flavor), disk_gib=disk_gib)
        driver = await self.means.driver()
        await driver.power_off(guest.id, self.patience_s(task) if runs else 0)
        await driver.define(guest)
        if runs:
            await driver.power_on(guest.id)


def _power(*, runs: bool) -> Power:
    return Power.RUNNING if runs else Power.OFF


@define(eq=False)
class Resize(Sizing):
    """``payload["state"]`` is what it was; it runs afterwards if it ran."""

    async def resize(self, task: Task) -> Fields | None:
        """Restart it with the new flavor's processors and memory."""
        if task.state.get("settled"):
            return None
        await self.begin(task)
        told = await self.desired(task)
        before = await self.before(told.server)
        if before is None:
            raise DriverError("flavor_before: the server has none", "Resize it again")
        if 0 < told.flavor.disk_gib < before.disk_gib:
            raise DriverError(
                f"disk: the flavor {told.flavor.name} has {told.flavor.disk_gib} GiB, the disk {before.disk_gib}",
                "A disk cannot be made smaller: take a flavor with a bigger one",
            )
        runs = self._runs(task)
        await self.put(task, told, told.flavor, before.disk_gib, runs=runs)
        await self.settle(task, State.RESIZED, _power(runs=runs), progress=100)
        return None

    @staticmethod
    def _runs(task: Task) -> bool:
        return task.payload.get("state") != State.STOPPED

    def ran(self, task: Task) -> bool | None:
        return self._runs(task)

    async def back(self, task: Task, server: Server) -> Mapping[str, Any]:
        """The flavor that it had."""
        told, before = await self.desired(task), await self.before(server)
        if before is not None:
            await self.put(task, told, before, before.disk_gib, runs=self._runs(task))
        return observed(server, await self.seen(server.id))

    def write_back(self, connection: Connection, task: Task, server: Server) -> None:
        revert_records(connection, server)


@define(eq=False)
class Confirm(Sizing):
    """The old size is given up."""

    async def confirm(self, task: Task) -> Fields | None:
        """Let the disk grow, and keep the new flavor's claim alone."""
        if task.state.get("settled"):
            return None
        await self.begin(task)
        told = await self.desired(task)
        if told.server.flavor_before is not None:
            driver = await self.means.driver()
            await driver.define(await self.guest(told))
        seen = await self.seen(told.server.id)
        runs = seen is not None and seen.power in (Power.RUNNING, Power.PAUSED)
        state, wanted = (State.ACTIVE, Wanted.RUNNING) if runs else (State.STOPPED, Wanted.STOPPED)
        server_id, power = told.server.id, _power(runs=runs)
        await self.last_write(
            task,
            lambda c: keep_resize(c, server_id),
            lambda c: settle(c, server_id, state, power, flavor_before=None, wanted=wanted.value),
        )
        return None

    async def as_recorded(self, task: Task, server: Server) -> None:
        """Its disk is as large as it is to be."""
        if await self.seen(server.id) is not None:
            driver = await self.means.driver()
            await driver.define(await self.guest(await self.desired(task)))

    async def back(self, task: Task, server: Server) -> Mapping[str, Any]:
        """It can be confirmed again, or reverted."""
        seen = observed(server, await self.seen(server.id))
        return {"state": State.RESIZED, "power": seen["power"]}


@define(eq=False)
class Revert(Sizing):
    """The size that it had."""

    async def revert(self, task: Task) -> Fields | None:
        """Restart it with the old flavor, and give the claim of the new one back."""
        if task.state.get("settled"):
            return None
        await self.begin(task)
        told = await self.desired(task)
        before = await self.before(told.server)
        if "runs" not in task.state:
            seen = await self.seen(told.server.id)
            runs = seen is not None and seen.power in (Power.RUNNING, Power.PAUSED)
            await task.save({**task.state, "runs": runs})
        runs = bool(task.state["runs"])
        if before is not None:
            await self.put(task, told, before, before.disk_gib, runs=runs)
        state, wanted = (State.ACTIVE, Wanted.RUNNING) if runs else (State.STOPPED, Wanted.STOPPED)
        server, power = told.server, _power(runs=runs)
        await self.last_write(
            task,
            lambda c: revert_records(c, server),
            lambda c: settle(c, server.id, state, power, wanted=wanted.value),
        )
        return None

    def ran(self, task: Task) -> bool | None:
        return task.state.get("runs")

    async def back(self, task: Task, server: Server) -> Mapping[str, Any]:
        """It can be reverted again, or confirmed."""
        seen = observed(server, await self.seen(server.id))
        return {"state": State.RESIZED, "power": seen["power"]}


def resize_kinds(means: Means) -> tuple[Kind, ...]:
    """On that host."""
    resize, confirm, revert = Resize(means, RESIZE_EVENT), Confirm(means, CONFIRM_EVENT), Revert(means, REVERT_EVENT)
    return (
        resize.kind(RESIZE, resize.step("resize", resize.resize), silence_s=silence_s(means)),
        confirm.kind(CONFIRM_RESIZE, confirm.step("confirm", confirm.confirm)),
        revert.kind(REVERT_RESIZE, revert.step("revert", revert.revert), silence_s=silence_s(means)),
    )
