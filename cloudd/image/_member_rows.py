# -*- test-case-name: tests.protocols.rest.image.test_members -*-
"""
With which projects images are shared: functions for ``Transactions.read`` and ``write`` with a
``sqlalchemy.Connection``.
"""

from __future__ import annotations

from sqlalchemy import Connection, delete, insert, select, update

from cloudd.database import now_us, tables

from ._errors import ImageConflict
from ._facts import MAX_MEMBERS, Member

_members = tables.image_member


def add_member(connection: Connection, image_id: str, project_id: str) -> Member:
    """
    :raises ImageConflict: it is shared with that project already, or with too many
    """
    members = members_of(connection, image_id)
    if any(each.project_id == project_id for each in members):
        raise ImageConflict(f"The member {project_id} is already associated with image {image_id}.")
    if len(members) >= MAX_MEMBERS:
        raise ImageConflict(f"Image {image_id} is shared with {MAX_MEMBERS} projects, which is the most.")
    connection.execute(
        insert(_members).values(
            image_id=image_id, project_id=project_id, status="pending", created_us=now_us(), updated_us=now_us()
        )
    )
    return next(each for each in members_of(connection, image_id) if each.project_id == project_id)


def members_of(connection: Connection, image_id: str) -> list[Member]:
    """Of one image, by project."""
    found = select(_members).where(_members.c.image_id == image_id).order_by(_members.c.project_id)
    return [Member(**row._mapping) for row in connection.execute(found)]


def set_member(connection: Connection, image_id: str, project_id: str, status: str) -> bool:
    """Whether there is such a member."""
    asked = update(_members).where(_members.c.image_id == image_id, _members.c.project_id == project_id)
    return connection.execute(asked.values(status=status, updated_us=now_us())).rowcount == 1


def remove_member(connection: Connection, image_id: str, project_id: str) -> bool:
    """Whether there was such a member."""
    asked = delete(_members).where(_members.c.image_id == image_id, _members.c.project_id == project_id)
    return connection.execute(asked).rowcount == 1
