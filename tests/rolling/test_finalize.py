"""When an upgrade can be made final, and what it changes; on both databases."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlalchemy import Connection
from twisted.trial.unittest import TestCase

from cloudd.database import HEAD, now_us, standing, tables
from cloudd.nodes import begin_release, latest_release
from cloudd.rolling import RollingError
from cloudd.rolling._finalize import Finality, look, make_final
from cloudd.rolling._kinds import UPGRADE
from cloudd.tasks import submit
from tests.nodes.house import House

from .small_cloud import NEW, OLD
from .test_plan import RELEASE

STEP = 'def contract(op):\n    op.drop_column("nodes", "load")\n'


def add_node(connection: Connection, name: str, code: str, age_s: float) -> None:
    connection.execute(
        tables.node.insert().values(
            id=name, name=name, state="ready", state_us=0, code_hash=code, created_us=0, beat_us=5_000_000,
            contact_us=now_us() - int(age_s * 1e6),
        )
    )  # fmt: skip


class Rules:
    kind: str

    def setUp(self: Any) -> None:
        self.house = House.built(self, self.kind)
        self.write, self.read = self.house.database.write, self.house.database.read
        self.folder = Path(self.mktemp())
        self.folder.mkdir()

    async def node(self: Any, name: str, code: str = NEW, age_s: float = 1.0) -> None:
        await self.write(add_node, name, code, age_s)

    async def look(self: Any) -> Finality:
        found: Finality = await self.read(look, 60.0, [UPGRADE.name], self.folder)
        return found

    async def finish(self: Any) -> Finality:
        found: Finality = await self.write(make_final, 60.0, [UPGRADE.name], "ann", self.folder)
        return found

    async def refused(self: Any, *words: str) -> None:
        """Whatever stands against it is named, and nothing is changed."""
        for word in words:
            self.assertIn(word, "; ".join((await self.look()).causes))
        with self.assertRaises(RollingError):
            await self.finish()
        self.assertEqual((await self.read(latest_release)).state, "open")
        self.assertNotEqual((await self.read(standing)).oldest, HEAD)

    async def test_good(self: Any) -> None:
        """Release and tables change together."""
        (self.folder / f"{HEAD}_load.py").write_text(STEP)
        await self.write(begin_release, RELEASE)
        await self.node("a")
        await self.node("b")
        seen = await self.look()
        self.assertEqual((seen.new_hash, seen.steps, seen.causes), (NEW, [f"{HEAD}_load"], []))
        await self.finish()
        release = await self.read(latest_release)
        self.assertEqual((release.state, release.state_by), ("final", "ann"))
        self.assertEqual((await self.read(standing)).oldest, HEAD)

    async def test_refused(self: Any) -> None:
        await self.write(begin_release, RELEASE)
        (self.folder / f"{HEAD}_load.py").write_text(STEP)
        await self.node("new")
        await self.node("old", OLD)
        await self.refused("old do not run 111111111111")
        await self.node("gone", NEW, age_s=100)
        await self.refused("node gone is away", "old do not run")

    async def test_under_way(self: Any) -> None:
        await self.write(begin_release, RELEASE)
        await self.node("new")
        await self.write(submit, UPGRADE, {})
        await self.refused("under way")

    async def test_different_code_without_a_release(self: Any) -> None:
        """Nodes that were upgraded one by one have to be the same before tables are contracted."""
        (self.folder / f"{HEAD}_load.py").write_text(STEP)
        await self.node("new")
        await self.node("old", OLD)
        self.assertIn("different code", (await self.look()).causes[0])

    async def test_nothing(self: Any) -> None:
        await self.node("a")
        self.assertTrue((await self.look()).is_idle)
        self.assertTrue((await self.finish()).is_idle)


class SqliteTests(Rules, TestCase):
    kind = "sqlite"


class PostgresTests(Rules, TestCase):
    kind = "postgresql"
