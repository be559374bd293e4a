# -*- test-case-name: tests.protocols.rest.compute.test_server_changes -*-
"""
Rebuild, resize and snapshot: functions with a ``sqlalchemy.Connection``, rights included.

**A resize** keeps the server on its host: there the claim for the new size is made beside the one that it has, and
until it is confirmed or taken back the project's quota counts the larger of both, so that either can always be done.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any, Final

from attrs import evolve, frozen
from sqlalchemy import Connection

from cloudd.image import BACKUP, Image, ImageError, ImageForbidden, OverQuota, Quota, image_record, queue_image

from .._errors import BadComputeValue, ComputeError, ComputeForbidden, NoSuchRecord, QuotaExceeded
from .._facts import Flavor, Share
from .._forms import CONFIRM_RESIZE, REBUILD, RESIZE, REVERT_RESIZE, SNAPSHOT
from ..flavors._flavors import flavor_record, one_flavor
from ..hosts._claims import claim_resize
from ..quotas._shares import resize_share
from ._access import Order
from ._actions import Work, allowed, begin
from ._facts import Doing, Server, State, Wanted
from ._image_fit import check_fit, fitting_image
from ._quotas import enforce_contents
from ._rows import read_server

#: Of its image, what a snapshot does not take over.
_NOT_INHERITED: Final = ("img_signature", "cache_in_nova", "bittorrent", "os_hash", "stores", "owner_specified.")
_QCOW2, _BARE, _PRIVATE = "qcow2", "bare", "private"
_NO_ITEMS: Final[Mapping[str, str]] = {}


@frozen(kw_only=True)
class Backup:
    """
    A snapshot that takes turns with others of its kind.

    :ivar kind: ``daily``, or whatever a client calls it
    :ivar rotation: how many of the server's are kept, this one among them
    :ivar items: further properties of the image
    """

    name: str
    kind: str
    rotation: int
    items: Mapping[str, str]


# ---- rebuild


def rebuild(connection: Connection, order: Order, image_id: str, columns: Mapping[str, Any]) -> Server:
    """
    Give it a new disk from an image, and what else is named.

    :param columns: of its row, which are to be others
    :return: the server as it is to be
    :raises BadComputeValue: the image is none, has no data, or does not fit the flavor
    :raises ComputeConflict: it is locked, or in another state
    """
    server = allowed(connection, order, "rebuild")
    flavor = flavor_record(connection, server.flavor)
    image = fitting_image(connection, order.access, image_id, flavor, "Cannot find image for rebuild")
    stopped = server.state is State.STOPPED  # one that has failed runs afterwards
    state, wanted = (State.STOPPED, Wanted.STOPPED) if stopped else (State.ACTIVE, Wanted.RUNNING)
    work = Work("rebuild", REBUILD, {"state": state.value})
    own = {"image_id": image.id, "image_before": server.image_id, "wanted": wanted.value, "progress": 0}
    values = {**columns, **own}
    begin(connection, order, server, work, task_state=Doing.REBUILDING.value, **values)
    return read_server(connection, server.id)


# ---- resize


def resize(connection: Connection, order: Order, flavor_id: str, disk_config: str | None) -> None:
    """
    Give it another size, on its host.

    :param flavor_id: as the API calls it
    :raises BadComputeValue: there is no such flavor, it is the same one, or its disk is smaller
    :raises QuotaExceeded: the project would have more than it may
    :raises NoRoom: its host has no room for it
    :raises ComputeConflict: it is locked, or in another state
    """
    server = allowed(connection, order, "resize")
    before = flavor_record(connection, server.flavor)
    try:
        after = one_flavor(connection, order.access, flavor_id)
    except NoSuchRecord as error:
        raise BadComputeValue(error.cause) from None
    if after.disabled:
        raise BadComputeValue(f"Flavor {flavor_id[:255]} could not be found.")
    if after.id == before.id:
        raise BadComputeValue("When resizing, instances must change flavor!")
    _check_disk(server, before, after)
    if (image := _base_image(connection, order, server)) is not None:
        check_fit(image, after)
    resize_share(connection, _larger(server, before, after))
    claim_resize(connection, server, after)
    columns: dict[str, Any] = {"flavor": after.id, "flavor_before": before.id, "progress": 0}
    if disk_config is not None:
        columns["disk_config"] = disk_config
    work = Work("resize", RESIZE, {"state": server.state.value})
    begin(connection, order, server, work, task_state=Doing.RESIZE_PREP.value, **columns)


def _check_disk(server: Server, before: Flavor, after: Flavor) -> None:
    cause = "Server disk was unable to be resized because:"
    if before.disk_gib and not after.disk_gib and server.image_id:
        raise BadComputeValue(f"{cause} Resize to zero disk flavor is not allowed.")
    if after.disk_gib < before.disk_gib:
        raise BadComputeValue(
            f"{cause} the disk of flavor {after.name} is smaller: {after.disk_gib} GiB, and it has {before.disk_gib}."
        )


def confirm_resize(connection: Connection, order: Order) -> None:
    """
    It keeps its new size.

    :raises ComputeConflict: it is locked, or in another state
    """
    server = allowed(connection, order, "confirmResize")
    resize_share(connection, share_of(server, flavor_record(connection, server.flavor)))
    work = Work("confirmResize", CONFIRM_RESIZE)
    begin(connection, order, server, work, task_state=Doing.RESIZE_CONFIRMING.value)


def revert_resize(connection: Connection, order: Order) -> None:
    """
    It gets its size of before; the task ends with its flavor, share and claim of then.

    :raises ComputeConflict: it is locked, or in another state
    """
    server = allowed(connection, order, "revertResize")
    work = Work("revertResize", REVERT_RESIZE)
    begin(connection, order, server, work, task_state=Doing.RESIZE_REVERTING.value)


def share_of(server: Server, flavor: Flavor) -> Share:
    """What it takes of quotas with this flavor."""
    disk = flavor.disk_gib + flavor.ephemeral_gib
    return Share(server.id, flavor.vcpus, flavor.ram_mib, disk, server.name, flavor.name)


def _larger(server: Server, before: Flavor, after: Flavor) -> Share:
    one, other = share_of(server, before), share_of(server, after)
    return Share(
        server.id,
        max(one.vcpus, other.vcpus),
        max(one.ram_mib, other.ram_mib),
        max(one.disk_gib, other.disk_gib),
        server.name,
        after.name,
    )


# ---- snapshot


def create_image(connection: Connection, order: Order, name: str, items: Mapping[str, str], quota: Quota) -> Image:
    """
    An image of its disk, which is queued and gets its data from the server's host.

    :param items: further properties of the image
    :param quota: of images
    :raises QuotaExceeded: there are too many further properties, or the project has as many images as it may
    :raises ComputeConflict: it is locked, or in another state
    """
    server = allowed(connection, order, "createImage")
    image = _queued(connection, order, server, name, items, quota)
    work = Work("createImage", SNAPSHOT, {"image_id": image.id})
    begin(connection, order, server, work, task_state=Doing.IMAGE_SNAPSHOT.value)
    return image


def create_backup(connection: Connection, order: Order, wanted: Backup, quota: Quota) -> Image:
    """
    The same; once it has its data, the oldest of its kind beyond its rotation are deleted.

    :param quota: of images, which one more must fit until then
    :raises QuotaExceeded: there are too many further properties, or the project has as many images as it may
    :raises ComputeConflict: it is locked, or in another state
    """
    server = allowed(connection, order, "createBackup")
    own = {"image_type": BACKUP, "backup_type": wanted.kind}
    image = _queued(connection, order, server, wanted.name, wanted.items, quota, own)
    work = Work("createBackup", SNAPSHOT, {"image_id": image.id, "rotation": wanted.rotation})
    begin(connection, order, server, work, task_state=Doing.IMAGE_BACKUP.value)
    return image


def _queued(
    connection: Connection,
    order: Order,
    server: Server,
    name: str,
    items: Mapping[str, str],
    quota: Quota,
    own: Mapping[str, str] = _NO_ITEMS,
) -> Image:
    enforce_contents(connection, order.access, items)
    image = _snapshot(connection, order, server, name, items)
    try:
        return queue_image(connection, order.access, evolve(image, properties={**image.properties, **own}), quota)
    except ImageError as error:
        raise _refusal(error) from None


def _refusal(error: ImageError) -> ComputeError:
    if isinstance(error, OverQuota):
        return QuotaExceeded(error.cause, "images")
    return ComputeForbidden(error.cause) if isinstance(error, ImageForbidden) else BadComputeValue(error.cause)


def _snapshot(connection: Connection, order: Order, server: Server, name: str, items: Mapping[str, str]) -> Image:
    access, flavor = order.access, flavor_record(connection, server.flavor)
    base = _base_image(connection, order, server)
    inherited = {} if base is None else {key: value for key, value in base.properties.items() if _is_inherited(key)}
    own = {
        "instance_uuid": server.id,
        "base_image_ref": server.image_id or "",
        "image_type": "snapshot",
        "image_location": "snapshot",
        "image_state": "available",
        "user_id": access.user_id,
        "owner_id": access.project_id or "",
        "owner_user_name": access.user_name,
        "owner_project_name": access.project_name or "",
    }
    return Image(
        id=str(uuid.uuid4()),
        project_id=access.project_id or "",
        name=name,
        visibility=_PRIVATE,
        disk_format=_QCOW2,
        container_format=_BARE,
        min_disk=max(flavor.disk_gib, base.min_disk if base else 0),
        min_ram=base.min_ram if base else 0,
        properties={**inherited, **own, **items},
    )


def _base_image(connection: Connection, order: Order, server: Server) -> Image | None:
    """That it was made of; None: it is gone, or who asks may not know of it."""
    if server.image_id is None:
        return None
    try:
        return image_record(connection, order.access, server.image_id)
    except ImageError:
        return None


def _is_inherited(key: str) -> bool:
    return not key.startswith(_NOT_INHERITED)
