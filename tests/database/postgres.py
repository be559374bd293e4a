"""
A PostgreSQL of one's own: on a private port, in a folder that goes with it, never as root.

One instance serves all tests of a process, and each test has a database of its own, copied from a template.  Nothing is
synced to disk: that is for tests alone, benches start theirs with ``durable=True``.
"""

from __future__ import annotations

import atexit
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from functools import cache
from pathlib import Path
from typing import Any

import psycopg
from attrs import define, field

from tests.ports import free_port

START_S = 60.0
SERVANT = "postgres"  # the user that Debian's package makes
USER = "cloudd"  # the role that the daemon uses: the owner of its database, and nothing more
GUARDED = "guarded"  # a role that has to give its password
PASSWORD = "say friend"

# Whatever makes a throw-away server quick.
_CARELESS = "fsync = off\nfull_page_writes = off\nautovacuum = off\nwal_level = minimal\nmax_wal_senders = 0\n"
_ENTRIES = f"host all {GUARDED} samenet scram-sha-256\nhost all all samenet trust\n"


def programs() -> Path:
    """The folder of ``initdb`` and ``postgres``: Debian has one for each version."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[4]))
    if not found:
        raise AssertionError("the tests need PostgreSQL: script/setup test, or apt-get install postgresql")
    return found[-1].parent


@define(eq=False)
class Postgres:
    """
    One server.

    :param durable: as a server of one's own would be; else nothing is synced
    :param address: where it listens
    :param enter: words before its command, which lead to another network namespace
    :ivar port: at that address
    """

    durable: bool = False
    settings: str = ""
    address: str = "127.0.0.1"
    enter: tuple[str, ...] = ()
    folder: Path = field(factory=lambda: Path(tempfile.mkdtemp(prefix="cloudd-postgres-")))
    port: int = field(factory=free_port)
    _process: subprocess.Popen[bytes] | None = field(init=False, default=None)

    @property
    def data(self) -> Path:
        return self.folder / "data"

    def make(self) -> None:
        """A cluster with the role of the daemon."""
        if os.geteuid() == 0:
            servant = pwd.getpwnam(SERVANT)
            os.chown(self.folder, servant.pw_uid, servant.pw_gid)
        self.run("initdb", "-D", self.data, "--no-sync", "--auth=trust", "--encoding=UTF8", "--locale=C", "-U", SERVANT)
        (self.data / "pg_hba.conf").write_text(_ENTRIES + "host replication all samenet trust\n")
        self.configure()
        self.start()
        with self.connect() as connection:
            connection.execute(f"CREATE ROLE {USER} LOGIN")
            connection.execute(f"CREATE ROLE {GUARDED} LOGIN PASSWORD '{PASSWORD}' IN ROLE {USER}")

    def copy(self, primary: Postgres) -> None:
        """Become a standby of another server."""
        if os.geteuid() == 0:
            servant = pwd.getpwnam(SERVANT)
            os.chown(self.folder, servant.pw_uid, servant.pw_gid)
        source = f"host={primary.address} port={primary.port} user={SERVANT}"
        self.run(
            "pg_basebackup", "-D", self.data, "-d", source, "--write-recovery-conf", "--checkpoint=fast", "--no-sync"
        )
        self.configure()
        self.start()

    def await_copy(self, primary: Postgres) -> None:
        """Until a standby has all that the primary has now."""
        with primary.connect() as there, self.connect() as here:
            end = (there.execute("SELECT pg_current_wal_lsn()").fetchone() or ("",))[0]
            deadline = time.monotonic() + START_S
            while not (here.execute("SELECT pg_last_wal_replay_lsn() >= %s", (end,)).fetchone() or (False,))[0]:
                assert time.monotonic() < deadline, "the standby does not follow"
                time.sleep(0.02)

    def configure(self) -> None:
        """Write what this server needs behind PostgreSQL's own settings."""
        with (self.data / "postgresql.conf").open("a") as file:
            file.write(
                f"port = {self.port}\nlisten_addresses = '{self.address}'\nunix_socket_directories = ''\n"
                f"max_connections = 300\nshared_buffers = 32MB\n{'' if self.durable else _CARELESS}{self.settings}\n"
            )

    def start(self) -> None:
        """Until it answers."""
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                self._as_servant(programs() / "postgres", "-D", self.data),
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + START_S
        while True:
            try:
                self.connect().close()
                return
            except psycopg.OperationalError as error:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    text = (self.folder / "log").read_text()[-3000:]
                    raise AssertionError(f"PostgreSQL did not start ({error}):\n{text}") from error
            time.sleep(0.05)

    @property
    def has_ended(self) -> bool:
        """By itself, or killed; not by ``stop``."""
        return self._process is not None and self._process.poll() is not None

    @property
    def pid(self) -> int:
        """Of the server, while it runs."""
        assert self._process is not None
        return self._process.pid

    def stop(self, sign: signal.Signals = signal.SIGINT) -> None:
        """
        End it.

        :param sign: SIGINT ends all sessions in order, SIGQUIT is as a crash
        """
        process, self._process = self._process, None
        if process is not None and process.poll() is None:
            process.send_signal(sign)
            process.wait(60)

    def remove(self) -> None:
        """End it and all that it left."""
        self.stop(signal.SIGQUIT)
        shutil.rmtree(self.folder, ignore_errors=True)

    def connect(self, database: str = "postgres", user: str = SERVANT) -> psycopg.Connection[Any]:
        """As the superuser, in autocommit."""
        return psycopg.connect(
            host=self.address, port=self.port, user=user, dbname=database, connect_timeout=10, autocommit=True
        )

    def url(self, database: str, user: str = USER) -> str:
        """For the daemon."""
        return f"postgresql://{user}@{self.address}:{self.port}/{database}"

    def create(self, template: str = "template0") -> str:
        """
        A new database, the daemon's own.

        :param template: a database that nobody is connected to
        :return: its name
        """
        name = f"cloudd_{secrets.token_hex(6)}"
        with self.connect() as connection:
            connection.execute(f"CREATE DATABASE {name} OWNER {USER} TEMPLATE {template}")
        return name

    def drop(self, name: str) -> None:
        """With all connections to it."""
        with self.connect() as connection:
            connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def run(self, program: str, *arguments: object) -> None:
        """One of PostgreSQL's programs, to its end."""
        done = subprocess.run(
            self._as_servant(programs() / program, *arguments),
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        if done.returncode != 0:
            raise AssertionError(f"{program} {arguments}: {done.stdout}{done.stderr}")

    def _as_servant(self, *command: object) -> list[str]:
        """PostgreSQL refuses to run as root; it ends with whoever started it, also when that was killed."""
        words = [str(word) for word in command]
        servant = ["--reuid", SERVANT, "--regid", SERVANT, "--clear-groups"] if os.geteuid() == 0 else []
        return [*self.enter, "setpriv", *servant, "--pdeathsig", "INT", *words]


@cache
def shared_postgres() -> Postgres:
    """One for all tests of a process; started when the first asks."""
    server = Postgres()
    atexit.register(server.remove)
    server.make()
    return server
