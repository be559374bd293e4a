# -*- test-case-name: tests.protocols.rest.network.test_records -*-
"""
Who may do what with networks, subnets, ports and security groups, as in Neutron's own policies.

Administrators may everything.  A project has what is its own; it sees networks that are shared or external, and their
subnets.  What is on a shared network is the project's that made it.
"""

from __future__ import annotations

from sqlalchemy import ColumnElement, literal, or_, select

from cloudd.database import tables
from cloudd.identity import Access

from ._errors import NetworkForbidden
from ._rows import NETWORK, SUBNET, Form


def owns(access: Access, project_id: str) -> bool:
    """Whether something of that project is of who asks, or may be changed as if it were."""
    return access.is_admin or (access.project_id is not None and access.project_id == project_id)


def enforce_read(access: Access) -> None:
    """
    :raises NetworkForbidden: the token has no role in a project
    """
    if not access.is_admin and (access.project_id is None or "reader" not in access.role_names):
        raise NetworkForbidden("You need a role in a project to look at networks.")


def enforce_write(access: Access) -> None:
    """
    :raises NetworkForbidden: who asks may only read
    """
    if not access.is_admin and (access.project_id is None or "member" not in access.role_names):
        raise NetworkForbidden("You need the role member in a project to make or change networks.")


def enforce_admin(access: Access, action: str) -> None:
    """
    :param action: as in Neutron's policies, ``create_network:shared``
    :raises NetworkForbidden: it is for administrators
    """
    if not access.is_admin:
        raise NetworkForbidden(f"(rule:{action} and rule:{action.partition(':')[0]}) is disallowed by policy")


def seen(form: Form, access: Access) -> ColumnElement[bool]:
    """Which rows of a kind who asks may know of."""
    columns, networks = form.table.c, tables.network.c
    if access.is_admin:
        return literal(True)
    own = columns.project_id == (access.project_id or "")
    common = or_(networks.shared, networks.external)
    if form is NETWORK:
        return or_(own, common)
    if form is SUBNET:
        return or_(own, columns.network_id.in_(select(networks.id).where(common)))
    return own
