"""Rolling changes that are taken up in the middle, or tried again after they have failed, by the engine of tasks."""

from __future__ import annotations

import json
from typing import Any

from attrs import evolve
from twisted.trial.unittest import TestCase

from cloudd.nodes import begin_release, latest_release
from cloudd.rolling import _kinds
from cloudd.rolling._kinds import ROLLBACK, UPGRADE, rolling_kinds
from cloudd.rolling._plan import NodeView, Survey
from cloudd.rolling._progress import FAILED, ORDERED, NodeProgress, Rollout
from cloudd.tasks import Fields, _operators
from tests.tasks.house import House

from .small_cloud import NEW, OLD, SmallCloud
from .test_plan import RELEASE
from .walks import UPGRADE_PAYLOAD


class TriesCase(TestCase):
    def setUp(self) -> None:
        self.house = House.built(self)
        self.cloud = SmallCloud(["a", "b"])
        self.troubles: list[str] = []  # of the first node, one after the other
        self.looks = 0
        self.runner = self.house.runner(*rolling_kinds(self.cloud, self.look, self.house.database), starts=False)

    async def look(self, payload: Fields, _task_id: str) -> Survey:
        self.looks += 1
        views = [NodeView(row=row, plan=await self.cloud.plan(row.id, "/new")) for row in await self.cloud.nodes()]
        views[0] = evolve(views[0], trouble=self.troubles.pop(0) if self.troubles else "")
        return Survey(own_id="a", nodes=views, lost_s=self.cloud.lost_s)

    async def ended(self, task_id: str, state: str) -> dict[str, Any]:
        self.runner.start()
        self.runner.poke()
        await self.house.until(lambda: self.house.row(task_id)["state"] in {"done", "failed"})
        row = self.house.row(task_id)
        self.assertEqual(row["state"], state, row["cause"])
        return row

    async def again(self, task_id: str) -> None:
        await self.house.database.write(_operators.retry, task_id)

    async def release(self) -> tuple[str, dict[str, str]]:
        found = await self.house.database.read(latest_release)
        assert found is not None
        return found.state, dict(found.before)

    def hashes(self) -> dict[str, str]:
        return {name: facts["hash"] for name, facts in self.cloud.facts.items()}


class UpgradeTests(TriesCase):
    async def test_unwell_for_a_moment(self) -> None:
        """It begins when all nodes are well."""
        self.troubles = ["messaging: since 1 s", "messaging: since 2 s"]
        await self.ended(await self.house.submit(form=UPGRADE, payload=UPGRADE_PAYLOAD), "done")
        self.assertEqual(self.looks, 3)

    async def test_unwell_for_long(self) -> None:
        """The cause is told, and no node was asked for anything."""
        self.patch(_kinds, "UNWELL_S", 3.0)
        self.troubles = ["disk: full"] * 100
        row = await self.ended(await self.house.submit(form=UPGRADE, payload=UPGRADE_PAYLOAD), "failed")
        self.assertIn("node A is not well: disk: full", row["cause"])
        self.assertGreater(self.looks, 1)
        self.assertEqual(set(self.hashes().values()), {OLD})

    async def test_no_first_order_after_a_failure(self) -> None:
        """Whose turn came in the moment when another node failed is left as it is."""
        task_id = await self.house.submit(form=UPGRADE, payload={**UPGRADE_PAYLOAD, "parallel": 2})
        nodes = [
            NodeProgress(id="a", name="A", before=OLD, state=FAILED, cause="it burns"),
            NodeProgress(id="b", name="B", before=OLD, state=ORDERED),
        ]
        state = {**Rollout(nodes=nodes).fields(), "target_hash": NEW, "orders": "rolling-1"}
        self.house.set(task_id, f"step = 'roll', step_version = 1, step_state = '{json.dumps(state)}'")
        self.assertIn("it burns", (await self.ended(task_id, "failed"))["cause"])
        self.assertEqual((self.cloud.log, self.hashes()), ([], {"a": OLD, "b": OLD}))

    async def test_tried_again(self) -> None:
        """After all have gone back it begins anew, and there is a way back again."""
        self.cloud.facts["b"]["results"] = ["failed"]
        task_id = await self.house.submit(form=UPGRADE, payload=UPGRADE_PAYLOAD)
        await self.ended(task_id, "failed")
        self.assertEqual((self.hashes(), (await self.release())[0]), ({"a": OLD, "b": OLD}, "back"))
        await self.again(task_id)
        await self.ended(task_id, "done")
        self.assertEqual(self.hashes(), {"a": NEW, "b": NEW})
        self.assertEqual(await self.release(), ("open", {"a": OLD, "b": OLD}))


class RollbackTests(TriesCase):
    async def test_tried_again(self) -> None:
        """Who could not go back, or was away, is asked again."""
        for facts in self.cloud.facts.values():
            facts.update(hash=NEW, previous=OLD)
        self.cloud.facts["a"]["results"] = ["failed"]
        self.cloud.facts["b"]["lost"] = True
        await self.house.database.write(begin_release, evolve(RELEASE, before={"a": OLD, "b": OLD}))
        task_id = await self.house.submit(form=ROLLBACK, payload={"parallel": 1, "who": "ann"})
        self.assertIn("A, B still run the new code", (await self.ended(task_id, "failed"))["cause"])
        del self.cloud.facts["b"]["lost"]
        await self.again(task_id)
        await self.ended(task_id, "done")
        self.assertEqual((self.hashes(), (await self.release())[0]), ({"a": OLD, "b": OLD}, "back"))
