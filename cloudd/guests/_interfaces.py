# -*- test-case-name: tests.guests.test_steps -*-
"""ATTACH and DETACH: interfaces of a server that is there, while it runs too."""

from __future__ import annotations

from contextlib import suppress
from typing import Final

from attrs import define
from sqlalchemy import Connection

from cloudd.compute import (
    ATTACH,
    DETACH,
    EVENT_ERROR,
    Server,
    forget_interfaces,
    note_event,
    read_server,
    zone_of,
)
from cloudd.interfaces.servers import NoSuchGuest
from cloudd.network import bind_port, mtus_of, port_record, set_port_status
from cloudd.tasks import Fields, Kind, Task

from ._desired import interface_of
from ._means import Means
from ._ports import OWNER
from ._work import Trouble, Work, staying

ATTACH_EVENT: Final = "compute_attach_interface"
DETACH_EVENT: Final = "compute_detach_interface"


@define(eq=False)
class Attach(Work):
    """What cannot be attached is let go of again; the server stays as it is."""

    async def attach(self, task: Task) -> Fields | None:
        """Bind the port, plug it, and tell the guest."""
        server_id, port_id = self.server_id(task), str(task.payload["port_id"])
        if task.state.get("settled"):
            return None
        await task.write(self._bind, task, state={"ports": [port_id]})
        taps = await self.means.plugging.plug([port_id])
        port = await self.means.database.read(port_record, port_id)
        mtus = await self.means.database.read(mtus_of, [port_id])
        driver = await self.means.driver()
        await driver.attach_interface(server_id, interface_of(port, mtus, taps))
        await self.last_write(task, lambda c: set_port_status(c, [port_id], "ACTIVE"))
        return None

    def _bind(self, connection: Connection, task: Task) -> None:
        server = staying(connection, task)
        bind_port(connection, str(task.payload["port_id"]), server.id, OWNER + zone_of(connection, server), server.host)
        note_event(connection, server.id, task.request_id, ATTACH_EVENT, host=server.host)

    async def undo(self, task: Task) -> Fields | None:
        """It has no such interface."""
        if not task.state.get("undone"):
            await _unplug(self, task)
            await task.write(self._forget, task, state={**task.state, "undone": True})
        return None

    def _forget(self, connection: Connection, task: Task) -> None:
        server, trouble = read_server(connection, self.server_id(task)), Trouble.saved(task)
        _forget_port(connection, server, str(task.payload["port_id"]))
        ended = {"result": EVENT_ERROR, "details": trouble.details or trouble.message}
        note_event(connection, server.id, task.request_id, ATTACH_EVENT, host=server.host, **ended)


@define(eq=False)
class Detach(Work):
    """One that the guest does not let go of stays; it can be detached again."""

    async def detach(self, task: Task) -> Fields | None:
        """Take it from the guest and from the host; a port that was made for the server goes."""
        if task.state.get("settled"):
            return None
        await self.begin(task)
        await _unplug(self, task)
        await self.last_write(task, lambda c: self._forget(c, task))
        return None

    def _forget(self, connection: Connection, task: Task) -> None:
        _forget_port(connection, read_server(connection, self.server_id(task)), str(task.payload["port_id"]))

    async def undo(self, task: Task) -> Fields | None:
        """It has it still."""
        if not task.state.get("undone"):
            await task.write(self._kept, task, state={**task.state, "undone": True})
        return None

    def _kept(self, connection: Connection, task: Task) -> None:
        server, trouble = read_server(connection, self.server_id(task)), Trouble.saved(task)
        ended = {"result": EVENT_ERROR, "details": trouble.details or trouble.message}
        note_event(connection, server.id, task.request_id, DETACH_EVENT, host=server.host, **ended)


async def _unplug(work: Work, task: Task) -> None:
    driver, port_id = await work.means.driver(), str(task.payload["port_id"])
    with suppress(NoSuchGuest):  # then it has no interface either
        await driver.detach_interface(work.server_id(task), port_id)
    await work.unplug(work.server_id(task), [port_id])


def _forget_port(connection: Connection, server: Server, port_id: str) -> None:
    forget_interfaces(connection, server.id, [each for each in server.interfaces if each.port_id == port_id])


def interface_kinds(means: Means) -> tuple[Kind, ...]:
    """On that host."""
    attach, detach = Attach(means, ATTACH_EVENT), Detach(means, DETACH_EVENT)
    return (
        attach.kind(ATTACH, attach.step("attach", attach.attach)),
        detach.kind(DETACH, detach.step("detach", detach.detach)),
    )
