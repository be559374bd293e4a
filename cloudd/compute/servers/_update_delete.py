# -*- test-case-name: tests.protocols.rest.compute.test_servers -*-
"""One server, changed and deleted: functions with a ``sqlalchemy.Connection``, rights included."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection

from cloudd.nodes import node_rows
from cloudd.tasks import submit

from .._errors import NoSuchRecord
from .._forms import DELETE
from ..quotas._shares import rename_share
from ._access import Order, enforce_unlocked, server_to_change
from ._action_rules import check_settled
from ._facts import Doing, Server, Wanted
from ._history import begin_action
from ._progress import gone
from ._quotas import enforce_contents
from ._rows import change_server, read_server


def update_server(connection: Connection, order: Order, values: Mapping[str, Any]) -> Server:
    """
    :param values: by names of columns: name, description, addresses for access, ``disk_config``
    :raises NoSuchRecord:
    """
    server = server_to_change(connection, order, "servers:update", locked=True)
    if values:
        change_server(connection, server.id, **values)
    if "name" in values:
        rename_share(connection, server.id, values["name"])
    return read_server(connection, server.id)


def delete_server(connection: Connection, order: Order) -> None:
    """
    It is to go, whatever it is doing; one that no host has, or one that was removed, is gone when this is committed.

    :raises ComputeConflict: it is locked
    :raises NoSuchRecord:
    """
    server = server_to_change(connection, order, "servers:delete")
    if server.doing is not Doing.DELETING:
        begin_action(connection, order.access, server.id, "delete", order.request_id)
    if not server.node_id or _was_removed(connection, server.node_id):
        gone(connection, server.id)
        return
    change_server(connection, server.id, task_state=Doing.DELETING.value, wanted=Wanted.DELETED.value)
    submit(
        connection, DELETE, {"server_id": server.id}, project_id=server.project_id, node_id=server.node_id,
        resource=server.id, request_id=order.request_id, once=True,
    )  # fmt: skip


def _was_removed(connection: Connection, node_id: str) -> bool:
    """Nobody is left who could do what is ordered of that node."""
    return any(node.id == node_id and node.state == "removed" for node in node_rows(connection))


# ---- its metadata


def change_items(
    connection: Connection, order: Order, items: Mapping[str, str], *, replace: bool = False
) -> dict[str, str]:
    """
    These too, or with new values.

    :param replace: these, and no others
    :return: what it has from now on
    :raises ComputeConflict: it is locked, or being built
    :raises QuotaExceeded: it would have too many
    """
    verb = "update_all" if replace else "create"
    server = server_to_change(connection, order, f"server-metadata:{verb}")
    check_settled("update_instance_metadata", server)
    after = dict(items) if replace else {**server.items, **items}
    enforce_contents(connection, order.access, after)
    _write_items(connection, server.id, after)
    return after


def drop_item(connection: Connection, order: Order, key: str) -> None:
    """
    :raises NoSuchRecord: it has none of that key
    """
    server = server_to_change(connection, order, "server-metadata:delete", locked=True)
    if key not in server.items:
        raise NoSuchRecord("Metadata item was not found")
    enforce_unlocked(order, server)
    check_settled("delete_instance_metadata", server)
    _write_items(connection, server.id, {name: value for name, value in server.items.items() if name != key})


def _write_items(connection: Connection, server_id: str, items: Mapping[str, str]) -> None:
    change_server(connection, server_id, items=json.dumps(dict(items)))
