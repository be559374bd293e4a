# -*- test-case-name: tests.protocols.rest.image.test_records -*-
"""An image before its record is made."""

from __future__ import annotations

import uuid

from attrs import evolve

from cloudd.identity import Access

from . import _policy
from ._errors import ImageForbidden
from ._facts import PUBLIC, Image
from ._patch import checked


def fresh_image(access: Access, wanted: Image) -> Image:
    """
    With an id and an owner.

    :param wanted: as asked for, with an id that the client has chosen or an empty one
    :raises ImageError: who asks may not make such a one, or what belongs together does not
    """
    _policy.enforce_write(access)
    owner = wanted.project_id or access.project_id or ""
    if owner != access.project_id and not access.is_admin:
        raise ImageForbidden(f"You are not permitted to create images owned by '{owner}'.")
    if wanted.visibility == PUBLIC:
        _policy.enforce_publish(access)
    return checked(evolve(wanted, id=wanted.id or str(uuid.uuid4()), project_id=owner))
