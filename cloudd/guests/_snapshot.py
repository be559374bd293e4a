# -*- test-case-name: tests.guests.test_kinds -*-
"""SNAPSHOT: the disk of a server becomes the data of an image that waits for it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from attrs import define

from cloudd.compute import SNAPSHOT, Server, change_server
from cloudd.image import backups_beyond
from cloudd.tasks import Fields, Kind, Task

from ._build import SILENCE_S
from ._means import Means
from ._work import Work, observed

EVENT: Final = "compute_snapshot_instance"


@define(eq=False)
class Snapshot(Work):
    """The server is what it was, before and after.  An image that gets no data is deleted, as in Nova."""

    async def copy(self, task: Task) -> Fields | None:
        """Write the disk into a file of this host."""
        if not task.state.get("settled"):
            await self.begin(task)
            told = await self.desired(task)
            file = self._file(task)
            await self.means.threads.run(file.parent.mkdir, mode=0o700, parents=True, exist_ok=True)
            driver = await self.means.driver()
            await driver.snapshot(told.server.id, file)
        return None

    async def keep(self, task: Task) -> Fields | None:
        """Give it to the image, and delete the file."""
        if task.state.get("settled"):
            await self._drop_file(task)
            return None
        await self.means.snapshots.keep(task.payload["image_id"], self._file(task))
        await self._rotate(task)
        server_id = self.server_id(task)
        await self.last_write(task, lambda c: change_server(c, server_id, task_state=None))
        await self._drop_file(task)
        return None

    async def _rotate(self, task: Task) -> None:
        """Now that this backup is there, the oldest of its kind may go."""
        rotation = task.payload.get("rotation")
        if rotation is not None:
            too_many = await self.means.database.read(backups_beyond, task.payload["image_id"], rotation)
            for image_id in too_many:
                await self.means.snapshots.delete(image_id)

    async def back(self, task: Task, server: Server) -> Mapping[str, Any]:
        """No image comes of it."""
        await self.leave(task)
        seen = observed(server, await self.seen(server.id))
        return {"state": server.state, "power": seen["power"]}

    async def leave(self, task: Task) -> None:
        """An image that waits for its data still gets none any more."""
        await self.means.snapshots.drop(task.payload["image_id"])
        await self._drop_file(task)

    async def tidy(self, task: Task) -> None:
        await self._drop_file(task)

    async def _drop_file(self, task: Task) -> None:
        """Half a file, too, which a copy that was cut off has left under the name that drivers give it meanwhile."""
        file = self._file(task)
        for each in (file, file.with_name(f"{file.name}.part")):
            await self.means.threads.run(each.unlink, missing_ok=True)

    def _file(self, task: Task) -> Path:
        return self.means.folder / f"snapshot-{task.id}.qcow2"


def snapshot_kind(means: Means) -> Kind:
    """On that host."""
    work = Snapshot(means, EVENT)
    return work.kind(
        SNAPSHOT, work.step("copy", work.copy), work.step("keep", work.keep), silence_s=SILENCE_S, share=0.5
    )
