"""
The step walk: kills a worker at every moment of a task, lets another one go on, and looks what came of it.

For a kind of task somebody writes a ``Scenario``: what there is before, the kinds, and what there is afterwards.  The
walk runs it once without a kill and notes each moment: before and after every write of the engine and every step, and
before and after every call of what the scenario has marked (``world.marked("store", store)``).  Then, for each moment,
it copies the world as it was in the beginning, runs the task in a process that kills itself at that moment, lets the
lease end, and has another process go on.  Whatever the moment: every task has ended once, and the world is as after
the run without a kill::

    class PurgeWalk(KilledAtEveryMoment, SynchronousTestCase):
        scenario = "tests.objects.purge_walk:SCENARIO"

It needs no knowledge of the kind, so every service uses it for its own.  ``python -m tests.tasks.walk SCENARIO FOLDER``
prints one JSON line for each moment, the run without a kill first.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from twisted.internet.defer import Deferred

from cloudd.tasks import Kind, Runner, by_name
from tests.running_cloud import CHECKOUT

from . import database
from .world import World, copy_folder, die, fork, make_folder, waited

if TYPE_CHECKING:
    from twisted.trial.unittest import SynchronousTestCase as Base
else:
    Base = object

LEASE_S = 60.0  # never renewed in a walk, which would be moments of the clock's choice
PATIENCE_S = 60.0
KILLED = -9


class Scenario:
    """
    What a walk needs to know of a kind; everything is called in processes of its own.

    :ivar orders_elsewhere: tasks of one node are ordered, which nobody does here, and are not waited for
    """

    parallel = 1
    orders_elsewhere = False

    async def prepare(self, world: World) -> None:
        """Make the world as it is in the beginning, and submit the tasks."""

    def kinds(self, world: World) -> Iterable[Kind]:
        """The kinds of the tasks, with their effects on ``world``."""
        raise AssertionError("a scenario has kinds")

    async def effects(self, world: World) -> Any:
        """What there is when all tasks have ended, as plain data: the same after every kill."""
        return None


class Moments:
    """Counts moments, and ends the process at one of them."""

    def __init__(self, log: Path, fatal: int | None) -> None:
        self._log, self._fatal, self._count = log, fatal, 0

    def __call__(self, name: str) -> None:
        number, self._count = self._count, self._count + 1
        with self._log.open("a") as file:
            file.write(name + "\n")
        if number == self._fatal:
            die()


async def run_tasks(scenario: Scenario, world: World) -> None:
    """Run all tasks of this world to their ends."""
    kinds = by_name(scenario.kinds(world))
    runner = Runner(world.reactor, world.database, kinds, f"walk {os.getpid()}", scenario.parallel, LEASE_S,
                    moment=world.moment)  # fmt: skip
    runner.start()
    runner.poke()
    deadline = world.reactor.seconds() + PATIENCE_S
    while await world.database.read(_open_tasks, scenario.orders_elsewhere):
        if world.reactor.seconds() > deadline:
            raise AssertionError("the tasks do not end")
        await _sleep(world, 0.005)
    await runner.rest()


def _open_tasks(connection: Any, shared_alone: bool) -> int:
    query = "SELECT count(*) FROM tasks WHERE state IN ('queued', 'running')"
    return int(connection.exec_driver_sql(f"{query} AND node_id IS NULL" if shared_alone else query).scalar())


def _sleep(world: World, seconds: float) -> Deferred[None]:
    done: Deferred[None] = Deferred()
    world.reactor.callLater(seconds, done.callback, None)
    return done


def walk(scenario: Scenario, folder: Path) -> Iterable[dict[str, Any]]:
    """One row for the run without a kill, then one for each moment of it."""
    start = folder / "start"
    make_folder(start)
    assert waited(fork(start, scenario.prepare)) == 0, "the scenario cannot be prepared"
    calm = folder / "calm"
    copy_folder(start, calm)
    yield _played(scenario, calm, None)
    for number in range(len(_moments(calm))):
        world = folder / f"killed-{number}"
        copy_folder(start, world)
        row = _played(scenario, world, number)
        yield {"number": number, "moment": _moments(world)[-1], **row}


def _moments(world: Path) -> list[str]:
    return (world / "moments").read_text().splitlines()


def _played(scenario: Scenario, folder: Path, fatal: int | None) -> dict[str, Any]:
    async def work(world: World) -> None:
        await run_tasks(scenario, world)

    async def look(world: World) -> None:
        (folder / "effects").write_text(json.dumps(await scenario.effects(world)))

    status = waited(fork(folder, work, Moments(folder / "moments", fatal)))
    if fatal is not None and status == KILLED:
        database.await_silence(folder)
        # Nobody has to wait for the end of the lease here; how long it lasts is tested elsewhere.
        database.ask(folder, "UPDATE tasks SET due_us = 0 WHERE state = 'running'")
        assert waited(fork(folder, work)) == 0, "the second process could not go on"
    assert waited(fork(folder, look)) == 0
    played = {
        "first_process": status,
        "ends": _rows(folder, "SELECT state, count(*) AS times FROM test_ends GROUP BY task_id, state"),
        "tasks": _rows(folder, "SELECT kind, state, resource, coalesce(result, '') AS result, cause FROM tasks"),
        "effects": json.loads((folder / "effects").read_text()),
    }
    database.drop(folder)
    return played


def _rows(folder: Path, query: str) -> list[list[Any]]:
    """In an order that does not tell which task was first."""
    return sorted(list(row.values()) for row in database.ask(folder, query))


def walked(scenario: str, folder: Path) -> list[dict[str, Any]]:
    """
    Walk in a process of its own.

    :param scenario: ``module:name``
    """
    ran = subprocess.run(
        [sys.executable, "-m", "tests.tasks.walk", scenario, str(folder)],
        cwd=CHECKOUT,
        env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
        capture_output=True,
        text=True,
        check=False,
    )
    if ran.returncode:
        raise AssertionError(f"the walk of {scenario} broke off:\n{ran.stdout[-2000:]}\n{ran.stderr[-4000:]}")
    return [json.loads(line) for line in ran.stdout.splitlines()]


FACTS = ("ends", "tasks", "effects")


def differences(rows: list[dict[str, Any]]) -> list[str]:
    """What differs from the run without a kill, in words."""
    calm, *killed = rows
    found = []
    for row in killed:
        place = f"killed at {row['number']}, {row['moment']}"
        if row["first_process"] != KILLED:
            found.append(f"{place}: the process was not killed but ended with {row['first_process']}")
        found += [f"{place}: {fact} {row[fact]}, not {calm[fact]}" for fact in FACTS if row[fact] != calm[fact]]
    return found


class KilledAtEveryMoment(Base):
    """
    A walk as a test: mix into a ``SynchronousTestCase`` that names the scenario; it may say more of the calm run.
    """

    scenario: ClassVar[str]

    def test_killed_at_every_moment(self) -> None:
        """Whatever the moment of the kill: each task ends once, and the world is as without it."""
        rows = walked(self.scenario, Path(self.mktemp()).absolute())
        calm = rows[0]
        self.assertEqual(calm["first_process"], 0)
        self.assertEqual({count for _state, count in calm["ends"]}, {1})
        self.assertGreater(len(rows), 5)
        self.look_at(calm)
        self.assertEqual(differences(rows), [])

    def look_at(self, calm: dict[str, Any]) -> None:
        """What must be so in the run without a kill."""


def main(name: str, folder: str) -> None:
    """Print a walk."""
    module, _, attribute = name.partition(":")
    scenario: Scenario = getattr(importlib.import_module(module), attribute)
    for row in walk(scenario, Path(folder)):
        sys.stdout.write(json.dumps(row) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
