"""A cloud's identity for tests: the real service on a real database, with a clock that the test turns."""

from __future__ import annotations

import shutil
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
    User,
    UserRef,
    bootstrap,
)
from cloudd.identity._bootstrap import role_id
from cloudd.interfaces.application import Host, Metrics, Resources
from cloudd.interfaces.settings import IdentitySettings, Settings
from tests.database.choice import copy_of, new_template, on_postgres

NOW_S = 1_800_000_000.0


@define(eq=False)
class PoolThreads:
    """``cloudd.interfaces.application.Threads`` on a Twisted pool."""

    pool: ThreadPool = field(factory=lambda: ThreadPool(1, 4))

    def run(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Deferred[Any]:
        return deferToThreadPool(cast(Any, reactor), self.pool, function, *args, **kwargs)


#: Folder with the keys, the database that is copied, and what the bootstrap said.
_TEMPLATES: list[tuple[Path, Path | str, dict[str, str]]] = []


async def _template(folder: Path, settings: Settings) -> tuple[Path, Path | str, dict[str, str]]:
    (folder / "secrets").mkdir(parents=True)
    name, place = new_template() if on_postgres() else ("", folder / "cloud.sqlite")
    migrate(place)
    database = open_control_database(place, reactor=reactor)
    login = await bootstrap(database, settings, folder / "secrets")
    await database.close()
    return folder / "secrets", name or place, login


@define(eq=False)
class House:
    """One control database and as many workers as a test wants."""

    case: TestCase
    folder: Path
    place: Path | str  # of the database
    settings: Settings
    login: dict[str, str]
    clock: Clock
    threads: PoolThreads

    @classmethod
    async def built(cls, case: TestCase, **identity: Any) -> House:
        """A house of its own; the bootstrap with its slow hashes is done once for all tests and copied."""
        folder = Path(case.mktemp())
        settings = Settings(state=folder, identity=IdentitySettings(**identity))
        if not _TEMPLATES:
            _TEMPLATES.append(await _template(Path(case.mktemp()).absolute(), settings))
        secrets, template, login = _TEMPLATES[0]
        shutil.copytree(secrets, folder / "secrets")
        if isinstance(template, Path):
            place: Path | str = shutil.copy(template, folder / "cloud.sqlite")
        else:
            place = copy_of(case, template)
        threads = PoolThreads()
        threads.pool.start()
        case.addCleanup(threads.pool.stop)
        clock = Clock()
        clock.advance(NOW_S)
        return cls(case, folder, place, settings, login, clock, threads)

    def database(self) -> GroupCommit[Any]:
        database = open_control_database(self.place, reactor=reactor, threads=2)
        self.case.addCleanup(database.close)
        return database

    def worker(self, *, role: str = "all", database: Any = None, state: dict[str, Any] | None = None) -> Identity:
        """An identity of its own, as another process has it: own caches, own connections."""
        identity = Identity(self.resources(database or self.database(), role))
        identity.start(state or {})
        self.case.addCleanup(identity.retire)
        return identity

    def resources(self, database: Any, role: str = "all") -> Resources:
        """What the kernel lends."""
        return Resources(
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
        """The operator, on project admin."""
        return (await identity.authenticate(self.password_login("admin"))).access

    async def demo(self, identity: Identity) -> IssuedToken:
        """A member of project demo."""
        return await identity.authenticate(self.password_login("demo"))

    def project_scope(self, name: str) -> ProjectScope:
        return ProjectScope(id=self.login[f"{name}_project_id"])

    async def member(
        self,
        identity: Identity,
        name: str,
        role: str = "member",
        *,
        project: str | None = None,
        domain: str = "default",
    ) -> User:
        """A new user with the password "secret" and a role on a project, or on the domain."""
        admin = await self.admin(identity)
        values = {"name": name, "domain_id": domain, "password": "secret", "default_project_id": project}
        user = await identity.users.create(admin, values)
        place = {"project_id": project} if project else {"domain_id": domain}
        await identity.assignments.grant(admin, role_id=role_id(role), user_id=user.id, **place)
        return user

    async def login_as(self, identity: Identity, user: User, scope: Scope | None = None) -> IssuedToken:
        """A token of one of ``member``'s users."""
        password = PasswordLogin(user=UserRef(id=user.id), password="secret")
        return await identity.authenticate(AuthRequest(methods=("password",), password=password, scope=scope))
