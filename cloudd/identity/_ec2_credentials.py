# -*- test-case-name: tests.identity -*-
"""EC2 credentials: access keys and secrets that sign S3 requests.  Secrets are stored sealed."""

from __future__ import annotations

from typing import Any

from attrs import frozen
from cryptography.fernet import InvalidToken as NotOpened
from sqlalchemy import Connection, Row, delete, insert, select

from cloudd.database import tables

from . import _checks, _facts, _revocation
from ._desk import Desk, new_id, page, require, require_in
from ._errors import Forbidden, IdentityUnavailable
from ._keys import KeyRing
from ._policy import Target, enforce
from ._values import Access, Ec2Credential, Page

_table = tables.ec2_credential


@frozen
class Ec2Credentials:
    """``identity.ec2_credentials``."""

    _desk: Desk

    async def create(self, access: Access, user_id: str, project_id: str) -> Ec2Credential:
        """
        Make one for a user on a project.

        :raises NotFound: there is no such user or project
        :raises Forbidden: for another user, with a restricted credential, or without a role on the project
        """
        _checks.identifier("tenant_id", project_id)
        enforce(access, "create_ec2_credential", Target(user_id=user_id))
        ring = await self._desk.credential_keys.ring()
        credential = Ec2Credential(access=new_id(), user_id=user_id, project_id=project_id, secret=new_id())
        sealed = ring.fernet.encrypt(credential.secret.encode()).decode()
        await self._desk.write(_create, access, credential, sealed, self._desk.now_us())
        return credential

    async def get(self, access: Access, user_id: str, access_key: str) -> Ec2Credential:
        enforce(access, "get_ec2_credential", Target(user_id=user_id))
        row = await self._desk.store.read(_one, access, "get_ec2_credential", user_id, access_key)
        return _opened(row, await self._desk.credential_keys.ring())

    async def list(
        self, access: Access, user_id: str, *, marker: str | None = None, limit: int | None = None
    ) -> Page[Ec2Credential]:
        """A user's credentials, with their secrets."""
        enforce(access, "list_ec2_credentials", Target(user_id=user_id))
        query = select(_table).where(_table.c.user_id == user_id)
        ring = await self._desk.credential_keys.ring()

        def record(row: Row[Any]) -> Ec2Credential:
            return _opened(row, ring)

        return await self._desk.store.read(page, query, _table.c.access, record, marker, _checks.limit(limit))

    async def delete(self, access: Access, user_id: str, access_key: str) -> None:
        """Delete it; within a second no signature with it is taken, and tokens got with it are refused."""
        enforce(access, "delete_ec2_credential", Target(user_id=user_id))
        await self._desk.write(_delete, access, user_id, access_key, self._desk.now_us())


def _create(connection: Connection, access: Access, one: Ec2Credential, sealed: str, now_us: int) -> None:
    action = "create_ec2_credential"
    require_in(connection, tables.user, access, action, "user", one.user_id)
    roles = _facts.roles_in_scope(connection, one.user_id, project_id=one.project_id)
    if not roles and not access.is_admin:
        raise Forbidden(action, "The user has no role on this project.")
    require_in(connection, tables.project, access, action, "project", one.project_id)
    connection.execute(
        insert(_table).values(
            access=one.access,
            user_id=one.user_id,
            project_id=one.project_id,
            sealed_secret=sealed,
            created_us=now_us,
        )
    )


def _one(connection: Connection, access: Access, action: str, user_id: str, access_key: str) -> Row[Any]:
    mine = select(_table).where(_table.c.access == access_key, _table.c.user_id == user_id)
    return require(connection, mine, access, action, "credential", access_key, Target(user_id=user_id))


def _delete(connection: Connection, access: Access, user_id: str, access_key: str, now_us: int) -> None:
    _one(connection, access, "delete_ec2_credential", user_id, access_key)
    _revocation.record(connection, now_us, refuse=[_revocation.ec2(access_key)])
    connection.execute(delete(_table).where(_table.c.access == access_key))


def _opened(row: Row[Any], ring: KeyRing) -> Ec2Credential:
    try:
        secret = ring.fernet.decrypt(row.sealed_secret).decode()
    except NotOpened:
        cause = f"the key that the secret of {row.access} was sealed with is missing: restore the key folder"
        raise IdentityUnavailable(cause) from None
    return Ec2Credential(access=row.access, user_id=row.user_id, project_id=row.project_id, secret=secret)
