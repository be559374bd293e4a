# -*- test-case-name: tests.protocols.rest.network.test_quotas -*-
"""
How many networks, subnets, ports, security groups and rules a project may have.

What is counted is what there is, in the transaction that adds more, and one transaction writes at a time in the whole
cloud (``cloudd.database``): however many ask at once, none gets past the limit.  A limit below what a project has takes
nothing away.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from attrs import define, field
from sqlalchemy import Connection, Table, delete, func, insert, select

from cloudd.database import tables
from cloudd.identity import Access

from . import _policy
from ._errors import BadNetworkValue, NetworkConflict, NetworkForbidden

UNLIMITED: Final = -1
MAX_LIMIT: Final = 2**31 - 1
MAX_ID: Final = 64

#: Resource -> limit of a project for which nobody has said another.  Of the last three ten times Neutron's: a rule
#: costs little here however many ports it is for, and a request may ask for 1,000 servers.
DEFAULTS: Mapping[str, int] = {
    "network": 100,
    "subnet": 100,
    "port": 5_000,
    "security_group": 100,
    "security_group_rule": 1_000,
}
_TABLES: Mapping[str, Table] = {
    "network": tables.network,
    "subnet": tables.subnet,
    "port": tables.port,
    "security_group": tables.security_group,
    "security_group_rule": tables.security_rule,
}
_quotas = tables.network_quota


@define(eq=False)
class Room:
    """
    What projects may add in one transaction: counted once of each kind, however many it adds.  Each transaction, also
    one that is done again, makes its own.
    """

    _left: dict[tuple[str, str], int | None] = field(init=False, factory=dict)  # None: there is no limit

    def take(self, connection: Connection, resource: str, project_id: str) -> None:
        """
        Call before each row is added, in the transaction that adds it.

        :raises NetworkConflict: ``OverQuota``
        """
        key = resource, project_id
        if key not in self._left:
            limit = _limits(connection, project_id)[resource]
            self._left[key] = None if limit == UNLIMITED else limit - _used(connection, resource, project_id)
        left = self._left[key]
        if left is None:
            return
        if left < 1:
            raise NetworkConflict("OverQuota", f"Quota exceeded for resources: ['{resource}'].")
        self._left[key] = left - 1


def quota_of(connection: Connection, access: Access, project_id: str) -> dict[str, int]:
    """
    The limits of a project; -1: there is none.

    :raises NetworkForbidden: it is another project
    """
    _enforce_own(access, project_id)
    return _limits(connection, project_id)


def quota_details(connection: Connection, access: Access, project_id: str) -> dict[str, tuple[int, int]]:
    """
    Limit and use of each resource.

    :raises NetworkForbidden: it is another project
    """
    limits = quota_of(connection, access, project_id)
    return {name: (limit, _used(connection, name, project_id)) for name, limit in limits.items()}


def all_quotas(connection: Connection, access: Access) -> dict[str, dict[str, int]]:
    """
    The limits of projects that have some of their own.

    :raises NetworkForbidden: who asks is no administrator
    """
    _policy.enforce_admin(access, "get_quota")
    found: dict[str, dict[str, int]] = {}
    for row in connection.execute(select(_quotas).order_by(_quotas.c.project_id)):
        limits = found.setdefault(row.project_id, dict(DEFAULTS))
        if row.resource in DEFAULTS:
            limits[row.resource] = row.most
    return found


def set_quota(
    connection: Connection, access: Access, project_id: str, limits: Mapping[str, int], *, checks: bool = False
) -> dict[str, int]:
    """
    Other limits of a project; those that are not named stay.

    :param checks: refuse limits below what the project has
    :raises BadNetworkValue: an id or a resource that is none, a number out of range, or less than there is
    :raises NetworkForbidden: who asks is no administrator
    """
    _policy.enforce_admin(access, "update_quota")
    if not 1 <= len(project_id) <= MAX_ID:
        raise BadNetworkValue(f"Invalid input for project_id: expected 1 to {MAX_ID} characters.")
    for resource, limit in limits.items():
        if resource not in DEFAULTS:
            raise BadNetworkValue(f"Unrecognized attribute(s) '{resource[:60]}': known are {', '.join(DEFAULTS)}.")
        if not UNLIMITED <= limit <= MAX_LIMIT:
            raise BadNetworkValue(
                f"Invalid input for {resource}: expected -1 (no limit) to {MAX_LIMIT}, got {str(limit)[:40]}."
            )
        if checks and limit != UNLIMITED and (used := _used(connection, resource, project_id)) > limit:
            raise BadNetworkValue(
                f"Quota limit exceeded: {resource} cannot be {limit}, the project has {used}.", "QuotaExceeded"
            )
        mine = _quotas.c.project_id == project_id, _quotas.c.resource == resource
        connection.execute(delete(_quotas).where(*mine))
        connection.execute(insert(_quotas).values(project_id=project_id, resource=resource, most=limit))
    return _limits(connection, project_id)


def reset_quota(connection: Connection, access: Access, project_id: str) -> None:
    """
    The default limits again.

    :raises NetworkForbidden: who asks is no administrator
    """
    _policy.enforce_admin(access, "delete_quota")
    forget_quota(connection, project_id)


def forget_quota(connection: Connection, project_id: str) -> None:
    """The project is being deleted, in this transaction."""
    connection.execute(delete(_quotas).where(_quotas.c.project_id == project_id))


def _limits(connection: Connection, project_id: str) -> dict[str, int]:
    own = connection.execute(select(_quotas.c.resource, _quotas.c.most).where(_quotas.c.project_id == project_id))
    return {**DEFAULTS, **{row.resource: row.most for row in own if row.resource in DEFAULTS}}


def _used(connection: Connection, resource: str, project_id: str) -> int:
    table = _TABLES[resource]
    count = select(func.count()).select_from(table).where(table.c.project_id == project_id)
    return connection.execute(count).scalar() or 0


def _enforce_own(access: Access, project_id: str) -> None:
    _policy.enforce_read(access)
    if not _policy.owns(access, project_id):
        raise NetworkForbidden("(rule:get_quota) is disallowed by policy: it is another project's.")
