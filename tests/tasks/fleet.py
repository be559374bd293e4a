"""
Several runner processes on one database, and kills of random ones: for a test and for ``bench/tasks.py``.

::

    python -m tests.tasks.fleet FOLDER --tasks 200 --runners 3 --kill-every 0.4 --lease 1.5 --seed 1

makes a control database in FOLDER, submits so many tasks, runs them in so many processes, kills a random one with
signal 9 now and then and starts another in its place, until every task has ended or ``--patience`` seconds are over.
Prints one JSON object.  Each task has three steps: a row in the control database (which must be there once), a file
(which may be written again), and another row; each waits a little, so that kills meet all of them.

``missing``: tasks without an outcome; ``doubled``: with more than one, or with a row that is there twice; ``wrong``:
without one of their effects.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from attrs import define, field
from twisted.internet.task import deferLater

from cloudd.tasks import Ended, Fields, Form, Kind, Retry, Runner, Step, Task, by_name, submit

from .database import ask
from .walks import book
from .world import World, fork, make_folder, waited

FORM = Form(name="test.fleet")
PARALLEL = 4
SUBMITTED_AT_ONCE = 100


def kind(world: World, longest_s: float) -> Kind:
    """
    :param longest_s: of each step
    """

    async def pause() -> None:
        await deferLater(world.reactor, random.uniform(0, longest_s), lambda: None)

    async def first(task: Task) -> Fields | None:
        await pause()
        if not task.state:
            await task.write(book, task.id, "first", state={"booked": ["first"]})
        return None

    async def file(task: Task) -> Fields | None:
        await pause()
        path = world.folder / "files" / task.id
        await world.threads.run(path.write_text, str(task.payload["number"]))
        return None

    async def last(task: Task) -> Fields | None:
        await pause()
        if len(task.state["booked"]) == 1:
            await task.write(book, task.id, "last", state={"booked": ["first", "last"]})
        return {"number": task.payload["number"]}

    steps = (Step("first", first), Step("file", file), Step("last", last))
    return Kind(form=FORM, steps=steps, retry=Retry(attempts=50))


@define(eq=False)
class Fleet:
    """
    :ivar kills: how many processes were killed
    """

    folder: Path
    lease_s: float
    longest_s: float
    pids: list[int] = field(factory=list)
    kills: int = 0

    def start_one(self) -> None:
        """One more runner, until it is killed or all tasks have ended."""

        async def work(world: World) -> None:
            def note(_kind: Kind, ended: Ended) -> None:
                ends[ended.how] += 1

            ends: Counter[str] = Counter()
            runner = Runner(world.reactor, world.database, by_name([kind(world, self.longest_s)]), str(os.getpid()),
                            PARALLEL, self.lease_s, note)  # fmt: skip
            runner.start()
            while not (self.folder / "enough").exists():
                await deferLater(world.reactor, 0.1, lambda: None)
            await runner.rest()

        self.pids.append(fork(self.folder, work))

    def kill_one(self, chance: random.Random) -> None:
        """Kill a random one, and start another."""
        pid = self.pids.pop(chance.randrange(len(self.pids)))
        os.kill(pid, signal.SIGKILL)
        assert waited(pid) == -signal.SIGKILL, "a runner ended before it was killed"
        self.kills += 1
        self.start_one()

    def end(self) -> list[int]:
        """Let all end; gives their exit statuses."""
        (self.folder / "enough").touch()
        statuses = [waited(pid) for pid in self.pids]
        self.pids.clear()
        return statuses


def make(folder: Path, count: int) -> None:
    """The database with so many tasks in it."""
    make_folder(folder)
    (folder / "files").mkdir()

    def many(connection: Any, begin: int) -> None:
        for number in range(begin, min(begin + SUBMITTED_AT_ONCE, count)):
            submit(connection, FORM, {"number": number})

    async def work(world: World) -> None:
        for begin in range(0, count, SUBMITTED_AT_ONCE):
            await world.database.write(many, begin)

    assert waited(fork(folder, work)) == 0


def open_tasks(folder: Path) -> int:
    """How many have not ended; asked in a fork, since whoever opens the database must not close it beside others."""
    answer = folder / "open"

    async def work(world: World) -> None:
        def count(connection: Any) -> int:
            query = "SELECT count(*) FROM tasks WHERE state IN ('queued', 'running')"
            return int(connection.exec_driver_sql(query).scalar())

        answer.write_text(str(await world.database.read(count)))

    assert waited(fork(folder, work)) == 0
    return int(answer.read_text())


def judged(folder: Path, count: int) -> dict[str, Any]:
    """What came of the tasks, when nothing runs any more."""
    tasks = ask(folder, "SELECT id, state, result, payload FROM tasks")
    states = {task["id"]: task["state"] for task in tasks}
    results = {task["id"]: task["result"] for task in tasks}
    numbers = {task["id"]: json.loads(task["payload"])["number"] for task in tasks}
    ends = Counter(row["task_id"] for row in ask(folder, "SELECT task_id FROM test_ends"))
    effects = Counter((row["task_id"], row["what"]) for row in ask(folder, "SELECT task_id, what FROM test_effects"))
    doubled = {task_id for task_id, times in ends.items() if times > 1}
    doubled |= {task_id for (task_id, _what), times in effects.items() if times > 1}
    wrong = [
        task_id
        for task_id, number in numbers.items()
        if states[task_id] == "done"
        and (
            {what for each, what in effects if each == task_id} != {"first", "last"}
            or json.loads(results[task_id]) != {"number": number}
            or (folder / "files" / task_id).read_text() != str(number)
        )
    ]
    return {
        "tasks": len(states),
        "outcomes": sum(ends.values()),
        "states": dict(Counter(states.values())),
        "missing": count - len(ends),
        "doubled": len(doubled),
        "wrong": len(wrong),
    }


def run(options: argparse.Namespace) -> dict[str, Any]:
    """One run; see the module."""
    folder, chance = Path(options.folder), random.Random(options.seed)
    make(folder, options.tasks)
    fleet = Fleet(folder, options.lease, options.longest)
    began = time.monotonic()
    for _ in range(options.runners):
        fleet.start_one()
    next_kill = began + options.kill_every
    last_kill = began
    while (left := open_tasks(folder)) and time.monotonic() - began < options.patience:
        if time.monotonic() >= next_kill and time.monotonic() - began < options.kill_for:
            fleet.kill_one(chance)
            last_kill = time.monotonic()
            next_kill = last_kill + options.kill_every
        time.sleep(min(0.1, options.kill_every / 4))
    ended = time.monotonic()
    statuses = fleet.end()
    return {
        **judged(folder, options.tasks),
        "open": left,
        "runners": options.runners,
        "kills": fleet.kills,
        "seconds": round(ended - began, 1),
        "seconds_after_last_kill": round(ended - last_kill, 1),
        "lease_s": options.lease,
        "statuses": statuses,
    }


def is_good(found: dict[str, Any]) -> bool:
    """Whether every task has one outcome, and what belongs to it."""
    faults = ("missing", "doubled", "wrong", "open")
    return not any(found[name] for name in faults) and found["states"] == {"done": found["tasks"]}


def parser() -> argparse.ArgumentParser:
    """The options."""
    found = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    found.add_argument("folder")
    found.add_argument("--tasks", type=int, default=1000)
    found.add_argument("--runners", type=int, default=3)
    found.add_argument("--kill-every", type=float, default=1.0, help="seconds between two kills")
    found.add_argument("--kill-for", type=float, default=1e9, help="no kills after so many seconds")
    found.add_argument("--lease", type=float, default=15.0, help="seconds a lease lasts")
    found.add_argument("--longest", type=float, default=0.4, help="longest pause of a step, seconds")
    found.add_argument("--patience", type=float, default=500.0, help="longest run, seconds")
    found.add_argument("--seed", type=int, default=1)
    return found


def main(arguments: list[str]) -> int:
    """Print what came of it; 1: not every task has its one outcome."""
    found = run(parser().parse_args(arguments))
    sys.stdout.write(json.dumps(found) + "\n")
    return 0 if is_good(found) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
