# -*- test-case-name: tests.protocols.rest.compute.test_server_actions -*-
"""
Which server a request may see or change: its project's members and administrators, others know of none.

Who orders work is an ``Order``; a server that is locked takes orders of administrators alone.
"""

from __future__ import annotations

from attrs import frozen
from sqlalchemy import Connection

from cloudd.identity import Access

from .. import _policy
from .._errors import ComputeConflict, NoSuchRecord
from ._facts import Server, State
from ._rows import read_server


@frozen
class Order:
    """
    A request that changes one server.

    :ivar request_id: which its action in the history and its task have, too
    """

    access: Access
    server_id: str
    request_id: str


def server_to_read(
    connection: Connection, access: Access, server_id: str, rule: str, *, deleted: bool = False
) -> Server:
    """
    :param rule: as in Nova's policies, without ``os_compute_api:``
    :param deleted: also one that is gone
    :raises NoSuchRecord: also where it is another project's
    :raises ComputeForbidden: who asks has no role in the project
    """
    server = read_server(connection, server_id)
    gone = server.deleted_us is not None or server.state == State.DELETED
    if not (access.is_admin or server.project_id == access.project_id) or (gone and not deleted):
        raise NoSuchRecord(f"Instance {server_id[:64]} could not be found.")
    _policy.enforce_read(access, rule, server.project_id)
    return server


def server_to_change(connection: Connection, order: Order, rule: str, *, locked: bool = False) -> Server:
    """
    :param locked: also one that is locked
    :raises NoSuchRecord: also where it is another project's
    :raises ComputeForbidden: who asks may only read
    :raises ComputeConflict: it is locked
    """
    server = server_to_read(connection, order.access, order.server_id, rule)
    _policy.enforce_write(order.access, rule)
    if not locked:
        enforce_unlocked(order, server)
    return server


def enforce_unlocked(order: Order, server: Server) -> None:
    """
    :raises ComputeConflict: it is locked, and who asks is no administrator
    """
    if server.locked_by is not None and not order.access.is_admin:
        raise ComputeConflict(f"Instance {server.id} is locked")
