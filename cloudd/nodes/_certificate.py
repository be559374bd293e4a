# -*- test-case-name: tests.nodes.test_service -*-
"""
This node's own certificate: made or renewed when it is time, taken from the folder when another process renewed it.

A node with the role ``authority`` issues its own; others ask such a node over mutual TLS.  One that has failed is tried
again at the next look; two thirds of its life went by before the first try, so there is time.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from attrs import define, field
from twisted.logger import Logger

from cloudd.interfaces.application import Resources
from cloudd.joining import NodeFolder, new_request, renew

from . import _rows
from ._admission import ROLE
from ._authority import Authority
from ._errors import NodeError
from ._rows import Node
from ._tls import Credentials

LATE = 1 / 6  # of its life: from here on health says so

log = Logger()


@define(eq=False)
class OwnCertificate:
    """
    :ivar credentials: what is in use; None: nothing yet
    :ivar cause: why there is no good one, with the next step; empty: all is well
    """

    _resources: Resources
    _authority: Authority
    credentials: Credentials | None = field(init=False, default=None)
    cause: str = field(init=False, default="")

    async def look(self, node: Node, others: Sequence[Node], *, needed: bool) -> None:
        """
        Take what is in the folder, and renew it when that is due.

        :param node: our own row
        :param needed: make one where there is none
        """
        await self._take()
        now = (await self._resources.database.read(_rows.time_us)) / 1e6
        found = self.credentials
        if found is not None and found.node_id != node.id:
            found = self.credentials = None
        if node.state == "removed" or (found is None and not needed) or (found is not None and not found.is_due(now)):
            self.cause = ""
            return
        try:
            await self._renew(node, others)
            self.cause = ""
        except Exception as error:
            left_s = 0.0 if found is None else found.ends - now
            if found is None or left_s < LATE * found.lasts_s:
                self.cause = f"the node's certificate ends in {max(0.0, left_s):.0f} s and cannot be renewed: {error}"
            log.warn("the node's certificate cannot be renewed; it is tried again: {cause}", cause=str(error))

    async def _renew(self, node: Node, others: Sequence[Node]) -> None:
        folder = NodeFolder(self._resources.settings.state)
        run = self._resources.threads.run
        if ROLE in node.roles:
            key, request = await run(new_request)
            host = node.address.rpartition(":")[0].strip("[]")
            issued = await self._authority.issue(request, node.id, issues=True, hosts=(node.name, host))
            await run(folder.keep_certificate, key, issued.certificate, issued.authority)
            await self._resources.database.write(_rows.certified, node.id, issued.ends_us)
        else:
            await self._ask(folder, [each for each in others if ROLE in each.roles and each.address])
        await self._take()
        log.info("this node has a new certificate")

    async def _ask(self, folder: NodeFolder, issuers: Sequence[Node]) -> None:
        """One that answers is enough; those that are silent are asked last."""
        cause: Exception = NodeError("no node lets others in ([nodes] listen)")
        for issuer in sorted(issuers, key=lambda each: (each.is_silent, random.random())):  # noqa: S311
            try:
                await self._resources.threads.run(renew, issuer.address, folder)
            except Exception as error:
                cause = error
            else:
                return
        raise cause

    async def _take(self) -> None:
        """What is in the folder, if it is not what is in use."""
        try:
            found = await self._resources.threads.run(_read, NodeFolder(self._resources.settings.state))
        except (OSError, ValueError) as error:
            self.credentials = None
            log.warn("the node's certificate cannot be used; another one is made: {cause}", cause=str(error))
            return
        if found is not None and (self.credentials is None or found.serial != self.credentials.serial):
            self.credentials = found


def _read(folder: NodeFolder) -> Credentials | None:
    identity, authority = folder.identity(), folder.authority()
    return Credentials.read(identity, authority) if identity and authority else None
