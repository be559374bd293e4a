# -*- test-case-name: tests.protocols.rest.compute.test_server_tags -*-
"""Tags of servers: functions with a ``sqlalchemy.Connection``, rights included."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sqlalchemy import Connection, delete, insert

from cloudd.database import tables

from .._errors import BadComputeValue, NoSuchRecord
from ._access import Order, server_to_change
from ._action_rules import check_settled
from ._facts import Server

MAX_TAGS: Final = 50

_table = tables.server_tag


def set_server_tags(connection: Connection, order: Order, tags: Sequence[str]) -> tuple[str, ...]:
    """
    These, and no others.

    :return: them, each once
    :raises BadComputeValue: they are too many
    :raises ComputeConflict: it is being built
    """
    server = _settled(connection, order, "update_all")
    after = tuple(sorted(set(tags)))
    _enforce_count(server.id, after)
    connection.execute(delete(_table).where(_table.c.server_id == server.id))
    if after:
        connection.execute(insert(_table), [{"server_id": server.id, "tag": each} for each in after])
    return after


def add_server_tag(connection: Connection, order: Order, tag: str) -> bool:
    """
    :return: whether it is new
    :raises BadComputeValue: it would have too many
    :raises ComputeConflict: it is being built
    """
    server = _settled(connection, order, "update")
    if tag in server.tags:
        return False
    _enforce_count(server.id, (*server.tags, tag))
    connection.execute(insert(_table).values(server_id=server.id, tag=tag))
    return True


def drop_server_tag(connection: Connection, order: Order, tag: str) -> None:
    """
    :raises NoSuchRecord: it has no such tag
    :raises ComputeConflict: it is being built
    """
    server = _settled(connection, order, "delete")
    if tag not in server.tags:
        raise NoSuchRecord(f"Server {server.id} has no tag '{tag}'")
    connection.execute(delete(_table).where(_table.c.server_id == server.id, _table.c.tag == tag))


def _settled(connection: Connection, order: Order, verb: str) -> Server:
    server = server_to_change(connection, order, f"os-server-tags:{verb}", locked=True)
    check_settled(f"{verb} tags", server)
    return server


def _enforce_count(server_id: str, tags: Sequence[str]) -> None:
    if len(tags) > MAX_TAGS:
        raise BadComputeValue(f"The number of tags exceeded the per-server limit {MAX_TAGS}: server {server_id}.")
