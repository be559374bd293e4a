"""
A cloud under attack, and what must hold after every attack whatever its answer was.

``Siege.tearDown`` checks it: the daemon serves, all its processes are the same, no table has a row more or less, no
data file lies below ``objects/`` that no row names, no worker holds a descriptor of one, nothing failed unexpectedly
in the log, and no secret that any test used stands in any log.
"""

from __future__ import annotations

import atexit
import json
import os
import secrets
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from functools import cache, partial
from pathlib import Path
from typing import Any
from urllib.parse import quote
from xml.etree import ElementTree

import psycopg
from attrs import define, field
from twisted.trial.unittest import SynchronousTestCase

from tests.running_cloud import RunningCloud, running_cloud

from .signer import Signer
from .wire import Answer, ask

SETTLED_WITHIN_S = 10
V3 = "/identity/v3"
#: Whatever must not be read in a log; tests add what they make.
SECRETS: set[str] = set()
# These may have other rows afterwards; what a deleted project had is purged by a task, later.  Duties come by time,
# the first a while after the daemon has begun to serve.
ROLLING = {"identity_revocation", "arrived", "garbage", "events", "changes", "tasks", "duties"}
INCIDENTS = ("Traceback", "Unhandled", "Unhandled error", "coroutine", "was never awaited")


