# -*- test-case-name: tests.nodes.test_service -*-
"""
Who is let in, and what a new node is given; the listener in front is ``cloudd.protocols.nodes``.

A token is looked at before anything is done for who brings it, and used up in the transaction that enters the node.
Everything that may fail is done before that transaction, so that a failure leaves the token good.
"""

from __future__ import annotations

import re
import uuid
from pathlib import Path

from attrs import define
from twisted.logger import Logger

from cloudd.interfaces.application import Resources
from cloudd.interfaces.settings import Settings
from cloudd.joining import AuthorityAnswer, JoinAnswer, JoinRequest, RenewAnswer, RenewRequest

from . import _rows, _tokens
from ._authority import FOLDER, Authority
from ._errors import JoinRefused, NodeError, NoSuchNode

_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")
ROLE = "authority"
#: Settings that are the cloud's, not the machine's.
SHARED = (
    ("database", "url"),
    ("identity", "region"),
    ("messaging", "url"),
)
KEY_FOLDERS = ("tokens", "credentials", "servers")  # whatever was sealed on one node is opened on all

log = Logger()


@define(eq=False)
class Admission:
    """What others ask of a node that lets them in."""

    _resources: Resources
    _authority: Authority

    async def authority(self) -> AuthorityAnswer:
        """For anybody."""
        return AuthorityAnswer(authority=await self._authority.certificate())

    async def join(self, asked: JoinRequest, peer: str) -> JoinAnswer:
        """
        Enter a machine as a node.

        :param peer: the IP address that it asks from
        :raises JoinRefused: the token is not good, or the name cannot be one
        :raises WrongNodeState: the name is another node's; the token can be used again
        """
        database = self._resources.database
        try:
            roles = await database.read(_tokens.check, asked.token_id, asked.secret)
        except JoinRefused:
            log.warn("{peer} came with a token that is not good", peer=peer)
            raise
        if not _NAME.fullmatch(asked.name):
            raise JoinRefused("a node's name has 1 to 63 letters, digits, points and dashes", 400)
        node_id = uuid.uuid4().hex
        name = asked.name
        if asked.node_id:
            known = await self._known(asked.node_id, peer)
            node_id, name, roles = known.id, known.name, known.roles
        issued = await self._authority.issue(asked.request, node_id, issues=ROLE in roles, hosts=(name, peer))
        folders = (*KEY_FOLDERS, FOLDER) if ROLE in roles else KEY_FOLDERS
        secrets = await self._resources.threads.run(_key_files, self._resources.secrets, folders)
        files = await self._resources.threads.run(_files, self._resources.settings)
        made_by = await database.write(_tokens.redeem, asked.token_id, asked.secret, node_id, name, issued.ends_us)
        log.info("{peer} has joined as {name}, by a token of {who}", peer=peer, name=name, who=made_by)
        return JoinAnswer(
            node_id=node_id,
            name=name,
            roles=list(roles),
            certificate=issued.certificate,
            authority=issued.authority,
            settings=self._shared(),
            secrets=secrets,
            **files,
        )

    async def renew(self, node_id: str, asked: RenewRequest, peer: str) -> RenewAnswer:
        """
        The next certificate of a node.

        :param node_id: from the certificate that it has shown
        :raises JoinRefused: the registry has no such node, or it was removed
        """
        database = self._resources.database
        node = await self._known(node_id, peer)
        hosts = (node.name, peer, node.address.rpartition(":")[0].strip("[]"))
        issued = await self._authority.issue(asked.request, node_id, issues=ROLE in node.roles, hosts=hosts)
        await database.write(_rows.certified, node_id, issued.ends_us)
        return RenewAnswer(certificate=issued.certificate, authority=issued.authority)

    async def _known(self, node_id: str, peer: str) -> _rows.Node:
        try:
            node: _rows.Node = await self._resources.database.read(_rows.find, node_id)
        except NoSuchNode:
            raise JoinRefused("this node is not known: join with an empty state folder") from None
        if node.id != node_id or node.state == "removed":
            log.warn("{peer}: node {name} was removed, and asks for a certificate", peer=peer, name=node.name)
            raise JoinRefused(f"node {node.name} was removed from the cloud: join with an empty state folder")
        return node

    def _shared(self) -> dict[str, dict[str, str]]:
        found: dict[str, dict[str, str]] = {}
        for table, key in SHARED:
            value = getattr(getattr(self._resources.settings, table, None), key, "")
            if value:
                found.setdefault(table, {})[key] = str(value)
        return found


def _key_files(secrets: Path, folders: tuple[str, ...]) -> dict[str, str]:
    return {
        f"{folder}/{file.name}": file.read_text()
        for folder in folders
        if (secrets / folder).is_dir()
        for file in sorted((secrets / folder).iterdir())
        if file.name.isascii() and file.name.isdigit()
    }


def _files(settings: Settings) -> dict[str, str]:
    """
    What a new node needs of what lies in files here, by its field in ``JoinAnswer``.

    :raises NodeError: one cannot be read
    """
    database, messaging = settings.database, settings.messaging
    wanted = {
        "database_password": ("the password of the database", database.password_file),
        "broker_password": ("the password of the broker", messaging.password_file),
        "broker_authority": ("the certificate of the broker's authority", messaging.ca_file),
    }
    found = {}
    for field, (what, file) in wanted.items():
        try:
            found[field] = Path(file).read_text() if file else ""
        except OSError as error:
            raise NodeError(f"{what} cannot be read here: {error.strerror}") from None
    return found
