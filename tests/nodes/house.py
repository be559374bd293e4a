"""A control database with machines on it: their registry rows, keys and folders, all in this process."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from attrs import define, evolve, field
from sqlalchemy import Connection
from twisted.internet import reactor
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThreadPool
from twisted.python.threadpool import ThreadPool
from twisted.trial.unittest import TestCase

from cloudd.daemon._metrics import WorkerMetrics
from cloudd.database import GroupCommit, open_control_database
from cloudd.interfaces.application import Host, Resources
from cloudd.interfaces.settings import DatabaseSettings, NodeSettings, Settings
from cloudd.nodes import Nodes
from tests.database.choice import new_database

PAYLOADS = {"test.work": (1, 2)}


@define(eq=False)
class PoolThreads:
    """``cloudd.interfaces.application.Threads`` on a Twisted pool."""

    pool: ThreadPool = field(factory=lambda: ThreadPool(1, 4))

    def run(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Deferred[Any]:
        return deferToThreadPool(cast(Any, reactor), self.pool, function, *args, **kwargs)


@define(eq=False)
class FakeWork:
    """What a machine does of its own accord."""

    running: int = 0
    taken: tuple[str, bool] = ("", True)
    removed: list[tuple[str, str]] = field(factory=list)

    @property
    def is_busy(self) -> bool:
        return self.running > 0

    @property
    def held(self) -> bool:
        """Whether nothing is begun that other nodes can do as well."""
        return not self.taken[1]

    def take(self, node_id: str, *, shared: bool) -> None:
        self.taken = (node_id, shared)

    def node_removed(self, connection: Connection, node_id: str, name: str) -> None:
        self.removed.append((node_id, name))


class FakeHost:
    """An anchor that says which code runs."""

    def code(self) -> Deferred[dict[str, Any]]:
        return succeed({"version": "0.1.0", "code": {"hash": "c" * 64}})


@define(eq=False)
class Machine:
    """One of them; ``nodes`` is its agent's part of a generation."""

    resources: Resources
    work: FakeWork
    nodes: Nodes


@define(eq=False)
class House:
    """
    :ivar url: what ``[database] url`` says on these machines
    """

    case: TestCase
    database: GroupCommit[Any]
    threads: PoolThreads
    url: str
    folder: Path

    @classmethod
    def built(cls, case: TestCase, which: str = "") -> House:
        place = new_database(case, which)
        database = open_control_database(place, reactor=reactor, threads=2)
        case.addCleanup(database.close)
        threads = PoolThreads()
        threads.pool.start()
        case.addCleanup(threads.pool.stop)
        # What nodes make of a URL is tested on files, too: nobody connects to this one.
        url = place if isinstance(place, str) else "postgresql://cloudd@127.0.0.1/cloudd"
        return cls(case, database, threads, url, Path(case.mktemp()).absolute())

    def resources(self, name: str, *, alone: bool = False, **nodes: Any) -> Resources:
        """
        What the kernel lends on one machine.

        :param alone: its database is a file
        """
        state = self.folder / name
        (state / "secrets").mkdir(parents=True, exist_ok=True)
        settings = Settings(
            state=state,
            nodes=NodeSettings(**{"name": name, "heartbeat_s": 0.5, "lease_s": 1.0, **nodes}),
            database=DatabaseSettings(url="" if alone else self.url),
        )
        return Resources(
            reactor=reactor,
            settings=settings,
            threads=self.threads,
            database=self.database,
            object_index=self.database,
            metrics=WorkerMetrics(),
            host=cast(Host, FakeHost()),
            role="agent",
            generation=3,
            urls={},
            secrets=state / "secrets",
        )

    def machine(self, name: str, *, resources: Resources | None = None, **nodes: Any) -> Machine:
        """One that does not lead yet."""
        resources, work = resources or self.resources(name, **nodes), FakeWork()
        made = Nodes(resources, work, PAYLOADS)
        made.start({})
        self.case.addCleanup(made.rest)
        self.case.addCleanup(made.retire)
        return Machine(resources, work, made)

    async def set(self, table: Any, **values: Any) -> None:
        """Change all rows of a table, as time would."""
        await self.database.write(lambda connection: connection.execute(table.update().values(**values)))

    async def until(self, condition: Callable[[], Any], patience_s: float = 60.0) -> Any:
        """Wait until something is so, and give what ``condition`` gave."""
        clock = cast(Any, reactor)
        end = clock.seconds() + patience_s
        while not (found := condition()):
            if clock.seconds() > end:
                raise AssertionError("waited in vain")
            await deferLater(clock, 0.01)
        return found


def with_role(resources: Resources, role: str) -> Resources:
    """The same in another worker."""
    return evolve(resources, role=role)
