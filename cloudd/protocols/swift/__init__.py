"""
The Swift face: accounts, containers and objects over Swift's API v1, TempAuth's log-in and ``/info``.

::

    handler = swift_face(identity, objects, resources)
    await handler(request)  # answers every request of the object port

``docs/swift.md`` says what is served and what answers 501.  Source: OpenStack Object Storage API v1; where it leaves
something open, what Swift 2.38 does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cloudd.interfaces.application import Resources
from cloudd.objects import Objects

from ._face import STATES as SWIFT_STATES
from ._face import SwiftFace

if TYPE_CHECKING:
    from cloudd.identity import Identity
    from cloudd.protocols.http import Handler

__all__ = ["SWIFT_STATES", "swift_face"]


def swift_face(identity: Identity, objects: Objects, resources: Resources) -> Handler:
    """
    The handler of the object port.

    :param identity: checks tokens and TempAuth log-ins
    :param objects: rights and the store
    :param resources: settings, threads, URLs
    """
    return SwiftFace(identity, objects, resources).handle
