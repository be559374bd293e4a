"""The identity face over the real identity service, on one connection: what the tests here speak to."""

from __future__ import annotations

import atexit
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any, cast

from twisted.internet.defer import Deferred, execute
from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase

from cloudd.database.tables import metadata
from cloudd.identity import Identity, bootstrap
from cloudd.interfaces.application import Resources
from cloudd.interfaces.settings import Settings
from cloudd.protocols.rest.identity import identity_face
from tests.database.choice import copy_of, new_template, on_postgres
from tests.database.inline import InlineDatabase
from tests.http_client import Answer, HTTPClient

URLS = {"api": "http://cloud:5000", "object": "http://cloud:8080", "s3": "http://cloud:9000"}


class InlineThreads:
    """``Threads`` that call at once."""

    def run(self, function: Any, /, *args: Any, **kwargs: Any) -> Deferred[Any]:
        return execute(function, *args, **kwargs)


#: What the first start of a cloud leaves, made once per process: hashing its passwords takes long.  Of the database:
#: its content, or its name on PostgreSQL.
_FIRST_STARTS: list[tuple[dict[str, str], bytes | str, Path]] = []


async def first_start(secrets: Path) -> tuple[dict[str, str], bytes | str]:
    """The credentials of a first start and its database; its key files are put into ``secrets``."""
    if not _FIRST_STARTS:
        kept = Path(tempfile.mkdtemp(prefix="cloudd-test-"))
        atexit.register(shutil.rmtree, kept, ignore_errors=True)
        name, url = new_template() if on_postgres() else ("", "")
        database = InlineDatabase(url or b"")
        metadata.create_all(database.engine)
        first = await bootstrap(database, Settings(state=kept), kept)
        _FIRST_STARTS.append((first, name or database.content(), kept))
        database.engine.dispose()
    first, content, kept = _FIRST_STARTS[0]
    shutil.copytree(kept, secrets)
    return dict(first), content


class CloudTests(TestCase):
    """
    Base of the tests: a cloud after its first start.

    :ivar first: what ``bootstrap`` made
    :ivar client: the API port
    """

    async def setUp(self) -> None:  # type: ignore[override]
        self.clock = Clock()
        self.clock.rightNow = time.time()
        secrets = Path(self.mktemp()) / "secrets"
        self.first, content = await first_start(secrets)
        self.database = InlineDatabase(copy_of(self, content) if isinstance(content, str) else content)
        self.addCleanup(self.database.engine.dispose)
        self.resources = Resources(
            reactor=self.clock,
            settings=Settings(state=secrets.parent),
            threads=InlineThreads(),
            database=self.database,
            object_index=cast(Any, None),
            metrics=cast(Any, None),
            host=cast(Any, None),
            role="front",
            generation=1,
            urls=URLS,
            secrets=secrets,
        )
        self.identity = Identity(self.resources)
        self.identity.start({})
        self.addCleanup(self.identity.retire)
        self.client = HTTPClient(identity_face(self.identity, self.resources))

    async def log_in(self, user: str = "admin", project: str | None = "", **more: Any) -> str:
        """A token: for the project of the same name, another one, or with ``None`` unscoped."""
        answer = await self.issue(user, more.pop("password", None) or self.first[f"{user}_password"], project, **more)
        self.assertEqual(answer.status, 201, answer.text)
        return answer.headers["x-subject-token"]

    async def issue(self, user: str, password: str, project: str | None = "", **scope: Any) -> Answer:
        """``POST /v3/auth/tokens`` with a password."""
        default = {"id": "default"}
        login = {"user": {"name": user, "domain": default, "password": password}}
        auth: dict[str, Any] = {"identity": {"methods": ["password"], "password": login}}
        if scope:
            auth["scope"] = scope
        elif project is not None:
            auth["scope"] = {"project": {"name": project or user, "domain": default}}
        else:
            auth["scope"] = "unscoped"
        return await self.client.json("POST", "/identity/v3/auth/tokens", {"auth": auth})

    async def call(self, token: str, method: str, path: str, document: Any = None, **headers: str) -> Answer:
        """A call below ``/identity/v3`` with a token; further headers have ``_`` for ``-``."""
        fields = {"X-Auth-Token": token} | {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.client.json(method, f"/identity/v3{path}", document, headers=fields)

    async def good(self, status: int, token: str, method: str, path: str, document: Any = None, **headers: str) -> Any:
        """A call that must have this status; gives its JSON, or ``None`` for an empty body."""
        answer = await self.call(token, method, path, document, **headers)
        self.assertEqual(answer.status, status, f"{method} {path}: {answer.text}")
        return answer.json() if answer.body else None

    async def refused(
        self, status: int, token: str, method: str, path: str, document: Any = None, **headers: str
    ) -> str:
        """A call that must be refused; gives the message of its fault."""
        answer = await self.call(token, method, path, document, **headers)
        self.assertEqual(answer.status, status, f"{method} {path}: {answer.text}")
        error = answer.json()["error"]
        self.assertEqual(set(error), {"code", "title", "message"})
        self.assertEqual(error["code"], status)
        return str(error["message"])
