# -*- test-case-name: tests.metadata.test_reading -*-
"""Where a server is, as an availability zone."""

from __future__ import annotations

from sqlalchemy import Connection, select

from cloudd.database import tables

from ..servers._facts import Server
from ._hosts import ZONE


def zone_of(connection: Connection, server: Server) -> str:
    """That of its host; before it has one, that was asked for, else the default one."""
    host = tables.compute_host.c
    found = connection.execute(select(host.zone).where(host.node_id == server.node_id)).scalar()
    return found or server.zone or ZONE
