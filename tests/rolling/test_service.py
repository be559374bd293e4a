"""What operators ask of rolling changes, on a registry with two nodes; on both databases."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attrs import evolve
from twisted.trial.unittest import TestCase

from cloudd.database import HEAD, tables
from cloudd.nodes import begin_release
from cloudd.rolling import Rolling, RollingError
from cloudd.rolling._kinds import FORMS, UPGRADE
from cloudd.rolling._reach import VERSIONS, newest_revision, unreadable_tasks
from cloudd.tasks import Form, Tasks, submit
from tests.nodes.house import House

from .small_cloud import NEW, OLD, SmallCloud
from .test_finalize import add_node
from .test_plan import RELEASE

WELL = {"status": "ok", "parts": {}}
ASKED = {"tree": "/new", "expected_hash": NEW, "how": "", "canary": None, "parallel": 1, "settle_s": 0.0, "who": "ann"}


class Rules:
    kind: str

    async def setUp(self: Any) -> None:
        self.house = House.built(self, self.kind)
        self.write, self.read = self.house.database.write, self.house.database.read
        resources = evolve(self.house.resources("one"), role="front")
        for name in ("a", "b"):
            await self.write(add_node, name, OLD, 1.0)
        self.small = SmallCloud(["a", "b"])
        self.health: dict[str, Mapping[str, Any]] = {}
        self.poked: list[None] = []
        rolling = Rolling(resources, self.small, self.live)
        tasks = Tasks(resources, rolling.task_kinds())
        self.calls = rolling.calls(tasks.calls()["tasks.show"], lambda: self.poked.append(None))

    async def live(self: Any, node_id: str) -> Mapping[str, Any]:
        return {"answers": True, "health": self.health.get(node_id, WELL)}

    async def ask(self: Any, call: str, **asked: Any) -> dict[str, Any]:
        answer: dict[str, Any] = await self.calls[f"rolling.{call}"](**asked)
        return answer

    async def refused(self: Any, words: str, call: str, **asked: Any) -> None:
        with self.assertRaises(RollingError) as caught:
            await self.ask(call, **asked)
        self.assertIn(words, caught.exception.cause)

    async def test_plan(self: Any) -> None:
        """Every node's own plan, and what it says of itself."""
        found = await self.ask("plan", tree="/new", parallel=2)
        self.assertEqual((found["target_hash"], found["causes"], found["parallel"]), (NEW, [], 2))
        self.assertEqual([(node["name"], node["kind"], node["state"]) for node in found["nodes"]],
                         [("a", "swap", "ready"), ("b", "swap", "ready")])  # fmt: skip
        self.health["b"] = {"status": "failing", "parts": {"disk": {"status": "failing", "cause": "full"}}}
        self.small.facts["a"]["silent"] = True
        causes = "; ".join((await self.ask("plan"))["causes"])
        self.assertIn("node b is not well: disk: full", causes)
        self.assertIn("node a cannot be asked", causes)

    async def test_one_at_a_time(self: Any) -> None:
        """It is a task that every worker can show; a second one is refused."""
        self.assertEqual(await self.ask("status"), {"release": None})
        begun = await self.ask("upgrade", **ASKED)
        self.assertEqual((begun["action"], begun["state"], begun["who"], begun["nodes"]),
                         ("upgrade", "queued", "ann", []))  # fmt: skip
        self.assertEqual(len(self.poked), 1)
        await self.refused(begun["id"], "upgrade", **ASKED)
        self.assertIn(begun["id"], (await self.ask("plan"))["causes"][0])
        await self.write(begin_release, RELEASE)
        await self.refused(begun["id"], "rollback", who="ann")
        self.assertEqual((await self.ask("status"))["release"]["state"], "open")

    async def test_figures(self: Any) -> None:
        await self.refused("from 1 to 100", "upgrade", **{**ASKED, "parallel": 0})
        await self.refused("0 to 3600 s", "upgrade", **{**ASKED, "settle_s": -1.0})
        await self.refused("from 1 to 100", "rollback", who="ann", parallel=101)

    async def test_rollback_needs_a_release(self: Any) -> None:
        await self.refused("no upgrade that can be gone back from", "rollback", who="ann")
        await self.write(begin_release, RELEASE)
        self.assertEqual((await self.ask("rollback", who="ann"))["action"], "rollback")

    async def test_finalize(self: Any) -> None:
        """Looking changes nothing; doing it ends the release."""
        await self.write(begin_release, RELEASE)
        self.assertIn("do not run", (await self.ask("finalize", who="ann", check=True))["causes"][0])
        await self.refused("do not run", "finalize", who="ann")
        await self.house.set(tables.node, code_hash=NEW)
        self.assertFalse((await self.ask("finalize", who="ann", check=True))["done"])
        self.assertEqual((await self.ask("status"))["release"]["state"], "open")
        done = await self.ask("finalize", who="ann")
        self.assertEqual((done["done"], done["hash"]), (True, NEW))
        self.assertEqual((await self.ask("status"))["release"]["state_by"], "ann")
        self.assertTrue((await self.ask("finalize", who="ann"))["nothing"])

    async def test_tasks_that_new_code_cannot_do(self: Any) -> None:
        await self.write(submit, Form(name="x.y"), {})
        await self.write(submit, UPGRADE, {})
        own = {form.name: form.readable for form in FORMS}
        self.assertIn("x.y in version 1", await self.read(unreadable_tasks, own))
        self.assertIn("x.y in version 1", await self.read(unreadable_tasks, {**own, "x.y": [2]}))
        self.assertEqual(await self.read(unreadable_tasks, {**own, "x.y": [1, 2]}), "")

    def test_revision_of_a_tree(self: Any) -> None:
        """By the names of its migrations: nothing of it is run."""
        self.assertEqual(newest_revision(Path(__file__).parent.parent.parent), HEAD)
        tree = Path(self.mktemp())
        self.assertEqual(newest_revision(tree), "")
        (tree / VERSIONS).mkdir(parents=True)
        for name in ("0009_new.py", "0008_old.py", "__init__.py"):
            (tree / VERSIONS / name).touch()
        self.assertEqual(newest_revision(tree), "0009")


class SqliteTests(Rules, TestCase):  # type: ignore[misc]
    kind = "sqlite"


class PostgresTests(Rules, TestCase):  # type: ignore[misc]
    kind = "postgresql"
