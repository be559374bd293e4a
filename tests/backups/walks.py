"""A backup under kills at every moment, on a real database; see ``tests.tasks.walk``."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from attrs import evolve

from cloudd.backups import _folder
from cloudd.backups._kind import BACK_UP, backup_kind
from cloudd.database import read_backup
from cloudd.tasks import Fields, Kind, Task, submit
from tests.tasks.walk import Scenario
from tests.tasks.world import World

OLD_TASK = "00000000-0000-0000-0000-000000000000"


class BackingUp(Scenario):
    """Three older ones are there, of which two stay."""

    async def prepare(self, world: World) -> None:
        (world.folder / "secrets").mkdir()
        (world.folder / "secrets" / "key").write_bytes(b"secret")
        folder = world.folder / "backups"
        _folder.make(folder)
        for ordered in (10, 20, 30):
            (folder / _folder.name_of(OLD_TASK, ordered)).write_text("old")
        await world.database.write(submit, BACK_UP, {}, resource="control state")

    def kinds(self, world: World) -> Iterable[Kind]:
        threads = world.marked("threads", world.threads)
        kind = backup_kind(world.database, threads, world.folder / "secrets", world.folder / "backups", 3)
        write, prune = kind.steps

        async def told(task: Task) -> Fields:
            """Without the time and the size, which differ from one run to the next."""
            result = await prune.run(task)
            assert result is not None and Path(result["file"]).stat().st_size == result["bytes"]
            return {"result": sorted(result)}

        return [evolve(kind, steps=(write, evolve(prune, run=told)))]

    async def effects(self, world: World) -> Any:
        *old, new = sorted(
            path for path in (world.folder / "backups").iterdir() if not _folder.WORK.fullmatch(path.name)
        )
        content = read_backup(new)
        return {
            "old": [path.name[:17] for path in old],
            "keys": sorted(content.keys),
            "tasks": len(content.rows["tasks"]),
        }


BACKING_UP = BackingUp()
