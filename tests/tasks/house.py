"""A control database of one's own, with kinds that tests make, and runners on it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from attrs import define
from twisted.internet import reactor
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from cloudd.database import open_control_database
from cloudd.database._control import ControlDatabase
from cloudd.tasks import Ended, Form, Kind, Runner, by_name, submit

from .database import ask, place
from .world import make_folder

FORM = Form(name="test.work")


@define(eq=False)
class House:
    """
    :ivar ends: how executions ended, of all runners
    """

    case: TestCase
    folder: Path
    database: ControlDatabase
    ends: list[Ended]

    @classmethod
    def built(cls, case: TestCase) -> House:
        folder = Path(case.mktemp()).absolute()
        make_folder(folder)
        database = open_control_database(place(folder), reactor=reactor, threads=2)
        case.addCleanup(database.close)
        return cls(case, folder, database, [])

    def runner(
        self,
        *kinds: Kind,
        lease_s: float = 30.0,
        parallel: int = 4,
        moment: Any = lambda _: None,
        starts: bool = True,
    ) -> Runner:
        """
        One that runs, until the test ends.

        :param starts: False: the test starts it
        """

        def ended(_kind: Kind, end: Ended) -> None:
            self.ends.append(end)

        runner = Runner(reactor, self.database, by_name(kinds), "tester", parallel, lease_s, ended, moment)
        if starts:
            runner.start()
        self.case.addCleanup(runner.rest)
        return runner

    async def submit(self, runner: Runner | None = None, form: Form = FORM, **facts: Any) -> str:
        payload = facts.pop("payload", {})
        task_id: str = await self.database.write(submit, form, payload, **facts)
        if runner is not None:
            runner.poke()
        return task_id

    def row(self, task_id: str) -> dict[str, Any]:
        """A task's columns."""
        return ask(self.folder, f"SELECT * FROM tasks WHERE id = '{task_id}'")[0]

    def set(self, task_id: str, changes: str) -> None:
        """Change its row, as time or another process would."""
        ask(self.folder, f"UPDATE tasks SET {changes} WHERE id = '{task_id}'")

    def database_ids(self) -> list[str]:
        """Ids of all tasks."""
        return [row["id"] for row in ask(self.folder, "SELECT id FROM tasks")]

    async def until(self, condition: Callable[[], Any], patience_s: float = 60.0) -> Any:
        """Wait until something is so, and give what ``condition`` gave."""
        end = reactor.seconds() + patience_s
        while not (found := condition()):
            if reactor.seconds() > end:
                raise AssertionError(f"waited in vain; ends: {self.ends}")
            await deferLater(reactor, 0.005)
        return found

    async def until_state(self, task_id: str, state: str) -> dict[str, Any]:
        """Wait until a task is in this state; gives its columns."""
        await self.until(lambda: self.row(task_id)["state"] == state)
        return self.row(task_id)
