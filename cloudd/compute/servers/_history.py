# -*- test-case-name: tests.protocols.rest.compute.test_history -*-
"""
What was done to servers, by whom, and how it went: functions with a ``sqlalchemy.Connection``.

An action is a request; its events are the pieces of work on hosts that came of it.  Both stay when the server is gone.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

from attrs import evolve, frozen
from sqlalchemy import Connection, Row, and_, insert, or_, select

from cloudd.database import now_us, tables
from cloudd.identity import Access

from .._errors import BadComputeValue, NoSuchRecord
from ._access import server_to_read

_actions, _events = tables.server_action, tables.server_event
_c = _actions.c
RULE = "os-instance-actions"


@frozen(kw_only=True)
class ServerEvent:
    """
    One piece of work.

    :ivar result: ``Success`` or ``Error``; None: it goes on
    :ivar details: for administrators
    """

    name: str
    host: str
    result: str | None
    details: str | None
    started_us: int
    finished_us: int | None


@frozen(kw_only=True)
class ServerAction:
    """
    One request.

    :ivar message: why it failed
    :ivar events: oldest first; only of one that was asked for by itself
    """

    id: str
    server_id: str
    action: str
    request_id: str
    project_id: str
    user_id: str
    message: str | None
    started_us: int
    updated_us: int
    events: tuple[ServerEvent, ...] = ()


@frozen(kw_only=True)
class HistoryListing:
    """
    What is asked for: newest first.

    :ivar marker: request id of the one before the page
    :ivar since_us: only those that changed at or after it; ``before_us``: at or before it
    :ivar deleted: also of a server that is gone
    """

    marker: str = ""
    limit: int | None = None
    since_us: int | None = None
    before_us: int | None = None
    deleted: bool = True


def begin_action(connection: Connection, access: Access, server_id: str, action: str, request_id: str) -> None:
    """``begin_actions`` of one server."""
    begin_actions(connection, access, [server_id], action, request_id)


def begin_actions(
    connection: Connection, access: Access, server_ids: Sequence[str], action: str, request_id: str
) -> None:
    """
    Write for each of these servers that a request was accepted, in the transaction that accepts it.

    :param action: in Nova's words: ``create``, ``reboot``, ``confirmResize``
    :param request_id: which the task that does it has, too
    """
    if not server_ids:
        return
    now: int = connection.execute(select(now_us())).scalar_one()
    same: dict[str, str | int | None] = {
        "action": action, "request_id": request_id, "project_id": access.project_id or "",
        "user_id": access.user_id, "message": None, "started_us": now, "updated_us": now,
    }  # fmt: skip
    rows = [{**same, "id": uuid.uuid4().hex, "server_id": each} for each in server_ids]
    connection.execute(insert(_actions), rows)


def server_actions(
    connection: Connection, access: Access, server_id: str, listing: HistoryListing
) -> list[ServerAction]:
    """
    One page, newest first, without events.

    :raises NoSuchRecord: there is no such server, or who asks may not know of it
    :raises BadComputeValue: the marker is none
    """
    server_to_read(connection, access, server_id, f"{RULE}:list", deleted=listing.deleted)
    query = select(_actions).where(_c.server_id == server_id)
    if listing.since_us is not None:
        query = query.where(_c.updated_us >= listing.since_us)
    if listing.before_us is not None:
        query = query.where(_c.updated_us <= listing.before_us)
    if listing.marker:
        at = _row(connection, server_id, listing.marker)
        if at is None:
            raise BadComputeValue(f"Marker {listing.marker[:64]} could not be found.")
        query = query.where(or_(_c.started_us < at.started_us, and_(_c.started_us == at.started_us, _c.id < at.id)))
    query = query.order_by(_c.started_us.desc(), _c.id.desc()).limit(listing.limit)
    return [_action(row) for row in connection.execute(query)]


def one_action(
    connection: Connection, access: Access, server_id: str, request_id: str, *, deleted: bool = True
) -> ServerAction:
    """
    With its events.

    :param deleted: also of a server that is gone
    :raises NoSuchRecord: there is no such server or action, or who asks may not know of it
    """
    server_to_read(connection, access, server_id, f"{RULE}:show", deleted=deleted)
    row = _row(connection, server_id, request_id)
    if row is None:
        raise NoSuchRecord(f"Action for request_id {request_id[:64]} on instance {server_id} not found")
    return evolve(_action(row), events=tuple(_events_of(connection, row.id)))


def _row(connection: Connection, server_id: str, request_id: str) -> Row[Any] | None:
    query = select(_actions).where(_c.server_id == server_id, _c.request_id == request_id)
    return connection.execute(query.order_by(_c.started_us.desc(), _c.id.desc()).limit(1)).first()


def _events_of(connection: Connection, action_id: str) -> Sequence[ServerEvent]:
    columns = _events.c
    query = select(_events).where(columns.action_id == action_id).order_by(columns.started_us, columns.id)
    return [
        ServerEvent(
            name=row.name,
            host=row.host,
            result=row.result,
            details=row.details,
            started_us=row.started_us,
            finished_us=row.finished_us,
        )
        for row in connection.execute(query)
    ]


def _action(row: Row[Any]) -> ServerAction:
    return ServerAction(**row._mapping)
