# -*- test-case-name: tests.image.test_imports -*-
"""
Imports in the control database: an image's change of state and the task that follows are one transaction.

What has become of an import is told by its task, for as long as tasks are kept (``docs/tasks.md``).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from attrs import frozen
from sqlalchemy import Connection, and_, exists, select, update

from cloudd.database import tables
from cloudd.tasks import Fields, Form, submit

from ._facts import ACTIVE, GLANCE_DIRECT, IMPORTING, QUEUED, UPLOADING, Image
from ._quota import Quota, enforce_room
from ._rows import enter_if, waiting

IMPORT: Final = Form(name="images.import")
"""``{"image", "data", "method", "uri", "user_id"}``"""

MAX_LISTED = 100

_images, _tasks = tables.image, tables.task
_c = _images.c


@frozen(kw_only=True)
class ImportTask:
    """An import as its task tells it; ``state`` is one of tasks, ``cause`` why it has failed or is tried again."""

    id: str
    image_id: str
    project_id: str | None
    request_id: str
    state: str
    cause: str
    payload: Mapping[str, Any]
    created_us: int
    updated_us: int


def begin_import(connection: Connection, image: Image, payload: Fields, **facts: Any) -> Image:
    """
    Let the import of an image begin.

    :param payload: of the task
    :param facts: of the task, as for ``submit``
    :raises NoSuchImage: it was deleted meanwhile
    :raises ImageConflict: it is not in the state that the method needs
    """
    if payload["method"] == GLANCE_DIRECT:
        fits = and_(_c.status == UPLOADING, _c.saving_until_us.is_(None), _c.data_id == payload["data"])
    else:
        fits = _c.status == QUEUED
    task_id = submit(connection, IMPORT, payload, resource=image.id, project_id=image.project_id, **facts)
    begun = {"data_id": payload["data"], "saving_until_us": None, "import_task_id": task_id}
    return enter_if(connection, image.id, IMPORTING, fits, begun)


def end_import(connection: Connection, image_id: str, data_id: str, facts: Mapping[str, Any], quota: Quota) -> Image:
    """
    The data is there and good: the image is active.

    :param facts: columns and what they hold from now on
    :raises NoSuchImage: it was deleted meanwhile
    :raises ImageConflict: it waits for other data by now
    """
    mine = and_(_c.status == IMPORTING, _c.data_id == data_id)
    enforce_room(connection, image_id, facts["size"], quota)
    return enter_if(connection, image_id, ACTIVE, mine, {**facts, "import_task_id": None})


def give_up_import(connection: Connection, image_id: str, data_id: str) -> None:
    """No data comes: it can be tried again."""
    mine = update(_images).where(_c.id == image_id, _c.status == IMPORTING, _c.data_id == data_id)
    connection.execute(mine.values(**waiting()))


def give_up_ended(connection: Connection) -> int:
    """The same for all whose task has ended without its undo, as those of a node that was removed; gives how many."""
    goes_on = exists().where(_tasks.c.id == _c.import_task_id, _tasks.c.state.in_(("queued", "running")))
    ended = update(_images).where(_c.status == IMPORTING, ~goes_on)
    return connection.execute(ended.values(**waiting())).rowcount


def imports_of(connection: Connection, image_id: str) -> list[ImportTask]:
    """The imports of an image, the latest first."""
    columns = _tasks.c
    found = select(_tasks).where(columns.kind == IMPORT.name, columns.resource == image_id)
    rows = connection.execute(found.order_by(columns.created_us.desc(), columns.id).limit(MAX_LISTED))
    return [
        ImportTask(
            id=row.id,
            image_id=image_id,
            project_id=row.project_id,
            request_id=row.request_id,
            state=row.state,
            cause=row.cause or "",
            payload=json.loads(row.payload),
            created_us=row.created_us,
            updated_us=row.updated_us,
        )
        for row in rows
    ]
