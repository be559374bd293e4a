# -*- test-case-name: tests.protocols.rest.compute.test_server_changes -*-
"""Images of servers, in transactions of whoever makes them."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection, select

from cloudd.database import tables
from cloudd.identity import Access

from . import _policy, _rows
from ._errors import NoSuchImage
from ._facts import ACTIVE, Image
from ._patch import checked
from ._quota import Quota

#: Value of the property ``image_type`` of snapshots that take turns; those of one server and kind take turns together.
BACKUP: Final = "backup"
_SAME: Final = ("image_type", "instance_uuid", "backup_type")


def queue_image(connection: Connection, access: Access, image: Image, quota: Quota) -> Image:
    """
    A new image without data, of the project that asks.

    :raises ImageForbidden: who asks may only read
    :raises BadImageValue: it has too many properties
    :raises OverQuota: the project has as many as it may
    """
    _policy.enforce_write(access)
    return _rows.create(connection, checked(image), quota)


def backups_beyond(connection: Connection, image_id: str, rotation: int) -> list[str]:
    """
    Ids of the oldest backups that are too many, of the same server and kind as that one, in its project.

    :param image_id: of a backup; of one that is gone there are none
    :param rotation: how many are kept; those that have no data yet do not count
    """
    try:
        image, _ = _rows.get(connection, image_id, None)
    except NoSuchImage:
        return []
    images, properties = tables.image.c, tables.image_property
    query = select(images.id).where(images.project_id == image.project_id, images.status == ACTIVE)
    for name in _SAME:
        own = properties.alias(name)
        same = (own.c.image_id == images.id, own.c.name == name, own.c.value == image.properties.get(name, ""))
        query = query.where(select(own.c.image_id).where(*same).exists())
    newest_first = query.order_by(images.created_us.desc(), images.id.desc())
    return list(connection.execute(newest_first.offset(rotation)).scalars())
