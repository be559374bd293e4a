# -*- test-case-name: tests.protocols.rest.compute.test_server_actions -*-
"""What routes of servers need of other parts of the service."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from attrs import frozen
from sqlalchemy import Connection

from cloudd.compute import ClaimResize, Order, Server
from cloudd.image import Quota

from ._call import ComputeCall


@frozen(kw_only=True)
class ServerWork:
    """
    :ivar poke: tasks were ordered in this worker: let them begin now
    :ivar show: a server with the members that the answer of an update has
    :ivar delete: order a server's end, whatever it does
    :ivar claim_resize: see there
    :ivar seal: a password of a guest's administrator, encrypted for the database
    :ivar image_quota: of every project
    """

    poke: Callable[[], None]
    show: Callable[[ComputeCall, Server], Awaitable[dict[str, Any]]]
    delete: Callable[[Connection, Order], None]
    claim_resize: ClaimResize
    seal: Callable[[str], Awaitable[str]]
    image_quota: Quota
