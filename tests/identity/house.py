"""A cloud's identity for tests: the real service on a real SQLite file, with a clock that the test turns."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from attrs import define, field
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.internet.threads import deferToThreadPool
from twisted.python.threadpool import ThreadPool
from twisted.trial.unittest import TestCase

from cloudd.database import GroupCommit, migrate, open_control_database
from cloudd.identity import (
    Access,
    AuthRequest,
    Identity,
    IssuedToken,
    PasswordLogin,
    ProjectScope,
    Scope,
    UserRef,
    bootstrap,
)
from cloudd.interfaces.application import Host, Metrics, Resources
from cloudd.interfaces.settings import IdentitySettings, Settings

NOW_S = 1_800_000_000.0


@define(eq=False)
class PoolThreads:
    """``cloudd.interfaces.application.Threads`` on a Twisted pool."""

    pool: ThreadPool = field(factory=lambda: ThreadPool(1, 4))

    def run(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Deferred[Any]:
        return deferToThreadPool(cast(Any, reactor), self.pool, function, *args, **kwargs)


@define(eq=False)
class House:
    """One control database and as many workers as a test wants."""

    case: TestCase
    folder: Path
    settings: Settings
    login: dict[str, str]
    clock: Clock
    threads: PoolThreads

    @classmethod
    async def built(cls, case: TestCase, **identity: Any) -> House:
        folder = Path(case.mktemp())
        (folder / "secrets").mkdir(parents=True)
        settings = Settings(state=folder, identity=IdentitySettings(**identity))
        threads = PoolThreads()
        threads.pool.start()
        case.addCleanup(threads.pool.stop)
        clock = Clock()
        clock.advance(NOW_S)
        house = cls(case, folder, settings, {}, clock, threads)
        migrate(house.file)
        house.login = await bootstrap(house.database(), settings, folder / "secrets")
        return house

    @property
    def file(self) -> Path:
        return self.folder / "cloud.sqlite"

    def database(self) -> GroupCommit[Any]:
        database = open_control_database(self.file, reactor=reactor, threads=2)
        self.case.addCleanup(database.close)
        return database

    def worker(self, *, role: str = "all", database: Any = None, state: dict[str, Any] | None = None) -> Identity:
        """An identity of its own, as another process has it: own caches, own connections."""
        database = database or self.database()
        identity = Identity(
            Resources(
                reactor=self.clock,
                settings=self.settings,
                threads=self.threads,
                database=database,
                object_index=database,
                metrics=cast(Metrics, None),
                host=cast(Host, None),
                role=role,
                generation=1,
                urls={"api": "http://api:5000", "object": "http://object:8080", "s3": "http://s3:9000"},
                secrets=self.folder / "secrets",
            )
        )
        identity.start(state or {})
        self.case.addCleanup(identity.retire)
        return identity

    def password_login(self, name: str, scope: Scope | None = None, password: str | None = None) -> AuthRequest:
        return AuthRequest(
            methods=("password",),
            password=PasswordLogin(
                user=UserRef(name=name, domain_id="default"),
                password=self.login[f"{name}_password"] if password is None else password,
            ),
            scope=scope,
        )

    async def admin(self, identity: Identity) -> Access:
        issued = await identity.authenticate(self.password_login("admin"))
        return issued.access

    async def demo(self, identity: Identity) -> IssuedToken:
        return await identity.authenticate(self.password_login("demo"))

    def project_scope(self, name: str) -> ProjectScope:
        return ProjectScope(id=self.login[f"{name}_project_id"])
