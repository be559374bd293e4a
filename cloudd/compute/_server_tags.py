# -*- test-case-name: tests.protocols.rest.compute.test_server_tags -*-
"""Tags of servers: functions with a ``sqlalchemy.Connection``, rights included."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sqlalchemy import Connection, delete, insert

from cloudd.database import tables
from cloudd.identity import Access

from ._errors import BadComputeValue, ComputeConflict, NoSuchRecord
from ._server_facts import Server, State
from ._servers import own_server

MAX_TAGS: Final = 50

_table = tables.server_tag
_SETTLED = (State.ACTIVE, State.PAUSED, State.SUSPENDED, State.STOPPED)


def set_server_tags(connection: Connection, access: Access, server_id: str, tags: Sequence[str]) -> tuple[str, ...]:
    """
    These, and no others.

    :return: them, each once
    :raises BadComputeValue: they are too many
    :raises ComputeConflict: it is being built
    """
    _settled(connection, access, server_id, "update_all")
    after = tuple(sorted(set(tags)))
    _enforce_count(server_id, after)
    connection.execute(delete(_table).where(_table.c.server_id == server_id))
    if after:
        connection.execute(insert(_table), [{"server_id": server_id, "tag": each} for each in after])
    return after


def add_server_tag(connection: Connection, access: Access, server_id: str, tag: str) -> bool:
    """
    :return: whether it is new
    :raises BadComputeValue: it would have too many
    :raises ComputeConflict: it is being built
    """
    server = _settled(connection, access, server_id, "update")
    if tag in server.tags:
        return False
    _enforce_count(server_id, (*server.tags, tag))
    connection.execute(insert(_table).values(server_id=server_id, tag=tag))
    return True


def drop_server_tag(connection: Connection, access: Access, server_id: str, tag: str) -> None:
    """
    :raises NoSuchRecord: it has no such tag
    :raises ComputeConflict: it is being built
    """
    server = _settled(connection, access, server_id, "delete")
    if tag not in server.tags:
        raise NoSuchRecord(f"Server {server_id} has no tag '{tag}'")
    connection.execute(delete(_table).where(_table.c.server_id == server_id, _table.c.tag == tag))


def _settled(connection: Connection, access: Access, server_id: str, verb: str) -> Server:
    server = own_server(connection, access, server_id, f"os-server-tags:{verb}")
    if server.state not in _SETTLED:
        raise ComputeConflict(f"Cannot '{verb} tags' instance {server_id} while it is in vm_state {server.state.value}")
    return server


def _enforce_count(server_id: str, tags: Sequence[str]) -> None:
    if len(tags) > MAX_TAGS:
        raise BadComputeValue(f"The number of tags exceeded the per-server limit {MAX_TAGS}: server {server_id}.")
