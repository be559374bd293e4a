# -*- test-case-name: tests.protocols.rest.compute.test_servers -*-
"""The end of a server that no host has: nothing is to be taken down, so it is gone at once."""

from __future__ import annotations

from sqlalchemy import Connection

from ._progress import gone


def gone_unplaced(connection: Connection, server_id: str) -> None:
    """
    As where a host has taken it down; safe to call again.

    One whose host was removed has ports, which go or are free like the rest.
    """
    gone(connection, server_id)
