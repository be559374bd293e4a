# -*- test-case-name: tests.protocols.rest.image.test_records -*-
"""
Who may do what with an image, as in Glance's own policies.

Administrators may do everything.  A project sees its own images, public and community ones, and those that are shared
with it; its members change its own.  Roles imply weaker ones, so ``reader`` is given to members too.
"""

from __future__ import annotations

from cloudd.identity import Access

from ._errors import ImageForbidden
from ._facts import COMMUNITY, DEACTIVATED, PUBLIC, SHARED, Image


def sees(access: Access, image: Image, is_member: bool) -> bool:
    """
    Whether who asks may know of the image.

    :param is_member: the image is shared with the project that asks
    """
    if access.is_admin or image.visibility in (PUBLIC, COMMUNITY):
        return True
    return owns(access, image) or (image.visibility == SHARED and is_member)


def owns(access: Access, image: Image) -> bool:
    """Whether it is of the project that asks."""
    return access.project_id is not None and access.project_id == image.project_id


def enforce_read(access: Access) -> None:
    """
    :raises ImageForbidden: the token has no role in a project
    """
    if not access.is_admin and (access.project_id is None or "reader" not in access.role_names):
        raise ImageForbidden("You need a role in a project to look at images.")


def enforce_write(access: Access) -> None:
    """
    :raises ImageForbidden: who asks may only read
    """
    if not access.is_admin and (access.project_id is None or "member" not in access.role_names):
        raise ImageForbidden("You need the role member in a project to make or change images.")


def enforce_change(access: Access, image: Image) -> None:
    """
    :raises ImageForbidden: it is another project's, or who asks may only read
    """
    enforce_write(access)
    if not access.is_admin and not owns(access, image):
        raise ImageForbidden(f"Image {image.id} belongs to another project: you may not change it.")


def enforce_publish(access: Access) -> None:
    """
    :raises ImageForbidden: only administrators make images public
    """
    if not access.is_admin:
        raise ImageForbidden("You are not authorized to complete publicize_image action.")


def enforce_all_imports(access: Access) -> None:
    """
    :raises ImageForbidden: only administrators look at tasks by themselves, as Glance has it
    """
    if not access.is_admin:
        raise ImageForbidden("You are not authorized to complete tasks_api_access action.")


def enforce_download(access: Access, image: Image) -> None:
    """
    :raises ImageForbidden: it is deactivated
    """
    if image.status == DEACTIVATED and not access.is_admin:
        raise ImageForbidden("The requested image has been deactivated. Image data download is forbidden.")
