# -*- test-case-name: tests.image.test_service -*-
"""
The records of images: functions for ``Transactions.read`` and ``write`` with a ``sqlalchemy.Connection``.

A change of an image's state is one UPDATE that names the states it may have, so of two that come at once one finds
that it is too late.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    and_,
    case,
    delete,
    exists,
    func,
    insert,
    literal,
    or_,
    select,
    update,
)

from cloudd.database import now_us, tables
from cloudd.tasks import call_off

from ._errors import ImageConflict, ImageForbidden, NoSuchImage
from ._facts import ACTIVE, COMMUNITY, PUBLIC, QUEUED, SAVING, SHARED, UPLOADING, Image
from ._query import Condition, ImageQuery, Order
from ._quota import UNLIMITED, Quota, enforce_one_more, enforce_room

_images, _properties, _tags, _members = tables.image, tables.image_property, tables.image_tag, tables.image_member
_c = _images.c
_ID_CHUNK = 500

Facts = Mapping[str, Any]

_COLUMNS = tuple(column.name for column in _images.columns)
_PATCHED = (
    "name", "project_id", "visibility", "disk_format", "container_format", "min_disk", "min_ram", "protected", "hidden",
)  # fmt: skip
_COMING = (SAVING, UPLOADING)
_TEXTS = frozenset({"name", "status", "project_id", "container_format", "disk_format", "checksum", "hash_value", "id"})
_COMPARE: dict[str, Callable[[Any, Any], Any]] = {
    "eq": operator.eq,
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
}


# ---- one image


def create(connection: Connection, image: Image, quota: Quota = UNLIMITED) -> Image:
    """
    :raises OverQuota: its project has as many as it may
    :return: with the time of its creation
    :raises ImageConflict: there is one with that id
    """
    if connection.execute(select(_c.id).where(_c.id == image.id)).first() is not None:
        raise ImageConflict(f"Image ID {image.id} already exists!")
    enforce_one_more(connection, image.project_id, quota)
    connection.execute(insert(_images).values({**_values(image), "created_us": now_us(), "updated_us": now_us()}))
    _write_properties(connection, image)
    _write_tags(connection, image)
    return _again(connection, image.id)


def get(connection: Connection, image_id: str, project_id: str | None) -> tuple[Image, bool]:
    """
    The image, and whether it is shared with that project.

    :raises NoSuchImage:
    """
    row = connection.execute(select(_images).where(_c.id == image_id)).first()
    if row is None:
        raise NoSuchImage(image_id)
    (image,) = _complete(connection, [row])
    member = select(_members.c.image_id).where(
        _members.c.image_id == image_id, _members.c.project_id == (project_id or "")
    )
    return image, connection.execute(member).first() is not None


def change(connection: Connection, before: Image, after: Image) -> Image:
    """
    Write what a patch has made of an image.

    :return: with the time of the change
    :raises ImageConflict: it was changed meanwhile
    """
    written = {name: getattr(after, name) for name in _PATCHED}
    same = update(_images).where(_c.id == before.id, _c.updated_us == before.updated_us, _c.status == before.status)
    found = connection.execute(same.values(**written, updated_us=later()))
    if found.rowcount != 1:
        raise ImageConflict(f"Image {before.id} was changed by somebody else at the same moment: try again.")
    if after.properties != before.properties:
        connection.execute(delete(_properties).where(_properties.c.image_id == before.id))
        _write_properties(connection, after)
    if after.tags != before.tags:
        connection.execute(delete(_tags).where(_tags.c.image_id == before.id))
        _write_tags(connection, after)
    return _again(connection, before.id)


def enter(connection: Connection, image_id: str, status: str, present: Collection[str]) -> Image:
    """
    Another state.

    :param present: those that it may have until now
    :raises NoSuchImage:
    :raises ImageConflict: it has another one
    """
    return enter_if(connection, image_id, status, _c.status.in_(sorted(present)), {})


def begin_upload(connection: Connection, image_id: str, data_id: str, lasts_us: int, status: str = SAVING) -> Image:
    """
    Data comes from now on, under that id; whoever brings it says so again and again (``go_on_saving``).

    :param status: ``UPLOADING``: the data is staged for an import
    :param lasts_us: so long it is believed that it goes on
    :raises NoSuchImage:
    :raises ImageConflict: it has data, or somebody else brings some
    """
    silent = and_(_c.status.in_(_COMING), _c.saving_until_us < now_us())
    free = or_(_c.status == QUEUED, silent)
    return enter_if(connection, image_id, status, free, {"data_id": data_id, "saving_until_us": now_us() + lasts_us})


def go_on_saving(connection: Connection, image_id: str, data_id: str, lasts_us: int) -> bool:
    """Whether this upload is still the one that the image waits for."""
    mine = update(_images).where(_c.id == image_id, _its(data_id))
    return connection.execute(mine.values(saving_until_us=now_us() + lasts_us)).rowcount == 1


def end_upload(connection: Connection, image_id: str, data_id: str, facts: Facts, quota: Quota = UNLIMITED) -> Image:
    """
    All data has come.

    :param facts: columns and what they hold from now on
    :raises NoSuchImage: it was deleted meanwhile
    :raises ImageConflict: another upload has taken its place
    """
    enforce_room(connection, image_id, facts["size"], quota)
    return enter_if(connection, image_id, ACTIVE, _its(data_id), {**facts, "saving_until_us": None})


def end_stage(
    connection: Connection,
    image_id: str,
    data_id: str,
    size: int,
    node_id: str | None = None,
    quota: Quota = UNLIMITED,
) -> Image:
    """
    All data has come, and waits for an import.

    :param size: of the data, in bytes
    :param node_id: the node that has it
    :raises OverQuota:
    :raises NoSuchImage: it was deleted meanwhile
    :raises ImageConflict: another upload has taken its place
    """
    enforce_room(connection, image_id, size, quota)
    staged = {"saving_until_us": None, "staged_size": size, "staged_on": node_id, "staged_us": now_us()}
    return enter_if(connection, image_id, UPLOADING, _its(data_id), staged)


def give_up_upload(connection: Connection, image_id: str, data_id: str) -> None:
    """No data comes: it can be tried again."""
    connection.execute(update(_images).where(_c.id == image_id, _its(data_id)).values(**waiting()))


def give_up_silent(connection: Connection) -> int:
    """The same for all uploads whose process has died; gives how many."""
    silent = update(_images).where(_c.status.in_(_COMING), _c.saving_until_us < now_us())
    return connection.execute(silent.values(**waiting())).rowcount


def give_up_staged(connection: Connection, keep_s: float) -> int:
    """The same for all whose staged data has waited longer than that for an import; gives how many."""
    old = func.coalesce(_c.staged_us, _c.updated_us) < now_us() - int(keep_s * 1e6)
    forgotten = update(_images).where(_c.status == UPLOADING, _c.saving_until_us.is_(None), old)
    return connection.execute(forgotten.values(**waiting())).rowcount


def known_data(connection: Connection, data_ids: Collection[str]) -> set[str]:
    """Which of these an image has, or waits for."""
    return set(connection.execute(select(_c.data_id).where(_c.data_id.in_(data_ids))).scalars())


def _its(data_id: str) -> ColumnElement[bool]:
    return and_(_c.status.in_(_COMING), _c.data_id == data_id, _c.saving_until_us.is_not(None))


def waiting() -> dict[str, Any]:
    """Columns of an image that waits for data."""
    return {
        "status": QUEUED,
        "data_id": None,
        "saving_until_us": None,
        "import_task_id": None,
        **NOTHING_STAGED,
        "updated_us": later(),
    }


NOTHING_STAGED: Facts = {"staged_size": None, "staged_on": None, "staged_us": None}


def enter_if(connection: Connection, image_id: str, status: str, condition: ColumnElement[bool], facts: Facts) -> Image:
    """
    Another state, and columns with it, where a condition on the row holds.

    :raises NoSuchImage:
    :raises ImageConflict: it does not hold
    """
    entered = update(_images).where(_c.id == image_id, condition)
    if connection.execute(entered.values(**facts, status=status, updated_us=later())).rowcount == 1:
        return _again(connection, image_id)
    found = connection.execute(select(_c.status).where(_c.id == image_id)).scalar()
    if found is None:
        raise NoSuchImage(image_id)
    raise ImageConflict(f"Image status transition from {found} to {status} is not allowed")


def remove(connection: Connection, image_id: str) -> None:
    """
    With all that belongs to it; the import that goes on ends.

    :raises NoSuchImage:
    :raises ImageForbidden: it is protected
    """
    task_id = connection.execute(select(_c.import_task_id).where(_c.id == image_id)).scalar()
    if connection.execute(delete(_images).where(_c.id == image_id, _c.protected.is_(False))).rowcount != 1:
        if connection.execute(select(_c.id).where(_c.id == image_id)).first() is None:
            raise NoSuchImage(image_id)
        raise ImageForbidden(f"Image {image_id} is protected and cannot be deleted.")
    if task_id is not None:
        call_off(connection, task_id, "the image was deleted")


def _again(connection: Connection, image_id: str) -> Image:
    return get(connection, image_id, None)[0]


def later() -> ColumnElement[int]:
    """Never the same twice: it is by this that a change finds out about another."""
    return case((now_us() > _c.updated_us, now_us()), else_=_c.updated_us + 1)


def _values(image: Image) -> dict[str, Any]:
    return {name: getattr(image, name) for name in _COLUMNS}


def _write_properties(connection: Connection, image: Image) -> None:
    rows = [{"image_id": image.id, "name": name, "value": value} for name, value in image.properties.items()]
    if rows:
        connection.execute(insert(_properties), rows)


def _write_tags(connection: Connection, image: Image) -> None:
    rows = [{"image_id": image.id, "tag": tag} for tag in image.tags]
    if rows:
        connection.execute(insert(_tags), rows)


def _complete(connection: Connection, rows: Sequence[Any]) -> list[Image]:
    """With properties and tags; in the order of the rows."""
    ids = [row.id for row in rows]
    properties: dict[str, dict[str, str]] = {each: {} for each in ids}
    tags: dict[str, list[str]] = {each: [] for each in ids}
    for start in range(0, len(ids), _ID_CHUNK):
        some = ids[start : start + _ID_CHUNK]
        of_these = select(_properties).where(_properties.c.image_id.in_(some)).order_by(_properties.c.name)
        for row in connection.execute(of_these):
            properties[row.image_id][row.name] = row.value
        for row in connection.execute(select(_tags).where(_tags.c.image_id.in_(some)).order_by(_tags.c.tag)):
            tags[row.image_id].append(row.tag)
    return [Image(**row._mapping, properties=properties[row.id], tags=tuple(tags[row.id])) for row in rows]


def by_id(connection: Connection, image_id: str) -> Image | None:
    """The image of that id, whoever asks; None: there is none any more."""
    rows = connection.execute(select(_images).where(_c.id == image_id)).all()
    return next(iter(_complete(connection, rows)), None)


def named(connection: Connection, text: str) -> Image | None:
    """For operators: the image of that id, else the one of that name; None: there is none, or several have the name."""
    rows = connection.execute(select(_images).where(_c.name == text).limit(2)).all()
    return by_id(connection, text) or (_complete(connection, rows)[0] if len(rows) == 1 else None)


# ---- lists


def listed(connection: Connection, query: ImageQuery, project_id: str | None, *, admin: bool) -> list[Image]:
    """
    One page.

    :param project_id: of who asks
    :param admin: whether who asks may see all
    :raises NoSuchImage: the marker is none
    """
    found = select(_images).where(_seen(query, project_id, admin=admin), _c.hidden == query.hidden)
    found = found.where(*(_holds(condition) for condition in query.conditions))
    for tag in query.tags:
        found = found.where(exists().where(_tags.c.image_id == _c.id, _tags.c.tag == tag))
    order = (*query.order, Order("created_us"), Order("id")) if query.order else (Order("created_us"), Order("id"))
    if query.marker:
        found = found.where(_behind(connection, query.marker, order))
    found = found.order_by(*(_sorted(each) for each in order)).limit(query.limit)
    return _complete(connection, connection.execute(found).all())


def _seen(query: ImageQuery, project_id: str | None, *, admin: bool) -> ColumnElement[bool]:
    own = _c.project_id == (project_id or "")
    shared = and_(_c.visibility == SHARED, exists().where(*_membership(query, project_id)))
    if query.visibility == "all":
        return literal(True) if admin else or_(own, _c.visibility.in_((PUBLIC, COMMUNITY)), shared)
    if query.visibility == SHARED:
        return and_(_c.visibility == SHARED, literal(True) if admin else or_(own, shared))
    if query.visibility:
        asked = _c.visibility == query.visibility
        return asked if admin or query.visibility in (PUBLIC, COMMUNITY) else and_(asked, own)
    if admin:
        return or_(own, _c.visibility != COMMUNITY)
    return or_(own, _c.visibility == PUBLIC, shared)


def _membership(query: ImageQuery, project_id: str | None) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = [_members.c.image_id == _c.id, _members.c.project_id == (project_id or "")]
    if query.member_status != "all":
        found.append(_members.c.status == query.member_status)
    return found


def _holds(condition: Condition) -> ColumnElement[bool]:
    if condition.is_property:
        (value,) = condition.values
        return exists().where(
            _properties.c.image_id == _c.id, _properties.c.name == condition.attribute, _properties.c.value == value
        )
    column, value = _c[condition.attribute], condition.values[0]
    if condition.comparison == "in":
        return column.in_(condition.values)
    if condition.comparison == "neq":
        return or_(column != value, column.is_(None))
    holds: ColumnElement[bool] = _COMPARE[condition.comparison](column, value)
    return holds


def _sort_key(attribute: str) -> ColumnElement[Any]:
    """What has none comes first, on every database."""
    column = _c[attribute]
    if not column.nullable:
        return column
    return func.coalesce(column, "" if attribute in _TEXTS else -1)


def _sorted(order: Order) -> ColumnElement[Any]:
    key = _sort_key(order.attribute)
    return key.desc() if order.descending else key.asc()


def _behind(connection: Connection, marker: str, order: Sequence[Order]) -> ColumnElement[bool]:
    """What comes after the marker in that order: equal in the first keys, and behind it in the next."""
    keys = [_sort_key(each.attribute) for each in order]
    row = connection.execute(_one(keys, marker)).first()
    if row is None:
        raise NoSuchImage(marker)
    behind: list[ColumnElement[bool]] = []
    for place, each in enumerate(order):
        equal = [key == value for key, value in zip(keys[:place], row, strict=False)]
        key, value = keys[place], row[place]
        behind.append(and_(*equal, key < value if each.descending else key > value))
    return or_(*behind)


def _one(keys: Iterable[ColumnElement[Any]], image_id: str) -> Select[Any]:
    return select(*keys).where(_c.id == image_id)
