# -*- test-case-name: tests.protocols.rest.compute.test_servers -*-
"""
One server: looked at, changed and deleted.  Functions with a ``sqlalchemy.Connection``, rights included.

A project has its own servers; another's are not there for it.  What is locked only administrators change.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection

from cloudd.identity import Access
from cloudd.nodes import node_rows
from cloudd.tasks import submit

from . import _policy
from ._errors import ComputeConflict, NoSuchRecord
from ._forms import DELETE
from ._progress import gone
from ._server_facts import Doing, Server, State, Wanted
from ._server_history import begin_action
from ._server_quotas import enforce_contents
from ._server_rows import change_server, read_server
from ._shares import rename_share

_SETTLED = (State.ACTIVE, State.PAUSED, State.SUSPENDED, State.STOPPED)


def one_server(connection: Connection, access: Access, server_id: str) -> Server:
    """
    One that lives.

    :raises NoSuchRecord: also where it is another project's, or gone
    """
    _policy.enforce_read(access, "servers:show")
    server = read_server(connection, server_id)
    if server.deleted_us is not None or not (access.is_admin or server.project_id == access.project_id):
        raise NoSuchRecord(f"Instance {server_id[:64]} could not be found.")
    return server


def own_server(connection: Connection, access: Access, server_id: str, rule: str) -> Server:
    """
    One that who asks may change.

    :param rule: as in Nova's policies, without ``os_compute_api:``
    :raises ComputeForbidden: who asks may only read
    :raises NoSuchRecord:
    """
    _policy.enforce_write(access, rule)
    return one_server(connection, access, server_id)


def enforce_unlocked(access: Access, server: Server) -> None:
    """
    :raises ComputeConflict: it is locked, and who asks is no administrator
    """
    if server.locked_by is not None and not access.is_admin:
        raise ComputeConflict(f"Instance {server.id} is locked")


def update_server(connection: Connection, access: Access, server_id: str, values: Mapping[str, Any]) -> Server:
    """
    :param values: by names of columns: name, description, addresses for access, ``disk_config``
    :raises NoSuchRecord:
    """
    own_server(connection, access, server_id, "servers:update")
    if values:
        change_server(connection, server_id, **values)
    if "name" in values:
        rename_share(connection, server_id, values["name"])
    return read_server(connection, server_id)


def delete_server(connection: Connection, access: Access, server_id: str, request_id: str) -> None:
    """
    It is to go, whatever it is doing; one that no host has, or one that was removed, is gone when this is committed.

    :raises ComputeConflict: it is locked
    :raises NoSuchRecord:
    """
    server = own_server(connection, access, server_id, "servers:delete")
    enforce_unlocked(access, server)
    if server.doing is not Doing.DELETING:
        begin_action(connection, access, server_id, "delete", request_id)
    if not server.node_id or _was_removed(connection, server.node_id):
        gone(connection, server_id)
        return
    change_server(connection, server_id, task_state=Doing.DELETING.value, wanted=Wanted.DELETED.value)
    submit(
        connection, DELETE, {"server_id": server_id}, project_id=server.project_id, node_id=server.node_id,
        resource=server_id, request_id=request_id, once=True,
    )  # fmt: skip


def _was_removed(connection: Connection, node_id: str) -> bool:
    """Nobody is left who could do what is ordered of that node."""
    return any(node.id == node_id and node.state == "removed" for node in node_rows(connection))


# ---- its metadata


def change_items(
    connection: Connection, access: Access, server_id: str, items: Mapping[str, str], *, replace: bool = False
) -> dict[str, str]:
    """
    These too, or with new values.

    :param replace: these, and no others
    :return: what it has from now on
    :raises ComputeConflict: it is locked, or being built
    :raises QuotaExceeded: it would have too many
    """
    verb = "update_all" if replace else "create"
    server = own_server(connection, access, server_id, f"server-metadata:{verb}")
    _enforce_settled(access, server, "update_instance_metadata")
    after = dict(items) if replace else {**server.items, **items}
    enforce_contents(connection, access, after)
    _write_items(connection, server_id, after)
    return after


def drop_item(connection: Connection, access: Access, server_id: str, key: str) -> None:
    """
    :raises NoSuchRecord: it has none of that key
    """
    server = own_server(connection, access, server_id, "server-metadata:delete")
    if key not in server.items:
        raise NoSuchRecord("Metadata item was not found")
    _enforce_settled(access, server, "delete_instance_metadata")
    _write_items(connection, server_id, {name: value for name, value in server.items.items() if name != key})


def _write_items(connection: Connection, server_id: str, items: Mapping[str, str]) -> None:
    change_server(connection, server_id, items=json.dumps(dict(items)))


def _enforce_settled(access: Access, server: Server, what: str) -> None:
    enforce_unlocked(access, server)
    if server.state not in _SETTLED:
        raise ComputeConflict(f"Cannot '{what}' instance {server.id} while it is in vm_state {server.state.value}")
