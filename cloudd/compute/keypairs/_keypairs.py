# -*- test-case-name: tests.protocols.rest.compute.test_keypairs -*-
"""Key pairs: functions with a ``sqlalchemy.Connection``, rights included.  Each user has its own names."""

from __future__ import annotations

import secrets
import string

from sqlalchemy import Connection, delete, insert, select

from cloudd.database import now_us, tables
from cloudd.identity import Access

from .. import _policy
from .._errors import BadComputeValue, ComputeConflict, NoSuchRecord, QuotaExceeded
from .._facts import Keypair
from ..quotas._limits import limits_of

_table = tables.keypair
_c = _table.c
_SAFE = frozenset(string.ascii_letters + string.digits + "_- ")


def enforce_create(access: Access, user_id: str) -> None:
    """
    Before a key is made, which takes its time.

    :raises ComputeForbidden: for another user only administrators make one
    """
    _policy.enforce_user(access, user_id, "os-keypairs:create")


def checked_name(name: str) -> None:
    """
    :raises BadComputeValue: it has other characters than letters, digits, ``_``, ``-`` and blanks
    """
    if not 1 <= len(name) <= 255:
        raise BadComputeValue(
            "Keypair data is invalid: Keypair name must be string and between 1 and 255 characters long"
        )
    if not _SAFE.issuperset(name):
        raise BadComputeValue("Keypair data is invalid: Keypair name contains unsafe characters")


def check_new(connection: Connection, access: Access, user_id: str, name: str) -> None:
    """
    Whether there could be a new one now; ``create_keypair`` looks again.

    :raises ComputeForbidden: for another user only administrators make one
    :raises BadComputeValue: of the name
    :raises ComputeConflict: the user has one of that name
    :raises QuotaExceeded: the user has as many as it may
    """
    enforce_create(access, user_id)
    checked_name(name)
    names = set(connection.execute(select(_c.name).where(_c.user_id == user_id)).scalars())
    limit = limits_of(connection, access.project_id or "", user_id)["key_pairs"]
    if 0 <= limit <= len(names):
        raise QuotaExceeded("Quota exceeded, too many key pairs.", "key_pairs")
    if name in names:
        raise ComputeConflict(f"Key pair '{name}' already exists.")


def create_keypair(connection: Connection, access: Access, wanted: Keypair) -> Keypair:
    """
    :raises ComputeError: as ``check_new`` has it
    """
    check_new(connection, access, wanted.user_id, wanted.name)
    connection.execute(
        insert(_table).values(
            user_id=wanted.user_id,
            name=wanted.name,
            number=1 + secrets.randbelow(2**31 - 1),
            type=wanted.type,
            fingerprint=wanted.fingerprint,
            public_key=wanted.public_key,
            created_us=now_us(),
        )
    )
    return one_keypair(connection, access, wanted.user_id, wanted.name)


def one_keypair(connection: Connection, access: Access, user_id: str, name: str) -> Keypair:
    """
    :raises NoSuchRecord:
    """
    _policy.enforce_user(access, user_id, "os-keypairs:show")
    row = connection.execute(select(_table).where(_c.user_id == user_id, _c.name == name)).first()
    if row is None:
        raise _missing(user_id, name)
    return Keypair(**row._mapping)


def listed_keypairs(
    connection: Connection, access: Access, user_id: str, marker: str = "", limit: int | None = None
) -> list[Keypair]:
    """
    By name.

    :param marker: the name before the first of the page; empty: it is the first page
    :raises BadComputeValue: the marker is none of them
    """
    _policy.enforce_user(access, user_id, "os-keypairs:index")
    query = select(_table).where(_c.user_id == user_id).order_by(_c.name)
    if marker:
        if connection.execute(select(_c.name).where(_c.user_id == user_id, _c.name == marker)).first() is None:
            raise BadComputeValue(f"Marker {marker[:255]} could not be found.")
        query = query.where(_c.name > marker)
    return [Keypair(**row._mapping) for row in connection.execute(query.limit(limit))]


def drop_keypair(connection: Connection, access: Access, user_id: str, name: str) -> None:
    """
    :raises NoSuchRecord:
    """
    _policy.enforce_user(access, user_id, "os-keypairs:delete")
    if connection.execute(delete(_table).where(_c.user_id == user_id, _c.name == name)).rowcount == 0:
        raise _missing(user_id, name)


def _missing(user_id: str, name: str) -> NoSuchRecord:
    return NoSuchRecord(f"Keypair {name[:255]} not found for user {user_id[:64]}")
