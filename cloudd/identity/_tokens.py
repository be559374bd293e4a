# -*- test-case-name: tests.identity.test_tokens -*-
"""
What a token says, and how it is sealed: a Fernet token without padding around a short MessagePack list.

A token names its user and scope but no role: roles are looked up when it is verified, so a change of roles counts at
once.  The list begins with the version of its layout; a future layout gets a new number and this one stays readable
for the lifetime of a token.  Pure: keys and times are arguments.
"""

from __future__ import annotations

import base64
import re
import uuid

import msgspec
from attrs import field, frozen
from cryptography.fernet import InvalidToken as NotOpened

from ._errors import InvalidToken
from ._keys import KeyRing

VERSION = 1
METHODS = ("password", "token", "application_credential", "ec2credential")  # append only: stored as bits
MAX_LENGTH = 1024
_FORM = re.compile(r"[A-Za-z0-9_-]{60,1024}")
_PROJECT, _DOMAIN, _NONE = 1, 2, 0
_OTHER_LAYOUT = "the token has a layout that this release does not read; log in again"
_MALFORMED = "the token is malformed or was not issued here"


@frozen(kw_only=True)
class TokenFacts:
    """The content of a token.  Times are microseconds since the epoch."""

    user_id: str
    methods: tuple[str, ...]
    audit_ids: tuple[str, ...]
    issued_at: int
    expires_at: int
    project_id: str | None = None
    domain_id: str | None = None
    application_credential_id: str | None = None
    ec2_access: str | None = field(default=None, repr=False)
    seen: int = 0  # the newest event of `_revocation` that was considered when it was issued


class _Layout(msgspec.Struct, array_like=True, frozen=True):
    """The list inside a token.  Members may be added at the end, with a default, without a new version."""

    version: int
    user_id: bytes
    scope: int
    scope_id: bytes
    methods: int
    issued_at: int
    expires_at: int
    audit_ids: list[bytes]
    application_credential_id: bytes
    ec2_access: bytes
    seen: int


_DECODER = msgspec.msgpack.Decoder(_Layout)


def new_audit_id() -> str:
    """22 characters of urlsafe base64, as Keystone's."""
    return _audit_text(uuid.uuid4().bytes)


def seal(facts: TokenFacts, ring: KeyRing, now_s: int) -> str:
    """The token for ``facts``."""
    scope = _PROJECT if facts.project_id else _DOMAIN if facts.domain_id else _NONE
    content = _Layout(
        VERSION,
        _short(facts.user_id),
        scope,
        _short(facts.project_id or facts.domain_id or ""),
        sum(1 << METHODS.index(method) for method in facts.methods),
        facts.issued_at,
        facts.expires_at,
        [_audit_bytes(audit_id) for audit_id in facts.audit_ids],
        _short(facts.application_credential_id or ""),
        _short(facts.ec2_access or ""),
        facts.seen,
    )
    return ring.fernet.encrypt_at_time(msgspec.msgpack.encode(content), now_s).decode().rstrip("=")


class NotOpenedByAnyKey(InvalidToken):
    """It has a token's form, but no key of this ring opens it: perhaps a newer one does."""


def unseal(token: str, ring: KeyRing) -> TokenFacts:
    """
    What ``token`` says; whether it still holds is for others to find out.

    :raises NotOpenedByAnyKey: perhaps the ring is too old
    :raises InvalidToken: malformed
    """
    if not _FORM.fullmatch(token):
        raise InvalidToken(_MALFORMED)
    try:
        content = _DECODER.decode(ring.fernet.decrypt(token + "=" * (-len(token) % 4)))
    except NotOpened:
        raise NotOpenedByAnyKey(_MALFORMED) from None
    except msgspec.MsgspecError:
        raise InvalidToken(_OTHER_LAYOUT) from None
    if content.version != VERSION:
        raise InvalidToken(_OTHER_LAYOUT)
    scope_id = _long(content.scope_id)
    return TokenFacts(
        user_id=_long(content.user_id),
        methods=tuple(method for bit, method in enumerate(METHODS) if content.methods >> bit & 1),
        audit_ids=tuple(_audit_text(audit) for audit in content.audit_ids),
        issued_at=content.issued_at,
        expires_at=content.expires_at,
        project_id=scope_id if content.scope == _PROJECT else None,
        domain_id=scope_id if content.scope == _DOMAIN else None,
        application_credential_id=_long(content.application_credential_id) or None,
        ec2_access=_long(content.ec2_access) or None,
        seen=content.seen,
    )


_HEX, _TEXT = b"h", b"t"


def _short(identifier: str) -> bytes:
    """17 bytes for 32 lower-case hex digits, else the text itself, each with a mark before it."""
    if len(identifier) == 32:
        try:
            data = bytes.fromhex(identifier)
        except ValueError:
            return _TEXT + identifier.encode()
        if data.hex() == identifier:
            return _HEX + data
    return _TEXT + identifier.encode()


def _long(identifier: bytes) -> str:
    return identifier[1:].hex() if identifier[:1] == _HEX else identifier[1:].decode()


def _audit_bytes(audit_id: str) -> bytes:
    return base64.urlsafe_b64decode(audit_id + "==")


def _audit_text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
