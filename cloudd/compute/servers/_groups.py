# -*- test-case-name: tests.protocols.rest.compute.test_groups -*-
"""Server groups: functions with a ``sqlalchemy.Connection``, rights included."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select

from cloudd.database import now_us, tables
from cloudd.identity import Access

from .. import _policy
from .._errors import BadComputeValue, NoSuchRecord, QuotaExceeded
from .._facts import ANTI_AFFINITY, ServerGroup
from ..quotas._limits import UNLIMITED, limits_of
from ..quotas._shares import used_by

_table, _members = tables.server_group, tables.server_group_member
_c = _table.c
_CHUNK = 500


def create_group(connection: Connection, access: Access, wanted: ServerGroup) -> ServerGroup:
    """
    :param wanted: its project and user are those that ask
    :raises QuotaExceeded: the project or the user has as many as it may
    """
    _policy.enforce_write(access, "os-server-groups:create")
    if wanted.max_per_host is not None and wanted.policy != ANTI_AFFINITY:
        raise BadComputeValue("Only anti-affinity policy supports rules.")
    project_id = access.project_id or ""
    for owner in ("", access.user_id):
        limit = limits_of(connection, project_id, owner)["server_groups"]
        if limit != UNLIMITED and used_by(connection, project_id, owner)["server_groups"] >= limit:
            raise QuotaExceeded("Quota exceeded, too many server groups.", "server_groups")
    group_id = str(uuid.uuid4())
    connection.execute(
        insert(_table).values(
            id=group_id,
            project_id=project_id,
            user_id=access.user_id,
            name=wanted.name,
            policy=wanted.policy,
            max_per_host=wanted.max_per_host,
            created_us=now_us(),
        )
    )
    return one_group(connection, access, group_id)


def one_group(connection: Connection, access: Access, group_id: str) -> ServerGroup:
    """
    :raises NoSuchRecord: also where it is another project's
    """
    _policy.enforce_read(access, "os-server-groups:show")
    row = connection.execute(select(_table).where(_c.id == group_id)).first()
    if row is None or not (access.is_admin or row.project_id == access.project_id):
        raise NoSuchRecord(f"Instance group {group_id[:64]} could not be found.")
    return _complete(connection, [row])[0]


def listed_groups(
    connection: Connection, access: Access, *, everyone: bool = False, offset: int = 0, limit: int | None = None
) -> list[ServerGroup]:
    """
    Oldest first.

    :param everyone: of all projects; for administrators
    """
    rule = "os-server-groups:index"
    _policy.enforce_read(access, rule)
    query = select(_table).order_by(_c.created_us, _c.id).offset(offset).limit(limit)
    if everyone:
        _policy.enforce_admin(access, f"{rule}:all_projects")
    else:
        query = query.where(_c.project_id == (access.project_id or ""))
    return _complete(connection, connection.execute(query).all())


def drop_group(connection: Connection, access: Access, group_id: str) -> None:
    """
    Its servers stay.

    :raises NoSuchRecord:
    """
    _policy.enforce_write(access, "os-server-groups:delete")
    one_group(connection, access, group_id)
    connection.execute(delete(_table).where(_c.id == group_id))


def join_group(connection: Connection, access: Access, group_id: str, server_ids: Sequence[str]) -> ServerGroup:
    """
    Servers that are made now are of this group.

    :raises NoSuchRecord:
    :raises QuotaExceeded: it would have too many
    """
    group = one_group(connection, access, group_id)
    limit = limits_of(connection, group.project_id, access.user_id)["server_group_members"]
    if limit != UNLIMITED and len(group.members) + len(server_ids) > limit:
        raise QuotaExceeded("Quota exceeded, too many servers in group", "server_group_members")
    if server_ids:
        connection.execute(insert(_members), [{"group_id": group_id, "server_id": each} for each in server_ids])
    return one_group(connection, access, group_id)


def leave_groups(connection: Connection, server_id: str) -> None:
    """The server is gone; safe to call again."""
    connection.execute(delete(_members).where(_members.c.server_id == server_id))


def group_of(connection: Connection, server_id: str) -> str | None:
    """Id of the server's group; None: it has none."""
    query = select(_members.c.group_id).where(_members.c.server_id == server_id)
    found: str | None = connection.execute(query).scalar()
    return found


def groups_of(connection: Connection, server_ids: Sequence[str]) -> dict[str, str]:
    """The same of many: server -> group; those that have none are left out."""
    found: dict[str, str] = {}
    for start in range(0, len(server_ids), _CHUNK):
        query = select(_members).where(_members.c.server_id.in_(server_ids[start : start + _CHUNK]))
        found |= {server_id: group_id for group_id, server_id in connection.execute(query)}
    return found


def _complete(connection: Connection, rows: Sequence[Row[Any]]) -> list[ServerGroup]:
    found: list[ServerGroup] = []
    for start in range(0, len(rows), _CHUNK):
        chunk = [dict(row._mapping) for row in rows[start : start + _CHUNK]]
        members: dict[str, list[str]] = {each["id"]: [] for each in chunk}
        query = select(_members).where(_members.c.group_id.in_(members)).order_by(_members.c.server_id)
        for group_id, server_id in connection.execute(query):
            members[group_id].append(server_id)
        found += [ServerGroup(**each, members=tuple(members[each["id"]])) for each in chunk]
    return found
