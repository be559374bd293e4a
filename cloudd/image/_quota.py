# -*- test-case-name: tests.image.test_quota -*-
"""
How many images and bytes of data a project may have; tested in the transactions that write.

Bytes are counted when all data of an image has come, since no earlier moment knows how many there are.
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
    counted = select(func.count(), func.coalesce(func.sum(_c.size), 0)).where(_c.project_id == project_id)
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
    project_id = connection.execute(select(_c.project_id).where(_c.id == image_id)).scalar()
    if quota.bytes < 0 or project_id is None:
        return
    used = usage_of(connection, project_id).bytes
    if used + size > quota.bytes:
        raise OverQuota(
            f"Project {project_id} is over a limit of {quota.bytes} bytes of images: it has {used}, and {size} more "
            "are too many."
        )
