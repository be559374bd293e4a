# -*- test-case-name: tests.protocols.rest.compute.test_servers -*-
"""The end of a server that no host has: nothing is to be taken down, so it is gone at once."""

from __future__ import annotations

from sqlalchemy import Connection, delete

from cloudd.database import now_us, tables

from ._groups import leave_groups
from ._server_facts import State, Wanted
from ._server_rows import change_server
from ._shares import release


def gone_unplaced(connection: Connection, server_id: str) -> None:
    """Its share, its group and its claims are free again; safe to call again."""
    change_server(
        connection, server_id, state=State.DELETED.value, task_state=None, wanted=Wanted.DELETED.value, power=0,
        deleted_us=now_us(),
    )  # fmt: skip
    release(connection, server_id)
    leave_groups(connection, server_id)
    claims = tables.server_claim
    connection.execute(delete(claims).where(claims.c.server_id == server_id))
