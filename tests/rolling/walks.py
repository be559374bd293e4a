"""Rolling changes under kills at every moment, on a small cloud that outlives them; see ``tests.tasks.walk``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from cloudd.nodes import begin_release, latest_release
from cloudd.rolling._kinds import RESOURCE, ROLLBACK, UPGRADE, rolling_kinds
from cloudd.rolling._plan import NodeView, Survey
from cloudd.tasks import Fields, Kind, submit
from tests.tasks.walk import Scenario
from tests.tasks.world import World

from .small_cloud import NEW, OLD, SmallCloud
from .test_plan import RELEASE

UPGRADE_PAYLOAD = {"tree": "/new", "how": "", "canary": None, "parallel": 1, "settle_s": 0.0, "who": "ann"}


class Upgrading(Scenario):
    """Three nodes, of which one is away."""

    facts: dict[str, dict[str, Any]] = {"c": {"lost": True}}

    def cloud(self, world: World) -> SmallCloud:
        return SmallCloud(["a", "b", "c"], world.folder / "nodes.json")

    async def prepare(self, world: World) -> None:
        cloud = self.cloud(world)
        for name, facts in self.facts.items():
            cloud.facts[name].update(facts)
        cloud.keep()
        await self.submit(world)

    async def submit(self, world: World) -> None:
        await world.database.write(submit, UPGRADE, UPGRADE_PAYLOAD, resource=RESOURCE)

    def kinds(self, world: World) -> Iterable[Kind]:
        cloud = self.cloud(world)

        async def look(payload: Fields, _task_id: str) -> Survey:
            views = []
            for row in await cloud.nodes():
                plan = None if row.is_lost(cloud.lost_s) else await cloud.plan(row.id, payload["tree"])
                views.append(NodeView(row=row, plan=plan))
            return Survey(own_id="a", nodes=views, lost_s=cloud.lost_s)

        return rolling_kinds(_Marked(cloud, world), look, world.database, lambda: "rolling-walk")

    async def effects(self, world: World) -> Any:
        cloud = self.cloud(world)
        release = await world.database.read(latest_release)
        hashes = {name: facts["hash"] for name, facts in cloud.facts.items()}
        orders = {name: sorted(facts["orders"]) for name, facts in cloud.facts.items()}
        return {"hashes": hashes, "orders": orders, "release": release and (release.new_hash, release.state)}


class _Marked:
    """The cloud with moments before and after each order."""

    def __init__(self, cloud: SmallCloud, world: World) -> None:
        self._cloud, self.orders = cloud, world.marked("orders", cloud)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cloud, name)


class Failing(Upgrading):
    """The third node's change fails: the two before go back."""

    facts: dict[str, dict[str, Any]] = {"a": {"results": ["failed"]}}


class Returning(Upgrading):
    """All nodes have the new code, and go back."""

    facts: dict[str, dict[str, Any]] = {name: {"hash": NEW, "previous": OLD} for name in ("a", "b", "c")}

    async def submit(self, world: World) -> None:
        from attrs import evolve

        release = evolve(RELEASE, before=dict.fromkeys(("a", "b", "c"), OLD))
        await world.database.write(begin_release, release)
        await world.database.write(submit, ROLLBACK, {"parallel": 2, "who": "ann"}, resource=RESOURCE)


UPGRADING, FAILING, RETURNING = Upgrading(), Failing(), Returning()
