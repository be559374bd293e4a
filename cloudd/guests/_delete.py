# -*- test-case-name: tests.guests.test_kinds -*-
"""DELETE: nothing of a server is left on this host, and then it is gone."""

from __future__ import annotations

from typing import Final

from attrs import define
from sqlalchemy import Connection

from cloudd.compute import DELETE, EVENT_ERROR, EVENT_SUCCESS, State, fail, gone, note_event, read_server
from cloudd.tasks import Fields, Kind, Step, Task

from ._means import Means
from ._work import Trouble, Work

EVENT: Final = "compute_terminate_instance"


@define(eq=False)
class Delete(Work):
    """A guest that cannot be removed leaves its server in ``ERROR``; deleted again it goes on from there."""

    async def remove(self, task: Task) -> Fields | None:
        """Remove it, whatever else is done to it at this moment (``_work``)."""
        server_id = self.server_id(task)
        if not task.state.get("settled"):
            await self.clear(server_id, [])
            await task.write(self._gone, task, state={"settled": True})
        return None

    def _gone(self, connection: Connection, task: Task) -> None:
        server = read_server(connection, self.server_id(task))
        gone(connection, server.id)
        note_event(connection, server.id, task.request_id, EVENT, host=server.host, result=EVENT_SUCCESS)

    async def undo(self, task: Task) -> Fields | None:
        """It could not be removed: say so."""
        if not task.state.get("undone"):
            await task.write(self._kept, task, state={**task.state, "undone": True})
        return None

    def _kept(self, connection: Connection, task: Task) -> None:
        server, trouble = read_server(connection, self.server_id(task)), Trouble.saved(task)
        message = "The host could not delete it: delete it again later."
        fail(connection, server.id, trouble.code, message, trouble.details, state=State.ERROR)
        ended = {"result": EVENT_ERROR, "details": trouble.details or trouble.message}
        note_event(connection, server.id, task.request_id, EVENT, host=server.host, **ended)

    def deleting(self) -> Kind:
        return self.kind(DELETE, Step("remove", self.failing(self.remove)))


def delete_kind(means: Means) -> Kind:
    """On that host."""
    return Delete(means, EVENT).deleting()
