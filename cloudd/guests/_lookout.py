# -*- test-case-name: tests.guests.test_service -*-
"""
What is seen of guests, brought into the records: functions of a connection.

Whoever looks has read the rows before it asked the driver; a row that was changed in between is left for the next look
(``updated_us``), as what was seen may be older than the change.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from attrs import frozen
from sqlalchemy import Connection, select

from cloudd.compute import (
    ATTACH,
    BUILD,
    CONFIRM_RESIZE,
    DELETE,
    DETACH,
    PLACE,
    POWER,
    REBUILD,
    RESIZE,
    REVERT_RESIZE,
    SNAPSHOT,
    Doing,
    OnHost,
    Server,
    State,
    Wanted,
    change_server,
    fail,
    on_host,
    read_server,
    servers_on,
    were_deleted,
)
from cloudd.database import now_us
from cloudd.interfaces.servers import Seen
from cloudd.tasks import open_payloads, submit

from ._sight import Change, change_of
from ._work import observed

FORMS: Final = (
    PLACE, BUILD, DELETE, POWER, REBUILD, RESIZE, CONFIRM_RESIZE, REVERT_RESIZE, SNAPSHOT, ATTACH, DETACH,
)  # fmt: skip
LOST_US: Final = 60_000_000  # without a task for so long nobody comes any more
_RESIZING: Final = frozenset({Doing.RESIZE_PREP, Doing.RESIZE_FINISH, Doing.RESIZE_REVERTING})
_DOING: Final = {"start": Doing.POWERING_ON, "stop": Doing.POWERING_OFF}


@frozen
class Sight:
    """
    What one look at all guests has shown.

    :ivar strangers: names of guests that no server here has
    :ivar missing: ids of servers that should have a guest and have none
    """

    strangers: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()


def sight_of(connection: Connection, servers: Sequence[OnHost], guests: Sequence[Seen]) -> tuple[Sight, list[str]]:
    """
    :return: and the ids of guests whose servers are deleted
    """
    here = {server.id for server in servers}
    others = [seen for seen in guests if seen.id not in here]
    left = were_deleted(connection, [seen.id for seen in others if seen.id])
    strangers = sorted(seen.name for seen in others if seen.id not in left)
    have = {seen.id for seen in guests}
    expected = (State.ACTIVE, State.PAUSED, State.STOPPED, State.SUSPENDED, State.RESIZED)
    missing = sorted(
        each.id for each in servers if each.id not in have and each.doing is None and each.state in expected
    )
    return Sight(tuple(strangers), tuple(missing)), sorted(left)


def wanted_changes(servers: Sequence[OnHost], seen: Mapping[str, Seen], *, resumes: bool) -> dict[str, OnHost]:
    """Servers that are not as they were seen, as they stood before the look."""
    return {each.id: each for each in servers if change_of(each, seen.get(each.id), resumes=resumes) is not None}


def bring_in(
    connection: Connection, node_id: str, before: Mapping[str, OnHost], seen: Mapping[str, Seen], resumes: bool
) -> int:
    """
    Write what follows.

    :param before: as they stood before the look
    :return: how many tasks were ordered
    """
    ordered = 0
    for server_id, present in before.items():
        server = on_host(connection, server_id, node_id)
        if server is None or server.updated_us != present.updated_us:
            continue
        change = change_of(server, seen.get(server_id), resumes=resumes)
        if change is not None:
            ordered += _write(connection, node_id, server, change)
    return ordered


def _write(connection: Connection, node_id: str, server: OnHost, change: Change) -> int:
    values = {"state": change.state.value, "power": int(change.power)}
    if not change.verb:
        change_server(connection, server.id, **values)
        return 0
    change_server(connection, server.id, **values, task_state=_DOING[change.verb].value)
    record = read_server(connection, server.id)
    payload = {"server_id": server.id, "verb": change.verb}
    submit(connection, POWER, payload, project_id=record.project_id, resource=server.id, node_id=node_id)
    return 1


def lost(connection: Connection, servers: Sequence[OnHost]) -> list[str]:
    """Ids of those that somebody should be at, and nobody is."""
    now: int = connection.execute(select(now_us())).scalar_one()
    old = [each.id for each in servers if _is_worked_on(each) and each.updated_us < now - LOST_US]
    if not old:
        return []
    busy: set[str] = set()
    for payload in open_payloads(connection, FORMS):
        busy |= {payload.get("server_id", ""), *payload.get("servers", ())}
    return [each for each in old if each not in busy]


def _is_worked_on(server: OnHost) -> bool:
    return server.doing is not None or server.state is State.BUILDING or server.wanted is Wanted.DELETED


def settle_lost(connection: Connection, node_id: str, server_ids: Sequence[str], seen: Mapping[str, Seen]) -> int:
    """
    What was to be done to them is not done: they are what they are, and one that was to be deleted is.

    :return: how many tasks were ordered
    """
    ordered = 0
    found = [each for each in servers_on(connection, node_id) if each.id in set(server_ids)]
    for server_id in lost(connection, found):
        record = read_server(connection, server_id)
        if record.wanted is Wanted.DELETED or record.doing is Doing.DELETING:
            ordered += order_delete(connection, node_id, [server_id])
            continue
        words = f"What was being done to it ({record.doing or record.state}) has ended without being finished"
        if record.state is State.BUILDING:
            fail(connection, server_id, 500, f"{words}: delete it and make another one.")
            continue
        if record.flavor_before is not None and record.doing in _RESIZING:
            ordered += _order_revert(connection, node_id, record)
            continue
        if record.flavor_before is not None and record.doing is Doing.RESIZE_CONFIRMING:
            fail(connection, server_id, 500, f"{words}: try again.", state=State.RESIZED)
            continue
        fail(connection, server_id, 500, f"{words}: try again.", **observed(record, seen.get(server_id)))
    return ordered


def _order_revert(connection: Connection, node_id: str, record: Server) -> int:
    """Nobody knows which size the guest has by now, and two are claimed for it: it gets the one that it had."""
    change_server(connection, record.id, task_state=Doing.RESIZE_REVERTING.value)
    payload = {"server_id": record.id}
    submit(connection, REVERT_RESIZE, payload, project_id=record.project_id, resource=record.id, node_id=node_id)
    return 1


def order_delete(connection: Connection, node_id: str, server_ids: Sequence[str]) -> int:
    """
    What is left of deleted servers is to go, where nobody is at it.

    :return: how many tasks were ordered
    """
    for server_id in server_ids:
        record = read_server(connection, server_id)
        facts: dict[str, Any] = {
            "project_id": record.project_id,
            "resource": server_id,
            "node_id": node_id,
            "once": True,
        }
        submit(connection, DELETE, {"server_id": server_id}, **facts)
    return len(server_ids)
