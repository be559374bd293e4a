# -*- test-case-name: tests.tasks.test_waiting -*-
"""The end of a task, for a request that has to answer with what came of it."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import Connection, select
from twisted.internet.task import deferLater

from cloudd.database import tables

from ._errors import NoSuchTask, TaskFailed
from ._kind import Fields

_c = tables.task.c

FIRST_S, LONGEST_S = 0.05, 1.0


async def wait_for_end(reactor: Any, database: Any, task_id: str) -> Fields:
    """
    Look again and again until it has ended: it may run in any process of any node.

    :param database: ``cloudd.interfaces.application.Transactions``
    :return: its result
    :raises TaskFailed: it has failed
    :raises NoSuchTask:
    """
    pause_s = FIRST_S
    while True:
        ended: Fields | None = await database.read(_ended, task_id)
        if ended is not None:
            return ended
        await deferLater(reactor, pause_s, lambda: None)
        pause_s = min(pause_s * 1.5, LONGEST_S)


def _ended(connection: Connection, task_id: str) -> Fields | None:
    row = connection.execute(select(_c.state, _c.result, _c.cause).where(_c.id == task_id)).one_or_none()
    if row is None:
        raise NoSuchTask(f"there is no task {task_id}")
    if row.state == "failed":
        raise TaskFailed(row.cause)
    if row.state != "done":
        return None
    result: Fields = json.loads(row.result) if row.result else {}
    return result
