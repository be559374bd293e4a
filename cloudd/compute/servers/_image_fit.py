# -*- test-case-name: tests.protocols.rest.compute.test_server_changes -*-
"""Whether an image fits a flavor, so that a server of both can boot, as Nova has it."""

from __future__ import annotations

from sqlalchemy import Connection

from cloudd.identity import Access
from cloudd.image import Image, ImageError, image_record

from .. import _policy
from .._errors import BadComputeValue
from .._facts import Flavor

_GIB = 1 << 30
ACTIVE = "active"
NO_IMAGE = "Can not find requested image"


def image_of_new(connection: Connection, access: Access, image_id: str, flavor: Flavor) -> Image:
    """
    The image of new servers of that flavor.

    :raises BadComputeValue: as ``fitting_image``, or no host makes such disks
    :raises ComputeForbidden: disks as large as their images are for administrators
    """
    image = _active_image(connection, access, image_id, NO_IMAGE)
    if flavor.ephemeral_gib or flavor.swap_mib:
        raise BadComputeValue(
            f"Flavor {flavor.flavor_id} has an ephemeral or a swap disk, which no host makes: use one without."
        )
    check_fit(image, flavor)
    if not flavor.disk_gib:
        _policy.enforce_admin(access, "servers:create:zero_disk_flavor")
    return image


def fitting_image(connection: Connection, access: Access, image_id: str, flavor: Flavor, absent: str) -> Image:
    """
    :param absent: what is said where who asks knows no such image
    :raises BadComputeValue: there is none, it has no data, or the flavor is too small for it
    """
    image = _active_image(connection, access, image_id, absent)
    check_fit(image, flavor)
    return image


def _active_image(connection: Connection, access: Access, image_id: str, absent: str) -> Image:
    try:
        image = image_record(connection, access, image_id)
    except ImageError:
        raise BadComputeValue(absent) from None
    if image.status != ACTIVE:
        raise BadComputeValue(f"Image {image.id} is not active.")
    return image


def check_fit(image: Image, flavor: Flavor) -> None:
    """
    :raises BadComputeValue: the flavor is too small for the image
    """
    if image.min_ram > flavor.ram_mib:
        raise BadComputeValue("Flavor's memory is too small for requested image.")
    if not flavor.disk_gib:  # as large as the image, whatever that is
        return
    disk = flavor.disk_gib * _GIB
    size = max(image.size or 0, image.virtual_size or 0)
    if size > disk:
        raise BadComputeValue(
            f"Flavor's disk is too small for requested image. Flavor disk is {disk} bytes, image is {size} bytes."
        )
    if image.min_disk > flavor.disk_gib:
        raise BadComputeValue(
            "Flavor's disk is smaller than the minimum size specified in image metadata. "
            f"Flavor disk is {disk} bytes, minimum size is {image.min_disk * _GIB} bytes."
        )
