# -*- test-case-name: tests.compute.test_quotas -*-
"""
How much a project, a user in it, and everybody may have: what operators have set, else what stands here.

A limit of -1 is none at all.  Limits are read in the transaction that needs them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from sqlalchemy import Connection, and_, delete, insert, or_, select

from cloudd.database import tables

UNLIMITED: Final = -1

#: Resource -> limit, where nothing else was set.  RAM is MiB, contents are bytes.
DEFAULTS: Final[dict[str, int]] = {
    "instances": 10,
    "cores": 20,
    "ram": 51_200,
    "floating_ips": UNLIMITED,
    "fixed_ips": UNLIMITED,
    "metadata_items": 128,
    "injected_files": 5,
    "injected_file_content_bytes": 10_240,
    "injected_file_path_bytes": 255,
    "security_groups": UNLIMITED,
    "security_group_rules": UNLIMITED,
    "key_pairs": 100,
    "server_groups": 10,
    "server_group_members": 10,
}
#: The class whose limits hold for all projects that have none of their own.
DEFAULT_CLASS: Final = "default"

_c = tables.compute_limit.c


def limits_of(connection: Connection, project_id: str = "", user_id: str = "") -> dict[str, int]:
    """
    What holds: the user's, else the project's, else everybody's.

    :param project_id: empty: what holds for everybody
    :param user_id: empty: what holds for the project
    """
    owners = list(dict.fromkeys([("", ""), (project_id, ""), (project_id, user_id)]))
    which = or_(*(and_(_c.project_id == project, _c.user_id == user) for project, user in owners))
    found: dict[tuple[str, str], dict[str, int]] = {owner: {} for owner in owners}
    for row in connection.execute(select(tables.compute_limit).where(which)):
        found[row.project_id, row.user_id][row.resource] = row.value
    weakest_first = [limits for owner in owners for limits in found[owner].items()]
    return DEFAULTS | {resource: value for resource, value in weakest_first if resource in DEFAULTS}


def own_limits(connection: Connection, project_id: str, user_id: str = "") -> dict[str, int]:
    """What was set for this one itself."""
    rows = connection.execute(select(_c.resource, _c.value).where(_c.project_id == project_id, _c.user_id == user_id))
    return {resource: value for resource, value in rows if resource in DEFAULTS}


def set_limits(connection: Connection, project_id: str, user_id: str, limits: Mapping[str, int]) -> None:
    """These; all others stay as they are."""
    for resource, value in limits.items():
        same = (_c.project_id == project_id, _c.user_id == user_id, _c.resource == resource)
        connection.execute(delete(tables.compute_limit).where(*same))
        row = {"project_id": project_id, "user_id": user_id, "resource": resource, "value": value}
        connection.execute(insert(tables.compute_limit).values(**row))


def forget_limits(connection: Connection, project_id: str, user_id: str = "") -> None:
    """What was set for the project and its users, or for one of them, holds no longer."""
    which = [_c.project_id == project_id]
    if user_id:
        which.append(_c.user_id == user_id)
    connection.execute(delete(tables.compute_limit).where(*which))
