# -*- test-case-name: tests.protocols.rest.compute.test_quotas -*-
"""Quotas as operators read and set them: functions with a ``sqlalchemy.Connection``, rights included."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import frozen
from sqlalchemy import Connection

from cloudd.identity import Access

from .. import _policy
from .._errors import BadComputeValue
from ._limits import DEFAULT_CLASS, DEFAULTS, UNLIMITED, forget_limits, limits_of, set_limits
from ._shares import used_by


@frozen
class Quota:
    """
    What a project or a user may have, and has.

    :ivar limits: resource -> limit; -1: none
    """

    limits: Mapping[str, int]
    used: Mapping[str, int]


def quota_of(connection: Connection, access: Access, project_id: str, user_id: str = "") -> Quota:
    """
    :param user_id: empty: of the project
    :raises ComputeForbidden: it is another project's
    """
    _policy.enforce_read(access, "os-quota-sets:show", project_id)
    return Quota(limits_of(connection, project_id, user_id), used_by(connection, project_id, user_id))


def default_limits(connection: Connection) -> dict[str, int]:
    """What a project has for which nothing was set."""
    return limits_of(connection)


def set_quota(
    connection: Connection, access: Access, project_id: str, user_id: str, limits: Mapping[str, int], *, force: bool
) -> Quota:
    """
    :param force: also below what is in use, or above what the project has
    :raises BadComputeValue: a limit is below what is in use, or a user's is above the project's
    """
    _policy.enforce_admin(access, "os-quota-sets:update")
    before = quota_of(connection, access, project_id, user_id)
    most = limits_of(connection, project_id) if user_id else dict.fromkeys(DEFAULTS, UNLIMITED)
    for resource, limit in limits.items():
        if not force:
            _enforce_between(resource, limit, before.used[resource], most[resource])
    set_limits(connection, project_id, user_id, limits)
    return quota_of(connection, access, project_id, user_id)


def _enforce_between(resource: str, limit: int, least: int, most: int) -> None:
    if limit != UNLIMITED and limit < least:
        raise BadComputeValue(
            f"Quota limit {limit} for {resource} must be greater than or equal to already used and reserved {least}."
        )
    if most != UNLIMITED and (limit == UNLIMITED or limit > most):
        raise BadComputeValue(f"Quota limit {limit} for {resource} must be less than or equal to {most}.")


def reset_quota(connection: Connection, access: Access, project_id: str, user_id: str = "") -> None:
    """The defaults hold again."""
    _policy.enforce_admin(access, "os-quota-sets:delete")
    forget_limits(connection, project_id, user_id)


def class_limits(connection: Connection, access: Access) -> dict[str, int]:
    """
    Of class ``default``, the only one that has an effect.

    :raises ComputeForbidden: it is for administrators
    """
    _policy.enforce_admin(access, "os-quota-class-sets:show")
    return limits_of(connection)


def set_class(connection: Connection, access: Access, name: str, limits: Mapping[str, int]) -> dict[str, int]:
    """What a class is to have from now on."""
    _policy.enforce_admin(access, "os-quota-class-sets:update")
    if name != DEFAULT_CLASS:
        raise BadComputeValue(f"Quota class {name[:60]} has no effect: set those of class {DEFAULT_CLASS}.")
    set_limits(connection, "", "", limits)
    return class_limits(connection, access)
