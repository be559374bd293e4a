# -*- test-case-name: tests.identity.test_bootstrap -*-
"""
What a new cloud begins with: the default domain, roles, two projects with a user each, and an EC2 key.

All of it is one transaction, made when there is no domain yet.  The passwords exist in clear nowhere but in
``SECRETS/first-login.json``, which is on disk before that transaction and stays until ``first_login_kept`` says that
they are in ``clouds.yaml``: a kill at any moment leaves no cloud that nobody can log in to.
"""

from __future__ import annotations

import itertools
import json
import os
import secrets as randomness
import time
import uuid
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, insert, select

from cloudd.database import tables
from cloudd.interfaces.application import Transactions
from cloudd.interfaces.settings import Settings

from ._keys import CREDENTIALS, TOKENS, KeyRing, create_keys, load_keys
from ._passwords import hash_secret
from ._store import Store

DEFAULT_DOMAIN = "default"
ROLES = ("admin", "manager", "member", "reader")  # each implies the next
FIRST_LOGIN = "first-login.json"
_NAMESPACE = uuid.UUID("6f3d7a0e-1c53-4f4e-9a55-5d1b9d2f7c11")


def role_id(name: str) -> str:
    """The id of one of ``ROLES``: the same in every cloud."""
    return uuid.uuid5(_NAMESPACE, f"role:{name}").hex


async def bootstrap(database: Transactions, settings: Settings, secrets: Path) -> dict[str, str]:
    """
    Make the keys and, in an empty database, the first records.  Safe to call at every start.

    :param secrets: the folder of key files; exists
    :return: on the first start, and until ``first_login_kept``: ``admin_password``, ``demo_password``,
        ``ec2_access``, ``ec2_secret``, ``admin_project_id``, ``demo_project_id``, ``admin_user_id``,
        ``demo_user_id``, ``domain_id``, ``region``; later an empty dict
    :raises IdentityUnavailable: the database cannot be written
    """
    return await Store(database).write(_bootstrap, settings.identity.region, secrets)


def first_login_kept(secrets: Path) -> None:
    """The first passwords are kept elsewhere now: forget them.  Blocks; safe to call again."""
    (secrets / FIRST_LOGIN).unlink(missing_ok=True)


def _bootstrap(connection: Connection, region: str, secrets: Path) -> dict[str, str]:
    for folder in (TOKENS, CREDENTIALS):
        create_keys(secrets / folder)
    kept = _read(secrets / FIRST_LOGIN)
    if connection.execute(select(tables.domain.c.id).limit(1)).first() is not None:
        return kept
    if not kept:
        kept = _first_login(region)
        _write(secrets / FIRST_LOGIN, kept)
    _fill(connection, kept, load_keys(secrets / CREDENTIALS), time.time_ns() // 1000)
    return kept


def _first_login(region: str) -> dict[str, str]:
    ids = ("admin_project_id", "demo_project_id", "admin_user_id", "demo_user_id")
    return {
        "admin_password": randomness.token_hex(12),
        "demo_password": randomness.token_hex(12),
        "ec2_access": uuid.uuid4().hex,
        "ec2_secret": uuid.uuid4().hex,
        **{name: uuid.uuid4().hex for name in ids},
        "domain_id": DEFAULT_DOMAIN,
        "region": region,
    }


def _fill(connection: Connection, login: dict[str, str], keys: KeyRing, now: int) -> None:
    def add(table: Any, **values: Any) -> None:
        connection.execute(insert(table).values(**values))

    add(tables.domain, id=DEFAULT_DOMAIN, name="Default", description="The default domain", created_us=now)
    for name in ROLES:
        add(tables.role, id=role_id(name), name=name, created_us=now)
    for prior, implied in itertools.pairwise(ROLES):
        add(tables.implied_role, prior_id=role_id(prior), implied_id=role_id(implied))
    for name in ("admin", "demo"):
        project_id, user_id = login[f"{name}_project_id"], login[f"{name}_user_id"]
        hashed = hash_secret(login[f"{name}_password"])
        add(tables.project, id=project_id, name=name, domain_id=DEFAULT_DOMAIN, created_us=now)
        add(
            tables.user, id=user_id, name=name, domain_id=DEFAULT_DOMAIN, default_project_id=project_id,
            password_hash=hashed, created_us=now,
        )  # fmt: skip
    admin, demo = login["admin_user_id"], login["demo_user_id"]
    add(tables.project_role, user_id=admin, project_id=login["admin_project_id"], role_id=role_id("admin"))
    add(tables.domain_role, user_id=admin, domain_id=DEFAULT_DOMAIN, role_id=role_id("admin"))
    add(tables.project_role, user_id=demo, project_id=login["demo_project_id"], role_id=role_id("member"))
    add(
        tables.ec2_credential, access=login["ec2_access"], user_id=demo, project_id=login["demo_project_id"],
        sealed_secret=keys.fernet.encrypt(login["ec2_secret"].encode()).decode(), created_us=now,
    )  # fmt: skip


def _read(file: Path) -> dict[str, str]:
    try:
        kept: dict[str, str] = json.loads(file.read_text())
    except FileNotFoundError:
        return {}
    return kept


def _write(file: Path, content: dict[str, str]) -> None:
    fresh = file.with_name(f".{file.name}-{os.getpid()}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w") as target:
        json.dump(content, target)
        target.flush()
        os.fsync(target.fileno())
    fresh.replace(file)
    folder = os.open(file.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    os.fsync(folder)
    os.close(folder)
