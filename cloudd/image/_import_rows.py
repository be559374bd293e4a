# -*- test-case-name: tests.image.test_imports -*-
"""
Imports in the control database: an image's change of state and the task that follows are one transaction.

What has become of an import is told by its task, for as long as tasks are kept (``docs/tasks.md``).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from attrs import field, frozen
from sqlalchemy import Connection, and_, exists, func, or_, select, update

from cloudd.database import tables
from cloudd.tasks import Fields, Form, submit

from ._errors import ImageConflict
from ._facts import ACTIVE, GLANCE_DIRECT, IMPORTING, QUEUED, UPLOADING, Image
from ._quota import Quota, enforce_room
from ._rows import enter_if, get, waiting

IMPORT: Final = Form(name="images.import")
"""``{"image", "data", "method", "uri", "user_id"}``"""

MAX_LISTED = 100
OPEN = ("queued", "running")

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
    payload: Mapping[str, Any] = field(repr=False)  # its URL may have a signature in it
    created_us: int
    updated_us: int


def begin_import(connection: Connection, image: Image, payload: Fields, most: int, **facts: Any) -> Image:
    """
    Let the import of an image begin.

    :param payload: of the task
    :param most: imports of a project that are not done
    :param facts: of the task, as for ``submit``
    :raises NoSuchImage: it was deleted meanwhile
    :raises ImageConflict: it is not in the state that the method needs, or there are too many
    """
    goes_on = (_tasks.c.project_id == image.project_id, _tasks.c.kind == IMPORT.name, _tasks.c.state.in_(OPEN))
    if (count := connection.execute(select(func.count()).where(*goes_on)).scalar_one()) >= most:
        raise ImageConflict(f"{count} imports of the project are not done yet: begin another when one of them is.")
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
    return enter_if(connection, image_id, ACTIVE, mine, {**facts, "import_task_id": None, "staged_bytes": None})


def begin_attempt(connection: Connection, image_id: str, task_id: str, data_id: str) -> Image:
    """
    The image waits for this import, or again where it had failed and an operator has it tried again.

    :param data_id: under which its data will be, a new one: who was stopped in an attempt before writes to another
    :raises NoSuchImage: it was deleted meanwhile
    :raises ImageConflict: it waits for other data by now
    """
    mine = or_(and_(_c.status == IMPORTING, _c.import_task_id == task_id), _c.status == QUEUED)
    return enter_if(connection, image_id, IMPORTING, mine, {"data_id": data_id, "import_task_id": task_id})


def awaited(connection: Connection, image_id: str, task_id: str) -> Image:
    """
    The image, which waits for this import.

    :raises NoSuchImage: it was deleted meanwhile
    :raises ImageConflict: it waits for other data by now
    """
    image, _ = get(connection, image_id, None)
    if image.status != IMPORTING or image.import_task_id != task_id:
        raise ImageConflict(f"Image {image_id} does not wait for this import any more.")
    return image


def give_up_import(connection: Connection, image_id: str, data_id: str) -> None:
    """No data comes: it can be tried again."""
    mine = update(_images).where(_c.id == image_id, _c.status == IMPORTING, _c.data_id == data_id)
    connection.execute(mine.values(**waiting()))


def give_up_ended(connection: Connection) -> int:
    """The same for all whose task has ended without its undo, as those of a node that was removed; gives how many."""
    goes_on = exists().where(_tasks.c.id == _c.import_task_id, _tasks.c.state.in_(OPEN))
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
