# -*- test-case-name: tests.guests.test_kinds -*-
"""
BUILD: a server that was placed here becomes a guest that runs.

``ports`` gives it its ports; ``guest`` brings its image here, plugs, defines and starts it; ``settle`` says so.  Where
that fails everything is removed again, and where another host may do better the server is placed once more.

A host gets hundreds of these at once, so what is written is little: one transaction in the first step and one in the
last, besides those of the engine.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from attrs import define
from sqlalchemy import Connection

from cloudd.compute import (
    BUILD,
    EVENT_ERROR,
    PLACE,
    Doing,
    Server,
    State,
    change_server,
    fail,
    forget_interfaces,
    note_event,
    read_server,
    release_claims,
    settle,
    was_reset,
    zone_of,
)
from cloudd.interfaces.servers import Power
from cloudd.network import set_port_status
from cloudd.tasks import Fields, Kind, Task, submit

from ._means import Means
from ._ports import give_ports
from ._work import CALLED_OFF, Behind, Going, Trouble, Work, is_going, staying

MOST_TRIES: Final = 3
EVENT: Final = "compute__do_build_and_run_instance"
SILENCE_S: Final = 3_600.0  # an image may take its time to come here


@define(eq=False)
class Build(Work):
    """``state``: ``ports``, their ids; ``settled``, ``undone``: that was written."""

    async def ports(self, task: Task) -> Fields | None:
        """Give it its ports."""
        if "ports" not in task.state:
            node_id = await self.means.node_id()
            state: Fields = {"ports": []}
            await task.write(self._give_ports, task, node_id, state, state=state)
        return None

    def _give_ports(self, connection: Connection, task: Task, node_id: str, state: Fields) -> None:
        server = self._here(connection, task, node_id)
        note_event(connection, server.id, task.request_id, EVENT, host=server.host)
        change_server(connection, server.id, task_state=Doing.SPAWNING.value)
        # Written behind this in the same transaction; one that is run again writes all of it again.
        state["ports"] = give_ports(connection, server, zone_of(connection, server))

    def _here(self, connection: Connection, task: Task, node_id: str) -> Server:
        """
        :raises Going: it is, or another host has it by now
        """
        server = staying(connection, task)
        if server.node_id != node_id:
            raise Going
        return server

    async def guest_runs(self, task: Task) -> Fields | None:
        """Bring all that it needs here, and start it."""
        if task.state.get("settled"):
            return None
        told = await self.desired(task)
        if told.server.node_id != await self.means.node_id():
            raise Going
        guest = await self.guest(told, anew=True)
        driver = await self.means.driver()
        await driver.define(guest)
        await driver.power_on(guest.id)
        return None

    async def settled(self, task: Task) -> Fields | None:
        """Say that it runs."""
        port_ids = list(task.state.get("ports", []))
        node_id = await self.means.node_id()
        await self.last_write(
            task,
            lambda c: self._here(c, task, node_id),
            lambda c: settle(c, self.server_id(task), State.ACTIVE, Power.RUNNING, progress=100),
            lambda c: set_port_status(c, port_ids, "ACTIVE"),
        )
        return None

    # ---- undoing

    async def undo(self, task: Task) -> Fields | None:
        """Remove all of it, and place it again, or say why not."""
        if task.state.get("undone"):
            return None
        if await self._is_kept(task):
            await task.write(self._keep, task, state={**task.state, "undone": True})
            return None
        await self.clear(self.server_id(task), task.state.get("ports", []))
        node_id = await self.means.node_id()
        await task.write(self._give_up, task, node_id, state={**task.state, "undone": True})
        return None

    async def _is_kept(self, task: Task) -> bool:
        """Somebody has written that it is active, and its guest does run: it was all but finished."""
        if not await self.is_reset(task):
            return False
        server = await self.means.database.read(read_server, self.server_id(task))
        if server.state is not State.ACTIVE or is_going(server) or server.node_id != await self.means.node_id():
            return False
        seen = await self.seen(server.id)
        return seen is not None and seen.power is Power.RUNNING

    def _keep(self, connection: Connection, task: Task) -> None:
        server = read_server(connection, self.server_id(task))
        if is_going(server) or server.state is not State.ACTIVE:
            raise Behind("its state was reset once more")
        settle(connection, server.id, State.ACTIVE, Power.RUNNING, task_state=server.doing)
        set_port_status(connection, list(task.state.get("ports", [])), "ACTIVE")
        ended = {"result": EVENT_ERROR, "details": CALLED_OFF.details}
        note_event(connection, server.id, task.request_id, EVENT, host=server.host, **ended)

    def _give_up(self, connection: Connection, task: Task, node_id: str) -> None:
        server = read_server(connection, self.server_id(task))
        is_reset = was_reset(connection, task.id)
        trouble = CALLED_OFF if is_reset else Trouble.saved(task)
        ended = {"result": EVENT_ERROR, "details": trouble.details or trouble.message}
        note_event(connection, server.id, task.request_id, EVENT, host=server.host, **ended)
        if is_going(server) or server.node_id != node_id:
            return
        release_claims(connection, server.id)
        forget_interfaces(connection, server.id, server.interfaces)
        nowhere: Mapping[str, Any] = {"node_id": None, "host": ""}
        if is_reset:
            change_server(connection, server.id, **nowhere)
            return
        tries = int(task.payload.get("tries", 0)) + 1
        if not trouble.is_hosts or tries >= MOST_TRIES:
            fail(connection, server.id, trouble.code, _words(server, trouble, tries), trouble.details, **nowhere)
            return
        change_server(connection, server.id, task_state=Doing.SCHEDULING.value, **nowhere)
        payload = {
            "servers": [server.id],
            "avoid": sorted({*task.payload.get("avoid", []), node_id}),
            "tries": tries,
            "cause": (trouble.details or trouble.message)[:1000],
            "told": trouble.told[:1000],
        }
        facts: dict[str, Any] = {"project_id": server.project_id, "resource": server.id, "request_id": task.request_id}
        submit(connection, PLACE, payload, **facts)


def _words(server: Server, trouble: Trouble, tries: int) -> str:
    if not trouble.is_hosts:
        return f"Build of instance {server.id} aborted: {trouble.message}"
    return (
        f"Exceeded maximum number of retries. Exhausted all hosts available for retrying build failures for instance "
        f"{server.id}: {tries} have failed. {trouble.told or 'Try again later, or ask whoever runs the cloud.'}"
    )


def build_kind(means: Means) -> Kind:
    """On that host."""
    work = Build(means, EVENT)
    return work.kind(
        BUILD,
        work.step("ports", work.ports),
        work.step("guest", work.guest_runs),
        work.step("settle", work.settled),
        silence_s=SILENCE_S,
        share=0.75,  # what else is done to servers does not wait for the last of a thousand
    )
