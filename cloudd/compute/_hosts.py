# -*- test-case-name: tests.protocols.rest.compute.test_hosts -*-
"""What is told of machines: the registry of nodes, as Nova's services.  Rights included."""

from __future__ import annotations

import zlib

from attrs import frozen
from sqlalchemy import Connection, select

from cloudd.database import now_us
from cloudd.identity import Access
from cloudd.nodes import Node, node_rows

from . import _policy

ZONE = "nova"
INTERNAL_ZONE = "internal"
BINARY = "cloudd-agent"


@frozen(kw_only=True)
class ComputeService:
    """
    What a node does for servers.

    :ivar id: the node's
    :ivar number: the same as a whole number, for clients of old versions
    :ivar is_up: it has said something of late
    :ivar is_enabled: it takes new work
    """

    id: str
    number: int
    host: str
    binary: str
    zone: str
    is_up: bool
    is_enabled: bool
    updated_us: int | None


def services(connection: Connection, access: Access, host: str = "", binary: str = "") -> list[ComputeService]:
    """
    By host.

    :param host: only of this one; ``binary`` likewise
    :raises ComputeForbidden: it is for administrators
    """
    _policy.enforce_admin(access, "os-services:list")
    now: int = connection.execute(select(now_us())).scalar_one()
    found = [_service(node, now) for node in node_rows(connection, removed=False)]
    return [each for each in found if host in ("", each.host) and binary in ("", each.binary)]


def _service(node: Node, now: int) -> ComputeService:
    return ComputeService(
        id=node.id,
        number=zlib.crc32(node.id.encode("utf-8")) & 0x7FFFFFFF,
        host=node.name,
        binary=BINARY,
        zone=INTERNAL_ZONE,
        is_up=not node.is_silent,
        is_enabled=node.state in ("joining", "ready"),
        updated_us=None if node.age_s is None else now - int(node.age_s * 1_000_000),
    )
