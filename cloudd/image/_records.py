# -*- test-case-name: tests.image.test_service -*-
"""One image for who asks, in a transaction: for services that use images."""

from __future__ import annotations

from sqlalchemy import Connection

from cloudd.identity import Access

from . import _policy, _rows
from ._errors import NoSuchImage
from ._facts import Image


def image_record(connection: Connection, access: Access, image_id: str) -> Image:
    """
    :raises NoSuchImage: also where who asks may not know of it
    """
    _policy.enforce_read(access)
    image, is_member = _rows.get(connection, image_id, access.project_id)
    if not _policy.sees(access, image, is_member):
        raise NoSuchImage(image_id)
    return image
