# -*- test-case-name: tests.image.test_quota -*-
"""
How many images and bytes of data a project may have; tested in the transactions that write.

Bytes are counted when all data of an image has come, also where it waits for its import: no earlier moment knows how
many there are.  A download is bounded by what is left when it begins (``room_of``).
"""

from __future__ import annotations

from attrs import frozen
from sqlalchemy import Connection, func, select

from cloudd.database import tables

from ._errors import OverQuota

_c = tables.image.c


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
    counted = select(func.count(), func.coalesce(func.sum(func.coalesce(_c.size, _c.staged_bytes, 0)), 0)).where(
        _c.project_id == project_id
    )
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
    left = room_of(connection, image_id, quota)
    if left is not None and size > left:
        raise OverQuota(
            f"The project is over a limit of {quota.bytes} bytes of images: it has {quota.bytes - left}, "
            f"and {size} more are too many."
        )


def room_of(connection: Connection, image_id: str, quota: Quota) -> int | None:
    """How many bytes an image may have, besides what its project's other images have; None: there is no limit."""
    row = connection.execute(select(_c.project_id, _c.staged_bytes).where(_c.id == image_id)).first()
    if quota.bytes < 0 or row is None:
        return None
    return max(0, quota.bytes - usage_of(connection, row.project_id).bytes + (row.staged_bytes or 0))
