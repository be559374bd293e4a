"""Scenarios for the engine itself: a good kind, one that is undone, and one that is wrong, which a walk has to find."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Connection, text

from cloudd.tasks import Fields, Form, Kind, Retry, Step, Task, TaskFailed, submit

from .walk import Scenario
from .world import World

BUILD = Form(name="test.build")


def book(connection: Connection, task_id: str, what: str) -> None:
    """An effect that must not be had twice: a row in the control database."""
    connection.execute(text("INSERT INTO test_effects VALUES (:id, :what)"), {"id": task_id, "what": what})


def booked(connection: Connection) -> list[str]:
    rows = connection.exec_driver_sql("SELECT what FROM test_effects ORDER BY what")
    return [row[0] for row in rows]


class Building(Scenario):
    """Two tasks of three steps: files that may be written twice, rows that may not."""

    parallel = 2
    fails = False

    async def prepare(self, world: World) -> None:
        for name in ("a", "b"):
            await world.database.write(submit, BUILD, {"name": name}, resource=name)

    def kinds(self, world: World) -> Iterable[Kind]:
        async def files(task: Task) -> Fields | None:
            for number in range(task.state.get("written", 0), 3):
                world.moment("file")
                (world.folder / f"{task.payload['name']}{number}").write_text("x")
                world.moment("file, written")
                await task.save({"written": number + 1}, progress=number + 1, total=3)
            return None

        async def rows(task: Task) -> Fields | None:
            if not task.state.get("booked"):
                what = task.payload["name"]
                await task.write(book, task.id, what, state={"booked": True})
            return None

        async def end(task: Task) -> Fields | None:
            if self.fails:
                raise TaskFailed("it shall fail")
            return {"name": task.payload["name"]}

        async def undo(task: Task) -> Fields | None:
            for number in range(3):
                (world.folder / f"{task.payload['name']}{number}").unlink(missing_ok=True)
            return None

        steps = (Step("files", files), Step("rows", rows), Step("end", end))
        return [Kind(form=BUILD, steps=steps, retry=Retry(first_s=0.01), undo=undo)]

    async def effects(self, world: World) -> Any:
        files = sorted(path.name for path in world.folder.iterdir() if path.name[0] in "ab" and len(path.name) == 2)
        return {"files": files, "rows": await world.database.read(booked)}


class Failing(Building):
    """The same, and the last step fails for good: the files are taken away again."""

    fails = True


class Wrong(Building):
    """A step that is not idempotent: it adds to a file before it saves that it did."""

    parallel = 1

    async def prepare(self, world: World) -> None:
        await world.database.write(submit, BUILD, {"name": "a"})

    def kinds(self, world: World) -> Iterable[Kind]:
        async def add(task: Task) -> Fields | None:
            if not task.state:
                with (world.folder / "lines").open("a") as file:
                    file.write("x")
                await task.save({"added": True})
            return None

        return [Kind(form=BUILD, steps=(Step("add", add),))]

    async def effects(self, world: World) -> Any:
        return (world.folder / "lines").read_text()


BUILDING, FAILING, WRONG = Building(), Failing(), Wrong()
