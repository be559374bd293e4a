"""
What a machine that joins a cloud and a node that lets it in say to each other, and what the machine keeps.

On the machine, with ``TOKEN`` from ``cloudctl node token``; blocks::

    folder = NodeFolder(state)
    folder.check_free()
    join(JoinToken.read(text), folder, name="node-2", version="0.1.0")

``cloudctl`` uses this without a daemon, ``cloudd.nodes`` answers, ``cloudd.protocols.nodes`` has the listener
between.  Version 1: ``GET /v1/authority`` gives the authority's certificate to anybody; ``POST /v1/join`` takes a
``JoinRequest`` with a token; ``POST /v1/renew`` takes a ``RenewRequest`` over mutual TLS.  ``docs/nodes.md`` has the
whole.
"""

from ._client import JoinFailed, join, renew
from ._folder import NodeFolder, NodeFolderError
from ._keys import certificate_facts, new_request
from ._messages import (
    AUTHORITY_NAME,
    INTERNAL,
    MAX_MESSAGE_BYTES,
    AuthorityAnswer,
    JoinAnswer,
    JoinRequest,
    Refusal,
    RenewAnswer,
    RenewRequest,
    node_name,
    node_of,
)
from ._token import BadToken, JoinToken, fingerprint

__all__ = [
    "AUTHORITY_NAME",
    "INTERNAL",
    "MAX_MESSAGE_BYTES",
    "AuthorityAnswer",
    "BadToken",
    "JoinAnswer",
    "JoinFailed",
    "JoinRequest",
    "JoinToken",
    "NodeFolder",
    "NodeFolderError",
    "Refusal",
    "RenewAnswer",
    "RenewRequest",
    "certificate_facts",
    "fingerprint",
    "join",
    "new_request",
    "node_name",
    "node_of",
    "renew",
]
