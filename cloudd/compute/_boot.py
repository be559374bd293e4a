# -*- test-case-name: tests.protocols.rest.compute.test_server_create -*-
"""Whether a flavor is enough for an image, as Nova has it."""

from __future__ import annotations

from sqlalchemy import Connection

from cloudd.identity import Access
from cloudd.image import Image, image_record

from . import _policy
from ._errors import BadComputeValue
from ._facts import Flavor
from ._foreign import compute_words

_GIB = 1 << 30


def checked_image(connection: Connection, access: Access, image_id: str, flavor: Flavor) -> Image:
    """
    The image, which servers of that flavor can boot.

    :raises BadComputeValue: there is none, it has no data, or it needs more than the flavor has
    :raises ComputeForbidden: disks as large as their images are for administrators
    """
    with compute_words():
        image = image_record(connection, access, image_id)
    if image.status != "active":
        raise BadComputeValue(f"Image {image_id} is not active.")
    if flavor.ephemeral_gib or flavor.swap_mib:
        raise BadComputeValue(
            f"Flavor {flavor.flavor_id} has an ephemeral or a swap disk, which no host makes: use one without."
        )
    if flavor.ram_mib < image.min_ram:
        raise BadComputeValue("Flavor's memory is too small for requested image.")
    _check_disk(access, image, flavor)
    return image


def _check_disk(access: Access, image: Image, flavor: Flavor) -> None:
    if flavor.disk_gib == 0:
        if not access.is_admin:
            _policy.enforce_admin(access, "servers:create:zero_disk_flavor")
        return
    size = max(image.size or 0, image.virtual_size or 0)
    if size > flavor.disk_gib * _GIB:
        raise BadComputeValue(
            "Flavor's disk is too small for requested image. "
            f"Flavor disk is {flavor.disk_gib * _GIB} bytes, image is {size} bytes."
        )
    if image.min_disk > flavor.disk_gib:
        raise BadComputeValue(
            "Flavor's disk is smaller than the minimum size specified in image metadata. "
            f"Flavor disk is {flavor.disk_gib * _GIB} bytes, minimum size is {image.min_disk * _GIB} bytes."
        )
