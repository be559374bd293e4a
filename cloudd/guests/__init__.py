"""
What a host does for its servers, in the agent's worker: builds them, changes them, and says what it sees.

::

    guests = Guests(resources, images, store, own_node, poke)
    tasks = Tasks(resources, [*guests.task_kinds(), ...])
    guests.lead()

A server's records say what is wanted; the driver (``cloudd.interfaces.servers``) knows what there is.  Tasks that are
pinned to this node change the one into the other, each safe to be killed at any moment, and what a guest does by itself
is written back.  Guests go on whatever becomes of this process.
"""

from ._hypervisor import without_links
from ._kinds import guest_kinds
from ._means import (
    CachedImage,
    ConfigDrives,
    ImageSource,
    Means,
    NoConfigDrives,
    NoDataPlane,
    NoImageFiles,
    Plugging,
    SnapshotStore,
)
from ._service import Guests
from ._work import PlugFailed

__all__ = [
    "CachedImage",
    "ConfigDrives",
    "Guests",
    "ImageSource",
    "Means",
    "NoConfigDrives",
    "NoDataPlane",
    "NoImageFiles",
    "PlugFailed",
    "Plugging",
    "SnapshotStore",
    "guest_kinds",
    "without_links",
]
