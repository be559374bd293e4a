# -*- test-case-name: tests.protocols.rest.compute -*-
"""
Who may do what with key pairs, flavors, server groups and quotas, as in Nova's own policies.

Key pairs are their user's.  Flavors, quotas and what is told of hosts are for administrators to change; a project reads
its own.  Server groups are the project's.  Roles imply weaker ones, so ``reader`` is given to members too.
"""

from __future__ import annotations

from cloudd.identity import Access

from ._errors import ComputeForbidden


def _refused(rule: str) -> ComputeForbidden:
    return ComputeForbidden(f"Policy doesn't allow os_compute_api:{rule} to be performed.")


def enforce_admin(access: Access, rule: str) -> None:
    """
    :param rule: as in Nova's policies, without ``os_compute_api:``
    :raises ComputeForbidden: it is for administrators
    """
    if not access.is_admin:
        raise _refused(rule)


def enforce_user(access: Access, user_id: str, rule: str) -> None:
    """
    :raises ComputeForbidden: it is another user's
    """
    if not access.is_admin and access.user_id != user_id:
        raise _refused(rule)


def enforce_read(access: Access, rule: str, project_id: str | None = None) -> None:
    """
    :param project_id: whose it is; None: of the project that asks
    :raises ComputeForbidden: it is another project's, or the token has no role in one
    """
    if access.is_admin:
        return
    own = access.project_id is not None and "reader" in access.role_names
    if not own or project_id not in (None, access.project_id):
        raise _refused(rule)


def enforce_write(access: Access, rule: str) -> None:
    """
    :raises ComputeForbidden: who asks may only read
    """
    if access.project_id is None or not (access.is_admin or "member" in access.role_names):
        raise _refused(rule)
