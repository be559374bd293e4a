# -*- test-case-name: tests.rolling.test_service -*-
"""The real cloud, as a rolling change sees it (``_cloud.Cloud``): registry, messaging, other nodes' ``/health``."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from attrs import define, field
from sqlalchemy import Connection, select
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import deferLater

from cloudd.database import standing, tables
from cloudd.interfaces.application import Resources
from cloudd.interfaces.orders import NodeOrders, NodeSilent, OrderRefused
from cloudd.nodes import Node, Release, node_rows, open_release
from cloudd.tasks import Form

from ._health import HealthAsk, Live
from ._plan import NodeView, Survey

VERSIONS = Path("cloudd") / "database" / "migrations" / "versions"


@define(eq=False)
class Reach:
    """
    :param live: asks a node over messaging
    """

    _resources: Resources
    orders: NodeOrders
    _live: Live
    _health: HealthAsk = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._health = HealthAsk(self._resources.reactor, self._live)

    @property
    def lost_s(self) -> float:
        """See ``Cloud``."""
        return self._resources.settings.nodes.lost_s

    async def nodes(self) -> list[Node]:
        """See ``Cloud``."""
        found: list[Node] = await self._resources.database.read(node_rows, removed=False)
        return found

    async def trouble(self, node: Node) -> str:
        """See ``Cloud``."""
        return await self._health.trouble(node)

    async def unreadable(self, payloads: Mapping[str, Sequence[int]]) -> str:
        """See ``Cloud``."""
        return await self._resources.database.read(unreadable_tasks, payloads)

    def seconds(self) -> float:
        """See ``Cloud``."""
        return time.monotonic()

    def pause(self, seconds: float) -> Deferred[None]:
        """See ``Cloud``."""
        waiting: Deferred[None] = deferLater(self._resources.reactor, seconds)
        return waiting

    # ---- before it begins

    async def survey(self, forms: Sequence[Form], tree: str, how: str, canary: float | None, skip: str = "") -> Survey:
        """
        Ask all nodes for their plans and how they are.

        :param forms: of tasks of which none may be open
        :param skip: id of the task that asks
        """
        rows = await self.nodes()
        lost_s = self.lost_s
        asked = [Deferred.fromCoroutine(self._view(row, lost_s, tree, how, canary)) for row in rows]
        views: list[NodeView] = await gatherResults(asked)
        names = [form.name for form in forms]
        release, open_task, oldest = await self._resources.database.read(_facts, names, skip)
        hashes = {str(view.plan["target_hash"]) for view in views if view.plan and view.plan.get("target_hash")}
        revision = ""
        if len(hashes) == 1:
            code = self._resources.settings.state / "code" / hashes.pop()
            revision = await self._resources.threads.run(newest_revision, code)
        return Survey(
            own_id=self.own_id(), nodes=views, lost_s=lost_s, code_revision=revision, oldest_revision=oldest,
            release=release, open_task=open_task,
        )  # fmt: skip

    def own_id(self) -> str:
        """This node's."""
        bus = self._resources.bus
        return "" if bus is None else bus.node

    async def _view(self, row: Node, lost_s: float, tree: str, how: str, canary: float | None) -> NodeView:
        if row.is_lost(lost_s):
            return NodeView(row=row)
        trouble = await self.trouble(row)
        plan: dict[str, Any] | None = None
        try:
            plan = await self.orders.plan(row.id, tree, how, canary)
        except (NodeSilent, OrderRefused) as error:
            trouble = trouble or str(error)
        return NodeView(row=row, plan=plan, trouble=trouble)


def unreadable_tasks(connection: Connection, payloads: Mapping[str, Sequence[int]]) -> str:
    """Open tasks that code cannot do that reads these, in words; empty: there are none."""
    columns = tables.task.c
    query = select(columns.kind, columns.version).where(columns.state.in_(("queued", "running"))).distinct()
    rows = connection.execute(query.order_by(columns.kind, columns.version))
    bad = [f"{row.kind} in version {row.version}" for row in rows if row.version not in payloads.get(row.kind, ())]
    return f"it cannot do tasks that are open: {', '.join(bad)}" if bad else ""


def newest_revision(code: Path) -> str:
    """
    Of the tables that a staged tree wants, by the names of its migrations.  Blocks.

    :return: empty: they are not there
    """
    names = sorted(path.name for path in (code / VERSIONS).glob("[0-9]*.py"))
    return names[-1].partition("_")[0] if names else ""


def _facts(connection: Connection, kinds: Sequence[str], skip: str) -> tuple[Release | None, str, str]:
    return open_release(connection), open_change(connection, kinds, skip), standing(connection).oldest


def open_change(connection: Connection, kinds: Sequence[str], skip: str = "") -> str:
    """
    The task of a rolling change that has not ended; empty: there is none.

    :param kinds: of rolling changes
    :param skip: id of a task that does not count
    """
    columns = tables.task.c
    query = select(columns.id).where(columns.kind.in_(kinds), columns.state.in_(("queued", "running")))
    found: str | None = connection.execute(query.where(columns.id != skip).limit(1)).scalar()
    return found or ""
