# -*- test-case-name: tests.nodes.test_tokens -*-
"""
What lets one machine join, once: functions for ``Transactions.read`` and ``write``.

The database has the SHA-256 of a token's secret: who reads the database cannot join by what stands there.  A secret of
256 random bits needs no slow hash.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
import uuid
from collections.abc import Collection
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select, update

from cloudd.database import now_us, tables

from . import _rows
from ._errors import JoinRefused

_table = tables.node_token
_c = _table.c

#: The same words for a token that never was, is used, or too old: a guesser learns nothing from them.
REFUSED = "this token is not good: each is for one machine and one time; ask for a new one by `cloudctl node token`"


def make(connection: Connection, roles: Collection[str], valid_s: float, by: str) -> tuple[str, str]:
    """
    A new token.

    :return: its id and its secret
    """
    token_id, secret = uuid.uuid4().hex, secrets.token_hex(32)
    connection.execute(
        insert(_table).values(
            id=token_id,
            secret_hash=_hashed(secret),
            roles=json.dumps(sorted(roles)),
            made_by=by[:255],
            created_us=now_us(),
            expires_us=now_us() + int(valid_s * 1e6),
        )
    )
    _rows.note(connection, "node.token", "", "", by)
    return token_id, secret


def check(connection: Connection, token_id: str, secret: str) -> tuple[str, ...]:
    """
    Whether somebody may join by it; a read, before anything is done for who asks.

    :return: the roles of the node that joins
    :raises JoinRefused:
    """
    return tuple(json.loads(_good(connection, token_id, secret).roles))


def redeem(connection: Connection, token_id: str, secret: str, node_id: str, name: str, ends_us: int) -> str:
    """
    Use a token up and enter the node that it lets join, in one transaction: of two who come with it one is let in.

    :param ends_us: when the certificate ends that the node gets
    :return: who made the token
    :raises JoinRefused: it is used, too old or none
    :raises WrongNodeState: the name is taken; the token can be used again
    """
    row = _good(connection, token_id, secret)
    used = update(_table).where(_c.id == token_id, _c.used_us.is_(None)).values(used_us=now_us(), node_id=node_id)
    if connection.execute(used).rowcount != 1:
        raise JoinRefused(REFUSED)
    by = f"a token of {row.made_by}"
    if _rows.is_node(connection, node_id):  # it comes again
        _rows.note(connection, "node.joined", node_id, name, by)
    else:
        _rows.enter(connection, node_id, name, json.loads(row.roles), "joining", by)
    _rows.certified(connection, node_id, ends_us)
    made_by: str = row.made_by
    return made_by


def forget(connection: Connection, keep_s: float) -> int:
    """Delete tokens that ended longer ago; gives how many."""
    return connection.execute(delete(_table).where(_c.expires_us < now_us() - int(keep_s * 1e6))).rowcount


def _good(connection: Connection, token_id: str, secret: str) -> Row[Any]:
    query = select(_table, now_us().label("now_us")).where(_c.id == token_id)
    row = connection.execute(query).first()
    # One that is not there is compared as well: how long it takes tells nothing.
    is_right = hmac.compare_digest(row.secret_hash if row is not None else _hashed(""), _hashed(secret))
    if row is None or not is_right or row.used_us is not None or row.expires_us <= row.now_us:
        raise JoinRefused(REFUSED)
    return row


def _hashed(secret: str) -> str:
    return hashlib.sha256(secret.encode(errors="replace")).hexdigest()
