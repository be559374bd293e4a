"""Backups on time: ordered when the newest is old enough, by the agent's worker alone, and told of when late."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, cast

from attrs import evolve
from twisted.internet import reactor
from twisted.trial.unittest import TestCase

from cloudd.backups import Backups, _folder
from cloudd.database import read_backup
from cloudd.interfaces.application import Resources
from cloudd.interfaces.settings import BackupSettings, Settings
from cloudd.tasks import Runner
from tests.daemon.code_trees import ThreadsAtOnce
from tests.tasks.house import House

TASK = "0f8fad5b-d9cb-469f-a165-70867728950e"


class ServiceTests(TestCase):
    def setUp(self) -> None:
        self.house = House.built(self)
        secrets = self.house.folder / "secrets"
        secrets.mkdir()
        (secrets / "key").write_text("secret")
        self.settings = Settings(state=self.house.folder, backup=BackupSettings(every_s=3600, keep=2))
        self.resources = Resources(
            reactor=reactor, settings=self.settings, threads=cast(Any, ThreadsAtOnce()), database=self.house.database,
            object_index=cast(Any, None), metrics=cast(Any, None), host=cast(Any, None), role="agent", generation=1,
            urls={}, secrets=secrets,
        )  # fmt: skip

    def service(self, **facts: Any) -> Backups:
        backups = Backups(evolve(self.resources, **facts), lambda _resources: "")
        backups.start({})
        self.addCleanup(backups.retire)
        return backups

    def runner(self, backups: Backups) -> Runner:
        return self.house.runner(*backups.task_kinds())

    def files(self) -> list[Path]:
        folder = self.house.folder / "backups"
        return sorted(folder.glob("control-*")) if folder.exists() else []

    def note(self, backups: Backups) -> str:
        (part,) = backups.health()
        self.assertTrue(part.ok)
        return part.cause

    async def test_on_time(self) -> None:
        """The first one at once, the next when it is old enough; both can be restored."""
        backups = self.service()
        self.runner(backups)
        backups.lead()
        backups.lead()
        await self.house.until(self.house.database_ids)
        await self.house.until_state(self.house.database_ids()[0], "done")
        await backups._look()
        self.assertEqual(len(self.house.database_ids()), 1)
        content = read_backup(self.files()[0])
        self.assertEqual(list(content.keys), ["key"])
        old = self.files()[0]
        old.rename(old.with_name(_folder.name_of(TASK, time.time() - 3601)))
        backups.ordered -= 3601
        await backups._look()
        await self.house.until(lambda: len(self.files()) == 2)

    async def test_ordered_once(self) -> None:
        """One that has not been made yet is not ordered again, neither by an operator nor by newer code."""
        backups = self.service()
        first = await backups.order("req-1")
        self.assertEqual(await backups.order(), first)
        self.assertEqual(self.house.row(first)["request_id"], "req-1")
        await backups._look()
        newer = self.service()
        newer.start(backups.snapshot())
        await newer._look()
        self.assertEqual(len(self.house.database_ids()), 1)
        self.assertGreater(newer.ordered, 0)

    async def test_who_orders(self) -> None:
        """Fronts do not, nor does a node that is to make none by itself; one that is there counts."""
        _folder.make(self.house.folder / "backups")
        (self.house.folder / "backups" / _folder.name_of(TASK, time.time())).write_text("")
        never = evolve(self.settings, backup=BackupSettings())
        for backups in (self.service(role="front"), self.service(settings=never), self.service()):
            backups.lead()
            await self.house.until(lambda backups=backups: backups._timer is None or backups._newest)  # type: ignore[misc]
        self.assertEqual(len(self.house.database_ids()), 0)

    async def test_late(self) -> None:
        """Health says so, and where to look; tenants are served all the same."""
        backups = self.service()
        backups.lead()
        await self.house.until(lambda: backups.ordered)
        self.assertEqual(self.note(backups), "")
        backups._since -= 7201
        self.assertIn("there is none: see `cloudctl task list --kind backups.back_up`", self.note(backups))
        backups._newest = time.time() - 7201
        self.assertIn("the newest one is 2.0 h old", self.note(backups))

    async def test_no_room(self) -> None:
        """What cannot be written is tried again; nothing half made has a backup's name."""
        file = self.house.folder / "file"
        file.write_text("")
        backups = self.service(settings=evolve(self.settings, backup=BackupSettings(folder=str(file / "x"))))
        self.runner(backups)
        task_id = await backups.order()
        await self.house.until(lambda: self.house.row(task_id)["attempts"] >= 1 and self.house.row(task_id)["cause"])
        self.assertIn("Not a directory", self.house.row(task_id)["cause"])
        self.assertIn(self.house.row(task_id)["state"], {"queued", "running"})
