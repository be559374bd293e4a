"""
The messages of joining, version 1, as JSON; and the names that certificates have.

Fields are only added, with defaults: a machine of the next release may join nodes of this one, and the other way round.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

#: The end of the names that say who somebody is.  ``AUTHORITY_NAME`` is in the certificates of nodes that let others
#: in: one that may not issue certificates cannot pose as one that may.
INTERNAL = ".cloudd.internal"
AUTHORITY_NAME = "authority.cloudd.internal"
_NODE_SUFFIX = ".node.cloudd.internal"

MAX_MESSAGE_BYTES = 65_536

ShortText = Annotated[str, msgspec.Meta(max_length=255)]
Pem = Annotated[str, msgspec.Meta(max_length=8_192)]


class JoinRequest(msgspec.Struct, frozen=True, kw_only=True):
    """
    A machine asks to become a node.

    ``request`` is a certificate signing request (PEM), of which nothing but the key counts; ``node_id`` is there
    where a node that has one asks again, since its certificate has ended.
    """

    token_id: ShortText
    secret: ShortText
    name: ShortText
    request: Pem
    version: ShortText = ""
    node_id: ShortText = ""


class JoinAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """
    It is a node from now on.

    ``settings`` by table and key, as a settings file has them; ``secrets`` are key files by their path below the
    folder of secrets; ``database_password`` is empty where none is needed, or none is known, and likewise
    ``broker_password`` and ``broker_authority``, whose certificates (PEM) the brokers have.
    """

    node_id: str
    name: str
    roles: list[str]
    certificate: str
    authority: str
    settings: dict[str, dict[str, str]] = {}
    secrets: dict[str, str] = {}
    database_password: str = ""
    broker_password: str = ""
    broker_authority: str = ""


class RenewRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A node, which its certificate names, asks for its next one."""

    request: Pem


class RenewAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The next certificate."""

    certificate: str
    authority: str


class AuthorityAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The authority's certificate; whoever asks compares it with the fingerprint that it has."""

    authority: str


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """Why not."""

    cause: str


def node_name(node_id: str) -> str:
    """The host name that a node has in its certificate."""
    return f"{node_id}{_NODE_SUFFIX}"


def node_of(name: str) -> str:
    """The id of the node with that host name; empty: it is none."""
    node_id = name.removesuffix(_NODE_SUFFIX)
    return node_id if node_id != name and "." not in node_id else ""
