# -*- test-case-name: tests.guests.test_steps -*-
"""CONSOLE: the end of what a guest wrote, as the result of a task, which whoever asks for it waits for."""

from __future__ import annotations

from typing import Final

from attrs import define

from cloudd.compute import CONSOLE
from cloudd.interfaces.servers import NoSuchGuest
from cloudd.tasks import Fields, Kind, Retry, Step, Task

from ._means import Means

MOST_BYTES: Final = 512 << 10  # a task's result is a row
KEEP_S: Final = 60.0  # longer than anybody waits: what guests write fills the database else, and is their project's


@define(eq=False)
class Console:
    _means: Means

    async def read(self, task: Task) -> Fields | None:
        """``output``: text."""
        last_bytes = task.payload.get("last_bytes")
        most = MOST_BYTES if last_bytes is None else max(0, min(int(last_bytes), MOST_BYTES))
        driver = await self._means.driver()
        written = await driver.console(task.payload["server_id"], most)
        return {"output": written.decode("utf-8", "replace")}


def console_kind(means: Means) -> Kind:
    """On that host.  Somebody waits for it: what fails is told soon."""
    console = Console(means)
    return Kind(
        form=CONSOLE,
        steps=(Step("read", console.read),),
        retry=Retry(attempts=3, first_s=0.2, longest_s=1.0),
        permanent=(NoSuchGuest,),
        keep_s=KEEP_S,
    )
