# -*- test-case-name: tests.protocols.rest.compute.test_server_changes -*-
"""New images in transactions of whoever makes them of servers."""

from __future__ import annotations

from sqlalchemy import Connection

from cloudd.identity import Access

from . import _policy, _rows
from ._facts import Image
from ._patch import checked
from ._quota import Quota


def queue_image(connection: Connection, access: Access, image: Image, quota: Quota) -> Image:
    """
    A new image without data, of the project that asks.

    :raises ImageForbidden: who asks may only read
    :raises BadImageValue: it has too many properties
    :raises OverQuota: the project has as many as it may
    """
    _policy.enforce_write(access)
    return _rows.create(connection, checked(image), quota)
