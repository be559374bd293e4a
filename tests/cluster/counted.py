"""
A kind of task whose effects can be counted, and the path that orders one: put into copies of the code by ``tree``.

It is ``cloudd.counted`` there.  ``POST /counted/NUMBER`` on the API port orders a task for a number and answers 202
with its id, 503 when nothing was done, 500 when that cannot be told.  The task has two steps; each waits a little and
writes one row into ``test_effects``, which has no key: whatever is done twice is there twice.
"""

from __future__ import annotations

import json
import random
from typing import Any

from attrs import frozen
from sqlalchemy import Connection
from twisted.internet.task import deferLater

from cloudd.database import CommitUnknown, DatabaseAway, DatabaseBusy, DatabaseClosed
from cloudd.interfaces.application import Resources
from cloudd.protocols.http import Request
from cloudd.tasks import Fields, Form, Kind, Retry, Step, Task, Tasks, submit

FORM = Form(name="test.counted")
PATH = "/counted/"
LONGEST_S = 1.0
TABLE = "CREATE TABLE test_effects (number int, what text, task_id text, node text, at timestamptz DEFAULT now())"
EFFECTS = ("first", "last")
_INSERT = "INSERT INTO test_effects (number, what, task_id, node) VALUES (%s, %s, %s, %s)"
_JSON = (b"Content-Type", b"application/json")


@frozen
class Counted:
    """
    :param resources: of the generation
    """

    resources: Resources

    def kind(self) -> Kind:
        steps = (Step("first", self.first), Step("last", self.last))
        return Kind(form=FORM, steps=steps, retry=Retry(attempts=50, first_s=0.5, longest_s=2.0))

    async def first(self, task: Task) -> Fields | None:
        await self._pause()
        if not task.state:
            await task.write(self._book, task, "first", state={"booked": 1})
        return None

    async def last(self, task: Task) -> Fields | None:
        await self._pause()
        if task.state["booked"] == 1:
            await task.write(self._book, task, "last", state={"booked": 2})
        return {"number": task.payload["number"]}

    async def _pause(self) -> None:
        await deferLater(self.resources.reactor, random.uniform(0, LONGEST_S), lambda: None)

    def _book(self, connection: Connection, task: Task, what: str) -> None:
        values = (task.payload["number"], what, task.id, self.resources.settings.nodes.name)
        connection.exec_driver_sql(_INSERT, values)


@frozen
class Face:
    """``/counted``: orders tasks."""

    resources: Resources
    tasks: Tasks

    async def __call__(self, request: Request) -> None:
        request.route = PATH
        number = int(request.path.rpartition(b"/")[2])
        try:
            task_id = await self.resources.database.write(submit, FORM, {"number": number}, resource=str(number))
        except CommitUnknown as error:
            self._answer(request, 500, {"cause": str(error)})
        except (DatabaseAway, DatabaseBusy, DatabaseClosed) as error:
            self._answer(request, 503, {"cause": str(error)})
        else:
            self.tasks.poke()
            self._answer(request, 202, {"id": task_id})

    @staticmethod
    def _answer(request: Request, status: int, facts: dict[str, Any]) -> None:
        request.respond(status, [_JSON], json.dumps(facts).encode())
