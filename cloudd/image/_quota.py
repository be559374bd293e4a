# -*- test-case-name: tests.image.test_quota -*-
"""
How many images and bytes of data a project may have; tested in the transactions that write.

Bytes are counted when all data of an image has come, staged or for good, since no earlier moment knows how many there
are.  What comes is cut off where it is longer than the room that was left when it began (``room_for``).
"""

from __future__ import annotations

from attrs import frozen
from sqlalchemy import Connection, func, select

from cloudd.database import tables

from ._errors import OverQuota

_c = tables.image.c
_BYTES = func.coalesce(_c.size, _c.staged_size, 0)


@frozen
class Quota:
    """Of every project; -1: there is no limit."""

    images: int = -1
    bytes: int = -1


UNLIMITED = Quota()


@frozen
class Usage:
    """What a project has."""

    images: int
    bytes: int


def usage_of(connection: Connection, project_id: str) -> Usage:
    """What a project has now."""
    counted = select(func.count(), func.coalesce(func.sum(_BYTES), 0)).where(_c.project_id == project_id)
    images, size = connection.execute(counted).one()
    return Usage(images, int(size))


def enforce_one_more(connection: Connection, project_id: str, quota: Quota) -> None:
    """
    Call before an image is added.

    :raises OverQuota:
    """
    if quota.images >= 0 and (used := usage_of(connection, project_id).images) >= quota.images:
        raise OverQuota(f"Project {project_id} is over a limit of {quota.images} images: it has {used}.")


def enforce_room(connection: Connection, image_id: str, size: int, quota: Quota) -> None:
    """
    Call before an image gets its data.

    :param size: of the data, in bytes
    :raises OverQuota:
    """
    room = room_for(connection, image_id, quota)
    if room is not None and size > room:
        used = quota.bytes - room
        raise OverQuota(
            f"The project is over a limit of {quota.bytes} bytes of images: its others have {used}, and {size} more "
            "are too many."
        )


def room_for(connection: Connection, image_id: str, quota: Quota) -> int | None:
    """
    How many bytes an image's data may have, whatever it has now.

    :return: 0 or less: none; None: there is no limit, or no such image
    """
    project_id = connection.execute(select(_c.project_id).where(_c.id == image_id)).scalar()
    if quota.bytes < 0 or project_id is None:
        return None
    others = select(func.coalesce(func.sum(_BYTES), 0)).where(_c.project_id == project_id, _c.id != image_id)
    return quota.bytes - int(connection.execute(others).scalar_one())
