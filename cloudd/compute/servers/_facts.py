"""Servers, their interfaces and where they are, as values.  Times are microseconds."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Final

from attrs import field, frozen

from cloudd.interfaces.servers import Power

AUTO: Final = "AUTO"
MANUAL: Final = "MANUAL"


class State(enum.StrEnum):
    """What a server is, as Nova's ``vm_state``."""

    BUILDING = "building"
    ACTIVE = "active"
    PAUSED = "paused"
    SUSPENDED = "suspended"
    STOPPED = "stopped"
    RESIZED = "resized"
    ERROR = "error"
    DELETED = "deleted"


class Doing(enum.StrEnum):
    """What is being done to it, as Nova's ``task_state``; none: nothing."""

    SCHEDULING = "scheduling"
    NETWORKING = "networking"
    BLOCK_DEVICE_MAPPING = "block_device_mapping"
    SPAWNING = "spawning"
    POWERING_OFF = "powering-off"
    POWERING_ON = "powering-on"
    REBOOTING = "rebooting"
    REBOOTING_HARD = "rebooting_hard"
    PAUSING = "pausing"
    UNPAUSING = "unpausing"
    SUSPENDING = "suspending"
    RESUMING = "resuming"
    REBUILDING = "rebuilding"
    RESIZE_PREP = "resize_prep"
    RESIZE_FINISH = "resize_finish"
    RESIZE_CONFIRMING = "resize_confirming"
    RESIZE_REVERTING = "resize_reverting"
    IMAGE_SNAPSHOT = "image_snapshot"
    IMAGE_BACKUP = "image_backup"
    DELETING = "deleting"


class Wanted(enum.StrEnum):
    """What whoever has a server wants it to be."""

    RUNNING = "running"
    STOPPED = "stopped"
    PAUSED = "paused"
    SUSPENDED = "suspended"
    DELETED = "deleted"


@frozen(kw_only=True)
class WantedNetwork:
    """
    An interface as it was asked for: one of ``port_id`` and ``network_id``.

    :ivar fixed_ip: with a network; empty: any
    :ivar tag: of the device, for its guest
    """

    network_id: str = ""
    port_id: str = ""
    fixed_ip: str = ""
    tag: str = ""


@frozen(kw_only=True)
class Interface:
    """
    One that a server has.

    :ivar is_ours: its port was made for the server, and goes with it
    """

    port_id: str
    position: int
    tag: str = ""
    is_ours: bool = True


@frozen(kw_only=True)
class Fault:
    """
    Why it is not what was asked for.

    :ivar details: for administrators
    """

    code: int
    message: str
    details: str = ""
    at_us: int = 0


@frozen(kw_only=True)
class Server:
    """
    One server, of whichever project.

    :ivar host_name: as the guest knows itself
    :ivar flavor: ``Flavor.id``; ``flavor_before`` while a resize can be taken back
    :ivar image_before: while it is rebuilt
    :ivar user_data: in base64, as it was given
    :ivar files: path and content in base64
    :ivar items: its metadata
    :ivar hints: of the scheduler, as they were given
    :ivar networks: what was asked for; ``interfaces`` is what there is
    :ivar security_groups: ids, for ports that are made for it
    :ivar sealed_password: of its administrator
    :ivar zone: that was asked for; empty: any
    :ivar wanted_host: name of the one host that will do; empty: any
    :ivar locked_by: ``owner`` or ``admin``
    :ivar progress: percent
    :ivar node_id: of the host that has it; ``host`` is its name; empty: none yet
    """

    id: str
    project_id: str
    user_id: str
    name: str
    host_name: str
    description: str | None = None
    flavor: str
    flavor_before: str | None = None
    image_id: str | None = None
    image_before: str | None = None
    key_name: str | None = None
    key_type: str | None = None
    public_key: str | None = None
    user_data: str | None = None
    files: tuple[tuple[str, str], ...] = ()
    items: Mapping[str, str] = field(factory=dict)
    hints: Mapping[str, object] = field(factory=dict)
    networks: tuple[WantedNetwork, ...] = ()
    security_groups: tuple[str, ...] = ()
    sealed_password: str | None = field(default=None, repr=False)
    config_drive: bool = False
    zone: str = ""
    wanted_host: str = ""
    disk_config: str = MANUAL
    reservation_id: str = ""
    launch_index: int = 0
    access_ip_v4: str = ""
    access_ip_v6: str = ""
    locked_by: str | None = None
    locked_reason: str | None = None
    state: State = State.BUILDING
    doing: Doing | None = None
    wanted: Wanted = Wanted.RUNNING
    power: Power = Power.UNKNOWN
    progress: int = 0
    node_id: str = ""
    host: str = ""
    fault: Fault | None = None
    tags: tuple[str, ...] = ()
    interfaces: tuple[Interface, ...] = ()
    created_us: int = 0
    updated_us: int = 0
    launched_us: int | None = None
    deleted_us: int | None = None
