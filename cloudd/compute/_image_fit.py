# -*- test-case-name: tests.protocols.rest.compute.test_server_changes -*-
"""Whether an image fits a flavor, so that a server of both can boot."""

from __future__ import annotations

from sqlalchemy import Connection

from cloudd.identity import Access
from cloudd.image import Image, ImageError, image_record

from ._errors import BadComputeValue
from ._facts import Flavor

_GIB = 1 << 30
ACTIVE = "active"


def fitting_image(connection: Connection, access: Access, image_id: str, flavor: Flavor, absent: str) -> Image:
    """
    :param absent: what is said where who asks knows no such image
    :raises BadComputeValue: there is none, it has no data, or the flavor is too small for it
    """
    try:
        image = image_record(connection, access, image_id)
    except ImageError:
        raise BadComputeValue(absent) from None
    if image.status != ACTIVE:
        raise BadComputeValue(f"Image {image.id} is not active.")
    check_fit(image, flavor)
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
