# -*- test-case-name: tests.nodes.test_service -*-
"""
One node's own row: said anew every few seconds, and what an operator has written there is followed.

In the agent's worker alone.  On a SQLite file, where nobody else can look, it is said once a minute, and before anybody
asks: an idle machine should not write to its disk, and each commit makes workers forget what they have read.
"""

from __future__ import annotations

import os
import re
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol
from urllib.parse import urlsplit

from attrs import define, field
from sqlalchemy import Connection
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from cloudd.interfaces.application import Resources
from cloudd.joining import NodeFolder

from . import _rows
from ._errors import WrongNodeState
from ._rows import Beat, Node

ALONE_BEAT_S = 60.0
STATUS_BEATS = 12  # the code's facts are asked for so often
FIRST_ROLES = ("api", "authority", "tasks")
WORKS = "tasks"
OVER_MESSAGING = "messaging"
_BOOT = time.CLOCK_BOOTTIME  # its time is that since the machine was started
_LOOPBACK = re.compile(r"localhost|127\..*|::1|0\.0\.0\.0|::")

log = Logger()


class Work(Protocol):
    """What a node does of its own accord, and stops for a drain: ``cloudd.tasks.Tasks``."""

    @property
    def running(self) -> int:
        """How much of it runs here."""

    @property
    def is_busy(self) -> bool:
        """Whether some runs, or is just about to."""

    def take(self, node_id: str, *, shared: bool) -> None:
        """
        Begin these from now on, and nothing else.

        :param node_id: what this node alone can do; empty: none of it
        :param shared: what any node can do
        """

    def node_removed(self, connection: Connection, node_id: str, name: str) -> None:
        """In the transaction that removes a node: nobody is left to do what it alone could do."""


@define(eq=False)
class Presence:
    """
    :param payloads: what this code reads
    :param address: where others reach this node; empty: nowhere
    :param duties: how many duties are held here
    :ivar node: our own row, as last read
    :ivar nodes: all rows but those of removed nodes, as last read
    :ivar cause: why nothing can be said; empty: all is well
    """

    _resources: Resources
    _work: Work
    _payloads: Mapping[str, Sequence[int]]
    _address: str
    _duties: Callable[[], int]
    node: Node | None = field(init=False, default=None)
    nodes: list[Node] = field(init=False, factory=list)
    cause: str = field(init=False, default="")
    _code: dict[str, Any] = field(init=False, factory=dict)
    _beats: int = field(init=False, default=0)
    _saying: Deferred[None] | None = field(init=False, default=None)

    @property
    def beat_s(self) -> float:
        """How often ``say`` is to be called."""
        settings = self._resources.settings
        return settings.nodes.heartbeat_s if settings.database.url else ALONE_BEAT_S

    @property
    def works(self) -> bool:
        """Whether duties and tasks are to be done here."""
        return self.node is not None and self.node.state == "ready" and WORKS in self.node.roles

    async def say(self) -> None:
        """
        That we are here; read what all others said.  Two callers at one time share one write.

        :raises Exception: whatever the database raises
        """
        saying = self._saying
        if saying is None:
            saying = self._saying = Deferred.fromCoroutine(self._say())
            saying.addBoth(self._has_said)
        waiting: Deferred[None] = Deferred()
        saying.addBoth(_passed_on, waiting)
        await waiting

    async def watch(self) -> None:
        """
        Follow what the registry says of this node without saying anything; one that is not there yet works.

        :raises Exception: whatever the database raises
        """
        node_id = await self._resources.threads.run(NodeFolder(self._resources.settings.state).node_id)
        await self._read(node_id)
        if self.node is None:
            self._work.take(node_id, shared=True)
        else:
            self._take()

    def _has_said(self, result: Any) -> Any:
        self._saying = None
        return result

    async def _say(self) -> None:
        database = self._resources.database
        node_id = await self._resources.threads.run(NodeFolder(self._resources.settings.state).node_id)
        said = await self._said()
        state = await database.write(_rows.beat, node_id, said)
        if state is None:
            await self._enter(node_id)
            await database.write(_rows.beat, node_id, said)
        await self._read(node_id)
        await self._follow()

    async def _read(self, node_id: str) -> None:
        nodes = await self._resources.database.read(_rows.nodes)
        self.node = next((node for node in nodes if node.id == node_id), None)
        self.nodes = [node for node in nodes if node.state != "removed"]

    async def _enter(self, node_id: str) -> None:
        """The first start of a machine that nobody had to let in: it has the database and the keys."""
        name = (self._resources.settings.nodes.name or socket.gethostname())[:200]
        write = self._resources.database.write
        try:
            await write(_rows.enter, node_id, name, FIRST_ROLES, "ready", "its first start")
        except WrongNodeState:
            await write(_rows.enter, node_id, f"{name}-{node_id[:6]}", FIRST_ROLES, "ready", "its first start")

    def _take(self) -> None:
        """What is bound to this node is done there whether or not it does what any node can; neither for a drain."""
        ready = self.node is not None and self.node.state == "ready"
        self._work.take(self.node.id if self.node is not None and ready else "", shared=self.works)

    async def _said(self) -> Beat:
        if self._beats % STATUS_BEATS == 0 or not self._code:
            await self._ask_code()
        self._beats += 1
        load: dict[str, Any] = {"load1": round(os.getloadavg()[0], 2), "cores": os.cpu_count() or 1}
        load.update(tasks=self._work.running, health=health_url(self._resources), up_s=int(time.clock_gettime(_BOOT)))
        return Beat(
            version=self._code.get("version", ""),
            code_hash=self._code.get("hash", ""),
            generation=self._resources.generation,
            payloads={name: list(versions) for name, versions in self._payloads.items()},
            load=load,
            beat_s=self.beat_s,
            address=self._address,
        )

    async def _ask_code(self) -> None:
        try:
            told = await self._resources.host.code()
            self._code = {"version": told["version"], "hash": told["code"]["hash"]}
        except Exception as error:  # an anchor that is away: the rest is worth saying
            log.info("the code's version is not known for now: {cause}", cause=str(error))

    async def _follow(self) -> None:
        self._take()
        node = self.node
        if node is None or node.state != "draining" or self._work.is_busy or self._duties():
            return
        if await self._resources.database.write(_rows.move, node.id, ("draining",), "drained", node.name):
            await self._read(node.id)


def health_url(resources: Resources) -> str:
    """Where other machines ask for this one's ``/health``: as set, or from the API's URL; empty: they cannot."""
    told = resources.settings.nodes.health_url
    if told == OVER_MESSAGING:
        return ""
    url = resources.urls.get("api", "")
    local = _LOOPBACK.fullmatch(urlsplit(url).hostname or "localhost")
    return told or ("" if local else f"{url}/health")


def _passed_on(result: Any, waiting: Deferred[None]) -> Any:
    if isinstance(result, Failure):
        waiting.errback(result)
        return None
    waiting.callback(None)
    return result