@define(eq=False)
class Identity:
    """Somebody of one project, with all that they can log in with."""

    cloud: RunningCloud
    name: str
    password: str = field(repr=False)
    project: str
    user_id: str = ""
    project_id: str = ""
    token: str = field(default="", repr=False)
    signer: Signer = field(init=False)

    @property
    def account(self) -> str:
        return f"AUTH_{self.project_id}"

    def log_in(self) -> str:
        """A fresh token for the project."""
        user = {"name": self.name, "domain": {"id": "default"}, "password": self.password}
        scope = {"project": {"name": self.project, "domain": {"id": "default"}}}
        token, facts = log_in(self.cloud, {"methods": ["password"], "password": {"user": user}}, scope)
        self.token, self.user_id, self.project_id = token, facts["user"]["id"], facts["project"]["id"]
        return token

    def make_key(self) -> Signer:
        """A new EC2 key."""
        made = self.api("POST", f"/users/{self.user_id}/credentials/OS-EC2", {"tenant_id": self.project_id}, 201)
        facts = made.json()["credential"]
        return Signer(facts["access"], secret(facts["secret"]), f"127.0.0.1:{self.cloud.ports['s3']}")

    def api(self, method: str, path: str, document: Any = None, status: int | None = None) -> Answer:
        """A call of the identity API below ``/v3``."""
        return api(self.cloud, self.token, method, path, document, status)

    def swift(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Answer:
        """A call of the Swift API; ``path`` is below the own account, or begins with ``/v1``."""
        target = path if path.startswith("/v1") else f"/v1/{self.account}{path}"
        fields = {name.replace("_", "-"): value for name, value in headers.items()}
        return ask(self.cloud.ports["object"], method, target, {"X-Auth-Token": self.token, **fields}, body)

    def s3(
        self, method: str, target: str, body: bytes = b"", headers: Mapping[str, str] | None = None, **how: Any
    ) -> Answer:
        """A signed S3 call."""
        return s3(self.cloud, self.signer, method, target, body, headers, **how)


def secret(text: str) -> str:
    """``text``, and no log may hold it from now on."""
    SECRETS.add(text)
    return text


def log_in(cloud: RunningCloud, identity: Any, scope: Any = None) -> tuple[str, Any]:
    """A token and what it says; any kind of log-in."""
    document = {"auth": {"identity": identity, **({"scope": scope} if scope else {})}}
    answer = api(cloud, "", "POST", "/auth/tokens", document, 201)
    return secret(answer.headers["x-subject-token"]), answer.json()["token"]


def api(cloud: RunningCloud, token: str, method: str, path: str, document: Any = None, status: Any = None) -> Answer:
    """A call of the identity API; ``status`` is what it has to answer."""
    headers = {"Content-Type": "application/json", **({"X-Auth-Token": token} if token else {})}
    body = None if document is None else json.dumps(document).encode()
    answer = ask(cloud.ports["api"], method, V3 + path, headers, body)
    assert status is None or answer.status == status, f"{method} {path}: {answer.status} {answer.text}"
    return answer


def s3(
    cloud: RunningCloud,
    signer: Signer,
    method: str,
    target: str,
    body: bytes = b"",
    headers: Mapping[str, str] | None = None,
    **how: Any,
) -> Answer:
    """An S3 call signed by ``signer``."""
    fields = signer.headers(method, target, body, headers, **how)
    secret(fields["authorization"].rpartition("=")[2])
    return ask(cloud.ports["s3"], method, target, fields, body if body or method in {"PUT", "POST"} else None)


def code(answer: Answer) -> str:
    """The code in S3's error document."""
    return ElementTree.fromstring(answer.body).findtext("Code") or ""


@cache
def own_cloud(settings: str) -> RunningCloud:
    """A daemon with these settings, for as long as the test process lives."""
    cloud = RunningCloud(settings)
    atexit.register(cloud.remove)
    cloud.start()
    return cloud


@cache
def first_tenant(cloud: RunningCloud) -> Identity:
    """Whom the others attack: the demo user, with a key."""
    return _with_key(Identity(cloud, cloud.tenant()[0], secret(cloud.tenant()[1]), "demo"))


@cache
def administrator(cloud: RunningCloud) -> Identity:
    """The admin of ``clouds.yaml``."""
    text = (cloud.state / "clouds.yaml").read_text().partition("cloudd-admin:")[2]
    password = text.partition("password:")[2].split("\n")[0].strip().strip("\"'")
    return _with_key(Identity(cloud, "admin", secret(password), "admin"))


@cache
def second_tenant(cloud: RunningCloud) -> Identity:
    """Another project with its member."""
    return _with_key(new_user(cloud, "member"))


@contextmanager
def somebody(cloud: RunningCloud, *roles: str, project_id: str = "") -> Iterator[Identity]:
    """A new user, who goes at the end, with the project if it is new as well."""
    made = new_user(cloud, *roles, project_id=project_id)
    try:
        yield made
    finally:
        administrator(cloud).api("DELETE", f"/users/{made.user_id}")
        if not project_id:
            administrator(cloud).api("DELETE", f"/projects/{made.project_id}")


def new_user(cloud: RunningCloud, *roles: str, project_id: str = "") -> Identity:
    """A user with these roles on a project, on a new one if none is given; logged in if there is a role."""
    admin = administrator(cloud)
    name, password = f"u-{secrets.token_hex(6)}", secret(secrets.token_urlsafe(18))
    user = {"name": name, "password": password, "domain_id": "default"}
    user_id = admin.api("POST", "/users", {"user": user}, 201).json()["user"]["id"]
    project = name
    if project_id:
        project = admin.api("GET", f"/projects/{project_id}", status=200).json()["project"]["name"]
    else:
        made = admin.api("POST", "/projects", {"project": {"name": name, "domain_id": "default"}}, 201)
        project_id = made.json()["project"]["id"]
    for role in roles:
        admin.api("PUT", f"/projects/{project_id}/users/{user_id}/roles/{role_id(cloud, role)}", status=204)
    made_user = Identity(cloud, name, password, project, user_id, project_id)
    if roles:
        made_user.log_in()
    return made_user


@cache
def role_id(cloud: RunningCloud, name: str) -> str:
    roles = administrator(cloud).api("GET", f"/roles?name={name}", status=200).json()["roles"]
    return str(roles[0]["id"])


def _with_key(somebody: Identity) -> Identity:
    somebody.log_in()
    somebody.signer = somebody.make_key()
    return somebody


class Siege(SynchronousTestCase):
    """Tests against the shared daemon, or against one of the test's own."""

    def make_cloud(self) -> RunningCloud:
        return running_cloud()

    def setUp(self) -> None:
        self.cloud = self.make_cloud()
        self.demo = first_tenant(self.cloud)
        self.other = second_tenant(self.cloud)
        self.admin = administrator(self.cloud)
        self.log_begins = (self.cloud.folder / "daemon.log").stat().st_size
        self.processes = workers(self.cloud)
        # A node, and what it has for servers, says that it is there some time after it has begun to serve.
        for said in ("nodes", "compute_hosts"):
            self.assertEqual(eventually(partial(self.count, said), 1), 1)
        self.rows = rows(self.cloud)

    def count(self, table: str) -> int:
        """How many rows it has."""
        return rows(self.cloud)[table]

    def tearDown(self) -> None:
        health = ask(self.cloud.ports["api"], "GET", "/health")
        self.assertEqual(health.status, 200, health.text)
        self.assertEqual(workers(self.cloud), self.processes, "a worker died")
        self.assertEqual(eventually(lambda: rows(self.cloud), self.rows), self.rows)
        self.assertEqual(eventually(lambda: unnamed_files(self.cloud), []), [])
        self.assertEqual(eventually(lambda: open_data(self.cloud), []), [])
        self.assertEqual(eventually(lambda: client_sockets(self.cloud), []), [])
        self.check_logs()

    def check_logs(self) -> None:
        with (self.cloud.folder / "daemon.log").open("rb") as log:
            log.seek(self.log_begins)
            said = log.read().decode("utf-8", "replace")
        for incident in INCIDENTS:
            self.assertNotIn(incident, said)
        for path in [self.cloud.folder / "daemon.log", *(self.cloud.state / "log").iterdir()]:
            text = path.read_text("utf-8", "replace")
            self.assertEqual([shown[:12] for shown in SECRETS if shown in text], [], path)

    @contextmanager
    def container(self, owner: Identity, **objects: bytes) -> Iterator[str]:
        """A container with objects, for as long as a test looks at it; it goes with all that is in it then."""
        name = f"c-{secrets.token_hex(4)}"
        self.assertEqual(owner.swift("PUT", f"/{name}").status, 201)
        for key, data in objects.items():
            self.assertEqual(owner.swift("PUT", f"/{name}/{key}", data).status, 201)
        try:
            yield name
        finally:
            while found := owner.swift("GET", f"/{name}?format=json").json():
                paths = "".join(f"/{name}/{quote(each['name'])}\n" for each in found).encode()
                done = owner.swift("POST", "/?bulk-delete", paths, Content_Type="text/plain")
                self.assertIn("Number Deleted", done.text)
                self.assertNotIn("Number Deleted: 0", done.text)
            self.assertEqual(owner.swift("DELETE", f"/{name}").status, 204)

    def check_fault(self, answer: Answer, status: int, *words: str) -> None:
        """An error of the identity API, with a cause."""
        self.assertEqual(answer.status, status, answer.text)
        error = answer.json()["error"]
        self.assertEqual(error["code"], status)
        self.assertTrue(error["title"] and error["message"])
        for word in words:
            self.assertIn(word, error["message"])

    def check_s3(self, answer: Answer, status: int, name: str) -> None:
        """An error of S3."""
        self.assertEqual((answer.status, code(answer)), (status, name), answer.text)
        self.assertTrue(ElementTree.fromstring(answer.body).findtext("Message"))

    def check_swift(self, answer: Answer, *status: int) -> None:
        """An error of Swift, with a cause where the method lets it have one."""
        self.assertIn(answer.status, status, answer.text)
        self.assertIn("x-trans-id", answer.headers)
        self.assertTrue(answer.body, "an error without a cause")


def eventually(look: Callable[[], Any], wanted: Any) -> Any:
    """What ``look`` gives once it is what is wanted, or at the last moment."""
    deadline = time.monotonic() + SETTLED_WITHIN_S
    while (found := look()) != wanted and time.monotonic() < deadline:
        time.sleep(0.05)
    return found


def workers(cloud: RunningCloud) -> dict[int, str]:
    """The daemon's processes below the anchor: process id to name."""
    assert cloud.process is not None
    found: dict[int, str] = {}
    waiting = [cloud.process.pid]
    while waiting:
        parent = waiting.pop()
        for child in Path(f"/proc/{parent}/task/{parent}/children").read_text().split():
            waiting.append(int(child))
            found[int(child)] = Path(f"/proc/{child}/comm").read_text().strip()
    return found


def descriptors(cloud: RunningCloud) -> Iterator[tuple[int, str]]:
    """What every worker has open."""
    for process in workers(cloud):
        for entry in Path(f"/proc/{process}/fd").iterdir():
            try:
                yield process, os.readlink(entry)
            except FileNotFoundError:
                continue


def open_data(cloud: RunningCloud) -> list[str]:
    """Data files that a worker still holds, unnamed ones included."""
    store = f"{cloud.state}/objects/"
    return [path for _, path in descriptors(cloud) if path.startswith(store) and not path.endswith(".lock")]


def client_sockets(cloud: RunningCloud) -> list[str]:
    """Connections of clients that are still open in the daemon, by what the kernel says of its ports."""
    ports = {f"{port:04X}" for port in cloud.ports.values()}
    found = []
    inodes = {path[8:-1] for _, path in descriptors(cloud) if path.startswith("socket:[")}
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[1].rpartition(":")[2] in ports and fields[3] != "0A" and fields[9] in inodes:
            found.append(line)
    return found


def rows(cloud: RunningCloud) -> dict[str, int]:
    """How many rows each table has."""
    found: dict[str, int] = {}
    for name in ("cloud.sqlite", "objects.sqlite"):
        if name == "cloud.sqlite" and cloud.database.url:
            with psycopg.connect(cloud.database.url) as server:
                tables = server.execute(
                    "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'"
                )
                found |= _counts(server, tables.fetchall())
            continue
        with closing(sqlite3.connect(f"file:{cloud.state / name}?mode=ro", uri=True)) as database:
            found |= _counts(
                database, database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
            )
    return found


def _counts(database: Any, tables: list[tuple[str]]) -> dict[str, int]:
    return {
        table: database.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
        for (table,) in tables
        if table not in ROLLING and not table.startswith(("sqlite_", "accounts"))
    }


def unnamed_files(cloud: RunningCloud) -> list[str]:
    """Files below ``objects/`` that no row names, and rows of work that is still under way."""
    named: set[str] = set()
    with closing(sqlite3.connect(f"file:{cloud.state / 'objects.sqlite'}?mode=ro", uri=True)) as database:
        for table in ("objects", "parts"):
            for (extents,) in database.execute(f"SELECT extents FROM {table}"):
                named |= {extent.partition(":")[0] for extent in extents.split()}
        pending = [f"pending: {file}" for (file,) in database.execute("SELECT file FROM garbage")]
        pending += [f"pending: {file}" for (file,) in database.execute("SELECT file FROM arrived")]
    there = [path for path in (cloud.state / "objects" / "data").glob("*/*") if path.name not in named]
    there += [path for path in (cloud.state / "objects" / "incoming").iterdir() if path.suffix != ".lock"]
    return sorted(pending + [str(path) for path in there])
