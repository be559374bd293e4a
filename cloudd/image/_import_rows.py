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
from sqlalchemy import Connection, Row, and_, exists, func, or_, select, update

from cloudd.database import tables
from cloudd.tasks import LATE, Fields, Form, TaskFailed, submit

from ._errors import BadImageValue, ImageConflict, NoSuchImport
from ._facts import ACTIVE, GLANCE_DIRECT, IMPORTING, QUEUED, UPLOADING, Image
from ._pages import behind
from ._quota import Quota, enforce_room
from ._rows import NOTHING_STAGED, enter_if, later, waiting

IMPORT: Final = Form(name="images.import")
"""
``{"image", "data", "method", "uri", "user_id"}``; ``data`` of ``web-download`` is what the image waits for until the
first attempt begins, which has an id of its own as each has.
"""

MAX_LISTED = 100
OPEN = ("queued", "running")

_images, _tasks = tables.image, tables.task
_c = _images.c


@frozen(kw_only=True)
class ImportTask:
    """
    An import as its task tells it.

    :ivar state: one of tasks
    :ivar cause: why it has failed or is tried again, as its project may read it
    """

    id: str
    image_id: str
    project_id: str | None
    request_id: str
    state: str
    cause: str
    payload: Mapping[str, Any] = field(repr=False)  # a URL may hold a secret
    created_us: int
    updated_us: int


def begin_import(
    connection: Connection, image: Image, payload: Fields, most_open: int | None = None, **facts: Any
) -> Image:
    """
    Let the import of an image begin.

    :param payload: of the task
    :param most_open: imports of the project at one time
    :param facts: of the task, as for ``submit``
    :raises NoSuchImage: it was deleted meanwhile
    :raises ImageConflict: it is not in the state that the method needs, or too many imports of its project are open
    """
    if most_open is not None:
        _enforce_open(connection, image.project_id, most_open)
    if payload["method"] == GLANCE_DIRECT:
        fits = and_(_c.status == UPLOADING, _c.saving_until_us.is_(None), _c.data_id == payload["data"])
    else:
        fits = _c.status == QUEUED
    task_id = submit(connection, IMPORT, payload, resource=image.id, project_id=image.project_id, **facts)
    begun = {"data_id": payload["data"], "saving_until_us": None, "import_task_id": task_id}
    return enter_if(connection, image.id, IMPORTING, fits, begun)


def _enforce_open(connection: Connection, project_id: str, most: int) -> None:
    columns = _tasks.c
    of_project = and_(columns.kind == IMPORT.name, columns.project_id == project_id, columns.state.in_(OPEN))
    count = connection.execute(select(func.count()).select_from(_tasks).where(of_project)).scalar_one()
    if count >= most:
        raise ImageConflict(
            f"Project {project_id} has {count} imports that run or wait, and may have {most} at one time: try again "
            "when one has ended."
        )


def begin_attempt(connection: Connection, image_id: str, task_id: str, present: str, data_id: str) -> None:
    """
    An attempt at a download brings its data under an id of its own.

    So what an attempt that was stopped for long puts into the store, when it wakes, is nobody's.

    :param present: the data id of the attempt before
    :raises TaskFailed: the image waits for nothing, or for other data, by now
    """
    mine = and_(_c.status == IMPORTING, _c.data_id == present)
    free = and_(_c.status == QUEUED, _c.data_id.is_(None))  # an operator has a task tried again that was undone
    values = {"status": IMPORTING, "data_id": data_id, "import_task_id": task_id, "updated_us": later()}
    begun = update(_images).where(_c.id == image_id, or_(mine, free)).values(**values)
    if connection.execute(begun).rowcount != 1:
        raise TaskFailed(f"image {image_id} does not wait for this import: it was deleted, or has other data by now")


def still_wanted(connection: Connection, image_id: str, data_id: str) -> None:
    """
    :raises TaskFailed: the image waits for nothing, or for other data, by now
    """
    mine = select(_c.id).where(_c.id == image_id, _c.status == IMPORTING, _c.data_id == data_id)
    if connection.execute(mine).first() is None:
        raise TaskFailed(f"image {image_id} does not wait for this import any more")


def end_import(connection: Connection, image_id: str, data_id: str, facts: Mapping[str, Any], quota: Quota) -> Image:
    """
    The data is there and good: the image is active.

    :param facts: columns and what they hold from now on
    :raises NoSuchImage: it was deleted meanwhile
    :raises ImageConflict: it waits for other data by now
    """
    mine = and_(_c.status == IMPORTING, _c.data_id == data_id)
    enforce_room(connection, image_id, facts["size"], quota)
    return enter_if(connection, image_id, ACTIVE, mine, {**facts, **NOTHING_STAGED, "import_task_id": None})


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
    return [_read(row) for row in rows]


@frozen(kw_only=True)
class ImportListing:
    """
    Which imports, in which order.

    :ivar state: one of tasks; empty: any
    :ivar sort_key: a column, ``created_us`` or ``updated_us``
    :ivar marker: id of the one before the page; empty: it is the first
    """

    state: str = ""
    sort_key: str = "created_us"
    descending: bool = True
    marker: str = ""
    limit: int = 25


def listed_imports(connection: Connection, listing: ImportListing) -> list[ImportTask]:
    """
    One page of all.

    :raises BadImageValue: the marker is none
    """
    columns = _tasks.c
    order = (columns[listing.sort_key], columns.id)
    found = select(_tasks).where(columns.kind == IMPORT.name)
    if listing.state:
        found = found.where(columns.state == listing.state)
    if listing.marker:
        at = connection.execute(select(*order).where(columns.kind == IMPORT.name, columns.id == listing.marker)).first()
        if at is None:
            raise BadImageValue(f"marker: there is no task {listing.marker[:64]}.")
        found = found.where(behind(order, at, descending=listing.descending))
    found = found.order_by(*(each.desc() if listing.descending else each.asc() for each in order))
    return [_read(row) for row in connection.execute(found.limit(listing.limit))]


def one_import(connection: Connection, task_id: str) -> ImportTask:
    """
    :raises NoSuchImport:
    """
    found = select(_tasks).where(_tasks.c.kind == IMPORT.name, _tasks.c.id == task_id)
    row = connection.execute(found).first()
    if row is None:
        raise NoSuchImport(f"Could not find task {task_id[:64]}.")
    return _read(row)


def _read(row: Row[Any]) -> ImportTask:
    return ImportTask(
        id=row.id,
        image_id=row.resource,
        project_id=row.project_id,
        request_id=row.request_id,
        state=row.state,
        cause=_told(row),
        payload=json.loads(row.payload),
        created_us=row.created_us,
        updated_us=row.updated_us,
    )


def _told(row: Row[Any]) -> str:
    """
    What a project may read of a cause: sentences that steps have left for it (``state["told"]``).

    All else may tell of the inside of the cloud: operators find it with the task and in the log.
    """
    told = json.loads(row.step_state or "{}").get("told", "")
    if not row.cause or row.cause == LATE:
        return str(row.cause or "")
    if told and told in row.cause:
        return str(told)
    return f"It failed; the log has it as {row.request_id or row.id}."
