# -*- test-case-name: tests.compute.test_gone -*-
"""
What goes with a project and with a user, in the transaction that deletes them.

Shares of servers stay as long as they tell what was used, and so do flavors.
"""

from __future__ import annotations

from sqlalchemy import Connection, delete

from cloudd.database import tables

from .quotas._limits import forget_limits
from .quotas._shares import forget_old_shares


def forget_project(connection: Connection, project_id: str) -> None:
    """Its limits and those of users in it, what private flavors it could use, its server groups; safe to call again."""
    forget_limits(connection, project_id)
    for table in (tables.flavor_access, tables.server_group):
        connection.execute(delete(table).where(table.c.project_id == project_id))
    forget_old_shares(connection)


def forget_user(connection: Connection, user_id: str) -> None:
    """Its key pairs, and its limits in each project; safe to call again."""
    for table in (tables.keypair, tables.compute_limit):
        connection.execute(delete(table).where(table.c.user_id == user_id))
